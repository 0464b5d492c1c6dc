// Sessions: options, prompts, and what can be kept of them.
#include "convert.h"

// In the order of SessionOptions.numbers().
static bantam_session_options session_options(frame *f, jlongArray array, jlong pool) {
    NUMBERS(9, array);
    return (bantam_session_options){.struct_size = sizeof(bantam_session_options),
                                    .context = (size_t)n[0],
                                    .batch = (size_t)n[1],
                                    .draft_max = (size_t)n[2],
                                    .kv_format = (int32_t)n[3],
                                    .exact = (int32_t)n[4],
                                    .threads = (size_t)n[5],
                                    .together_max = (size_t)n[6],
                                    .adapter_rank = (size_t)n[7],
                                    .rewind_max = (size_t)n[8],
                                    .pool = HANDLE(pool, pool)};
}

static jbyteArray session_plan(SELF, jlong model, jlongArray numbers, jlong pool, jlongArray out) {
    FRAME;
    bantam_session_options options = session_options(&f, numbers, pool);
    bantam_plan p = {.struct_size = sizeof p};
    CALL(bantam_session_plan(HANDLE(model, model), &options, &p, ERROR));
    PUT(out, p.context, p.kv_bytes, p.scratch_bytes, p.total_bytes);
    END;
}

static jbyteArray session_open(SELF, jlong model, jlongArray numbers, jlong pool, jlong cancel, jlongArray out) {
    FRAME;
    bantam_session_options options = session_options(&f, numbers, pool);
    options.cancel = HANDLE(cancel, cancel);
    bantam_session *session = NULL;
    CALL(bantam_session_open(HANDLE(model, model), &options, &session, ERROR));
    PUT(out, of_handle(session));
    END;
}

static jbyteArray session_info(SELF, jlong session, jlongArray out) {
    FRAME;
    bantam_session_info i = {.struct_size = sizeof i};
    CALL(bantam_session_get_info(HANDLE(session, session), &i, ERROR));
    PUT(out, i.position, i.context, i.batch, i.threads, i.kv_bytes, i.scratch_bytes, i.saved_bytes, i.has_logits, i.is_trimmed);
    END;
}

static jbyteArray session_set_cancel(SELF, jlong session, jlong cancel) {
    ONLY(bantam_session_set_cancel(HANDLE(session, session), HANDLE(cancel, cancel), ERROR));
}

static jbyteArray session_set_threads(SELF, jlong session, jlong threads) {
    ONLY(bantam_session_set_threads(HANDLE(session, session), (size_t)threads, ERROR));
}

static jbyteArray session_set_priority(SELF, jlong session, jint priority) {
    ONLY(bantam_session_set_priority(HANDLE(session, session), priority, ERROR));
}

static jbyteArray session_set_adapters(SELF, jlong session, jlongArray adapters, jfloatArray scales) {
    FRAME;
    words_in a = read_handles(&f, adapters), s = read_floats(&f, scales);
    if (s.count != a.count) fail(&f, BANTAM_ARGUMENT, "every adapter takes a scale");
    CALL(bantam_session_set_adapters(HANDLE(session, session), a.at, s.at, a.count, ERROR));
    END;
}

static jbyteArray session_prompt(SELF, jlong session, jintArray tokens, jlongArray out) {
    FRAME;
    words_in t = read_ints(&f, tokens);
    size_t read = 0;
    CALL(bantam_session_prompt(HANDLE(session, session), t.at, t.count, &read, ERROR));
    PUT(out, read);
    END;
}

static jbyteArray session_prompt_text(SELF, jlong session, jbyteArray text, jint flags, jlongArray out) {
    FRAME;
    bytes_in t = read_bytes(&f, text);
    size_t read = 0;
    CALL(bantam_session_prompt_text(HANDLE(session, session), t.at, t.count, (uint32_t)flags, &read, ERROR));
    PUT(out, read);
    END;
}

static jbyteArray session_prefill(SELF, jlong session, jintArray tokens) {
    FRAME;
    words_in t = read_ints(&f, tokens);
    CALL(bantam_session_prefill(HANDLE(session, session), t.at, t.count, ERROR));
    END;
}

static jbyteArray session_decode(SELF, jlong session, jint token) {
    ONLY(bantam_session_decode(HANDLE(session, session), (uint32_t)token, ERROR));
}

static jbyteArray session_decode_together(SELF, jlongArray sessions, jintArray tokens) {
    FRAME;
    words_in s = read_handles(&f, sessions), t = read_ints(&f, tokens);
    if (s.count != t.count) fail(&f, BANTAM_ARGUMENT, "every session takes a token");
    CALL(bantam_session_decode_together(s.at, t.at, s.count, ERROR));
    END;
}

static jbyteArray session_tokens(SELF, jlong session, jobjectArray out) {
    FRAME;
    const uint32_t *tokens = NULL;
    size_t count = 0;
    CALL(bantam_session_tokens(HANDLE(session, session), &tokens, &count, ERROR));
    put_ints(&f, out, tokens, count);
    END;
}

static jbyteArray session_logits(SELF, jlong session, jobjectArray out) {
    FRAME;
    const float *logits = NULL;
    size_t count = 0;
    CALL(bantam_session_logits(HANDLE(session, session), &logits, &count, ERROR));
    put_floats(&f, out, logits, count);
    END;
}

