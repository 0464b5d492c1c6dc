// The JNI shim: bantam.h for bantam/Native.kt, and nothing but the conversion of types.
//
// It calls no Java code. A function that can fail returns NULL when it succeeds, and what went wrong as bytes when it does not (see `failed`). Numbers
// come out in a long[], texts as byte[] of UTF-8 in an array of one or two: JNI's own strings are "modified UTF-8", which writes emoji and
// U+0000 in another way. A float is the low 32 bits of a long. Where an exception is pending, a function returns at once, and Java throws it.
//
// Pointers are right because Handle.kt counts who uses them; texts that are a session's stay while they are copied as no other thread can use it.
#include <jni.h>
#include <stdlib.h>
#include <string.h>

#include "bantam.h"

#define UNUSED(x) (void)(x)
#define SELF JNIEnv *env, jclass self
// Handles travel as 64-bit numbers.
#define HANDLE(type, number) ((bantam_##type *)(intptr_t)(number))

static JavaVM *machine;

// ---- what went wrong

// 4 bytes of status, 8 of detail, big-endian, and the message.
static jbyteArray failed(JNIEnv *env, const bantam_error *e) {
    size_t text = strnlen(e->message, BANTAM_MESSAGE_BYTES);
    jbyte bytes[12 + BANTAM_MESSAGE_BYTES];
    for (int i = 0; i < 4; i++) bytes[i] = (jbyte)((uint32_t)e->status >> (24 - 8 * i));
    for (int i = 0; i < 8; i++) bytes[4 + i] = (jbyte)((uint64_t)e->detail >> (56 - 8 * i));
    memcpy(bytes + 12, e->message, text);
    jbyteArray array = (*env)->NewByteArray(env, (jsize)(12 + text));
    if (array == NULL) return NULL;
    (*env)->SetByteArrayRegion(env, array, 0, (jsize)(12 + text), bytes);
    return array;
}

static jbyteArray failed_here(JNIEnv *env, bantam_status status, const char *message) {
    bantam_error e = {.status = status};
    // The messages of this file are short.
    strncpy(e.message, message, BANTAM_MESSAGE_BYTES - 1);
    return failed(env, &e);
}

// What a call returned, with nothing to hand out.
#define RETURN(call)                                    \
    do {                                                \
        bantam_error e_ = {0};                          \
        bantam_status status_ = (call);                 \
        return status_ ? failed(env, with(&e_, status_)) : NULL; \
    } while (0)

static const bantam_error *with(bantam_error *e, bantam_status status) {
    // A call that failed without words still says what it was.
    e->status = status;
    return e;
}

// ---- in

// Bytes of a Java array with a 0 behind them, or NULL for none.
typedef struct {
    char *at;
    size_t count;
} bytes_in;

// A list of texts.
typedef struct {
    bantam_text *at;
    bytes_in *owned;
    size_t count;
} texts_in;

// All that is copied for one call, to be freed at its end. `error` is what the function has to return if `is_good` is 0.
typedef struct {
    JNIEnv *env;
    int is_good;
    jbyteArray error;
} reader;

static reader reading(JNIEnv *env) {
    return (reader){env, 1, NULL};
}

static void give_up(reader *r) {
    r->is_good = 0;
    if (!(*r->env)->ExceptionCheck(r->env)) r->error = failed_here(r->env, BANTAM_MEMORY, "no memory to copy an argument: free some, and call again");
}

static bytes_in read_bytes(reader *r, jbyteArray array) {
    bytes_in in = {NULL, 0};
    if (!r->is_good || array == NULL) return in;
    JNIEnv *env = r->env;
    jsize count = (*env)->GetArrayLength(env, array);
    char *at = malloc((size_t)count + 1);
    if (at == NULL) {
        give_up(r);
        return in;
    }
    (*env)->GetByteArrayRegion(env, array, 0, count, (jbyte *)at);
    if ((*env)->ExceptionCheck(env)) {
        free(at);
        give_up(r);
        return in;
    }
    at[count] = 0;
    return (bytes_in){at, (size_t)count};
}

static texts_in read_texts(reader *r, jobjectArray array) {
    texts_in in = {NULL, NULL, 0};
    if (!r->is_good || array == NULL) return in;
    JNIEnv *env = r->env;
    jsize count = (*env)->GetArrayLength(env, array);
    if (count == 0) return in;
    in.at = calloc((size_t)count, sizeof *in.at);
    in.owned = calloc((size_t)count, sizeof *in.owned);
    if (in.at == NULL || in.owned == NULL) {
        give_up(r);
        return in;
    }
    for (jsize i = 0; i < count && r->is_good; i++) {
        jbyteArray text = (*env)->GetObjectArrayElement(env, array, i);
        if ((*env)->ExceptionCheck(env)) {
            give_up(r);
            break;
        }
        in.owned[i] = read_bytes(r, text);
        (*env)->DeleteLocalRef(env, text);
        in.at[i] = (bantam_text){in.owned[i].at, in.owned[i].count};
        in.count++;
    }
    return in;
}

