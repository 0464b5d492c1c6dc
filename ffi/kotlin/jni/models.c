// Models and grammars: opened from anywhere, what they are, and text as tokens.
#include "convert.h"

static jbyteArray model_open_path(SELF, jbyteArray path, jbyteArray backend, jlong cancel, jboolean lock, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in p = read_bytes(&r, path), b = read_bytes(&r, backend);
    bantam_error e;
    bantam_model *model = NULL;
    bantam_model_options options = {
        .struct_size = sizeof options, .backend = b.at, .backend_bytes = b.count, .cancel = HANDLE(cancel, cancel), .lock = lock};
    bantam_status status = r.is_good ? bantam_model_open(p.at, p.count, &options, &model, &e) : BANTAM_OK;
    free(p.at);
    free(b.at);
    if (!r.is_good) return r.error;
    if (status) return failed(env, &e);
    put_handle(env, out, model);
    return NULL;
}

static jbyteArray model_open_fd(SELF, jint fd, jlong offset, jlong length, jbyteArray backend, jlong cancel, jboolean lock, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in b = read_bytes(&r, backend);
    bantam_error e;
    bantam_model *model = NULL;
    bantam_model_options options = {
        .struct_size = sizeof options, .backend = b.at, .backend_bytes = b.count, .cancel = HANDLE(cancel, cancel), .lock = lock};
    bantam_status status =
        r.is_good ? bantam_model_open_fd(fd, (uint64_t)offset, (uint64_t)length, &options, &model, &e) : BANTAM_OK;
    free(b.at);
    if (!r.is_good) return r.error;
    if (status) return failed(env, &e);
    put_handle(env, out, model);
    return NULL;
}

// A buffer that a model uses, and the machine that it is of.
typedef struct {
    JavaVM *machine;
    jobject buffer;
} lent;

// The last user of a buffer is gone, on some thread: usually one of Java's.
static void release_buffer(void *user) {
    JavaVM *machine = ((lent *)user)->machine;
    jobject buffer = ((lent *)user)->buffer;
    free(user);
    JNIEnv *env = NULL;
    if ((*machine)->GetEnv(machine, (void **)&env, JNI_VERSION_1_6) == JNI_OK) {
        (*env)->DeleteGlobalRef(env, buffer);
        return;
    }
#ifdef __ANDROID__
    if ((*machine)->AttachCurrentThread(machine, &env, NULL) != JNI_OK) return;
#else
    if ((*machine)->AttachCurrentThread(machine, (void **)&env, NULL) != JNI_OK) return;
#endif
    (*env)->DeleteGlobalRef(env, buffer);
    (*machine)->DetachCurrentThread(machine);
}

static jbyteArray model_open_buffer(SELF, jobject buffer, jlong offset, jlong length, jbyteArray backend, jlong cancel, jlongArray out) {
    UNUSED(self);
    char *at = (*env)->GetDirectBufferAddress(env, buffer);
    if (at == NULL) return failed_here(env, BANTAM_ARGUMENT, "the buffer has no address: allocate or map a direct one");
    reader r = reading(env);
    bytes_in b = read_bytes(&r, backend);
    if (!r.is_good) return r.error;
    lent *kept = malloc(sizeof *kept);
    if (kept == NULL || (*env)->GetJavaVM(env, &kept->machine) != JNI_OK || (kept->buffer = (*env)->NewGlobalRef(env, buffer)) == NULL) {
        free(kept);
        free(b.at);
        return failed_here(env, BANTAM_MEMORY, "no memory for a reference to the buffer");
    }
    bantam_error e;
    bantam_model *model = NULL;
    bantam_model_options options = {.struct_size = sizeof options,
                                    .backend = b.at,
                                    .backend_bytes = b.count,
                                    .cancel = HANDLE(cancel, cancel),
                                    .release = release_buffer,
                                    .release_user = kept};
    bantam_status status = bantam_model_open_memory(at + offset, (size_t)length, &options, &model, &e);
    free(b.at);
    if (status) return failed(env, &e);
    put_handle(env, out, model);
    return NULL;
}