static jbyteArray session_top_logprobs(SELF, jlong session, jobjectArray tokens, jobjectArray logprobs) {
    FRAME;
    // A sampler tells of 64 at most.
    bantam_token_logprob top[64];
    uint32_t t[64];
    float l[64];
    size_t count = 0;
    CALL(bantam_session_top_logprobs(HANDLE(session, session), top, 64, &count, ERROR));
    for (size_t i = 0; i < count; i++) {
        t[i] = top[i].token;
        l[i] = top[i].logprob;
    }
    put_ints(&f, tokens, t, count);
    put_floats(&f, logprobs, l, count);
    END;
}

static jbyteArray session_rewind(SELF, jlong session, jlong position) {
    ONLY(bantam_session_rewind(HANDLE(session, session), (size_t)position, ERROR));
}

static jbyteArray session_shift(SELF, jlong session, jlong keep, jlong discard) {
    ONLY(bantam_session_shift(HANDLE(session, session), (size_t)keep, (size_t)discard, ERROR));
}

static jbyteArray session_fork(SELF, jlong session, jlongArray out) {
    FRAME;
    bantam_session *fork = NULL;
    CALL(bantam_session_fork(HANDLE(session, session), &fork, ERROR));
    PUT(out, of_handle(fork));
    END;
}

static jbyteArray session_copy(SELF, jlong to, jlong from) {
    ONLY(bantam_session_copy(HANDLE(session, to), HANDLE(session, from), ERROR));
}

static jbyteArray session_save(SELF, jlong session, jbyteArray path) {
    FRAME;
    bytes_in p = read_bytes(&f, path);
    CALL(bantam_session_save(HANDLE(session, session), p.at, p.count, ERROR));
    END;
}

static jbyteArray session_restore(SELF, jlong session, jbyteArray path) {
    FRAME;
    bytes_in p = read_bytes(&f, path);
    CALL(bantam_session_restore(HANDLE(session, session), p.at, p.count, ERROR));
    END;
}

static jbyteArray session_save_to(SELF, jlong session, jobjectArray out) {
    FRAME;
    bantam_session_info i = {.struct_size = sizeof i};
    CALL(bantam_session_get_info(HANDLE(session, session), &i, ERROR));
    if (i.saved_bytes > INT32_MAX) fail(&f, BANTAM_MEMORY, "more bytes than an array can have: save to a file");
    void *saved = room(&f, i.saved_bytes, 1);
    size_t written = 0;
    CALL(bantam_session_save_to(HANDLE(session, session), saved, i.saved_bytes, &written, ERROR));
    put_bytes(&f, out, 0, saved, written);
    END;
}

static jbyteArray session_restore_from(SELF, jlong session, jbyteArray saved) {
    FRAME;
    bytes_in s = read_bytes(&f, saved);
    CALL(bantam_session_restore_from(HANDLE(session, session), s.at, s.count, ERROR));
    END;
}

static jbyteArray session_trim(SELF, jlong session, jint level, jbyteArray path, jlongArray out) {
    FRAME;
    bytes_in p = read_bytes(&f, path);
    size_t released = 0;
    CALL(bantam_session_trim(HANDLE(session, session), level, p.at, p.count, &released, ERROR));
    PUT(out, released);
    END;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("sessionPlan", "(J[JJ[J)[B", session_plan),
    NATIVE("sessionOpen", "(J[JJJ[J)[B", session_open),
    NATIVE("sessionInfo", "(J[J)[B", session_info),
    NATIVE("sessionSetCancel", "(JJ)[B", session_set_cancel),
    NATIVE("sessionSetThreads", "(JJ)[B", session_set_threads),
    NATIVE("sessionSetPriority", "(JI)[B", session_set_priority),
    NATIVE("sessionSetAdapters", "(J[J[F)[B", session_set_adapters),
    NATIVE("sessionPrompt", "(J[I[J)[B", session_prompt),
    NATIVE("sessionPromptText", "(J[BI[J)[B", session_prompt_text),
    NATIVE("sessionPrefill", "(J[I)[B", session_prefill),
    NATIVE("sessionDecode", "(JI)[B", session_decode),
    NATIVE("sessionDecodeTogether", "([J[I)[B", session_decode_together),
    NATIVE("sessionTokens", "(J[[I)[B", session_tokens),
    NATIVE("sessionLogits", "(J[[F)[B", session_logits),
    NATIVE("sessionTopLogprobs", "(J[[I[[F)[B", session_top_logprobs),
    NATIVE("sessionRewind", "(JJ)[B", session_rewind),
    NATIVE("sessionShift", "(JJJ)[B", session_shift),
    NATIVE("sessionFork", "(J[J)[B", session_fork),
    NATIVE("sessionCopy", "(JJ)[B", session_copy),
    NATIVE("sessionSave", "(J[B)[B", session_save),
    NATIVE("sessionRestore", "(J[B)[B", session_restore),
    NATIVE("sessionSaveTo", "(J[[B)[B", session_save_to),
    NATIVE("sessionRestoreFrom", "(J[B)[B", session_restore_from),
    NATIVE("sessionTrim", "(JI[B[J)[B", session_trim),
};

NATIVES(sessions, table);