static void free_texts(texts_in in) {
    for (size_t i = 0; i < in.count; i++) free(in.owned[i].at);
    free(in.owned);
    free(in.at);
}

// The elements of an int[] or a float[]; NULL for none.
static void *read_words(reader *r, jarray array, int is_float, size_t *count) {
    *count = 0;
    if (!r->is_good || array == NULL) return NULL;
    JNIEnv *env = r->env;
    jsize n = (*env)->GetArrayLength(env, array);
    void *at = malloc((size_t)n * 4 + 4);
    if (at == NULL) {
        give_up(r);
        return NULL;
    }
    if (is_float) {
        (*env)->GetFloatArrayRegion(env, (jfloatArray)array, 0, n, at);
    } else {
        (*env)->GetIntArrayRegion(env, (jintArray)array, 0, n, at);
    }
    if ((*env)->ExceptionCheck(env)) {
        free(at);
        give_up(r);
        return NULL;
    }
    *count = (size_t)n;
    return at;
}

static uint32_t *read_tokens(reader *r, jintArray array, size_t *count) {
    return read_words(r, array, 0, count);
}

static void read_numbers(reader *r, jlongArray array, jlong *numbers, jsize count) {
    if (!r->is_good) return;
    (*r->env)->GetLongArrayRegion(r->env, array, 0, count, numbers);
    if ((*r->env)->ExceptionCheck(r->env)) give_up(r);
}

static float as_float(jlong number) {
    uint32_t bits = (uint32_t)number;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// ---- out

static jlong of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (jlong)bits;
}

static void put_numbers(JNIEnv *env, jlongArray out, const jlong *numbers, jsize count) {
    (*env)->SetLongArrayRegion(env, out, 0, count, numbers);
}

static void put_number(JNIEnv *env, jlongArray out, jlong number) {
    put_numbers(env, out, &number, 1);
}

static void put_handle(JNIEnv *env, jlongArray out, const void *handle) {
    put_number(env, out, (jlong)(intptr_t)handle);
}

static void put_object(JNIEnv *env, jobjectArray out, jsize i, jobject object) {
    (*env)->SetObjectArrayElement(env, out, i, object);
    if ((*env)->ExceptionCheck(env)) return;
    (*env)->DeleteLocalRef(env, object);
}

// Arrays have at most 2^31 - 1 elements: a larger one is the same as no memory for it.
static jsize java_size(size_t count) {
    return count > INT32_MAX ? INT32_MAX : (jsize)count;
}

static jbyteArray bytes_of(JNIEnv *env, const void *at, size_t count) {
    jbyteArray array = (*env)->NewByteArray(env, java_size(count));
    if (array == NULL) return NULL;
    if (count > 0) (*env)->SetByteArrayRegion(env, array, 0, java_size(count), at);
    return (*env)->ExceptionCheck(env) ? NULL : array;
}

static void put_bytes(JNIEnv *env, jobjectArray out, jsize i, const void *at, size_t count) {
    if ((*env)->ExceptionCheck(env)) return;
    jbyteArray array = bytes_of(env, at, count);
    if (array != NULL) put_object(env, out, i, array);
}

static void put_ints(JNIEnv *env, jobjectArray out, const uint32_t *at, size_t count) {
    jintArray array = (*env)->NewIntArray(env, java_size(count));
    if (array == NULL) return;
    if (count > 0) (*env)->SetIntArrayRegion(env, array, 0, java_size(count), (const jint *)at);
    if (!(*env)->ExceptionCheck(env)) put_object(env, out, 0, array);
}

static void put_floats(JNIEnv *env, jobjectArray out, const float *at, size_t count) {
    jfloatArray array = (*env)->NewFloatArray(env, java_size(count));
    if (array == NULL) return;
    if (count > 0) (*env)->SetFloatArrayRegion(env, array, 0, java_size(count), at);
    if (!(*env)->ExceptionCheck(env)) put_object(env, out, 0, array);
}

// ---- the library

static jint version_of_abi(SELF) {
    UNUSED(env), UNUSED(self);
    // The shim fits the header it was compiled with: the library has to be of the same.
    return bantam_abi_version() == BANTAM_ABI_VERSION ? (jint)bantam_abi_version() : -(jint)bantam_abi_version();
}

static jbyteArray version(SELF) {
    UNUSED(self);
    const char *text = bantam_version();
    return bytes_of(env, text, strlen(text));
}

static jint features(SELF) {
    UNUSED(env), UNUSED(self);
    return (jint)bantam_features();
}

