// Sessions: options, prompts, and what can be kept of them.
#include "convert.h"

// In the order of SessionOptions.numbers().
static bantam_session_options session_options(reader *r, jlongArray array) {
    jlong n[7] = {0};
    read_numbers(r, array, n, 7);
    bantam_session_options options = {.struct_size = sizeof options,
                                      .context = (size_t)n[0],
                                      .batch = (size_t)n[1],
                                      .draft_max = (size_t)n[2],
                                      .kv_format = (int32_t)n[3],
                                      .exact = (int32_t)n[4],
                                      .threads = (size_t)n[5],
                                      .together_max = (size_t)n[6]};
    return options;
}

static jbyteArray session_plan(SELF, jlong model, jlongArray numbers, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bantam_session_options options = session_options(&r, numbers);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_plan p = {.struct_size = sizeof p};
    if (bantam_session_plan(HANDLE(model, model), &options, &p, &e)) return failed(env, &e);
    jlong plan[] = {(jlong)p.context, (jlong)p.kv_bytes, (jlong)p.scratch_bytes, (jlong)p.total_bytes};
    put_numbers(env, out, plan, 4);
    return NULL;
}

static jbyteArray session_open(SELF, jlong model, jlongArray numbers, jlong cancel, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bantam_session_options options = session_options(&r, numbers);
    if (!r.is_good) return r.error;
    options.cancel = HANDLE(cancel, cancel);
    bantam_error e;
    bantam_session *session = NULL;
    if (bantam_session_open(HANDLE(model, model), &options, &session, &e)) return failed(env, &e);
    put_handle(env, out, session);
    return NULL;
}

static jbyteArray session_info(SELF, jlong session, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    bantam_session_info i = {.struct_size = sizeof i};
    if (bantam_session_get_info(HANDLE(session, session), &i, &e)) return failed(env, &e);
    jlong numbers[] = {(jlong)i.position, (jlong)i.context,       (jlong)i.batch,       (jlong)i.threads,
                       (jlong)i.kv_bytes, (jlong)i.scratch_bytes, (jlong)i.saved_bytes, i.has_logits,
                       i.is_trimmed};
    put_numbers(env, out, numbers, 9);
    return NULL;
}

static jbyteArray session_set_cancel(SELF, jlong session, jlong cancel) {
    UNUSED(self);
    RETURN(bantam_session_set_cancel(HANDLE(session, session), HANDLE(cancel, cancel), &e_));
}

static jbyteArray session_set_threads(SELF, jlong session, jlong threads) {
    UNUSED(self);
    RETURN(bantam_session_set_threads(HANDLE(session, session), (size_t)threads, &e_));
}

static jbyteArray session_set_priority(SELF, jlong session, jint priority) {
    UNUSED(self);
    RETURN(bantam_session_set_priority(HANDLE(session, session), priority, &e_));
}

// `out` says how many tokens were read, also when that was cancelled.
static jbyteArray session_prompt(SELF, jlong session, jintArray tokens, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    size_t count, read = 0;
    uint32_t *t = read_tokens(&r, tokens, &count);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_session_prompt(HANDLE(session, session), t, count, &read, &e);
    free(t);
    put_number(env, out, (jlong)read);
    return status && !(*env)->ExceptionCheck(env) ? failed(env, &e) : NULL;
}

static jbyteArray session_prompt_text(SELF, jlong session, jbyteArray text, jint flags, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in t = read_bytes(&r, text);
    if (!r.is_good) return r.error;
    bantam_error e;
    size_t read = 0;
    bantam_status status = bantam_session_prompt_text(HANDLE(session, session), t.at, t.count, (uint32_t)flags, &read, &e);
    free(t.at);
    put_number(env, out, (jlong)read);
    return status && !(*env)->ExceptionCheck(env) ? failed(env, &e) : NULL;
}

