// Memory that is refused is a status, whichever allocation it was: this program has the functions that memory comes from, and refuses the first, the
// second, the third ... of each call, once or from then on. Nothing here starts a thread: of the bytes that Rust's standard library takes for one
// some are the system's own, whatever the library's allocator is, and cannot be refused.
#include "check.h"

#include <errno.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

// How many are asked for by the call, and the number of the one that is refused, 0 for none; all behind it too if `stays`.
static long asked = 0, refused = 0;
static int stays = 0;

static int refuses(void) {
    long number = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    long first = __atomic_load_n(&refused, __ATOMIC_RELAXED);
    return first != 0 && (number == first || (stays && number > first));
}

void *malloc(size_t bytes) { return refuses() ? NULL : __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return refuses() ? NULL : __libc_calloc(n, bytes); }
void *realloc(void *memory, size_t bytes) { return refuses() ? NULL : __libc_realloc(memory, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return refuses() ? NULL : __libc_memalign(alignment, bytes); }

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    void *memory = refuses() ? NULL : __libc_memalign(alignment, bytes);
    if (memory != NULL) *out = memory;
    return memory != NULL ? 0 : ENOMEM;
}

static const char *path;
static const char *saved;
static bantam_model *model;
static bantam_session *session;
static bantam_embedder *embedder;

// A call, what has to be there before it, and what it leaves behind.
typedef bantam_status trial(bantam_error *e);

static bantam_status opens_a_model(bantam_error *e) {
    bantam_model *out = NULL;
    bantam_status status = bantam_model_open(path, BANTAM_NUL_TERMINATED, NULL, &out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_model_free(out) == BANTAM_OK);
    return status;
}

static bantam_status opens_a_session(bantam_error *e) {
    bantam_session_options options = {.struct_size = sizeof options, .context = 32, .threads = 1, .draft_max = 2};
    bantam_session *out = NULL;
    bantam_status status = bantam_session_open(model, &options, &out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_session_free(out) == BANTAM_OK);
    return status;
}

static void executes(void *user, bantam_task *task, size_t count) {
    (void)user;
    while (count-- > 0) bantam_task_run(task);
}

static bantam_status makes_a_pool(bantam_error *e) {
    bantam_pool_options options = {.struct_size = sizeof options, .threads = 2, .executor = executes};
    bantam_pool *out = NULL;
    bantam_status status = bantam_pool_new(&options, &out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_pool_free(out) == BANTAM_OK);
    return status;
}

static bantam_status makes_a_cancel(bantam_error *e) {
    bantam_cancel *out = NULL;
    bantam_status status = bantam_cancel_new(&out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_cancel_free(out) == BANTAM_OK);
    return status;
}

static bantam_bias bias = {.token = 1, .bias = 1};
static bantam_sampler_options sampling = {
    .struct_size = sizeof sampling, .dry_multiplier = 1, .logit_bias = &bias, .logit_bias_count = 1, .top_logprobs = 3};

static bantam_status makes_a_sampler(bantam_error *e) {
    bantam_sampler *out = NULL;
    bantam_status status = bantam_sampler_new(model, &sampling, &out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_sampler_free(out) == BANTAM_OK);
    return status;
}

static bantam_status reads_a_prompt(bantam_error *e) {
    CHECK(bantam_session_rewind(session, 0, NULL) == BANTAM_OK);
    return bantam_session_prompt_text(session, "a b c", 5, 0, NULL, e);
}

static bantam_status answers(bantam_error *e) {
    bantam_text stop[] = {{"zzzz", 4}, {"yyyyyyy", 0}};
    bantam_answer_options options = {
        .struct_size = sizeof options, .max_tokens = 3, .stop = stop, .stop_count = 2, .sampler = &sampling, .lookup = 1, .ignore_end = 1};
    CHECK(bantam_session_rewind(session, 0, NULL) == BANTAM_OK);
    uint32_t tokens[] = {1, 2, 3};
    CHECK(bantam_session_prompt(session, tokens, 3, NULL, NULL) == BANTAM_OK);
    return bantam_session_generate(session, &options, NULL, NULL, NULL, e);
}

static bantam_status forks(bantam_error *e) {
    bantam_session *out = NULL;
    bantam_status status = bantam_session_fork(session, &out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_session_free(out) == BANTAM_OK);
    return status;
}

