// The library as an app uses it, on the demo model: every noun of the header, and what it promises.
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *prompt = "The capital of France is";

static void model_tells_of_itself(bantam_model *model) {
    bantam_model_info info = {.struct_size = sizeof info};
    OK(bantam_model_get_info(model, &info, e));
    CHECK(info.layers == 30 && info.dim == 576 && info.vocab_size == 49152);
    CHECK(info.architecture_bytes == 5 && memcmp(info.architecture, "llama", 5) == 0);
    CHECK(strcmp(info.backend, bantam_backend_name(0)) == 0 || getenv("BANTAM_BACKEND"));
    CHECK(info.is_file_backed == 1 && info.has_chat_template == 1);

    // The best backend is one whose instructions this CPU has.
    size_t features = 0;
    while (bantam_cpu_feature(features)) CHECK(strlen(bantam_cpu_feature(features++)) > 1);
    CHECK(features > 0 || strcmp(bantam_backend_name(0), "scalar") == 0);
    CHECK(bantam_cpu_feature(SIZE_MAX) == NULL && bantam_backend_name(SIZE_MAX) == NULL);

    size_t count = 0;
    OK(bantam_model_metadata_count(model, &count, e));
    CHECK(count > 10);
    for (size_t i = 0; i < count; i++) {
        const char *key = NULL;
        size_t bytes = 0;
        bantam_value value = {.struct_size = sizeof value}, again = {.struct_size = sizeof again};
        OK(bantam_model_metadata_at(model, i, &key, &bytes, &value, e));
        OK(bantam_model_metadata(model, key, bytes, &again, e));
        CHECK(value.kind == again.kind && value.integer == again.integer && value.text == again.text);
        if (value.kind == BANTAM_VALUE_ARRAY && value.count > 0) {
            OK(bantam_model_metadata_element(model, key, bytes, 0, &again, e));
            CHECK(again.kind == value.element_kind);
            EXPECT(BANTAM_ARGUMENT, bantam_model_metadata_element(model, key, bytes, value.count, &again, e));
        }
    }
    bantam_value value = {.struct_size = sizeof value};
    EXPECT(BANTAM_ARGUMENT, bantam_model_metadata(model, "no.such.key", BANTAM_NUL_TERMINATED, &value, e));

    OK(bantam_model_tensor_count(model, &count, e));
    CHECK(count == 272);
    for (size_t i = 0; i < count; i++) {
        bantam_tensor tensor = {.struct_size = sizeof tensor};
        OK(bantam_model_tensor_at(model, i, &tensor, e));
        CHECK(tensor.kernels && (strcmp(tensor.kernels, "scalar") != 0 || strcmp(info.backend, "scalar") == 0));
        CHECK(tensor.bytes > 0 && tensor.offset + tensor.bytes <= info.file_bytes && tensor.shape[3] == 1);
    }
    uint64_t resident = 0;
    OK(bantam_model_warm(model, NULL, NULL, NULL, e));
    OK(bantam_model_resident_bytes(model, &resident, e));
    CHECK(resident == info.file_bytes);
}

typedef struct opening {
    uint64_t done, all;
    int calls, stop_after, released;
    bantam_cancel *cancel;
} opening;

static int32_t look_at_progress(void *user, uint64_t done, uint64_t all) {
    opening *w = user;
    CHECK(done >= w->done && done <= all && (w->calls == 0 || all == w->all));
    w->done = done, w->all = all, w->calls++;
    if (w->cancel && w->calls == w->stop_after) bantam_cancel_set(w->cancel);
    return !w->cancel && w->calls == w->stop_after;
}

static void was_released(void *user) { ((opening *)user)->released++; }

static void opening_can_be_watched(const char *path) {
    opening w = {0};
    bantam_model *model = NULL;
    bantam_model_options options = {.struct_size = sizeof options, .progress = look_at_progress, .progress_user = &w};
    OK(bantam_model_open(path, BANTAM_NUL_TERMINATED, &options, &model, e));
    CHECK(w.calls == 2 && w.done == w.all && w.all > 1 << 20);
    OK(bantam_model_free(model));
    // It can stop the opening, and a cancel object can; what a refusal of the system would hide comes behind the reading.
    for (int with_object = 0; with_object < 2; with_object++) {
        w = (opening){.stop_after = 5};
        if (with_object) OK(bantam_cancel_new(&w.cancel, e));
        options.lock = 1;
        options.cancel = w.cancel;
        EXPECT(BANTAM_CANCELLED, bantam_model_open(path, BANTAM_NUL_TERMINATED, &options, &model, e));
        CHECK(w.calls == 5 && w.done > 0 && w.done < w.all);
        OK(bantam_cancel_free(w.cancel));
    }
    // Bytes that were lent are given back once, whatever is wrong.
    static const uint32_t nothing[4];
    w = (opening){0};
    options = (bantam_model_options){.struct_size = sizeof options, .release = was_released, .release_user = &w};
    EXPECT(BANTAM_NOT_GGUF, bantam_model_open_memory(nothing, sizeof nothing, &options, &model, e));
    CHECK(w.released == 1);
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_memory(nothing, sizeof nothing, &options, NULL, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_memory(NULL, sizeof nothing, &options, &model, e));
    CHECK(w.released == 3);
    options.lock = 7;
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_memory(nothing, sizeof nothing, &options, &model, e));
    OK(bantam_cancel_new(&w.cancel, e));
    OK(bantam_cancel_set(w.cancel));
    options.lock = 0;
    options.cancel = w.cancel;
    EXPECT(BANTAM_CANCELLED, bantam_model_open_memory(nothing, sizeof nothing, &options, &model, e));
    CHECK(w.released == 5);
    OK(bantam_cancel_free(w.cancel));
}

static void text_goes_to_tokens_and_back(bantam_model *model) {
    uint32_t tokens[64];
    char text[256];
    size_t count = 0, bytes = 0;
    const char *said = "Größe \xf0\x9f\x90\x93 1234";
    OK(bantam_model_tokenize(model, said, BANTAM_NUL_TERMINATED, 0, tokens, 64, &count, e));
    OK(bantam_model_detokenize(model, tokens, count, 0, text, sizeof text, &bytes, e));
    CHECK(bytes == strlen(said) && memcmp(text, said, bytes) == 0);

    bantam_error error;
    size_t unchanged = 77;
    CHECK(bantam_model_tokenize(model, said, strlen(said), 0, tokens, 1, &unchanged, &error) == BANTAM_TOO_SMALL);
    CHECK(error.detail == (int64_t)count && unchanged == 77);
    CHECK(bantam_model_tokenize(model, "\xff", 1, 0, tokens, 64, &count, &error) == BANTAM_ARGUMENT);
    CHECK(bantam_model_tokenize(model, "a", 1, 1u << 31, tokens, 64, &count, &error) == BANTAM_ARGUMENT);

    // What only looks like a control token is text, unless it is asked for.
    OK(bantam_model_tokenize(model, "<|im_end|>", BANTAM_NUL_TERMINATED, 0, tokens, 64, &count, e));
    CHECK(count > 1);
    OK(bantam_model_tokenize(model, "<|im_end|>", BANTAM_NUL_TERMINATED, BANTAM_TEXT_PARSE_SPECIAL, tokens, 64, &count, e));
    CHECK(count == 1);
    bantam_token_info info = {.struct_size = sizeof info};
    OK(bantam_model_token(model, tokens[0], &info, e));
    CHECK(info.is_control == 1 && info.is_end == 1 && info.text_bytes == 10);
    OK(bantam_model_detokenize(model, tokens, 1, 0, text, sizeof text, &bytes, e));
    CHECK(bytes == 0);
    OK(bantam_model_detokenize(model, tokens, 1, BANTAM_TEXT_SHOW_SPECIAL, text, sizeof text, &bytes, e));
    CHECK(bytes == 10);
}

