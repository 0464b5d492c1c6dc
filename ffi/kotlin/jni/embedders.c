// Embedders: options, and texts that become vectors.
#include "convert.h"

// In the order of EmbedderOptions.numbers().
static bantam_embedder_options embedder_options(frame *f, jlongArray array, jlong pool) {
    NUMBERS(4, array);
    return (bantam_embedder_options){.struct_size = sizeof(bantam_embedder_options),
                                     .context = (size_t)n[0],
                                     .pooling = (int32_t)n[1],
                                     .keep_length = (int32_t)n[2],
                                     .threads = (size_t)n[3],
                                     .pool = HANDLE(pool, pool)};
}

static jbyteArray embedder_plan(SELF, jlong model, jlongArray numbers, jlong pool, jlongArray out) {
    FRAME;
    bantam_embedder_options options = embedder_options(&f, numbers, pool);
    bantam_plan p = {.struct_size = sizeof p};
    CALL(bantam_embedder_plan(HANDLE(model, model), &options, &p, ERROR));
    PUT(out, p.context, p.kv_bytes, p.scratch_bytes, p.total_bytes);
    END;
}

static jbyteArray embedder_open(SELF, jlong model, jlongArray numbers, jlong pool, jlong cancel, jlongArray out) {
    FRAME;
    bantam_embedder_options options = embedder_options(&f, numbers, pool);
    options.cancel = HANDLE(cancel, cancel);
    bantam_embedder *embedder = NULL;
    CALL(bantam_embedder_open(HANDLE(model, model), &options, &embedder, ERROR));
    PUT(out, of_handle(embedder));
    END;
}

static jbyteArray embedder_info(SELF, jlong embedder, jlongArray out) {
    FRAME;
    bantam_embedder_info i = {.struct_size = sizeof i};
    CALL(bantam_embedder_get_info(HANDLE(embedder, embedder), &i, ERROR));
    PUT(out, i.dim, i.context, i.threads, i.total_bytes, i.pooling);
    END;
}

// `documents` are null, or one for each text.
static jbyteArray embedder_embed(SELF, jlong embedder, jobjectArray texts, jobjectArray documents, jint flags, jobjectArray out) {
    FRAME;
    texts_in t = read_texts(&f, texts), d = read_texts(&f, documents);
    bantam_embed_text *pairs = room(&f, t.count, sizeof *pairs);
    for (size_t i = 0; pairs != NULL && i < t.count; i++) {
        pairs[i] = (bantam_embed_text){.text = t.at[i].text, .text_bytes = t.at[i].bytes};
        if (i < d.count) pairs[i].document = d.at[i].text, pairs[i].document_bytes = d.at[i].bytes;
    }
    bantam_embedder_info info = {.struct_size = sizeof info};
    CALL(bantam_embedder_get_info(HANDLE(embedder, embedder), &info, ERROR));
    size_t capacity = t.count * info.dim, count = 0;
    float *values = room(&f, capacity, sizeof *values);
    CALL(bantam_embedder_embed(HANDLE(embedder, embedder), pairs, t.count, (uint32_t)flags, values, capacity, &count, ERROR));
    // Without pooling each token has a vector.
    if (is_too_small(&f, &capacity)) {
        values = room(&f, capacity, sizeof *values);
        CALL(bantam_embedder_embed(HANDLE(embedder, embedder), pairs, t.count, (uint32_t)flags, values, capacity, &count, ERROR));
    }
    put_floats(&f, out, values, count);
    END;
}

static jbyteArray embedder_trim(SELF, jlong embedder, jlongArray out) {
    FRAME;
    size_t released = 0;
    CALL(bantam_embedder_trim(HANDLE(embedder, embedder), &released, ERROR));
    PUT(out, released);
    END;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("embedderPlan", "(J[JJ[J)[B", embedder_plan),
    NATIVE("embedderOpen", "(J[JJJ[J)[B", embedder_open),
    NATIVE("embedderInfo", "(J[J)[B", embedder_info),
    NATIVE("embedderTrim", "(J[J)[B", embedder_trim),
    NATIVE("embedderEmbed", "(J[[B[[BI[[F)[B", embedder_embed),
};

NATIVES(embedders, table);
