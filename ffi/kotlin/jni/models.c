// Models and grammars: opened from anywhere, what they are, and text as tokens.
#include "convert.h"

// How far a long call is: two numbers in a direct buffer of Java's, which another thread reads with progress_read. So C calls nothing of Java's.
static int32_t note(void *counters, uint64_t done, uint64_t all) {
    __atomic_store_n((uint64_t *)counters + 1, all, __ATOMIC_RELAXED);
    __atomic_store_n((uint64_t *)counters, done, __ATOMIC_RELEASE);
    return 0;
}

static jbyteArray progress_read(SELF, jobject counters, jlongArray out) {
    FRAME;
    uint64_t *at = (uint64_t *)address_of(&f, counters);
    uint64_t done = at ? __atomic_load_n(at, __ATOMIC_ACQUIRE) : 0;
    PUT(out, done, at ? __atomic_load_n(at + 1, __ATOMIC_RELAXED) : 0);
    END;
}

static bantam_model_options model_options(frame *f, jbyteArray backend, jlong cancel, jboolean lock, jobject progress, jboolean log) {
    bytes_in b = read_bytes(f, backend);
    return (bantam_model_options){.struct_size = sizeof(bantam_model_options),
                                  .backend = b.at,
                                  .backend_bytes = b.count,
                                  .cancel = HANDLE(cancel, cancel),
                                  .log = log ? keep_line : NULL,
                                  .lock = lock,
                                  .progress = progress ? note : NULL,
                                  .progress_user = progress ? address_of(f, progress) : NULL};
}

static jbyteArray model_open_path(SELF, jbyteArray path, jbyteArray backend, jlong cancel, jboolean lock, jobject progress, jboolean log,
                                  jlongArray out) {
    FRAME;
    bytes_in p = read_bytes(&f, path);
    bantam_model_options options = model_options(&f, backend, cancel, lock, progress, log);
    bantam_model *model = NULL;
    CALL(bantam_model_open(p.at, p.count, &options, &model, ERROR));
    PUT(out, of_handle(model));
    END;
}

static jbyteArray model_open_fd(SELF, jint fd, jlong offset, jlong length, jbyteArray backend, jlong cancel, jboolean lock, jobject progress, jboolean log,
                                jlongArray out) {
    FRAME;
    bantam_model_options options = model_options(&f, backend, cancel, lock, progress, log);
    bantam_model *model = NULL;
    CALL(bantam_model_open_fd(fd, (uint64_t)offset, (uint64_t)length, &options, &model, ERROR));
    PUT(out, of_handle(model));
    END;
}

// A part without a path is `numbers[3 * i]`, its descriptor; behind that are offset and length.
static jbyteArray model_open_parts(SELF, jobjectArray paths, jlongArray numbers, jbyteArray backend, jlong cancel, jboolean lock, jobject progress, jboolean log,
                                   jlongArray out) {
    FRAME;
    texts_in p = read_texts(&f, paths);
    bantam_part *parts = room(&f, p.count, sizeof *parts);
    jlong *n = room(&f, 3 * p.count, sizeof *n);
    read_numbers(&f, numbers, n, 3 * p.count);
    for (size_t i = 0; f.is_good && i < p.count; i++) {
        parts[i] = (bantam_part){.path = p.at[i].text,
                                 .path_bytes = p.at[i].bytes,
                                 .fd = (int32_t)n[3 * i],
                                 .offset = (uint64_t)n[3 * i + 1],
                                 .length = (uint64_t)n[3 * i + 2]};
    }
    bantam_model_options options = model_options(&f, backend, cancel, lock, progress, log);
    bantam_model *model = NULL;
    CALL(bantam_model_open_parts(parts, p.count, &options, &model, ERROR));
    PUT(out, of_handle(model));
    END;
}

static jbyteArray model_open_buffer(SELF, jobject buffer, jlong offset, jlong length, jbyteArray backend, jlong cancel, jobject progress, jboolean log,
                                    jlongArray out) {
    FRAME;
    bantam_model_options options = model_options(&f, backend, cancel, 0, progress, log);
    char *at = address_of(&f, buffer);
    options.release = give_back;
    options.release_user = lend(&f, buffer);
    bantam_model *model = NULL;
    CALL(bantam_model_open_memory(at + offset, (size_t)length, &options, &model, ERROR));
    PUT(out, of_handle(model));
    END;
}