// An answer at temperature 0, as text; its summary.
static bantam_summary answer(bantam_session *session, bantam_answer_options options, char *text, size_t room) {
    bantam_sampler_options greedy = {.struct_size = sizeof greedy, .temperature = -1};
    options.struct_size = sizeof options;
    options.sampler = &greedy;
    OK(bantam_session_begin(session, &options, e));
    size_t bytes = 0;
    bantam_piece piece = {.struct_size = sizeof piece};
    do {
        OK(bantam_session_next(session, &piece, e));
        CHECK(bytes + piece.text_bytes < room);
        memcpy(text + bytes, piece.text, piece.text_bytes);
        bytes += piece.text_bytes;
    } while (piece.stop_reason == BANTAM_STOP_NONE);
    text[bytes] = 0;
    EXPECT(BANTAM_STATE, bantam_session_next(session, &piece, e));
    bantam_summary summary = {.struct_size = sizeof summary};
    OK(bantam_session_get_summary(session, &summary, e));
    return summary;
}

static void answers_are_pulled(bantam_model *model) {
    bantam_session *session = open_session(model, 512);
    bantam_piece piece = {.struct_size = sizeof piece};
    EXPECT(BANTAM_STATE, bantam_session_next(session, &piece, e));
    EXPECT(BANTAM_STATE, bantam_session_begin(session, NULL, e));
    size_t read = 0;
    OK(bantam_session_prompt_text(session, prompt, BANTAM_NUL_TERMINATED, 0, &read, e));
    CHECK(read == 5);

    char text[1024], again[1024];
    bantam_summary summary = answer(session, (bantam_answer_options){.max_tokens = 12}, text, sizeof text);
    CHECK(strstr(text, "Paris") && summary.stop_reason == BANTAM_STOP_BUDGET && summary.tokens == 12);
    CHECK(summary.prompt_tokens == 5 && summary.is_complete == -1);
    CHECK(summary.min_logprob <= summary.logprob_q10 && summary.logprob_q10 <= summary.logprob_q25 && summary.mean_logprob < 0);

    // The same prompt costs nothing but its last token.
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, &read, e));
    CHECK(read == 1);
    bantam_text stop[] = {{"no such text", 0}, {".", 1}};
    summary = answer(session, (bantam_answer_options){.max_tokens = 12, .stop = stop, .stop_count = 2}, again, sizeof again);
    CHECK(summary.stop_reason == BANTAM_STOP_STRING && summary.stop_index == 1 && !strchr(again, '.'));
    CHECK(strncmp(text, again, strlen(again)) == 0);

    // With guesses the answer is the same.
    bantam_session_options options = {.struct_size = sizeof options, .context = 512, .draft_max = 8};
    bantam_session *drafting = NULL;
    OK(bantam_session_open(model, &options, &drafting, e));
    OK(bantam_session_prompt_text(drafting, prompt, strlen(prompt), 0, NULL, e));
    answer(drafting, (bantam_answer_options){.max_tokens = 12, .lookup = 1}, again, sizeof again);
    CHECK(strcmp(text, again) == 0);
    OK(bantam_session_free(drafting));

    // The context ends it, or is shifted.
    bantam_session *small = open_session(model, 16);
    OK(bantam_session_prompt_text(small, prompt, strlen(prompt), 0, NULL, e));
    summary = answer(small, (bantam_answer_options){.ignore_end = 1}, again, sizeof again);
    CHECK(summary.stop_reason == BANTAM_STOP_CONTEXT_FULL && summary.tokens == 12);
    OK(bantam_session_prompt_text(small, prompt, strlen(prompt), 0, NULL, e));
    summary = answer(small, (bantam_answer_options){.ignore_end = 1, .shift = 1, .shift_keep = 1, .max_tokens = 40}, again, sizeof again);
    CHECK(summary.stop_reason == BANTAM_STOP_BUDGET && summary.tokens == 40);
    OK(bantam_session_free(small));
    OK(bantam_session_free(session));
}

typedef struct {
    bantam_session *session;
    bantam_model *model;
    bantam_cancel *cancel;
    int pieces, end_after;
} listener;

static int32_t listen(void *user, const bantam_piece *piece) {
    listener *l = (listener *)user;
    CHECK(piece->struct_size == sizeof *piece);
    l->pieces++;
    // Inside of a callback nothing works but cancel.
    size_t n;
    bantam_session_info info = {.struct_size = sizeof info};
    EXPECT(BANTAM_BUSY, bantam_session_get_info(l->session, &info, e));
    EXPECT(BANTAM_BUSY, bantam_model_tensor_count(l->model, &n, e));
    CHECK(bantam_session_free(l->session) == BANTAM_BUSY);
    if (l->cancel && l->pieces == l->end_after) CHECK(bantam_cancel_set(l->cancel) == BANTAM_OK);
    return !l->cancel && l->pieces == l->end_after;
}

static void answers_are_handed_over(bantam_model *model) {
    bantam_session *session = open_session(model, 256);
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    bantam_answer_options options = {.struct_size = sizeof options, .max_tokens = 8, .ignore_end = 1};
    bantam_summary summary = {.struct_size = sizeof summary};
    listener all = {session, model, NULL, 0, 0};
    OK(bantam_session_generate(session, &options, listen, &all, &summary, e));
    CHECK(all.pieces == 8 && summary.stop_reason == BANTAM_STOP_BUDGET);

    // The function ends it, and it can be pulled on.
    listener some = {session, model, NULL, 0, 3};
    OK(bantam_session_generate(session, &options, listen, &some, &summary, e));
    CHECK(some.pieces == 3 && summary.stop_reason == BANTAM_STOP_CANCELLED && summary.tokens == 3);
    bantam_piece piece = {.struct_size = sizeof piece};
    OK(bantam_session_next(session, &piece, e));
    CHECK(piece.token >= 0);

    // A cancel object ends it, from inside of the function.
    bantam_cancel *cancel = NULL;
    OK(bantam_cancel_new(&cancel, e));
    OK(bantam_session_set_cancel(session, cancel, e));
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    listener cancelled = {session, model, cancel, 0, 2};
    OK(bantam_session_generate(session, &options, listen, &cancelled, &summary, e));
    CHECK(cancelled.pieces == 3 && summary.stop_reason == BANTAM_STOP_CANCELLED);
    // It is latched: what comes later does not begin, until it is reset.
    CHECK(bantam_cancel_is_set(cancel) == 1);
    uint32_t tokens[256];
    size_t count = tokens_of(model, "Something else altogether", tokens), read = 99;
    EXPECT(BANTAM_CANCELLED, bantam_session_prompt(session, tokens, count, &read, e));
    CHECK(read == 0);
    EXPECT(BANTAM_CANCELLED, bantam_session_save(session, "never-written.session", BANTAM_NUL_TERMINATED, e));
    EXPECT(BANTAM_CANCELLED, bantam_model_warm(model, cancel, NULL, NULL, e));
    bantam_model_options with_cancel = {.struct_size = sizeof with_cancel, .cancel = cancel};
    bantam_model *other = NULL;
    EXPECT(BANTAM_CANCELLED, bantam_model_open("models/none", BANTAM_NUL_TERMINATED, &with_cancel, &other, e));
    OK(bantam_cancel_reset(cancel));
    OK(bantam_session_prompt(session, tokens, count, &read, e));
    CHECK(read == count);
    OK(bantam_cancel_free(cancel));
    OK(bantam_session_free(session));
}