static jbyteArray model_info(SELF, jlong model, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    bantam_error e;
    bantam_model_info i = {.struct_size = sizeof i};
    if (bantam_model_get_info(HANDLE(model, model), &i, &e)) return failed(env, &e);
    jlong numbers[] = {(jlong)i.file_bytes,     (jlong)i.bytes_per_token, (jlong)i.macs_per_token, (jlong)i.fingerprint,
                       (jlong)i.vocab_size,     (jlong)i.context_length,  (jlong)i.layers,         (jlong)i.dim,
                       (jlong)i.ffn,            (jlong)i.heads,           (jlong)i.kv_heads,       (jlong)i.head_dim,
                       i.bos,                   i.eos,                    i.has_chat_template,     i.is_file_backed};
    put_numbers(env, out, numbers, sizeof numbers / sizeof *numbers);
    put_bytes(env, texts, 0, i.architecture, i.architecture_bytes);
    put_bytes(env, texts, 1, i.backend, strlen(i.backend));
    return NULL;
}

static jbyteArray model_warm(SELF, jlong model, jlong cancel) {
    UNUSED(self);
    RETURN(bantam_model_warm(HANDLE(model, model), HANDLE(cancel, cancel), NULL, NULL, &e_));
}

static jbyteArray model_resident_bytes(SELF, jlong model, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    uint64_t bytes = 0;
    if (bantam_model_resident_bytes(HANDLE(model, model), &bytes, &e)) return failed(env, &e);
    put_number(env, out, (jlong)bytes);
    return NULL;
}

static void put_value(JNIEnv *env, const bantam_value *v, jlongArray out, jobjectArray texts, jsize i) {
    uint64_t bits;
    memcpy(&bits, &v->number, sizeof bits);
    jlong numbers[] = {v->kind, v->element_kind, v->integer, (jlong)bits, (jlong)v->count};
    put_numbers(env, out, numbers, 5);
    if (v->kind == BANTAM_VALUE_TEXT) put_bytes(env, texts, i, v->text, v->text_bytes);
}

static jbyteArray model_metadata_count(SELF, jlong model, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    size_t count = 0;
    if (bantam_model_metadata_count(HANDLE(model, model), &count, &e)) return failed(env, &e);
    put_number(env, out, (jlong)count);
    return NULL;
}

static jbyteArray model_metadata_at(SELF, jlong model, jlong i, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    bantam_error e;
    const char *key = NULL;
    size_t bytes = 0;
    bantam_value v = {.struct_size = sizeof v};
    if (bantam_model_metadata_at(HANDLE(model, model), (size_t)i, &key, &bytes, &v, &e)) return failed(env, &e);
    put_bytes(env, texts, 0, key, bytes);
    if (!(*env)->ExceptionCheck(env)) put_value(env, &v, out, texts, 1);
    return NULL;
}

static jbyteArray model_metadata(SELF, jlong model, jbyteArray key, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in k = read_bytes(&r, key);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_value v = {.struct_size = sizeof v};
    bantam_status status = bantam_model_metadata(HANDLE(model, model), k.at, k.count, &v, &e);
    free(k.at);
    if (status) return failed(env, &e);
    put_value(env, &v, out, texts, 0);
    return NULL;
}

static jbyteArray model_metadata_element(SELF, jlong model, jbyteArray key, jlong i, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in k = read_bytes(&r, key);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_value v = {.struct_size = sizeof v};
    bantam_status status = bantam_model_metadata_element(HANDLE(model, model), k.at, k.count, (size_t)i, &v, &e);
    free(k.at);
    if (status) return failed(env, &e);
    put_value(env, &v, out, texts, 0);
    return NULL;
}

static jbyteArray model_tensor_count(SELF, jlong model, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    size_t count = 0;
    if (bantam_model_tensor_count(HANDLE(model, model), &count, &e)) return failed(env, &e);
    put_number(env, out, (jlong)count);
    return NULL;
}