static jbyteArray model_info(SELF, jlong model, jlongArray out, jobjectArray texts) {
    FRAME;
    bantam_model_info i = {.struct_size = sizeof i};
    CALL(bantam_model_get_info(HANDLE(model, model), &i, ERROR));
    PUT(out, i.file_bytes, i.bytes_per_token, i.macs_per_token, i.fingerprint, i.vocab_size, i.context_length, i.layers, i.dim, i.ffn, i.heads,
        i.kv_heads, i.head_dim, i.bos, i.eos, i.has_chat_template, i.is_file_backed);
    put_bytes(&f, texts, 0, i.architecture, i.architecture_bytes);
    put_bytes(&f, texts, 1, i.backend, i.backend ? strlen(i.backend) : 0);
    END;
}

static jbyteArray model_warm(SELF, jlong model, jlong cancel, jobject progress) {
    FRAME;
    void *counters = progress ? address_of(&f, progress) : NULL;
    CALL(bantam_model_warm(HANDLE(model, model), HANDLE(cancel, cancel), counters ? note : NULL, counters, ERROR));
    END;
}

static jbyteArray model_resident_bytes(SELF, jlong model, jlongArray out) {
    FRAME;
    uint64_t bytes = 0;
    CALL(bantam_model_resident_bytes(HANDLE(model, model), &bytes, ERROR));
    PUT(out, bytes);
    END;
}

static void put_value(frame *f, const bantam_value *v, jlongArray out, jobjectArray texts, jsize i) {
    const jlong numbers[] = {v->kind, v->element_kind, v->integer, of_double(v->number), v->count};
    put_numbers(f, out, numbers, 5);
    if (v->kind == BANTAM_VALUE_TEXT) put_bytes(f, texts, i, v->text, v->text_bytes);
}

static jbyteArray model_metadata_count(SELF, jlong model, jlongArray out) {
    FRAME;
    size_t count = 0;
    CALL(bantam_model_metadata_count(HANDLE(model, model), &count, ERROR));
    PUT(out, count);
    END;
}

static jbyteArray model_metadata_at(SELF, jlong model, jlong i, jlongArray out, jobjectArray texts) {
    FRAME;
    const char *key = NULL;
    size_t bytes = 0;
    bantam_value v = {.struct_size = sizeof v};
    CALL(bantam_model_metadata_at(HANDLE(model, model), (size_t)i, &key, &bytes, &v, ERROR));
    put_bytes(&f, texts, 0, key, bytes);
    put_value(&f, &v, out, texts, 1);
    END;
}

static jbyteArray model_metadata(SELF, jlong model, jbyteArray key, jlongArray out, jobjectArray texts) {
    FRAME;
    bytes_in k = read_bytes(&f, key);
    bantam_value v = {.struct_size = sizeof v};
    CALL(bantam_model_metadata(HANDLE(model, model), k.at, k.count, &v, ERROR));
    put_value(&f, &v, out, texts, 0);
    END;
}

static jbyteArray model_metadata_element(SELF, jlong model, jbyteArray key, jlong i, jlongArray out, jobjectArray texts) {
    FRAME;
    bytes_in k = read_bytes(&f, key);
    bantam_value v = {.struct_size = sizeof v};
    CALL(bantam_model_metadata_element(HANDLE(model, model), k.at, k.count, (size_t)i, &v, ERROR));
    put_value(&f, &v, out, texts, 0);
    END;
}

static jbyteArray model_tensor_count(SELF, jlong model, jlongArray out) {
    FRAME;
    size_t count = 0;
    CALL(bantam_model_tensor_count(HANDLE(model, model), &count, ERROR));
    PUT(out, count);
    END;
}

// The second text stays null if no kernel reads the type.
static jbyteArray model_tensor_at(SELF, jlong model, jlong i, jlongArray out, jobjectArray texts) {
    FRAME;
    bantam_tensor t = {.struct_size = sizeof t};
    CALL(bantam_model_tensor_at(HANDLE(model, model), (size_t)i, &t, ERROR));
    PUT(out, t.type_number, t.dimensions, t.shape[0], t.shape[1], t.shape[2], t.shape[3], t.offset, t.bytes);
    put_bytes(&f, texts, 0, t.name, t.name_bytes);
    if (t.kernels != NULL) put_bytes(&f, texts, 1, t.kernels, strlen(t.kernels));
    END;
}

