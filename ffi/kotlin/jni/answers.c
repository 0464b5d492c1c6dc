// Answers: how tokens are chosen, the pieces of an answer, and what it was.
#include "convert.h"

// `array` is in the order of SamplerOptions.numbers().
static bantam_sampler_options sampler_options(frame *f, jlongArray array, jobjectArray breakers, jintArray bias_tokens, jfloatArray biases,
                                              jintArray stages) {
    NUMBERS(23, array);
    texts_in breaks = read_texts(f, breakers);
    words_in tokens = read_ints(f, bias_tokens), values = read_floats(f, biases), order = read_ints(f, stages);
    size_t bias_count = values.count < tokens.count ? values.count : tokens.count;
    bantam_bias *bias = bias_count ? room(f, bias_count, sizeof *bias) : NULL;
    for (size_t i = 0; bias != NULL && i < bias_count; i++) bias[i] = (bantam_bias){((uint32_t *)tokens.at)[i], ((float *)values.at)[i]};
    return (bantam_sampler_options){.struct_size = sizeof(bantam_sampler_options),
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
                                    .top_logprobs = (uint32_t)n[22],
                                    .dry_breakers = breaks.at,
                                    .dry_breaker_count = breaks.count,
                                    .logit_bias = bias,
                                    .logit_bias_count = bias_count,
                                    .stages = stages == NULL ? NULL : order.at,
                                    .stage_count = order.count};
}

static jbyteArray sampler_new(SELF, jlong model, jlongArray numbers, jobjectArray breakers, jintArray bias_tokens, jfloatArray biases,
                              jintArray stages, jlongArray out) {
    FRAME;
    bantam_sampler_options options = sampler_options(&f, numbers, breakers, bias_tokens, biases, stages);
    bantam_sampler *sampler = NULL;
    CALL(bantam_sampler_new(HANDLE(model, model), &options, &sampler, ERROR));
    PUT(out, of_handle(sampler));
    END;
}

static jbyteArray sampler_reset(SELF, jlong sampler) {
    ONLY(bantam_sampler_reset(HANDLE(sampler, sampler), ERROR));
}

static jbyteArray session_sample(SELF, jlong session, jlong sampler, jlongArray out) {
    FRAME;
    bantam_choice c = {.struct_size = sizeof c};
    CALL(bantam_session_sample(HANDLE(session, session), HANDLE(sampler, sampler), &c, ERROR));
    PUT(out, c.token, of_float(c.logprob), of_float(c.entropy), of_float(c.margin));
    END;
}

// `numbers` are in the order of AnswerOptions.numbers().
static jbyteArray session_begin(SELF, jlong session, jlongArray numbers, jobjectArray stop, jintArray stop_tokens, jlong grammar,
                                jlongArray sampler, jobjectArray breakers, jintArray bias_tokens, jfloatArray biases, jintArray stages) {
    FRAME;
    jlong n[5] = {0};
    read_numbers(&f, numbers, n, 5);
    bantam_sampler_options s = sampler_options(&f, sampler, breakers, bias_tokens, biases, stages);
    texts_in stops = read_texts(&f, stop);
    words_in tokens = read_ints(&f, stop_tokens);
    bantam_answer_options a = {.struct_size = sizeof a,
                               .sampler = &s,
                               .max_tokens = (size_t)n[0],
                               .grammar = HANDLE(grammar, grammar),
                               .ignore_end = (int32_t)n[1],
                               .shift = (int32_t)n[2],
                               .shift_keep = (size_t)n[3],
                               .lookup = (int32_t)n[4],
                               .stop = stops.at,
                               .stop_count = stops.count,
                               .stop_tokens = tokens.at,
                               .stop_token_count = tokens.count};
    CALL(bantam_session_begin(HANDLE(session, session), &a, ERROR));
    END;
}

static jbyteArray session_next(SELF, jlong session, jlongArray out, jobjectArray texts) {
    FRAME;
    bantam_piece p = {.struct_size = sizeof p};
    CALL(bantam_session_next(HANDLE(session, session), &p, ERROR));
    PUT(out, p.token, of_float(p.logprob), of_float(p.entropy), of_float(p.margin), p.stop_reason, p.stop_index);
    put_bytes(&f, texts, 0, p.text, p.text_bytes);
    END;
}

static jbyteArray session_summary(SELF, jlong session, jlongArray out) {
    FRAME;
    bantam_summary s = {.struct_size = sizeof s};
    CALL(bantam_session_get_summary(HANDLE(session, session), &s, ERROR));
    PUT(out, s.stop_reason, s.stop_index, s.is_complete, s.tokens, s.answer_us, s.prompt_tokens, s.prompt_us, s.drafted, s.accepted,
        s.major_faults, of_float(s.mean_logprob), of_float(s.min_logprob), of_float(s.logprob_q10), of_float(s.logprob_q25),
        of_float(s.mean_entropy));
    END;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("samplerNew", "(J[J[[B[I[F[I[J)[B", sampler_new),
    NATIVE("samplerReset", "(J)[B", sampler_reset),
    NATIVE("sessionSample", "(JJ[J)[B", session_sample),
    NATIVE("sessionBegin", "(J[J[[B[IJ[J[[B[I[F[I)[B", session_begin),
    NATIVE("sessionNext", "(J[J[[B)[B", session_next),
    NATIVE("sessionSummary", "(J[J)[B", session_summary),
};

NATIVES(answers, table);