static void sessions_are_copied_and_kept(bantam_model *model) {
    bantam_session *one = open_session(model, 256), *two = open_session(model, 256), *three = NULL;
    OK(bantam_session_prompt_text(one, prompt, strlen(prompt), 0, NULL, e));
    OK(bantam_session_fork(one, &three, e));
    OK(bantam_session_copy(two, one, e));
    EXPECT(BANTAM_BUSY, bantam_session_copy(two, two, e));

    bantam_session_info info = {.struct_size = sizeof info};
    OK(bantam_session_get_info(one, &info, e));
    CHECK(info.position == 5 && info.has_logits == 1 && info.context == 256);
    char *saved = (char *)malloc(info.saved_bytes);
    size_t written = 0;
    bantam_error error;
    CHECK(bantam_session_save_to(one, saved, info.saved_bytes - 1, &written, &error) == BANTAM_TOO_SMALL);
    CHECK(error.detail == (int64_t)info.saved_bytes && written == 0);
    OK(bantam_session_save_to(one, saved, info.saved_bytes, &written, e));
    CHECK(written == info.saved_bytes);

    char texts[4][256];
    answer(one, (bantam_answer_options){.max_tokens = 8}, texts[0], 256);
    answer(two, (bantam_answer_options){.max_tokens = 8}, texts[1], 256);
    answer(three, (bantam_answer_options){.max_tokens = 8}, texts[2], 256);
    OK(bantam_session_restore_from(one, saved, written, e));
    answer(one, (bantam_answer_options){.max_tokens = 8}, texts[3], 256);
    for (int i = 1; i < 4; i++) CHECK(strcmp(texts[0], texts[i]) == 0);
    // What fails leaves what is held as it was.
    bantam_session_options compact = {.struct_size = sizeof compact, .context = 256, .kv_format = BANTAM_KV_Q8_0};
    bantam_session *other = NULL;
    OK(bantam_session_open(model, &compact, &other, e));
    OK(bantam_session_get_info(one, &info, e));
    saved[written / 2] ^= 1;
    EXPECT(BANTAM_SAVED, bantam_session_restore_from(one, saved, written, e));
    EXPECT(BANTAM_ARGUMENT, bantam_session_copy(one, other, e));
    uint32_t many_tokens[300] = {0};
    EXPECT(BANTAM_CONTEXT_FULL, bantam_session_prompt(one, many_tokens, 300, NULL, e));
    bantam_session_info as_before = {.struct_size = sizeof as_before};
    OK(bantam_session_get_info(one, &as_before, e));
    CHECK(memcmp(&info, &as_before, sizeof info) == 0 && info.has_logits == 1);
    OK(bantam_session_free(other));
    free(saved);
    // An answer that cannot begin leaves the one in progress; behind a rewind there is nothing to answer.
    OK(bantam_session_begin(one, NULL, e));
    bantam_piece first = {.struct_size = sizeof first};
    bantam_answer_options wrong = {.struct_size = sizeof wrong, .shift = 2};
    EXPECT(BANTAM_ARGUMENT, bantam_session_begin(one, &wrong, e));
    OK(bantam_session_next(one, &first, e));
    OK(bantam_session_rewind(one, 3, e));
    EXPECT(BANTAM_STATE, bantam_session_next(one, &first, e));
    EXPECT(BANTAM_STATE, bantam_session_begin(one, NULL, e));

    // Memory is given back in the middle of an answer, which goes on all the same.
    char path[] = "trimmed.session";
    for (int level = BANTAM_TRIM_SCRATCH; level <= BANTAM_TRIM_ALL; level++) {
        OK(bantam_session_prompt_text(two, prompt, strlen(prompt), 0, NULL, e));
        bantam_sampler_options greedy = {.struct_size = sizeof greedy, .temperature = -1};
        bantam_answer_options options = {.struct_size = sizeof options, .sampler = &greedy, .max_tokens = 8};
        OK(bantam_session_begin(two, &options, e));
        bantam_piece piece = {.struct_size = sizeof piece};
        size_t bytes = 0;
        for (int i = 0; piece.stop_reason == BANTAM_STOP_NONE; i++) {
            if (i == 4) {
                size_t released = 0;
                OK(bantam_session_trim(two, level, path, strlen(path), &released, e));
                CHECK(released > 0);
                OK(bantam_session_get_info(two, &info, e));
                CHECK(info.is_trimmed == (level == BANTAM_TRIM_ALL));
            }
            OK(bantam_session_next(two, &piece, e));
            memcpy(texts[1] + bytes, piece.text, piece.text_bytes);
            bytes += piece.text_bytes;
        }
        texts[1][bytes] = 0;
        CHECK(strcmp(texts[0], texts[1]) == 0);
    }
    // What another session wrote over it is not taken for this one's.
    OK(bantam_session_decode(one, 7, e));
    OK(bantam_session_trim(one, BANTAM_TRIM_ALL, path, strlen(path), NULL, e));
    OK(bantam_session_trim(two, BANTAM_TRIM_ALL, path, strlen(path), NULL, e));
    EXPECT(BANTAM_SAVED, bantam_session_decode(one, 1, e));
    OK(bantam_session_rewind(one, 0, e));
    OK(bantam_session_decode(one, 1, e));
    OK(bantam_session_decode(two, 1, e));
    // What was written is gone when it was taken back, and an error when it is not there.
    FILE *file = fopen(path, "rb");
    CHECK(file == NULL);
    OK(bantam_session_trim(two, BANTAM_TRIM_ALL, path, strlen(path), NULL, e));
    CHECK(remove(path) == 0);
    EXPECT(BANTAM_IO, bantam_session_decode(two, 1, e));
    OK(bantam_session_rewind(two, 0, e));
    OK(bantam_session_decode(two, 1, e));

    // Several at once.
    bantam_session_options wide = {.struct_size = sizeof wide, .context = 64, .together_max = 3, .threads = 2};
    bantam_session *many[3] = {NULL, three, two};
    OK(bantam_session_open(model, &wide, &many[0], e));
    uint32_t tokens[3] = {1, 2, 3};
    OK(bantam_session_decode_together(many, tokens, 3, e));
    many[2] = three;
    EXPECT(BANTAM_BUSY, bantam_session_decode_together(many, tokens, 3, e));
    OK(bantam_session_free(many[0]));
    OK(bantam_session_free(one));
    OK(bantam_session_free(two));
    OK(bantam_session_free(three));
}