static jbyteArray model_tokenize(SELF, jlong model, jbyteArray text, jint flags, jobjectArray out) {
    FRAME;
    bytes_in t = read_bytes(&f, text);
    // There are never more tokens than bytes and 2 more.
    size_t count = t.count + 2;
    uint32_t *tokens = room(&f, count, sizeof *tokens);
    CALL(bantam_model_tokenize(HANDLE(model, model), t.at, t.count, (uint32_t)flags, tokens, count, &count, ERROR));
    put_ints(&f, out, tokens, count);
    END;
}

static jbyteArray model_detokenize(SELF, jlong model, jintArray tokens, jint flags, jobjectArray out) {
    FRAME;
    words_in t = read_ints(&f, tokens);
    size_t bytes = 0, capacity = 1024;
    char *text = room(&f, capacity, 1);
    CALL(bantam_model_detokenize(HANDLE(model, model), t.at, t.count, (uint32_t)flags, text, capacity, &bytes, ERROR));
    if (is_too_small(&f, &capacity)) {
        text = room(&f, capacity, 1);
        CALL(bantam_model_detokenize(HANDLE(model, model), t.at, t.count, (uint32_t)flags, text, capacity, &bytes, ERROR));
    }
    put_bytes(&f, out, 0, text, bytes);
    END;
}

static jbyteArray model_token(SELF, jlong model, jint token, jlongArray out, jobjectArray texts) {
    FRAME;
    bantam_token_info i = {.struct_size = sizeof i};
    CALL(bantam_model_token(HANDLE(model, model), (uint32_t)token, &i, ERROR));
    PUT(out, i.is_control, i.is_end);
    put_bytes(&f, texts, 0, i.text, i.text_bytes);
    END;
}

static jbyteArray grammar_new(SELF, jlong model, jint kind, jbyteArray source, jlongArray out) {
    FRAME;
    bytes_in s = read_bytes(&f, source);
    bantam_grammar *grammar = NULL;
    CALL(bantam_grammar_new(HANDLE(model, model), kind, s.at, s.count, &grammar, ERROR));
    PUT(out, of_handle(grammar));
    END;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("progressRead", "(Ljava/nio/ByteBuffer;[J)[B", progress_read),
    NATIVE("modelOpenPath", "([B[BJZLjava/nio/ByteBuffer;Z[J)[B", model_open_path),
    NATIVE("modelOpenFd", "(IJJ[BJZLjava/nio/ByteBuffer;Z[J)[B", model_open_fd),
    NATIVE("modelOpenParts", "([[B[J[BJZLjava/nio/ByteBuffer;Z[J)[B", model_open_parts),
    NATIVE("modelOpenBuffer", "(Ljava/nio/ByteBuffer;JJ[BJLjava/nio/ByteBuffer;Z[J)[B", model_open_buffer),
    NATIVE("modelInfo", "(J[J[[B)[B", model_info),
    NATIVE("modelWarm", "(JJLjava/nio/ByteBuffer;)[B", model_warm),
    NATIVE("modelResidentBytes", "(J[J)[B", model_resident_bytes),
    NATIVE("modelMetadataCount", "(J[J)[B", model_metadata_count),
    NATIVE("modelMetadataAt", "(JJ[J[[B)[B", model_metadata_at),
    NATIVE("modelMetadata", "(J[B[J[[B)[B", model_metadata),
    NATIVE("modelMetadataElement", "(J[BJ[J[[B)[B", model_metadata_element),
    NATIVE("modelTensorCount", "(J[J)[B", model_tensor_count),
    NATIVE("modelTensorAt", "(JJ[J[[B)[B", model_tensor_at),
    NATIVE("modelTokenize", "(J[BI[[I)[B", model_tokenize),
    NATIVE("modelDetokenize", "(J[II[[B)[B", model_detokenize),
    NATIVE("modelToken", "(JI[J[[B)[B", model_token),
    NATIVE("grammarNew", "(JI[B[J)[B", grammar_new),
};

NATIVES(models, table);