static jbyteArray backend_name(SELF, jint i) {
    UNUSED(self);
    const char *text = bantam_backend_name((size_t)i);
    return text ? bytes_of(env, text, strlen(text)) : NULL;
}

static jint threads_default(SELF) {
    UNUSED(env), UNUSED(self);
    return (jint)bantam_threads_default();
}

static jlong memory_used(SELF) {
    UNUSED(env), UNUSED(self);
    return (jlong)bantam_memory_used();
}

static jlong memory_peak(SELF) {
    UNUSED(env), UNUSED(self);
    return (jlong)bantam_memory_peak();
}

static jbyteArray status_name(SELF, jint status) {
    UNUSED(self);
    const char *text = bantam_status_name(status);
    return bytes_of(env, text, strlen(text));
}

// Frees a handle: the kinds are those of Handle.kt.
static jint free_handle(SELF, jint kind, jlong handle) {
    UNUSED(env), UNUSED(self);
    switch (kind) {
        case 0: return bantam_cancel_free(HANDLE(cancel, handle));
        case 1: return bantam_model_free(HANDLE(model, handle));
        case 2: return bantam_grammar_free(HANDLE(grammar, handle));
        case 3: return bantam_session_free(HANDLE(session, handle));
        case 4: return bantam_chat_free(HANDLE(chat, handle));
        default: return BANTAM_ARGUMENT;
    }
}

// ---- cancel

static jbyteArray cancel_new(SELF, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    bantam_cancel *cancel = NULL;
    if (bantam_cancel_new(&cancel, &e)) return failed(env, &e);
    put_handle(env, out, cancel);
    return NULL;
}

static void cancel_set(SELF, jlong cancel) {
    UNUSED(env), UNUSED(self);
    bantam_cancel_set(HANDLE(cancel, cancel));
}

static void cancel_reset(SELF, jlong cancel) {
    UNUSED(env), UNUSED(self);
    bantam_cancel_reset(HANDLE(cancel, cancel));
}

static jboolean cancel_is_set(SELF, jlong cancel) {
    UNUSED(env), UNUSED(self);
    return bantam_cancel_is_set(HANDLE(cancel, cancel)) ? JNI_TRUE : JNI_FALSE;
}

// ---- models

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

// The last user of a buffer is gone, on some thread: usually one of Java's.
static void release_buffer(void *user) {
    JNIEnv *env = NULL;
    if ((*machine)->GetEnv(machine, (void **)&env, JNI_VERSION_1_6) == JNI_OK) {
        (*env)->DeleteGlobalRef(env, user);
        return;
    }
#ifdef __ANDROID__
    if ((*machine)->AttachCurrentThread(machine, &env, NULL) != JNI_OK) return;
#else
    if ((*machine)->AttachCurrentThread(machine, (void **)&env, NULL) != JNI_OK) return;
#endif
    (*env)->DeleteGlobalRef(env, user);
    (*machine)->DetachCurrentThread(machine);
}

