// Runs on the host: does what the firmware will do, and prints arena.h, which says how much memory that took. The answer goes to standard
// error: the firmware has to give the same.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bantam.h"

enum { CONTEXT = 64, BATCH = 16 };
// A prompt whose answer is the same on every CPU: none of its first tokens is a close call.
static const char *prompt = "Photosynthesis is the process by which";

static int fail(const bantam_error *e) {
    fprintf(stderr, "%s: %s\n", bantam_status_name(e->status), e->message);
    return 1;
}

static int32_t show(void *user, const bantam_piece *piece) {
    (void)user;
    fwrite(piece->text, 1, piece->text_bytes, stderr);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL TOKENS\n", argv[0]);
        return 2;
    }
    int fd = open(argv[1], O_RDONLY);
    struct stat file;
    if (fd < 0 || fstat(fd, &file) != 0) return 2;
    void *flash = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    bantam_error e;
    bantam_model *model = NULL;
    bantam_session *session = NULL;
    bantam_session_options options = {.struct_size = sizeof options, .context = CONTEXT, .batch = BATCH, .threads = 1};
    bantam_sampler_options sampler = {.struct_size = sizeof sampler, .temperature = -1};
    bantam_answer_options answer = {.struct_size = sizeof answer, .sampler = &sampler, .max_tokens = (size_t)atoi(argv[2])};
    if (bantam_model_open_memory(flash, (size_t)file.st_size, NULL, &model, &e)) return fail(&e);
    if (bantam_session_open(model, &options, &session, &e)) return fail(&e);
    if (bantam_session_prompt_text(session, prompt, BANTAM_NUL_TERMINATED, 0, NULL, &e)) return fail(&e);
    if (bantam_session_generate(session, &answer, show, NULL, NULL, &e)) return fail(&e);

    // Allocations lie apart, and kernels of another CPU take another kilobyte: an eighth more.
    size_t bytes = bantam_memory_peak();
    printf("#define ARENA_BYTES %zu\n", (bytes + bytes / 8 + 4095) / 4096 * 4096);
    printf("#define MODEL_BYTES %lld\n", (long long)file.st_size);
    printf("#define CONTEXT %d\n#define BATCH %d\n#define TOKENS %s\n#define PROMPT \"%s\"\n", CONTEXT, BATCH, argv[2], prompt);
    return 0;
}
