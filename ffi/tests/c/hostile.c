// A caller that does everything wrong: NULL and garbage for every argument, structs of other versions, handles of other kinds and freed ones.
// Nothing may crash, and every mistake has its status.
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

// Every function with NULL for every pointer.
static void null_is_an_error(void) {
    EXPECT(BANTAM_HANDLE, bantam_model_warm(NULL, NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open(NULL, 5, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open(NULL, BANTAM_NUL_TERMINATED, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open("x", 1, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_fd(0, 0, 0, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_memory(NULL, 10, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_parts(NULL, 2, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_get_info(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_plan(NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_open(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_get_info(NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(NULL, NULL, 1, 0, NULL, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_embed(NULL, NULL, 0, 0, NULL, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_set_cancel(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_trim(NULL, NULL, e));
    CHECK(bantam_embedder_free(NULL) == BANTAM_OK);
    EXPECT(BANTAM_HANDLE, bantam_model_resident_bytes(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_metadata_count(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_metadata_at(NULL, 0, NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_metadata(NULL, NULL, 1, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_metadata_element(NULL, NULL, 1, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_tensor_count(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_tensor_at(NULL, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_tokenize(NULL, NULL, 0, 0, NULL, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_detokenize(NULL, NULL, 0, 0, NULL, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_model_token(NULL, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_pool_new(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_pool_set_threads(NULL, 1, e));
    EXPECT(BANTAM_HANDLE, bantam_pool_set_priority(NULL, 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_sampler_new(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_sampler_reset(NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_cancel_new(NULL, e));
    CHECK(bantam_cancel_set(NULL) == BANTAM_HANDLE && bantam_cancel_reset(NULL) == BANTAM_HANDLE);
    CHECK(bantam_cancel_is_set(NULL) == 0);
    bantam_task_run(NULL);
    EXPECT(BANTAM_HANDLE, bantam_session_plan(NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_open(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_get_info(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_set_cancel(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_set_threads(NULL, 1, e));
    EXPECT(BANTAM_HANDLE, bantam_session_set_priority(NULL, 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_prompt(NULL, NULL, 1, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_prompt_text(NULL, NULL, 0, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_prefill(NULL, NULL, 1, e));
    EXPECT(BANTAM_HANDLE, bantam_session_prefill(NULL, NULL, 0, e));
    EXPECT(BANTAM_HANDLE, bantam_session_decode(NULL, 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_decode_together(NULL, NULL, 1, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_tokens(NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_logits(NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_sample(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_top_logprobs(NULL, NULL, 0, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_rewind(NULL, 0, e));
    EXPECT(BANTAM_HANDLE, bantam_session_shift(NULL, 0, 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_fork(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_copy(NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_save(NULL, NULL, 1, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_restore(NULL, NULL, 1, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_save_to(NULL, NULL, 1, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_restore_from(NULL, NULL, 1, e));
    EXPECT(BANTAM_HANDLE, bantam_session_trim(NULL, 1, NULL, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_adapter_open(NULL, NULL, 5, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_adapter_open_fd(NULL, 0, 0, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_adapter_open_memory(NULL, NULL, 5, NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_adapter_get_info(NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_set_adapters(NULL, NULL, NULL, 1, e));
    EXPECT(BANTAM_HANDLE, bantam_session_set_adapters(NULL, NULL, NULL, 0, e));
    CHECK(bantam_adapter_free(NULL) == BANTAM_OK);
    EXPECT(BANTAM_HANDLE, bantam_session_begin(NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_next(NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_session_generate(NULL, NULL, NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_get_summary(NULL, NULL, e));
    CHECK(bantam_model_free(NULL) == BANTAM_OK && bantam_session_free(NULL) == BANTAM_OK);
    CHECK(bantam_pool_free(NULL) == BANTAM_OK && bantam_sampler_free(NULL) == BANTAM_OK);
    CHECK(bantam_cancel_free(NULL) == BANTAM_OK);
#ifndef CORE_ONLY
    EXPECT(BANTAM_ARGUMENT, bantam_grammar_new(NULL, 1, NULL, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_chat_new(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_chat_add(NULL, 1, "", 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_chat_add_json(NULL, "", 0, e));
    EXPECT(BANTAM_HANDLE, bantam_chat_add_answer(NULL, "", 0, 1, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_chat_count(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_chat_truncate(NULL, 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_chat_render(NULL, NULL, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_chat_prompt(NULL, NULL, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_chat_grammar(NULL, NULL, "auto", 4, NULL, e));
    CHECK(bantam_grammar_free(NULL) == BANTAM_OK && bantam_chat_free(NULL) == BANTAM_OK);
#endif
    // Whoever wants no details gets the status all the same.
    CHECK(bantam_model_get_info(NULL, NULL, NULL) == BANTAM_HANDLE);
}

// Handles of another kind, memory that is none, and handles that were freed while their memory is still there.
static void other_handles_are_an_error(bantam_model *model, bantam_session *session) {
    bantam_model_info info = {.struct_size = sizeof info};
    bantam_session_info of_session = {.struct_size = sizeof of_session};
    EXPECT(BANTAM_HANDLE, bantam_model_get_info((bantam_model *)session, &info, e));
    EXPECT(BANTAM_HANDLE, bantam_session_get_info((bantam_session *)model, &of_session, e));
    EXPECT(BANTAM_HANDLE, bantam_sampler_reset((bantam_sampler *)model, e));
    CHECK(bantam_session_free((bantam_session *)model) == BANTAM_HANDLE);
    CHECK(bantam_cancel_set((bantam_cancel *)model) == BANTAM_HANDLE);
    CHECK(bantam_embedder_free((bantam_embedder *)model) == BANTAM_HANDLE);
    uint64_t garbage[64];
    for (int fill = 0; fill < 256; fill += 51) {
        memset(garbage, fill, sizeof garbage);
        EXPECT(BANTAM_HANDLE, bantam_model_get_info((bantam_model *)garbage, &info, e));
        EXPECT(BANTAM_HANDLE, bantam_session_get_info((bantam_session *)garbage, &of_session, e));
        CHECK(bantam_pool_free((bantam_pool *)garbage) == BANTAM_HANDLE);
    }
    EXPECT(BANTAM_HANDLE, bantam_model_get_info((bantam_model *)((char *)garbage + 1), &info, e));
}

// Structs of an older and of a newer header, and sizes that cannot be.
static void other_sizes_are_told_apart(bantam_model *model) {
    struct {
        bantam_session_options now;
        uint64_t later[4];
    } options;
    bantam_plan plan = {.struct_size = sizeof plan};
    size_t bad[] = {0, 1, 7, 1u << 20, SIZE_MAX, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(&options, 0, sizeof options);
        options.now.struct_size = bad[i];
        EXPECT(BANTAM_STRUCT, bantam_session_plan(model, &options.now, &plan, e));
    }
    memset(&options, 0, sizeof options);
    options.now.context = 64;
    // A newer caller that uses nothing new, and one that does.
    options.now.struct_size = sizeof options;
    OK(bantam_session_plan(model, &options.now, &plan, e));
    CHECK(plan.context == 64);
    options.later[2] = 1;
    bantam_error error;
    CHECK(bantam_session_plan(model, &options.now, &plan, &error) == BANTAM_STRUCT);
    CHECK(strstr(error.message, "bantam_session_options") && error.detail >= (int64_t)sizeof options.now);
    // An older caller, whose struct ends behind the context.
    options.now.struct_size = offsetof(bantam_session_options, batch);
    options.now.batch = 12345678;
    OK(bantam_session_plan(model, &options.now, &plan, e));
    // What it wants filled is filled as far as it goes, and no farther.
    struct {
        bantam_plan plan;
        uint64_t behind[2];
    } out;
    memset(&out, 0x77, sizeof out);
    out.plan.struct_size = offsetof(bantam_plan, scratch_bytes);
    OK(bantam_session_plan(model, NULL, &out.plan, e));
    CHECK(out.plan.kv_bytes != 0x7777777777777777 && out.plan.scratch_bytes == 0x7777777777777777);
    out.plan.struct_size = sizeof out;
    OK(bantam_session_plan(model, NULL, &out.plan, e));
    CHECK(out.plan.total_bytes == out.plan.kv_bytes + out.plan.scratch_bytes && out.behind[0] == 0x7777777777777777);
    // A struct at an address that none can have.
    char bytes[256] = {0};
    size_t start = (size_t)(8 - (uintptr_t)bytes % 8) + 1;
    EXPECT(BANTAM_ARGUMENT, bantam_session_plan(model, (bantam_session_options *)(bytes + start), &plan, e));
}

static void values_are_checked(bantam_model *model) {
    bantam_session_options options = {.struct_size = sizeof options, .context = SIZE_MAX};
    bantam_session *session = NULL;
    EXPECT(BANTAM_MEMORY, bantam_session_open(model, &options, &session, e));
    CHECK(session == NULL);
    options.context = (size_t)1 << 40;
    EXPECT(BANTAM_MEMORY, bantam_session_open(model, &options, &session, e));
    options.context = 64;
    options.threads = 1u << 20;
    EXPECT(BANTAM_ARGUMENT, bantam_session_open(model, &options, &session, e));
    options.threads = 1;
    options.kv_format = 77;
    EXPECT(BANTAM_ARGUMENT, bantam_session_open(model, &options, &session, e));
    options.kv_format = 0;
    options.exact = -3;
    EXPECT(BANTAM_ARGUMENT, bantam_session_open(model, &options, &session, e));
    options.exact = 0;
    OK(bantam_session_open(model, &options, &session, e));
    uint32_t tokens[100] = {0};
    EXPECT(BANTAM_ARGUMENT, bantam_session_prefill(session, tokens, 0, e));
    EXPECT(BANTAM_CONTEXT_FULL, bantam_session_prefill(session, tokens, 65, e));
    tokens[3] = UINT32_MAX;
    EXPECT(BANTAM_ARGUMENT, bantam_session_prefill(session, tokens, 5, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_prefill(session, tokens, SIZE_MAX, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_prefill(session, (uint32_t *)((char *)tokens + 1), 1, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_rewind(session, 1, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_shift(session, SIZE_MAX, SIZE_MAX, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_trim(session, 9, NULL, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_trim(session, BANTAM_TRIM_ALL, NULL, 0, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_save(session, "", 0, e));
    const float *logits = NULL;
    size_t count = 0;
    EXPECT(BANTAM_STATE, bantam_session_logits(session, &logits, &count, e));
    tokens[3] = 0;
    OK(bantam_session_prefill(session, tokens, 5, e));

    bantam_answer_options answer = {.struct_size = sizeof answer, .ignore_end = 2};
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    answer.ignore_end = 0;
    bantam_text stop = {"", 0};
    answer.stop = &stop;
    answer.stop_count = 1;
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    stop.text = NULL;
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    answer.stop = NULL;
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    answer.stop_count = 0;
    float bad[] = {0.0f / 0.0f, -1.0f / 0.0f, 1.0f / 0.0f};
    for (size_t i = 0; i < 3; i++) {
        bantam_sampler_options sampler = {.struct_size = sizeof sampler, .top_p = bad[i]};
        answer.sampler = &sampler;
        EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
        sampler.top_p = 0;
        sampler.xtc_probability = bad[i];
        EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
        sampler.xtc_probability = 0;
        sampler.mirostat = 3;
        EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    }
    uint32_t stages[] = {1, 10};
    bantam_sampler_options sampler = {.struct_size = sizeof sampler, .stages = stages, .stage_count = 2};
    answer.sampler = &sampler;
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    // Tokens that the model does not have, and fields that mean nothing yet.
    bantam_bias bias = {.token = 1u << 30, .bias = 1};
    sampler = (bantam_sampler_options){.struct_size = sizeof sampler, .logit_bias = &bias, .logit_bias_count = 1};
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    answer.sampler = NULL;
    answer.stop_tokens = &bias.token;
    answer.stop_token_count = 1;
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(session, &answer, e));
    answer.stop_token_count = 0;
    answer.reserved = 1;
    EXPECT(BANTAM_STRUCT, bantam_session_begin(session, &answer, e));
    answer.reserved = 0;
    OK(bantam_session_begin(session, &answer, e));
    bantam_piece piece = {.struct_size = 3};
    EXPECT(BANTAM_STRUCT, bantam_session_next(session, &piece, e));
    piece.struct_size = sizeof piece;
    OK(bantam_session_next(session, &piece, e));
    OK(bantam_session_free(session));
}

typedef struct {
    bantam_session *session;
    int busy, done;
} racer;

static void embedders_check_values(bantam_model *model) {
    bantam_embedder *embedder = NULL;
    bantam_embedder_options options = {.struct_size = sizeof options, .threads = 1, .context = 32, .pooling = 6};
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_open(model, &options, &embedder, e));
    options.pooling = BANTAM_POOLING_NONE;
    options.keep_length = 2;
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_open(model, &options, &embedder, e));
    options.keep_length = 1;
    options.context = SIZE_MAX;
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_open(model, &options, &embedder, e));
    options.context = 32;
    options.struct_size = 3;
    EXPECT(BANTAM_STRUCT, bantam_embedder_open(model, &options, &embedder, e));
    options.struct_size = sizeof options;
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_open(model, &options, NULL, e));
    CHECK(embedder == NULL);
    OK(bantam_embedder_open(model, &options, &embedder, e));
    float out[1];
    bantam_embed_text text = {.text = NULL};
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(embedder, &text, 1, 0, out, 1, NULL, e));
    text = (bantam_embed_text){.text = "\xff"};
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(embedder, &text, 1, 0, out, 1, NULL, e));
    // Without pooling and without special tokens, nothing has no vector.
    text = (bantam_embed_text){.text = ""};
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(embedder, &text, 1, 0, out, 1, NULL, e));
    text = (bantam_embed_text){.text = "a"};
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(embedder, &text, 1, 4, out, 1, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(embedder, &text, SIZE_MAX, 0, out, 1, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_embed(embedder, &text, 1, 0, NULL, 600, NULL, e));
    EXPECT(BANTAM_TOO_SMALL, bantam_embedder_embed(embedder, &text, 1, 0, out, 1, NULL, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_set_cancel(embedder, (bantam_cancel *)model, e));
    EXPECT(BANTAM_HANDLE, bantam_embedder_trim((bantam_embedder *)model, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_trim(embedder, (size_t *)((char *)&options + 1), e));
    OK(bantam_embedder_trim(embedder, NULL, e));
    OK(bantam_embedder_free(embedder));
}

static void *race(void *user) {
    racer *r = (racer *)user;
    for (int i = 0; i < 2000; i++) {
        bantam_session_info info = {.struct_size = sizeof info};
        bantam_status status = bantam_session_get_info(r->session, &info, NULL);
        CHECK(status == BANTAM_OK || status == BANTAM_BUSY);
        if (status == BANTAM_BUSY) r->busy++;
        r->done++;
    }
    return NULL;
}

static void count_release(void *user) { ++*(int *)user; }

// Adapters that are none, of other kinds, and too many.
static void adapters_are_checked(bantam_model *model, bantam_session *session, const char *path) {
    bantam_adapter *adapter = NULL;
    EXPECT(BANTAM_INCONSISTENT, bantam_adapter_open(model, path, BANTAM_NUL_TERMINATED, &adapter, e));
    EXPECT(BANTAM_IO, bantam_adapter_open(model, "no such file", BANTAM_NUL_TERMINATED, &adapter, e));
    EXPECT(BANTAM_ARGUMENT, bantam_adapter_open(model, "", 0, &adapter, e));
    EXPECT(BANTAM_ARGUMENT, bantam_adapter_open_fd(model, -1, 0, 0, &adapter, e));
    EXPECT(BANTAM_HANDLE, bantam_adapter_open((bantam_model *)session, path, BANTAM_NUL_TERMINATED, &adapter, e));
    int released = 0;
    EXPECT(BANTAM_NOT_GGUF, bantam_adapter_open_memory(model, "nothing at all, but long enough", 31, count_release, &released, &adapter, e));
    EXPECT(BANTAM_ARGUMENT, bantam_adapter_open_memory(model, NULL, 31, count_release, &released, &adapter, e));
    CHECK(adapter == NULL && released == 2);
    const bantam_adapter *none[9] = {NULL}, *other[1] = {(bantam_adapter *)model};
    float scales[9] = {0};
    EXPECT(BANTAM_HANDLE, bantam_session_set_adapters(session, none, scales, 1, e));
    EXPECT(BANTAM_HANDLE, bantam_session_set_adapters(session, other, NULL, 1, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_set_adapters(session, none, scales, 9, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_set_adapters(session, none, scales, SIZE_MAX, e));
    OK(bantam_session_set_adapters(session, NULL, NULL, 0, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_decode_together(NULL, NULL, SIZE_MAX, e));
    bantam_session *many[BANTAM_TOGETHER_MAX + 1] = {session};
    uint32_t tokens[BANTAM_TOGETHER_MAX + 1] = {0};
    EXPECT(BANTAM_ARGUMENT, bantam_session_decode_together(many, tokens, BANTAM_TOGETHER_MAX + 1, e));
}

// What is no file, and what is not where it should be.
static void sources_are_checked(const char *path) {
    bantam_model *model = NULL;
    EXPECT(BANTAM_ARGUMENT, bantam_model_open("a\0b", 3, NULL, &model, e));
    bantam_model_options options = {.struct_size = sizeof options, .reserved = 1};
    EXPECT(BANTAM_STRUCT, bantam_model_open(path, BANTAM_NUL_TERMINATED, &options, &model, e));
    bantam_part part = {.path = path, .reserved = 1};
    EXPECT(BANTAM_STRUCT, bantam_model_open_parts(&part, 1, NULL, &model, e));
    part = (bantam_part){.path = path, .offset = UINT64_MAX};
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_parts(&part, 1, NULL, &model, e));
    // Opening a pipe would wait for its writer.
    char folder[] = "/tmp/bantam-hostile-XXXXXX", pipe[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(pipe, sizeof pipe, "%s/pipe", folder);
    CHECK(mkfifo(pipe, 0600) == 0);
    EXPECT(BANTAM_NOT_A_FILE, bantam_model_open(pipe, BANTAM_NUL_TERMINATED, NULL, &model, e));
    part = (bantam_part){.path = pipe};
    EXPECT(BANTAM_NOT_A_FILE, bantam_model_open_parts(&part, 1, NULL, &model, e));
    CHECK(unlink(pipe) == 0 && rmdir(folder) == 0);
    // What was wrong is told of long paths too.
    char name[512];
    memset(name, 'a', sizeof name);
    bantam_error error;
    CHECK(bantam_model_open(name, sizeof name, NULL, &model, &error) == BANTAM_IO);
    CHECK(strstr(error.message, "too long") != NULL);
    CHECK(model == NULL);
}

// A file that gets shorter while it is open: whatever would read its lost pages is an error, and not the end of the process.
static void files_that_shrink_are_told(const char *path) {
    char copy[] = "/tmp/bantam-hostile-XXXXXX", piece[1 << 16];
    int fd = mkstemp(copy), from = open(path, O_RDONLY);
    CHECK(fd >= 0 && from >= 0 && unlink(copy) == 0);
    for (ssize_t got; (got = read(from, piece, sizeof piece)) > 0;) CHECK(write(fd, piece, (size_t)got) == got);
    bantam_model *model = NULL;
    OK(bantam_model_open_fd(fd, 0, 0, NULL, &model, e));
    bantam_session *session = open_session(model, 32);
    uint32_t tokens[4] = {1, 2, 3, 4};
    OK(bantam_session_prefill(session, tokens, 4, e));
#ifndef CORE_ONLY
    bantam_grammar *grammar = NULL;
    bantam_chat *chat = NULL, *late_chat = NULL;
    bantam_chat_options chats = {.struct_size = sizeof chats, .template_source = "{{ messages[0].content }}", .variables = "[1]"};
    EXPECT(BANTAM_ARGUMENT, bantam_chat_new(model, &chats, &chat, e));
    chats.variables = NULL;
    chats.tools = "[{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}]";
    OK(bantam_chat_new(model, &chats, &chat, e));
    OK(bantam_grammar_new(model, BANTAM_GRAMMAR_REGEX, "[a-z]+", BANTAM_NUL_TERMINATED, &grammar, e));
#endif
    bantam_embedder *embedder = NULL, *late_embedder = NULL;
    bantam_embedder_options embedding = {.struct_size = sizeof embedding, .threads = 1, .context = 32, .pooling = BANTAM_POOLING_MEAN};
    OK(bantam_embedder_open(model, &embedding, &embedder, e));
    CHECK(ftruncate(fd, 0) == 0);
    bantam_model_info info = {.struct_size = sizeof info};
    bantam_value value = {.struct_size = sizeof value};
    bantam_tensor tensor = {.struct_size = sizeof tensor};
    bantam_token_info token = {.struct_size = sizeof token};
    bantam_plan plan = {.struct_size = sizeof plan};
    bantam_adapter *adapter = NULL;
    bantam_session *other = NULL;
    const char *key = NULL;
    size_t count = 0;
    EXPECT(BANTAM_CHANGED, bantam_model_get_info(model, &info, e));
    EXPECT(BANTAM_CHANGED, bantam_model_metadata_count(model, &count, e));
    EXPECT(BANTAM_CHANGED, bantam_model_metadata_at(model, 0, &key, &count, &value, e));
    EXPECT(BANTAM_CHANGED, bantam_model_metadata(model, "general.architecture", BANTAM_NUL_TERMINATED, &value, e));
    EXPECT(BANTAM_CHANGED, bantam_model_metadata_element(model, "tokenizer.ggml.tokens", BANTAM_NUL_TERMINATED, 0, &value, e));
    EXPECT(BANTAM_CHANGED, bantam_model_tensor_count(model, &count, e));
    EXPECT(BANTAM_CHANGED, bantam_model_tensor_at(model, 0, &tensor, e));
    EXPECT(BANTAM_CHANGED, bantam_model_warm(model, NULL, NULL, NULL, e));
    EXPECT(BANTAM_CHANGED, bantam_adapter_open(model, path, BANTAM_NUL_TERMINATED, &adapter, e));
    EXPECT(BANTAM_CHANGED, bantam_session_open(model, NULL, &other, e));
    EXPECT(BANTAM_CHANGED, bantam_session_prefill(session, tokens, 4, e));
    EXPECT(BANTAM_CHANGED, bantam_session_fork(session, &other, e));
    EXPECT(BANTAM_CHANGED, bantam_session_decode(session, 5, e));
    EXPECT(BANTAM_CHANGED, bantam_session_decode_together(&session, tokens, 1, e));
    EXPECT(BANTAM_CHANGED, bantam_session_begin(session, NULL, e));
    EXPECT(BANTAM_CHANGED, bantam_session_generate(session, NULL, NULL, NULL, NULL, e));
    EXPECT(BANTAM_CHANGED, bantam_session_plan(model, NULL, &plan, e));
    EXPECT(BANTAM_CHANGED, bantam_embedder_plan(model, &embedding, &plan, e));
    EXPECT(BANTAM_CHANGED, bantam_embedder_open(model, &embedding, &late_embedder, e));
    const bantam_embed_text pair = {.text = "a", .document = "b"};
    float vector[576];
    EXPECT(BANTAM_CHANGED, bantam_embedder_embed(embedder, &pair, 1, 0, vector, 576, NULL, e));
    OK(bantam_embedder_free(embedder));
    // What was read at open is there still.
    OK(bantam_model_token(model, 1, &token, e));
#ifndef CORE_ONLY
    bantam_grammar *late = NULL;
    bantam_answer_options answer = {.struct_size = sizeof answer, .grammar = grammar};
    EXPECT(BANTAM_CHANGED, bantam_chat_new(model, &chats, &late_chat, e));
    EXPECT(BANTAM_CHANGED, bantam_chat_grammar(chat, model, "required", BANTAM_NUL_TERMINATED, &late, e));
    OK(bantam_chat_free(chat));
    EXPECT(BANTAM_CHANGED, bantam_grammar_new(model, BANTAM_GRAMMAR_JSON, NULL, 0, &late, e));
    EXPECT(BANTAM_CHANGED, bantam_session_begin(session, &answer, e));
    OK(bantam_grammar_free(grammar));
#endif
    OK(bantam_session_free(session));
    OK(bantam_model_free(model));
    CHECK(close(fd) == 0 && close(from) == 0);
}

// Two threads on one session: one works, the other is told.
static void two_threads_do_not_meet(bantam_model *model) {
    bantam_session *session = open_session(model, 128);
    racer r = {session, 0, 0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, race, &r) == 0);
    uint32_t tokens[64] = {0};
    for (int i = 0; i < 10; i++) {
        bantam_status status;
        do status = bantam_session_rewind(session, 0, NULL);
        while (status == BANTAM_BUSY);
        do status = bantam_session_prefill(session, tokens, 64, NULL);
        while (status == BANTAM_BUSY);
        CHECK(status == BANTAM_OK);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(r.done == 2000);
    OK(bantam_session_free(session));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bantam_model *model = open_model(argv[1]);
    bantam_session *session = open_session(model, 64);
    null_is_an_error();
    other_handles_are_an_error(model, session);
    other_sizes_are_told_apart(model);
    values_are_checked(model);
    adapters_are_checked(model, session, argv[1]);
    embedders_check_values(model);
    sources_are_checked(argv[1]);
    files_that_shrink_are_told(argv[1]);
    two_threads_do_not_meet(model);
    OK(bantam_session_free(session));
    OK(bantam_model_free(model));
    printf("hostile.c: %d checks hold\n", checks);
    return 0;
}
