// The library without malloc: all of its memory is one array of the program's, and the model is a map of its file. Every function of the
// heap is replaced by one that ends the program, which is the proof.
//
//     cc embed_bare.c libbantam.a -lm && ./a.out MODEL
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bantam.h"

static _Alignas(64) char memory[40 << 20];

static void say(const char *text) {
    if (write(1, text, strlen(text)) < 0) _exit(3);
}

static void *refuse(void) {
    say("the heap was used\n");
    _exit(4);
}

void *malloc(size_t bytes) { (void)bytes; return refuse(); }
void *calloc(size_t n, size_t bytes) { (void)n; (void)bytes; return refuse(); }
void *realloc(void *old, size_t bytes) { (void)old; (void)bytes; return refuse(); }
void *aligned_alloc(size_t alignment, size_t bytes) { (void)alignment; (void)bytes; return refuse(); }
int posix_memalign(void **out, size_t alignment, size_t bytes) { (void)out; (void)alignment; (void)bytes; refuse(); return 1; }
void free(void *old) { if (old) refuse(); }

static int fail(const bantam_error *e) {
    say(e->message);
    say("\n");
    return 1;
}

static int32_t show(void *user, const bantam_piece *piece) {
    (void)user;
    return write(1, piece->text, piece->text_bytes) < 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    bantam_error e;
    if (bantam_set_memory(memory, sizeof memory, &e)) return fail(&e);

    // In a device this is an address in flash.
    int fd = open(argv[1], O_RDONLY);
    struct stat file;
    if (fd < 0 || fstat(fd, &file) != 0) return 2;
    void *flash = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (flash == MAP_FAILED) return 2;

    // The first call takes a few bytes for good.
    bantam_model_free(NULL);
    size_t before = bantam_memory_used();
    bantam_model *model = NULL;
    bantam_session *session = NULL;
    bantam_session_options options = {.struct_size = sizeof options, .context = 256, .threads = 1};
    bantam_sampler_options sampler = {.struct_size = sizeof sampler, .temperature = -1};
    bantam_answer_options answer = {.struct_size = sizeof answer, .max_tokens = 16, .sampler = &sampler};
    if (bantam_model_open_memory(flash, (size_t)file.st_size, NULL, &model, &e)) return fail(&e);
    if (bantam_session_open(model, &options, &session, &e)) return fail(&e);
    if (bantam_session_prompt_text(session, "The capital of France is", BANTAM_NUL_TERMINATED, 0, NULL, &e)) return fail(&e);
    if (bantam_session_generate(session, &answer, show, NULL, NULL, &e)) return fail(&e);
    bantam_session_free(session);
    bantam_model_free(model);
    say(bantam_memory_used() == before ? "\nno malloc, and nothing left\n" : "\nno malloc\n");
    return 0;
}