static void tokens_are_sampled_by_hand(bantam_model *model) {
    bantam_session *session = open_session(model, 64);
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    bantam_sampler_options options = {.struct_size = sizeof options, .temperature = -1, .top_logprobs = 5};
    bantam_sampler *sampler = NULL;
    OK(bantam_sampler_new(model, &options, &sampler, e));
    bantam_choice choice = {.struct_size = sizeof choice};
    OK(bantam_session_sample(session, sampler, &choice, e));
    bantam_token_logprob top[64];
    size_t count = 0;
    bantam_error error;
    CHECK(bantam_session_top_logprobs(session, top, 4, &count, &error) == BANTAM_TOO_SMALL && error.detail == 5 && count == 0);
    OK(bantam_session_top_logprobs(session, top, 64, &count, e));
    CHECK(count == 5 && top[0].token == choice.token && top[0].logprob == choice.logprob);
    const float *logits = NULL;
    OK(bantam_session_logits(session, &logits, &count, e));
    CHECK(count == 49152);
    for (size_t i = 0; i < count; i++) CHECK(logits[i] <= logits[choice.token]);
    bantam_bias bias = {choice.token, -1e30f};
    options.logit_bias = &bias;
    options.logit_bias_count = 1;
    bantam_sampler *biased = NULL;
    OK(bantam_sampler_new(model, &options, &biased, e));
    uint32_t likely = choice.token;
    OK(bantam_session_sample(session, biased, &choice, e));
    CHECK(choice.token != likely);
    OK(bantam_session_decode(session, choice.token, e));
    const uint32_t *tokens = NULL;
    OK(bantam_session_tokens(session, &tokens, &count, e));
    CHECK(count == 6 && tokens[5] == choice.token);
    OK(bantam_session_shift(session, 1, 2, e));
    OK(bantam_sampler_reset(sampler, e));
    OK(bantam_sampler_free(sampler));
    OK(bantam_sampler_free(biased));
    OK(bantam_session_free(session));
}

static int allocated = 0;
static void *allocate(void *user, size_t bytes, size_t alignment) {
    (*(int *)user)++;
    return aligned_alloc(alignment, bytes);
}
static void deallocate(void *user, void *memory, size_t bytes) {
    CHECK(bytes > 0);
    (*(int *)user)--;
    free(memory);
}

static void memory_is_the_callers(bantam_model *model) {
    bantam_session_options options = {.struct_size = sizeof options, .context = 128, .batch = 32, .threads = 1};
    bantam_plan plan = {.struct_size = sizeof plan};
    OK(bantam_session_plan(model, &options, &plan, e));
    CHECK(plan.total_bytes == plan.kv_bytes + plan.scratch_bytes && plan.kv_bytes == (size_t)2 * 30 * 3 * 64 * 128 * 2);
    char *memory = (char *)aligned_alloc(plan.alignment, plan.total_bytes + 64);
    memset(memory, 0x5a, plan.total_bytes + 64);
    options.memory = memory;
    options.memory_bytes = plan.total_bytes - 1;
    bantam_session *session = NULL;
    EXPECT(BANTAM_MEMORY, bantam_session_open(model, &options, &session, e));
    options.memory_bytes = plan.total_bytes;
    OK(bantam_session_open(model, &options, &session, e));
    char text[256];
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    answer(session, (bantam_answer_options){.max_tokens = 6}, text, sizeof text);
    CHECK(strstr(text, "Paris"));
    OK(bantam_session_free(session));
    for (int i = 0; i < 64; i++) CHECK(memory[plan.total_bytes + i] == 0x5a);
    options.memory = memory + 8;
    EXPECT(BANTAM_ARGUMENT, bantam_session_open(model, &options, &session, e));
    free(memory);

    options.memory = NULL;
    options.allocate = allocate;
    options.deallocate = deallocate;
    options.allocator_user = &allocated;
    OK(bantam_session_open(model, &options, &session, e));
    CHECK(allocated == 1);
    OK(bantam_session_free(session));
    CHECK(allocated == 0);
}

// An executor that runs its tasks at once, on the thread that calls.
static void execute(void *user, bantam_task *task, size_t count) {
    (*(size_t *)user) += count;
    while (count--) bantam_task_run(task);
}

// Called between pieces of work; it may cancel.
typedef struct {
    bantam_cancel *cancel;
    int calls, cancel_after;
} watcher;

static void watch(void *user) {
    watcher *w = (watcher *)user;
    w->calls++;
    size_t n = 0;
    EXPECT(BANTAM_HANDLE, bantam_cancel_set(NULL));
    EXPECT(BANTAM_BUSY, bantam_model_tensor_count(NULL, &n, e));
    if (w->calls == w->cancel_after) bantam_cancel_set(w->cancel);
}

static void work_is_watched(bantam_model *model) {
    watcher w = {NULL, 0, 0};
    OK(bantam_cancel_new(&w.cancel, e));
    bantam_pool_options options = {.struct_size = sizeof options, .threads = 1, .poll = watch, .poll_user = &w};
    bantam_pool *pool = NULL;
    OK(bantam_pool_new(&options, &pool, e));
    bantam_session_options of_session = {.struct_size = sizeof of_session, .context = 64, .pool = pool, .cancel = w.cancel};
    bantam_session *session = NULL;
    OK(bantam_session_open(model, &of_session, &session, e));
    uint32_t tokens[256];
    size_t count = tokens_of(model, prompt, tokens);
    OK(bantam_session_prefill(session, tokens, count, e));
    CHECK(w.calls > 100);
    w.cancel_after = w.calls + 20;
    EXPECT(BANTAM_CANCELLED, bantam_session_prefill(session, tokens, count, e));
    CHECK(w.calls < w.cancel_after + 10);
    OK(bantam_session_free(session));
    OK(bantam_pool_free(pool));
    OK(bantam_cancel_free(w.cancel));
}

static void threads_are_the_callers(bantam_model *model) {
    size_t tasks = 0;
    bantam_pool_options lent = {.struct_size = sizeof lent, .threads = 3, .executor = execute, .executor_user = &tasks};
    bantam_pool *pool = NULL;
    OK(bantam_pool_new(&lent, &pool, e));
    bantam_session_options options = {.struct_size = sizeof options, .context = 64, .pool = pool};
    bantam_session *session = NULL;
    OK(bantam_session_open(model, &options, &session, e));
    OK(bantam_pool_set_threads(pool, 2, e));
    OK(bantam_session_set_threads(session, 3, e));
    EXPECT(BANTAM_ARGUMENT, bantam_pool_set_threads(pool, 4, e));
    EXPECT(BANTAM_UNSUPPORTED, bantam_session_set_priority(session, BANTAM_PRIORITY_LOW, e));
    OK(bantam_pool_free(pool));
    char text[256];
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    answer(session, (bantam_answer_options){.max_tokens = 6}, text, sizeof text);
    CHECK(strstr(text, "Paris") && tasks > 100);
    OK(bantam_session_free(session));
}