static jbyteArray model_open_buffer(SELF, jobject buffer, jlong offset, jlong length, jbyteArray backend, jlong cancel, jlongArray out) {
    UNUSED(self);
    char *at = (*env)->GetDirectBufferAddress(env, buffer);
    if (at == NULL) return failed_here(env, BANTAM_ARGUMENT, "the buffer has no address: allocate or map a direct one");
    reader r = reading(env);
    bytes_in b = read_bytes(&r, backend);
    if (!r.is_good) return r.error;
    jobject kept = (*env)->NewGlobalRef(env, buffer);
    if (kept == NULL) {
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

// ---- sessions

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

// ---- answers

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

// ---- chats

static jbyteArray chat_new(SELF, jlong model, jbyteArray source, jbyteArray tools, jbyteArray variables, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in s = read_bytes(&r, source), t = read_bytes(&r, tools), v = read_bytes(&r, variables);
    bantam_chat_options options = {.struct_size = sizeof options,
                                   .template_source = s.at,
                                   .template_bytes = s.count,
                                   .tools = t.at,
                                   .tools_bytes = t.count,
                                   .variables = v.at,
                                   .variables_bytes = v.count};
    bantam_error e;
    bantam_chat *chat = NULL;
    bantam_status status = r.is_good ? bantam_chat_new(HANDLE(model, model), &options, &chat, &e) : BANTAM_OK;
    free(s.at);
    free(t.at);
    free(v.at);
    if (!r.is_good) return r.error;
    if (status) return failed(env, &e);
    put_handle(env, out, chat);
    return NULL;
}

static jbyteArray chat_add(SELF, jlong chat, jint role, jbyteArray text) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in t = read_bytes(&r, text);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_chat_add(HANDLE(chat, chat), role, t.at, t.count, &e);
    free(t.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray chat_add_json(SELF, jlong chat, jbyteArray messages) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in m = read_bytes(&r, messages);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_chat_add_json(HANDLE(chat, chat), m.at, m.count, &e);
    free(m.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray chat_add_answer(SELF, jlong chat, jbyteArray text, jboolean is_complete, jobjectArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in t = read_bytes(&r, text);
    if (!r.is_good) return r.error;
    bantam_error e;
    const char *json = NULL;
    size_t bytes = 0;
    bantam_status status = bantam_chat_add_answer(HANDLE(chat, chat), t.at, t.count, is_complete, &json, &bytes, &e);
    free(t.at);
    if (status) return failed(env, &e);
    put_bytes(env, out, 0, json, bytes);
    return NULL;
}

static jbyteArray chat_count(SELF, jlong chat, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    size_t count = 0, left_out = 0;
    if (bantam_chat_count(HANDLE(chat, chat), &count, &left_out, &e)) return failed(env, &e);
    jlong numbers[] = {(jlong)count, (jlong)left_out};
    put_numbers(env, out, numbers, 2);
    return NULL;
}

static jbyteArray chat_truncate(SELF, jlong chat, jlong count) {
    UNUSED(self);
    RETURN(bantam_chat_truncate(HANDLE(chat, chat), (size_t)count, &e_));
}

static jbyteArray chat_render(SELF, jlong chat, jobjectArray out) {
    UNUSED(self);
    bantam_error e;
    const char *text = NULL;
    size_t bytes = 0;
    if (bantam_chat_render(HANDLE(chat, chat), &text, &bytes, &e)) return failed(env, &e);
    put_bytes(env, out, 0, text, bytes);
    return NULL;
}

static jbyteArray chat_prompt(SELF, jlong chat, jlong session, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    size_t read = 0;
    bantam_status status = bantam_chat_prompt(HANDLE(chat, chat), HANDLE(session, session), &read, &e);
    put_number(env, out, (jlong)read);
    return status && !(*env)->ExceptionCheck(env) ? failed(env, &e) : NULL;
}

// `out` is 0 if anything goes.
static jbyteArray chat_grammar(SELF, jlong chat, jlong model, jbyteArray choice, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in c = read_bytes(&r, choice);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_grammar *grammar = NULL;
    bantam_status status = bantam_chat_grammar(HANDLE(chat, chat), HANDLE(model, model), c.at, c.count, &grammar, &e);
    free(c.at);
    if (status) return failed(env, &e);
    put_handle(env, out, grammar);
    return NULL;
}

// ---- names

#define NATIVE(name, signature, function) {(char *)(name), (char *)(signature), (void *)(function)}

static const JNINativeMethod natives[] = {
    NATIVE("abiVersion", "()I", version_of_abi),
    NATIVE("version", "()[B", version),
    NATIVE("features", "()I", features),
    NATIVE("backendName", "(I)[B", backend_name),
    NATIVE("threadsDefault", "()I", threads_default),
    NATIVE("memoryUsed", "()J", memory_used),
    NATIVE("memoryPeak", "()J", memory_peak),
    NATIVE("statusName", "(I)[B", status_name),
    NATIVE("free", "(IJ)I", free_handle),
    NATIVE("cancelNew", "([J)[B", cancel_new),
    NATIVE("cancelSet", "(J)V", cancel_set),
    NATIVE("cancelReset", "(J)V", cancel_reset),
    NATIVE("cancelIsSet", "(J)Z", cancel_is_set),
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
    NATIVE("sessionBegin", "(J[J[[B[IJ[J[[B[I[F[I)[B", session_begin),
    NATIVE("sessionNext", "(J[J[[B)[B", session_next),
    NATIVE("sessionSummary", "(J[J)[B", session_summary),
    NATIVE("chatNew", "(J[B[B[B[J)[B", chat_new),
    NATIVE("chatAdd", "(JI[B)[B", chat_add),
    NATIVE("chatAddJson", "(J[B)[B", chat_add_json),
    NATIVE("chatAddAnswer", "(J[BZ[[B)[B", chat_add_answer),
    NATIVE("chatCount", "(J[J)[B", chat_count),
    NATIVE("chatTruncate", "(JJ)[B", chat_truncate),
    NATIVE("chatRender", "(J[[B)[B", chat_render),
    NATIVE("chatPrompt", "(JJ[J)[B", chat_prompt),
    NATIVE("chatGrammar", "(JJ[B[J)[B", chat_grammar),
};

// Binds every function when the library is loaded: one that Native.kt lacks, or has with other types, is an error there and not at its first call.
JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved) {
    UNUSED(reserved);
    JNIEnv *env = NULL;
    machine = vm;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
    jclass class = (*env)->FindClass(env, "bantam/Native");
    if (class == NULL) return JNI_ERR;
    if ((*env)->RegisterNatives(env, class, natives, sizeof natives / sizeof *natives) != 0) return JNI_ERR;
    return JNI_VERSION_1_6;
}
