// Between two tokens nothing is allocated: this program has the functions that memory comes from, and counts how often the library asks.
#include "check.h"

#include <errno.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static size_t asked = 0;

static void count(void) { __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED); }

void *malloc(size_t bytes) { return count(), __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return count(), __libc_calloc(n, bytes); }
void *realloc(void *memory, size_t bytes) { return count(), __libc_realloc(memory, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return count(), __libc_memalign(alignment, bytes); }

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    count();
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

// A call that must not ask for memory.
#define NONE(call)                                                                    \
    do {                                                                              \
        size_t before_ = __atomic_load_n(&asked, __ATOMIC_RELAXED);                   \
        OK(call);                                                                     \
        size_t more_ = __atomic_load_n(&asked, __ATOMIC_RELAXED) - before_;           \
        if (more_ != 0) {                                                             \
            printf("%s:%d: %s asked for memory %zu times\n", __FILE__, __LINE__, #call, more_); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bantam_model *model = open_model(argv[1]);
    CHECK(asked > 0);
    bantam_session_options options = {
        .struct_size = sizeof options, .context = 256, .threads = 2, .together_max = 3, .draft_max = 7, .adapter_rank = 8};
    bantam_session *all[3] = {NULL};
    for (int i = 0; i < 3; i++) OK(bantam_session_open(model, &options, &all[i], e));
    bantam_sampler_options settings = {.struct_size = sizeof settings, .temperature = 0.8f, .top_logprobs = 5};
    bantam_sampler *sampler = NULL;
    OK(bantam_sampler_new(model, &settings, &sampler, e));
    bantam_answer_options answer = {.struct_size = sizeof answer, .sampler = &settings, .ignore_end = 1, .max_tokens = 24};
    uint32_t tokens[20];
    for (uint32_t i = 0; i < 20; i++) tokens[i] = 1000 + 7 * i;
    // Threads that are only starting still have to name themselves.
    for (int i = 0; i < 3; i++) OK(bantam_session_prefill(all[i], tokens, 20, e));

    bantam_choice choice = {.struct_size = sizeof choice};
    bantam_piece piece = {.struct_size = sizeof piece};
    bantam_token_logprob top[5];
    size_t count = 0;
    NONE(bantam_session_prefill(all[0], tokens, 20, e));
    NONE(bantam_session_prompt(all[0], tokens, 12, NULL, e));
    for (int round = 0; round < 4; round++) {
        NONE(bantam_session_sample(all[0], sampler, &choice, e));
        NONE(bantam_session_top_logprobs(all[0], top, 5, &count, e));
        NONE(bantam_session_decode(all[0], choice.token, e));
        NONE(bantam_session_decode_together(all, tokens, 3, e));
    }
    NONE(bantam_session_rewind(all[0], 10, e));
    NONE(bantam_session_shift(all[1], 2, 5, e));
    NONE(bantam_session_copy(all[2], all[1], e));
    NONE(bantam_session_set_adapters(all[1], NULL, NULL, 0, e));
    NONE(bantam_session_prompt(all[0], tokens, 20, NULL, e));
    // An answer takes its memory when it begins.
    OK(bantam_session_begin(all[0], &answer, e));
    do NONE(bantam_session_next(all[0], &piece, e));
    while (piece.stop_reason == BANTAM_STOP_NONE);
    CHECK(piece.stop_reason == BANTAM_STOP_BUDGET);

    for (int i = 0; i < 3; i++) OK(bantam_session_free(all[i]));
    OK(bantam_sampler_free(sampler));
    OK(bantam_model_free(model));
    printf("no_alloc.c: %d checks hold\n", checks);
    return 0;
}