static jbyteArray model_tensor_at(SELF, jlong model, jlong i, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    bantam_error e;
    bantam_tensor t = {.struct_size = sizeof t};
    if (bantam_model_tensor_at(HANDLE(model, model), (size_t)i, &t, &e)) return failed(env, &e);
    jlong numbers[] = {t.type_number,     t.dimensions,      (jlong)t.shape[0], (jlong)t.shape[1],
                       (jlong)t.shape[2], (jlong)t.shape[3], (jlong)t.offset,   (jlong)t.bytes};
    put_numbers(env, out, numbers, 8);
    put_bytes(env, texts, 0, t.name, t.name_bytes);
    return NULL;
}

static jbyteArray model_tokenize(SELF, jlong model, jbyteArray text, jint flags, jobjectArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in t = read_bytes(&r, text);
    if (!r.is_good) return r.error;
    // There are never more tokens than bytes and 2 more.
    size_t count = t.count + 2;
    uint32_t *tokens = malloc(count * sizeof *tokens);
    if (tokens == NULL) {
        free(t.at);
        return failed_here(env, BANTAM_MEMORY, "no memory for the tokens: tokenise the text in parts");
    }
    bantam_error e;
    bantam_status status = bantam_model_tokenize(HANDLE(model, model), t.at, t.count, (uint32_t)flags, tokens, count, &count, &e);
    free(t.at);
    jbyteArray error = status ? failed(env, &e) : NULL;
    if (!status) put_ints(env, out, tokens, count);
    free(tokens);
    return error;
}

static jbyteArray model_detokenize(SELF, jlong model, jintArray tokens, jint flags, jobjectArray out) {
    UNUSED(self);
    reader r = reading(env);
    size_t count, bytes = 0, room = 1024;
    uint32_t *t = read_tokens(&r, tokens, &count);
    if (!r.is_good) return r.error;
    bantam_error e;
    char *text = malloc(room);
    bantam_status status = text ? bantam_model_detokenize(HANDLE(model, model), t, count, (uint32_t)flags, text, room, &bytes, &e) : BANTAM_MEMORY;
    if (text != NULL && status == BANTAM_TOO_SMALL) {
        room = (size_t)e.detail;
        free(text);
        text = malloc(room);
        status = text ? bantam_model_detokenize(HANDLE(model, model), t, count, (uint32_t)flags, text, room, &bytes, &e) : BANTAM_MEMORY;
    }
    free(t);
    if (text == NULL) return failed_here(env, BANTAM_MEMORY, "no memory for the text: detokenise it in parts");
    jbyteArray error = status ? failed(env, &e) : NULL;
    if (!status) put_bytes(env, out, 0, text, bytes);
    free(text);
    return error;
}

static jbyteArray model_token(SELF, jlong model, jint token, jlongArray out, jobjectArray texts) {
    UNUSED(self);
    bantam_error e;
    bantam_token_info i = {.struct_size = sizeof i};
    if (bantam_model_token(HANDLE(model, model), (uint32_t)token, &i, &e)) return failed(env, &e);
    jlong numbers[] = {i.is_control, i.is_end};
    put_numbers(env, out, numbers, 2);
    put_bytes(env, texts, 0, i.text, i.text_bytes);
    return NULL;
}

static jbyteArray grammar_new(SELF, jlong model, jint kind, jbyteArray source, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in s = read_bytes(&r, source);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_grammar *grammar = NULL;
    bantam_status status = bantam_grammar_new(HANDLE(model, model), kind, s.at, s.count, &grammar, &e);
    free(s.at);
    if (status) return failed(env, &e);
    put_handle(env, out, grammar);
    return NULL;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("modelOpenPath", "([B[BJZ[J)[B", model_open_path),
    NATIVE("modelOpenFd", "(IJJ[BJZ[J)[B", model_open_fd),
    NATIVE("modelOpenBuffer", "(Ljava/nio/ByteBuffer;JJ[BJ[J)[B", model_open_buffer),
    NATIVE("modelInfo", "(J[J[[B)[B", model_info),
    NATIVE("modelWarm", "(JJ)[B", model_warm),
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
