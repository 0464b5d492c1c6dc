// Answers: how they are to be, their pieces, and what they were.
#include "convert.h"

// In the order of SamplerOptions.numbers().
static bantam_sampler_options sampler_options(reader *r, jlongArray array) {
    jlong n[23] = {0};
    read_numbers(r, array, n, 23);
    bantam_sampler_options options = {.struct_size = sizeof options,
                                      .seed = (uint64_t)n[0],
                                      .temperature = as_float(n[1]),
                                      .top_p = as_float(n[2]),
                                      .top_k = (int32_t)n[3],
                                      .min_p = as_float(n[4]),
                                      .typical_p = as_float(n[5]),
                                      .top_n_sigma = as_float(n[6]),
                                      .xtc_probability = as_float(n[7]),
                                      .xtc_threshold = as_float(n[8]),
                                      .dynatemp_range = as_float(n[9]),
                                      .dynatemp_exponent = as_float(n[10]),
                                      .repeat_penalty = as_float(n[11]),
                                      .presence_penalty = as_float(n[12]),
                                      .frequency_penalty = as_float(n[13]),
                                      .repeat_last_n = (int32_t)n[14],
                                      .dry_multiplier = as_float(n[15]),
                                      .dry_base = as_float(n[16]),
                                      .dry_allowed_length = (int32_t)n[17],
                                      .dry_last_n = (int32_t)n[18],
                                      .mirostat = (int32_t)n[19],
                                      .mirostat_target = as_float(n[20]),
                                      .mirostat_rate = as_float(n[21]),
                                      .top_logprobs = (uint32_t)n[22]};
    return options;
}

// `numbers` are in the order of AnswerOptions.numbers().
static jbyteArray session_begin(SELF, jlong session, jlongArray numbers, jobjectArray stop, jintArray stop_tokens, jlong grammar,
                                jlongArray sampler, jobjectArray breakers, jintArray bias_tokens, jfloatArray biases, jintArray stages) {
    UNUSED(self);
    reader r = reading(env);
    jlong n[5] = {0};
    read_numbers(&r, numbers, n, 5);
    bantam_sampler_options s = sampler_options(&r, sampler);
    bantam_answer_options a = {.struct_size = sizeof a,
                               .sampler = &s,
                               .max_tokens = (size_t)n[0],
                               .grammar = HANDLE(grammar, grammar),
                               .ignore_end = (int32_t)n[1],
                               .shift = (int32_t)n[2],
                               .shift_keep = (size_t)n[3],
                               .lookup = (int32_t)n[4]};
    size_t token_count, bias_count, stage_count, value_count;
    texts_in stops = read_texts(&r, stop), breaks = read_texts(&r, breakers);
    uint32_t *tokens = read_tokens(&r, stop_tokens, &token_count);
    uint32_t *biased = read_tokens(&r, bias_tokens, &bias_count);
    float *values = read_words(&r, biases, 1, &value_count);
    uint32_t *order = read_tokens(&r, stages, &stage_count);
    bantam_bias *bias = r.is_good ? calloc(bias_count + 1, sizeof *bias) : NULL;
    if (r.is_good && bias == NULL) give_up(&r);
    bantam_error e;
    bantam_status status = BANTAM_OK;
    if (r.is_good) {
        if (value_count < bias_count) bias_count = value_count;
        for (size_t i = 0; i < bias_count; i++) bias[i] = (bantam_bias){biased[i], values[i]};
        a.stop = stops.at;
        a.stop_count = stops.count;
        a.stop_tokens = tokens;
        a.stop_token_count = token_count;
        s.dry_breakers = breaks.at;
        s.dry_breaker_count = breaks.count;
        s.logit_bias = bias_count ? bias : NULL;
        s.logit_bias_count = bias_count;
        s.stages = order;
        s.stage_count = stage_count;
        status = bantam_session_begin(HANDLE(session, session), &a, &e);
    }
    free_texts(stops);
    free_texts(breaks);
    free(tokens);
    free(biased);
    free(values);
    free(order);
    free(bias);
    if (!r.is_good) return r.error;
    return status ? failed(env, &e) : NULL;
}

static jbyteArray session_next(SELF, jlong session, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    bantam_error e;
    bantam_piece p = {.struct_size = sizeof p};
    if (bantam_session_next(HANDLE(session, session), &p, &e)) return failed(env, &e);
    jlong numbers[] = {p.token, of_float(p.logprob), of_float(p.entropy), of_float(p.margin), p.stop_reason, p.stop_index};
    put_numbers(env, out, numbers, 6);
    put_bytes(env, texts, 0, p.text, p.text_bytes);
    return NULL;
}

static jbyteArray session_summary(SELF, jlong session, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    bantam_summary s = {.struct_size = sizeof s};
    if (bantam_session_get_summary(HANDLE(session, session), &s, &e)) return failed(env, &e);
    jlong numbers[] = {s.stop_reason,
                       s.stop_index,
                       s.is_complete,
                       (jlong)s.tokens,
                       (jlong)s.answer_us,
                       (jlong)s.prompt_tokens,
                       (jlong)s.prompt_us,
                       (jlong)s.drafted,
                       (jlong)s.accepted,
                       (jlong)s.major_faults,
                       of_float(s.mean_logprob),
                       of_float(s.min_logprob),
                       of_float(s.logprob_q10),
                       of_float(s.logprob_q25),
                       of_float(s.mean_entropy)};
    put_numbers(env, out, numbers, 15);
    return NULL;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("sessionBegin", "(J[J[[B[IJ[J[[B[I[F[I)[B", session_begin),
    NATIVE("sessionNext", "(J[J[[B)[B", session_next),
    NATIVE("sessionSummary", "(J[J)[B", session_summary),
};

NATIVES(answers, table);