static void models_come_from_anywhere(const char *path) {
    FILE *file = fopen(path, "rb");
    CHECK(file);
    fseek(file, 0, SEEK_END);
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    // A model inside of a larger file, at an offset that no page begins at.
    char *archive = (char *)malloc(bytes + 4100);
    CHECK(fread(archive + 4100, 1, bytes, file) == bytes);
    bantam_model *model = NULL;
    OK(bantam_model_open_memory(archive + 4100, bytes, NULL, &model, e));
    bantam_model_info info = {.struct_size = sizeof info}, same = {.struct_size = sizeof same};
    OK(bantam_model_get_info(model, &info, e));
    CHECK(info.is_file_backed == 0);
    OK(bantam_model_free(model));

    FILE *packed = fopen("archive.bin", "w+b");
    CHECK(packed && fwrite(archive, 1, bytes + 4100, packed) == bytes + 4100);
    fflush(packed);
    free(archive);
    int fd = fileno(packed);
    OK(bantam_model_open_fd(fd, 4100, bytes, NULL, &model, e));
    fclose(packed);
    OK(bantam_model_get_info(model, &same, e));
    CHECK(same.fingerprint == info.fingerprint && same.is_file_backed == 1);
    // One part is a model too; two are not, of a model that has one.
    bantam_model *parted = NULL;
    bantam_part parts[2] = {{"archive.bin", 0, 4100, bytes, -1, 0}, {path, 0, 0, 0, -1, 0}};
    OK(bantam_model_open_parts(parts, 1, NULL, &parted, e));
    OK(bantam_model_get_info(parted, &same, e));
    CHECK(same.fingerprint == info.fingerprint && same.file_bytes == bytes);
    OK(bantam_model_free(parted));
    OK(bantam_model_open_parts(parts + 1, 1, NULL, &parted, e));
    OK(bantam_model_free(parted));
    EXPECT(BANTAM_UNSUPPORTED, bantam_model_open_parts(parts, 2, NULL, &parted, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_parts(parts, 0, NULL, &parted, e));
    // An error says which part is at fault.
    parts[1] = (bantam_part){.fd = -1};
    bantam_error error;
    CHECK(bantam_model_open_parts(parts, 2, NULL, &parted, &error) == BANTAM_ARGUMENT && strncmp(error.message, "part 2: ", 8) == 0);
    parts[1] = (bantam_part){.path = "no such file"};
    CHECK(bantam_model_open_parts(parts, 2, NULL, &parted, &error) == BANTAM_IO && strncmp(error.message, "part 2: ", 8) == 0);
    bantam_session *session = open_session(model, 64);
    // A session keeps what it needs of its model.
    OK(bantam_model_free(model));
    char text[256];
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    answer(session, (bantam_answer_options){.max_tokens = 6}, text, sizeof text);
    CHECK(strstr(text, "Paris"));
    OK(bantam_session_free(session));
    remove("archive.bin");
    fclose(file);
    EXPECT(BANTAM_NOT_A_FILE, bantam_model_open(".", 1, NULL, &model, e));
    EXPECT(BANTAM_IO, bantam_model_open("no/such/file", BANTAM_NUL_TERMINATED, NULL, &model, e));
    EXPECT(BANTAM_NOT_GGUF, bantam_model_open_memory("text", 4, NULL, &model, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_fd(-1, 0, 0, NULL, &model, e));
    EXPECT(BANTAM_ARGUMENT, bantam_model_open_fd(12345, 0, 0, NULL, &model, e));
}

// What a model and everything opened on it logged.
typedef struct {
    int lines;
    char last[256];
} logbook;

static void log_line(void *user, const char *message, size_t bytes) {
    logbook *book = (logbook *)user;
    CHECK(bytes > 0 && bytes < sizeof book->last && message[0] != 0);
    memcpy(book->last, message, bytes);
    book->last[bytes] = 0;
    book->lines++;
}

static void log_is_of_the_model(const char *path) {
    logbook book = {0};
    bantam_model *model = NULL;
    bantam_model_options options = {.struct_size = sizeof options, .backend = "scalar", .log = log_line, .log_user = &book};
    OK(bantam_model_open(path, strlen(path), &options, &model, e));
    bantam_model_info info = {.struct_size = sizeof info};
    OK(bantam_model_get_info(model, &info, e));
    CHECK(strcmp(info.backend, "scalar") == 0);
    CHECK(book.lines == 1 && strncmp(book.last, "model opened: ", 14) == 0);

    bantam_session *session = open_session(model, 64);
    CHECK(book.lines == 2 && strncmp(book.last, "session opened: context of 64, ", 31) == 0);
    OK(bantam_session_trim(session, BANTAM_TRIM_SCRATCH, NULL, 0, NULL, e));
    CHECK(book.lines == 3 && strncmp(book.last, "session trimmed: ", 17) == 0);
    OK(bantam_session_free(session));

    bantam_embedder *embedder = NULL;
    bantam_embedder_options embedding = {.struct_size = sizeof embedding, .threads = 1, .context = 16, .pooling = BANTAM_POOLING_MEAN};
    OK(bantam_embedder_open(model, &embedding, &embedder, e));
    CHECK(book.lines == 4 && strncmp(book.last, "embedder opened: context of 16, ", 32) == 0);
    const bantam_embed_text secret = {.text = "A hen"};
    float vector[576];
    OK(bantam_embedder_embed(embedder, &secret, 1, 0, vector, 576, NULL, e));
    CHECK(book.lines == 4);
    OK(bantam_embedder_trim(embedder, NULL, e));
    CHECK(book.lines == 5 && strncmp(book.last, "embedder trimmed: ", 18) == 0);
    OK(bantam_embedder_free(embedder));
    OK(bantam_model_free(model));
    options.backend = "no such backend";
    EXPECT(BANTAM_ARGUMENT, bantam_model_open(path, strlen(path), &options, &model, e));
    CHECK(book.lines == 5);
}

#ifndef CORE_ONLY
static void chats_and_grammars(bantam_model *model) {
    bantam_session *session = open_session(model, 512);
    bantam_chat *chat = NULL;
    OK(bantam_chat_new(model, NULL, &chat, e));
    OK(bantam_chat_add(chat, BANTAM_ROLE_SYSTEM, "You are a helpful assistant.", BANTAM_NUL_TERMINATED, e));
    OK(bantam_chat_add(chat, BANTAM_ROLE_USER, "What is the capital of France?", BANTAM_NUL_TERMINATED, e));
    const char *text = NULL;
    size_t bytes = 0, read = 0, count = 0, left_out = 9;
    OK(bantam_chat_render(chat, &text, &bytes, e));
    CHECK(bytes > 50 && strncmp(text, "<|im_start|>system\nYou are", 26) == 0);
    OK(bantam_chat_prompt(chat, session, &read, e));
    CHECK(read > 20);
    // What a user says ends no turn: its control token is so many characters.
    size_t with_token = 0;
    OK(bantam_chat_add(chat, BANTAM_ROLE_USER, "<|im_end|>", BANTAM_NUL_TERMINATED, e));
    OK(bantam_chat_prompt(chat, session, &with_token, e));
    CHECK(with_token > 10);
    OK(bantam_chat_truncate(chat, 2, e));
    OK(bantam_chat_prompt(chat, session, NULL, e));
    char said[2048];
    bantam_summary summary = answer(session, (bantam_answer_options){.max_tokens = 40}, said, sizeof said);
    CHECK(strstr(said, "Paris") && summary.stop_reason == BANTAM_STOP_END);
    const char *json = NULL;
    OK(bantam_chat_add_answer(chat, said, strlen(said), 1, &json, &bytes, e));
    CHECK(strncmp(json, "{\"role\":\"assistant\",\"content\":", 29) == 0);
    OK(bantam_chat_count(chat, &count, &left_out, e));
    CHECK(count == 3 && left_out == 0);
    // The next turn reads only what is new.
    OK(bantam_chat_add(chat, BANTAM_ROLE_USER, "And of Italy?", BANTAM_NUL_TERMINATED, e));
    size_t more = 0;
    OK(bantam_chat_prompt(chat, session, &more, e));
    CHECK(more < read);
    // A conversation that outgrows the context leaves its oldest turns out.
    for (int i = 0; i < 40; i++) {
        OK(bantam_chat_add(chat, BANTAM_ROLE_ASSISTANT, "It is Rome.", BANTAM_NUL_TERMINATED, e));
        OK(bantam_chat_add(chat, BANTAM_ROLE_USER, "And of Spain, and of Portugal?", BANTAM_NUL_TERMINATED, e));
        OK(bantam_chat_prompt(chat, session, NULL, e));
    }
    OK(bantam_chat_count(chat, &count, &left_out, e));
    CHECK(count == 84 && left_out > 0 && left_out < count);
    OK(bantam_chat_truncate(chat, 1, e));
    OK(bantam_chat_add(chat, BANTAM_ROLE_USER, "Tell me of a person, as JSON.", BANTAM_NUL_TERMINATED, e));
    OK(bantam_chat_prompt(chat, session, NULL, e));

    const char *schema =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":8},\"age\":{\"type\":\"integer\","
        "\"minimum\":0,\"maximum\":99}},\"required\":[\"name\",\"age\"],\"additionalProperties\":false}";
    bantam_grammar *grammar = NULL;
    OK(bantam_grammar_new(model, BANTAM_GRAMMAR_JSON_SCHEMA, schema, BANTAM_NUL_TERMINATED, &grammar, e));
    for (int i = 0; i < 2; i++) {
        summary = answer(session, (bantam_answer_options){.grammar = grammar, .max_tokens = 60}, said, sizeof said);
        CHECK(said[0] == '{' && summary.is_complete == 1 && summary.stop_reason == BANTAM_STOP_COMPLETE);
        OK(bantam_chat_prompt(chat, session, NULL, e));
    }
    summary = answer(session, (bantam_answer_options){.grammar = grammar, .max_tokens = 3}, said, sizeof said);
    CHECK(summary.is_complete == 0 && summary.stop_reason == BANTAM_STOP_BUDGET);
    OK(bantam_grammar_free(grammar));
    EXPECT(BANTAM_GRAMMAR, bantam_grammar_new(model, BANTAM_GRAMMAR_REGEX, "(", 1, &grammar, e));
    EXPECT(BANTAM_GRAMMAR, bantam_grammar_new(model, BANTAM_GRAMMAR_GBNF, "root ::= x", BANTAM_NUL_TERMINATED, &grammar, e));
    EXPECT(BANTAM_ARGUMENT, bantam_grammar_new(model, 99, "", 0, &grammar, e));
    OK(bantam_chat_free(chat));

    // Tools: the call that is asked for comes, with arguments that fit.
    bantam_chat_options options = {.struct_size = sizeof options};
    options.tools = "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\","
                    "\"properties\":{\"city\":{\"enum\":[\"Rome\",\"Paris\"]}},\"required\":[\"city\"]}}}]";
    OK(bantam_chat_new(model, &options, &chat, e));
    OK(bantam_chat_add_json(chat, "[{\"role\":\"user\",\"content\":\"The weather in Rome?\"}]", BANTAM_NUL_TERMINATED, e));
    OK(bantam_chat_grammar(chat, model, "required", BANTAM_NUL_TERMINATED, &grammar, e));
    CHECK(grammar != NULL);
    OK(bantam_chat_prompt(chat, session, NULL, e));
    summary = answer(session, (bantam_answer_options){.grammar = grammar, .max_tokens = 80}, said, sizeof said);
    CHECK(summary.is_complete == 1);
    OK(bantam_chat_add_answer(chat, said, strlen(said), 1, &json, &bytes, e));
    CHECK(strstr(json, "\"tool_calls\"") && strstr(json, "get_weather"));
    OK(bantam_grammar_free(grammar));
    OK(bantam_chat_grammar(chat, model, "none", BANTAM_NUL_TERMINATED, &grammar, e));
    CHECK(grammar == NULL);
    OK(bantam_chat_free(chat));
    // What is nested too deep for a stack is an error, or no call.
    static char deep[32768];
    const int depths[] = {40, 100, 1000};
    for (int i = 0; i < 3; i++) {
        int depth = depths[i], status = i ? BANTAM_ARGUMENT : BANTAM_OK;
        deep[0] = 0;
        strcat(deep, "[{\"role\":\"user\",\"content\":\"a\",\"more\":");
        for (int j = 0; j < depth; j++) strcat(deep, "[");
        for (int j = 0; j < depth; j++) strcat(deep, "]");
        strcat(deep, "}]");
        OK(bantam_chat_new(model, NULL, &chat, e));
        EXPECT(status, bantam_chat_add_json(chat, deep, BANTAM_NUL_TERMINATED, e));
        OK(bantam_chat_free(chat));
        deep[0] = 0;
        strcat(deep, "[{\"name\":\"f\",\"parameters\":");
        for (int j = 0; j < depth; j++) strcat(deep, "{\"items\":");
        strcat(deep, "{}");
        for (int j = 0; j < depth; j++) strcat(deep, "}");
        strcat(deep, "}]");
        bantam_chat_options nested = {.struct_size = sizeof nested, .tools = deep};
        EXPECT(status, bantam_chat_new(model, &nested, &chat, e));
        if (i == 0) OK(bantam_chat_free(chat));
        OK(bantam_chat_new(model, &options, &chat, e));
        deep[0] = 0;
        strcat(deep, "<tool_call>{\"name\":\"get_weather\",\"arguments\":");
        for (int j = 0; j < depth; j++) strcat(deep, "{\"city\":");
        OK(bantam_chat_add_answer(chat, deep, strlen(deep), 1, NULL, NULL, e));
        OK(bantam_chat_render(chat, &text, &bytes, e));
        OK(bantam_chat_free(chat));
        deep[0] = 0;
        for (int j = 0; j < depth; j++) strcat(deep, "{\"type\":\"array\",\"items\":");
        strcat(deep, "{}");
        for (int j = 0; j < depth; j++) strcat(deep, "}");
        grammar = NULL;
        if (i == 0) OK(bantam_grammar_new(model, BANTAM_GRAMMAR_JSON_SCHEMA, deep, BANTAM_NUL_TERMINATED, &grammar, e));
        if (i != 0) EXPECT(BANTAM_GRAMMAR, bantam_grammar_new(model, BANTAM_GRAMMAR_JSON_SCHEMA, deep, BANTAM_NUL_TERMINATED, &grammar, e));
        OK(bantam_grammar_free(grammar));
    }
    options.template_source = "{% for m in messages %}";
    EXPECT(BANTAM_TEMPLATE, bantam_chat_new(model, &options, &chat, e));
    OK(bantam_session_free(session));
}
#endif

// A GGUF file, written into memory.
typedef struct {
    uint8_t bytes[1 << 16];
    size_t count;
} gguf;

static void put(gguf *file, const void *bytes, size_t count) {
    CHECK(file->count + count <= sizeof file->bytes);
    memcpy(file->bytes + file->count, bytes, count);
    file->count += count;
}

static void put_u32(gguf *file, uint32_t value) { put(file, &value, 4); }
static void put_u64(gguf *file, uint64_t value) { put(file, &value, 8); }

static void put_text(gguf *file, const char *text) {
    put_u64(file, strlen(text));
    put(file, text, strlen(text));
}

static void put_key(gguf *file, const char *key, const char *value) {
    put_text(file, key);
    put_u32(file, 8);
    put_text(file, value);
}

// An adapter of rank 4 for one matrix of the demo model.
static void write_adapter(gguf *file) {
    put(file, "GGUF", 4);
    put_u32(file, 3);
    put_u64(file, 2);
    put_u64(file, 3);
    put_key(file, "general.type", "adapter");
    put_key(file, "general.architecture", "llama");
    put_key(file, "adapter.type", "lora");
    const uint64_t shapes[2][2] = {{576, 4}, {4, 576}};
    for (int i = 0; i < 2; i++) {
        put_text(file, i ? "blk.3.attn_q.weight.lora_b" : "blk.3.attn_q.weight.lora_a");
        put_u32(file, 2);
        put(file, shapes[i], 16);
        put_u32(file, 0);
        put_u64(file, i ? 4 * 4 * 576 : 0);
    }
    while (file->count % 32) put(file, "", 1);
    for (int i = 0; i < 2 * 4 * 576; i++) {
        float value = (float)(i % 7) / 7 - 0.4f;
        put(file, &value, 4);
    }
}

static void count_release(void *user) { ++*(int *)user; }

// The logits behind a few tokens, with what is set.
static void read_logits(bantam_session *session, float *out) {
    const uint32_t tokens[] = {100, 200, 300};
    OK(bantam_session_prompt(session, tokens, 3, NULL, e));
    const float *logits = NULL;
    size_t count = 0;
    OK(bantam_session_logits(session, &logits, &count, e));
    memcpy(out, logits, count * sizeof *out);
}

static void adapters_come_and_go(bantam_model *model) {
    static gguf file;
    file.count = 0;
    write_adapter(&file);
    bantam_adapter *adapter = NULL;
    int released = 0;
    OK(bantam_adapter_open_memory(model, file.bytes, file.count, count_release, &released, &adapter, e));
    bantam_adapter_info info = {.struct_size = sizeof info};
    OK(bantam_adapter_get_info(adapter, &info, e));
    CHECK(info.rank == 4 && info.matrices == 1 && info.alpha == 0 && info.fingerprint != 0);

    bantam_session_options options = {.struct_size = sizeof options, .context = 32, .threads = 2, .adapter_rank = 8, .rewind_max = 8};
    bantam_session *session = NULL;
    OK(bantam_session_open(model, &options, &session, e));
    size_t bytes = 49152 * sizeof(float);
    float *plain = malloc(bytes), *with = malloc(bytes), *again = malloc(bytes);
    CHECK(plain && with && again);
    read_logits(session, plain);
    const bantam_adapter *one[] = {adapter}, *two[] = {adapter, adapter}, *three[] = {adapter, adapter, adapter};
    OK(bantam_session_set_adapters(session, one, NULL, 1, e));
    bantam_session_info at = {.struct_size = sizeof at};
    OK(bantam_session_get_info(session, &at, e));
    CHECK(at.position == 0);
    read_logits(session, with);
    CHECK(memcmp(with, plain, bytes) != 0);
    // Twice as strong is as good as twice.
    const float half[] = {0.5f, 0.5f}, none[] = {0};
    OK(bantam_session_set_adapters(session, two, half, 2, e));
    read_logits(session, again);
    for (size_t i = 0; i < 49152; i++) CHECK(again[i] - with[i] < 0.5f && with[i] - again[i] < 0.5f);
    EXPECT(BANTAM_ARGUMENT, bantam_session_set_adapters(session, three, NULL, 3, e));
    // Sessions keep what they need of it.
    OK(bantam_session_set_adapters(session, one, NULL, 1, e));
    OK(bantam_adapter_free(adapter));
    CHECK(released == 0);
    read_logits(session, again);
    CHECK(memcmp(with, again, bytes) == 0);
    OK(bantam_session_set_adapters(session, NULL, none, 0, e));
    CHECK(released == 1);
    read_logits(session, again);
    CHECK(memcmp(plain, again, bytes) == 0);
    OK(bantam_session_free(session));

    // From a file, and from a part of one.
    char path[] = "/tmp/bantam-adapter-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "1234", 4) == 4 && write(fd, file.bytes, file.count) == (ssize_t)file.count);
    OK(bantam_adapter_open_fd(model, fd, 4, 0, &adapter, e));
    OK(bantam_adapter_free(adapter));
    EXPECT(BANTAM_NOT_GGUF, bantam_adapter_open(model, path, BANTAM_NUL_TERMINATED, &adapter, e));
    CHECK(close(fd) == 0 && remove(path) == 0);
    // It is no model.
    bantam_model *other = NULL;
    bantam_error error;
    CHECK(bantam_model_open_memory(file.bytes, file.count, NULL, &other, &error) == BANTAM_UNSUPPORTED);
    CHECK(strstr(error.message, "is an adapter") && !strstr(error.message, "--") && !strstr(error.message, "::"));
    free(plain), free(with), free(again);
}

// All of a vocabulary, element by element and from two threads' places at once, in a time that grows with its length alone.
static void arrays_are_read_by_element(bantam_model *model) {
    const char *keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"};
    for (size_t i = 0; i < 48900; i++) {
        for (int k = 0; k < 1 + (i % 5000 == 0); k++) {
            bantam_value value = {.struct_size = sizeof value}, token = value;
            OK(bantam_model_metadata_element(model, keys[k], BANTAM_NUL_TERMINATED, i, &value, e));
            bantam_token_info info = {.struct_size = sizeof info};
            OK(bantam_model_token(model, (uint32_t)i, &info, e));
            CHECK(value.kind == BANTAM_VALUE_TEXT && value.text_bytes > 0);
            if (k == 0 && i % 97 == 0) {
                OK(bantam_model_metadata_element(model, keys[k], BANTAM_NUL_TERMINATED, i / 2, &token, e));
                OK(bantam_model_metadata_element(model, keys[k], BANTAM_NUL_TERMINATED, i, &token, e));
                CHECK(token.text == value.text && token.text_bytes == value.text_bytes);
            }
        }
    }
}

// A process that was forked has none of the session's threads: it works alone, and waits for nobody.
static void forked_processes_work_alone(bantam_model *model) {
    bantam_session_options options = {.struct_size = sizeof options, .context = 64, .threads = 4};
    bantam_session *session = NULL;
    OK(bantam_session_open(model, &options, &session, e));
    OK(bantam_session_prompt_text(session, prompt, strlen(prompt), 0, NULL, e));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char text[256];
        answer(session, (bantam_answer_options){.max_tokens = 2}, text, sizeof text);
        OK(bantam_session_free(session));
        OK(bantam_model_free(model));
        _exit(strstr(text, "Paris") ? 0 : 2);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(bantam_session_free(session));
}

// Everything runs on a thread that has no more stack than the library promises to make do with.
#ifndef STACK_BYTES // Sanitizers and builds that are not optimised need more.
#define STACK_BYTES (64 << 10)
#endif

static double product(const float *a, const float *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
    return sum;
}

static void texts_become_vectors(bantam_model *model) {
    // The demo model was not made for it, which has to be said.
    bantam_embedder *embedder = NULL;
    bantam_embedder_options options = {.struct_size = sizeof options, .threads = 2, .context = 64};
    EXPECT(BANTAM_UNSUPPORTED, bantam_embedder_open(model, &options, &embedder, e));
    options.pooling = BANTAM_POOLING_RANK;
    EXPECT(BANTAM_ARGUMENT, bantam_embedder_open(model, &options, &embedder, e));
    options.pooling = BANTAM_POOLING_MEAN;
    bantam_plan plan = {.struct_size = sizeof plan};
    OK(bantam_embedder_plan(model, &options, &plan, e));
    OK(bantam_embedder_open(model, &options, &embedder, e));
    bantam_embedder_info info = {.struct_size = sizeof info};
    OK(bantam_embedder_get_info(embedder, &info, e));
    CHECK(info.dim == 576 && info.context == 64 && info.threads == 2 && info.total_bytes == plan.total_bytes);
    CHECK(info.pooling == BANTAM_POOLING_MEAN);

    const bantam_embed_text texts[] = {{.text = "A hen sits on her eggs."},
                                       {.text = "Shares fell on Friday.", .text_bytes = 6},
                                       {.text = "A hen", .document = "sits on her eggs."}};
    float together[3 * 576], alone[576];
    size_t written = 0;
    OK(bantam_embedder_embed(embedder, texts, 3, 0, together, 3 * 576, &written, e));
    CHECK(written == 3 * 576);
    for (int i = 0; i < 3; i++) {
        CHECK(product(together + 576 * i, together + 576 * i, 576) > 0.9999);
        OK(bantam_embedder_embed(embedder, texts + i, 1, 0, alone, 576, NULL, e));
        CHECK(product(together + 576 * i, alone, 576) > 0.9999);
    }
    // Memory is given back between two calls, which make the same vector.
    size_t released = 0;
    float again[576];
    OK(bantam_embedder_embed(embedder, texts, 1, 0, alone, 576, NULL, e));
    OK(bantam_embedder_trim(embedder, &released, e));
    CHECK(released > 100000 && released <= plan.total_bytes);
    OK(bantam_embedder_embed(embedder, texts, 1, 0, again, 576, NULL, e));
    CHECK(memcmp(alone, again, sizeof alone) == 0);
    bantam_error error;
    CHECK(bantam_embedder_embed(embedder, texts, 2, 0, alone, 576, NULL, &error) == BANTAM_TOO_SMALL && error.detail == 2 * 576);
    char many[1000];
    for (int i = 0; i < 999; i++) many[i] = i % 2 ? 'a' : ' ';
    many[999] = 0;
    const bantam_embed_text longer = {.text = many};
    EXPECT(BANTAM_CONTEXT_FULL, bantam_embedder_embed(embedder, &longer, 1, 0, alone, 576, NULL, e));
    OK(bantam_embedder_embed(embedder, &longer, 1, BANTAM_EMBED_TRUNCATE, alone, 576, NULL, e));
    OK(bantam_embedder_embed(embedder, NULL, 0, 0, NULL, 0, &written, e));
    CHECK(written == 0);
    OK(bantam_embedder_free(embedder));

    bantam_cancel *cancel = NULL;
    OK(bantam_cancel_new(&cancel, e));
    OK(bantam_cancel_set(cancel));
    options.cancel = cancel;
    OK(bantam_embedder_open(model, &options, &embedder, e));
    EXPECT(BANTAM_CANCELLED, bantam_embedder_embed(embedder, texts, 1, 0, alone, 576, NULL, e));
    OK(bantam_embedder_set_cancel(embedder, NULL, e));
    OK(bantam_embedder_embed(embedder, texts, 1, 0, alone, 576, NULL, e));
    OK(bantam_embedder_set_cancel(embedder, cancel, e));
    EXPECT(BANTAM_CANCELLED, bantam_embedder_embed(embedder, texts, 1, 0, alone, 576, NULL, e));
    OK(bantam_embedder_free(embedder));
    OK(bantam_cancel_free(cancel));
}

static void *run(void *path) {
    char *argv[] = {NULL, (char *)path};
    CHECK(bantam_abi_version() == BANTAM_ABI_VERSION);
    CHECK(bantam_version()[0] != 0 && bantam_threads_default() >= 1);
    CHECK(strcmp(bantam_status_name(BANTAM_CONTEXT_FULL), "BANTAM_CONTEXT_FULL") == 0);
    CHECK(strcmp(bantam_status_name(-1), "BANTAM_?") == 0 && strcmp(bantam_status_name(1000), "BANTAM_?") == 0);
    bantam_model *model = open_model(argv[1]);
    opening_can_be_watched(path);
    model_tells_of_itself(model);
    text_goes_to_tokens_and_back(model);
    answers_are_pulled(model);
    answers_are_handed_over(model);
    sessions_are_copied_and_kept(model);
    tokens_are_sampled_by_hand(model);
    texts_become_vectors(model);
    memory_is_the_callers(model);
    threads_are_the_callers(model);
    work_is_watched(model);
    models_come_from_anywhere(argv[1]);
    adapters_come_and_go(model);
    forked_processes_work_alone(model);
    arrays_are_read_by_element(model);
#ifndef CORE_ONLY
    chats_and_grammars(model);
#endif
    OK(bantam_model_free(model));

    log_is_of_the_model(argv[1]);
    printf("use.c: %d checks hold\n", checks);
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
    CHECK(pthread_create(&thread, &attributes, run, argv[1]) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