static jbyteArray session_prefill(SELF, jlong session, jintArray tokens) {
    UNUSED(self);
    reader r = reading(env);
    size_t count;
    uint32_t *t = read_tokens(&r, tokens, &count);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_session_prefill(HANDLE(session, session), t, count, &e);
    free(t);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray session_tokens(SELF, jlong session, jobjectArray out) {
    UNUSED(self);
    bantam_error e;
    const uint32_t *tokens = NULL;
    size_t count = 0;
    if (bantam_session_tokens(HANDLE(session, session), &tokens, &count, &e)) return failed(env, &e);
    put_ints(env, out, tokens, count);
    return NULL;
}

static jbyteArray session_logits(SELF, jlong session, jobjectArray out) {
    UNUSED(self);
    bantam_error e;
    const float *logits = NULL;
    size_t count = 0;
    if (bantam_session_logits(HANDLE(session, session), &logits, &count, &e)) return failed(env, &e);
    put_floats(env, out, logits, count);
    return NULL;
}

static jbyteArray session_top_logprobs(SELF, jlong session, jobjectArray tokens, jobjectArray logprobs) {
    UNUSED(self);
    bantam_error e;
    // A sampler tells of 64 at most.
    bantam_token_logprob top[64];
    uint32_t t[64];
    float l[64];
    size_t count = 0;
    if (bantam_session_top_logprobs(HANDLE(session, session), top, 64, &count, &e)) return failed(env, &e);
    for (size_t i = 0; i < count; i++) {
        t[i] = top[i].token;
        l[i] = top[i].logprob;
    }
    put_ints(env, tokens, t, count);
    if (!(*env)->ExceptionCheck(env)) put_floats(env, logprobs, l, count);
    return NULL;
}

static jbyteArray session_rewind(SELF, jlong session, jlong position) {
    UNUSED(self);
    RETURN(bantam_session_rewind(HANDLE(session, session), (size_t)position, &e_));
}

static jbyteArray session_shift(SELF, jlong session, jlong keep, jlong discard) {
    UNUSED(self);
    RETURN(bantam_session_shift(HANDLE(session, session), (size_t)keep, (size_t)discard, &e_));
}

static jbyteArray session_fork(SELF, jlong session, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    bantam_session *fork = NULL;
    if (bantam_session_fork(HANDLE(session, session), &fork, &e)) return failed(env, &e);
    put_handle(env, out, fork);
    return NULL;
}

static jbyteArray session_copy(SELF, jlong to, jlong from) {
    UNUSED(self);
    RETURN(bantam_session_copy(HANDLE(session, to), HANDLE(session, from), &e_));
}

static jbyteArray session_save(SELF, jlong session, jbyteArray path) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in p = read_bytes(&r, path);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_session_save(HANDLE(session, session), p.at, p.count, &e);
    free(p.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray session_restore(SELF, jlong session, jbyteArray path) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in p = read_bytes(&r, path);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_session_restore(HANDLE(session, session), p.at, p.count, &e);
    free(p.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray session_save_to(SELF, jlong session, jobjectArray out) {
    UNUSED(self);
    bantam_error e;
    bantam_session_info i = {.struct_size = sizeof i};
    if (bantam_session_get_info(HANDLE(session, session), &i, &e)) return failed(env, &e);
    if (i.saved_bytes > INT32_MAX) return failed_here(env, BANTAM_MEMORY, "more bytes than an array can have: save to a file");
    char *saved = malloc(i.saved_bytes);
    if (saved == NULL) return failed_here(env, BANTAM_MEMORY, "no memory for the saved session: save to a file");
    size_t written = 0;
    bantam_status status = bantam_session_save_to(HANDLE(session, session), saved, i.saved_bytes, &written, &e);
    jbyteArray error = status ? failed(env, &e) : NULL;
    if (!status) put_bytes(env, out, 0, saved, written);
    free(saved);
    return error;
}

static jbyteArray session_restore_from(SELF, jlong session, jbyteArray saved) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in s = read_bytes(&r, saved);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_session_restore_from(HANDLE(session, session), s.at, s.count, &e);
    free(s.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray session_trim(SELF, jlong session, jint level, jbyteArray path, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in p = read_bytes(&r, path);
    if (!r.is_good) return r.error;
    bantam_error e;
    size_t released = 0;
    bantam_status status = bantam_session_trim(HANDLE(session, session), level, p.at, p.count, &released, &e);
    free(p.at);
    if (status) return failed(env, &e);
    put_number(env, out, (jlong)released);
    return NULL;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("sessionPlan", "(J[J[J)[B", session_plan),
    NATIVE("sessionOpen", "(J[JJ[J)[B", session_open),
    NATIVE("sessionInfo", "(J[J)[B", session_info),
    NATIVE("sessionSetCancel", "(JJ)[B", session_set_cancel),
    NATIVE("sessionSetThreads", "(JJ)[B", session_set_threads),
    NATIVE("sessionSetPriority", "(JI)[B", session_set_priority),
    NATIVE("sessionPrompt", "(J[I[J)[B", session_prompt),
    NATIVE("sessionPromptText", "(J[BI[J)[B", session_prompt_text),
    NATIVE("sessionPrefill", "(J[I)[B", session_prefill),
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