static bantam_status saves(bantam_error *e) { return bantam_session_save(session, saved, BANTAM_NUL_TERMINATED, e); }

static bantam_status restores(bantam_error *e) { return bantam_session_restore(session, saved, BANTAM_NUL_TERMINATED, e); }

static bantam_status trims(bantam_error *e) {
    const float *logits;
    size_t count;
    char spilled[64];
    snprintf(spilled, sizeof spilled, "%s.spilled", saved);
    bantam_status status = bantam_session_trim(session, BANTAM_TRIM_ALL, spilled, BANTAM_NUL_TERMINATED, NULL, e);
    return status != BANTAM_OK ? status : bantam_session_logits(session, &logits, &count, e);
}

static bantam_status opens_an_embedder(bantam_error *e) {
    bantam_embedder_options options = {.struct_size = sizeof options, .context = 16, .threads = 1, .pooling = BANTAM_POOLING_MEAN};
    bantam_embedder *out = NULL;
    bantam_status status = bantam_embedder_open(model, &options, &out, e);
    CHECK((status == BANTAM_OK) == (out != NULL) && bantam_embedder_free(out) == BANTAM_OK);
    return status;
}

static bantam_status embeds(bantam_error *e) {
    static float out[4096];
    bantam_embed_text texts[] = {{.text = "a b"}, {.text = "c"}};
    return bantam_embedder_embed(embedder, texts, 2, 0, out, 4096, NULL, e);
}

static const struct {
    const char *name;
    trial *call;
} trials[] = {{"opens a model", opens_a_model}, {"opens a session", opens_a_session}, {"makes a pool", makes_a_pool},
              {"makes a cancel object", makes_a_cancel}, {"makes a sampler", makes_a_sampler}, {"reads a prompt", reads_a_prompt},
              {"answers", answers}, {"forks", forks}, {"saves", saves}, {"restores", restores}, {"trims", trims},
              {"opens an embedder", opens_an_embedder}, {"embeds", embeds}};

int main(int argc, char **argv) {
    CHECK(argc == 2);
    path = argv[1];
    char file[] = "/tmp/bantam-refused-XXXXXX";
    int fd = mkstemp(file);
    CHECK(fd >= 0 && close(fd) == 0);
    saved = file;
    // The very first call of a process.
    refused = 1;
    stays = 1;
    bantam_error error;
    CHECK(bantam_model_open(path, BANTAM_NUL_TERMINATED, NULL, &model, &error) == BANTAM_MEMORY && error.detail > 0);
    refused = 0;
    model = open_model(path);
    bantam_session_options alone = {.struct_size = sizeof alone, .context = 32, .threads = 1, .draft_max = 2};
    OK(bantam_session_open(model, &alone, &session, e));
    bantam_embedder_options options = {.struct_size = sizeof options, .context = 16, .threads = 1, .pooling = BANTAM_POOLING_MEAN};
    OK(bantam_embedder_open(model, &options, &embedder, e));
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        // What is made once and kept is made here.
        OK(trials[i].call(e));
        size_t used = bantam_memory_used();
        for (stays = 0; stays < 2; stays++) {
            for (long number = 1;; number++) {
                asked = 0;
                refused = number;
                bantam_status status = trials[i].call(&error);
                refused = 0;
                if (status != BANTAM_OK && (status != BANTAM_MEMORY || error.detail <= 0)) {
                    printf("%s: of allocation %ld refused comes %s (%s), detail %lld\n", trials[i].name, number, bantam_status_name(status), error.message, (long long)error.detail);
                    return 1;
                }
                if (bantam_memory_used() > used) {
                    printf("%s: allocation %ld refused leaves %zu bytes behind\n", trials[i].name, number, bantam_memory_used() - used);
                    return 1;
                }
                checks++;
                if (asked < number) break;
            }
            // It goes on as if nothing had been.
            OK(trials[i].call(e));
        }
    }
    OK(bantam_embedder_free(embedder));
    OK(bantam_session_free(session));
    OK(bantam_model_free(model));
    CHECK(bantam_memory_used() == 0 && remove(saved) == 0);
    printf("refused.c: %d checks hold\n", checks);
    return 0;
}
