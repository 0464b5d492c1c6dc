// A language model without an operating system: one CPU, no heap, the model in memory-mapped flash, one static arena, the answer over the UART.
#include "arena.h"
#include "bantam.h"

// The board: qemu's `virt`. A real one has other addresses, and a watchdog that bites.
static volatile uint32_t *const uart = (volatile uint32_t *)0x09000000;
static const void *const flash = (const void *)0x48000000;

// Its size is what a run of the same work on the host took: see plan.c.
static _Alignas(64) unsigned char arena[ARENA_BYTES];

static uint64_t fed;
static bantam_cancel *cancel;

static void put(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) *uart = (uint32_t)text[i];
}

static void say(const char *text) {
    size_t bytes = 0;
    while (text[bytes]) bytes++;
    put(text, bytes);
}

static void number(uint64_t n) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    put(digits + at, sizeof digits - at);
}

// Ends the emulator. A device would start over.
static _Noreturn void stop(uint64_t code) {
    uint64_t block[2] = {0x20026, code};
    register uint64_t op __asm__("x0") = 0x18;
    register uint64_t *parameters __asm__("x1") = block;
    __asm__ volatile("hlt #0xf000" : : "r"(op), "r"(parameters) : "memory");
    for (;;) {}
}

// Where a bug of the library's ends: there is nothing to unwind to.
_Noreturn void bantam_host_panic(const char *message, size_t bytes) {
    put(message, bytes);
    stop(3);
}

// Called between pieces of work: here the watchdog is fed, and a button may set the cancel object.
static void feed(void *user) {
    (void)user;
    fed++;
}

static int32_t show(void *user, const bantam_piece *piece) {
    (void)user;
    put(piece->text, piece->text_bytes);
    return 0;
}

static void fail(const bantam_error *e) {
    say(bantam_status_name(e->status));
    say(": ");
    say(e->message);
    say("\n");
    stop(1);
}

int main(void) {
    bantam_error e;
    bantam_model *model = NULL;
    bantam_pool *pool = NULL;
    bantam_session *session = NULL;
    if (bantam_set_memory(arena, sizeof arena, &e)) fail(&e);
    if (bantam_cancel_new(&cancel, &e)) fail(&e);
    bantam_pool_options threads = {.struct_size = sizeof threads, .threads = 1, .poll = feed};
    if (bantam_pool_new(&threads, &pool, &e)) fail(&e);
    if (bantam_model_open_memory(flash, MODEL_BYTES, NULL, &model, &e)) fail(&e);
    bantam_session_options options = {.struct_size = sizeof options, .context = CONTEXT, .batch = BATCH, .pool = pool, .cancel = cancel};
    if (bantam_session_open(model, &options, &session, &e)) fail(&e);
    if (bantam_session_prompt_text(session, PROMPT, BANTAM_NUL_TERMINATED, 0, NULL, &e)) fail(&e);

    bantam_sampler_options sampler = {.struct_size = sizeof sampler, .temperature = -1};
    bantam_answer_options answer = {.struct_size = sizeof answer, .sampler = &sampler, .max_tokens = TOKENS};
    bantam_summary summary = {.struct_size = sizeof summary};
    say(PROMPT);
    if (bantam_session_generate(session, &answer, show, NULL, &summary, &e)) fail(&e);

    say("\n");
    number(summary.tokens);
    say(" tokens; ");
    number(bantam_memory_peak());
    say(" of ");
    number(sizeof arena);
    say(fed > 1000 ? " bytes; the watchdog was fed\n" : " bytes; the watchdog was not fed\n");
    bantam_session_free(session);
    bantam_model_free(model);
    bantam_pool_free(pool);
    bantam_cancel_free(cancel);
    stop(0);
}
