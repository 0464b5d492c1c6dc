// What every file of the JNI shim is made of: arrays of Java's copied in and out, and what went wrong.
//
// The shim is bantam.h for bantam/Native.kt, and nothing but the conversion of types. It calls no Java code. A function that can fail returns NULL when
// it succeeds, and what went wrong as bytes when it does not (see `failed`). Numbers come out in a long[], texts as byte[] of UTF-8 in an array of one or
// two: JNI's own strings are "modified UTF-8", which writes emoji and U+0000 in another way. A float is the low 32 bits of a long. Where an exception is
// pending, a function returns at once, and Java throws it.
//
// Pointers are right because Handle.kt counts who uses them; texts that are a session's stay while they are copied as no other thread can use it.
#ifndef BANTAM_JNI_CONVERT_H
#define BANTAM_JNI_CONVERT_H

#include <jni.h>
#include <stdlib.h>
#include <string.h>

#include "bantam.h"

#define UNUSED(x) (void)(x)
#define SELF JNIEnv *env, jclass self
// Handles travel as 64-bit numbers.
#define HANDLE(type, number) ((bantam_##type *)(intptr_t)(number))

// The functions of one file, as Native.kt declares them: name, types, address.
typedef struct {
    const JNINativeMethod *at;
    jint count;
} natives;

extern const natives natives_of_library, natives_of_models, natives_of_sessions, natives_of_answers, natives_of_chats;

#define NATIVE(name, signature, function) {(char *)(name), (char *)(signature), (void *)(function)}
#define NATIVES(noun, table) const natives natives_of_##noun = {table, sizeof table / sizeof *table}

// ---- what went wrong

// 4 bytes of status, 8 of detail, big-endian, and the message.
static inline jbyteArray failed(JNIEnv *env, const bantam_error *e) {
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

static inline jbyteArray failed_here(JNIEnv *env, bantam_status status, const char *message) {
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

static inline const bantam_error *with(bantam_error *e, bantam_status status) {
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

static inline reader reading(JNIEnv *env) {
    return (reader){env, 1, NULL};
}

static inline void give_up(reader *r) {
    r->is_good = 0;
    if (!(*r->env)->ExceptionCheck(r->env)) r->error = failed_here(r->env, BANTAM_MEMORY, "no memory to copy an argument: free some, and call again");
}

static inline bytes_in read_bytes(reader *r, jbyteArray array) {
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

static inline texts_in read_texts(reader *r, jobjectArray array) {
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

static inline void free_texts(texts_in in) {
    for (size_t i = 0; i < in.count; i++) free(in.owned[i].at);
    free(in.owned);
    free(in.at);
}

// The elements of an int[] or a float[]; NULL for none.
static inline void *read_words(reader *r, jarray array, int is_float, size_t *count) {
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

static inline uint32_t *read_tokens(reader *r, jintArray array, size_t *count) {
    return read_words(r, array, 0, count);
}

static inline void read_numbers(reader *r, jlongArray array, jlong *numbers, jsize count) {
    if (!r->is_good) return;
    (*r->env)->GetLongArrayRegion(r->env, array, 0, count, numbers);
    if ((*r->env)->ExceptionCheck(r->env)) give_up(r);
}

static inline float as_float(jlong number) {
    uint32_t bits = (uint32_t)number;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// ---- out

static inline jlong of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (jlong)bits;
}

static inline void put_numbers(JNIEnv *env, jlongArray out, const jlong *numbers, jsize count) {
    (*env)->SetLongArrayRegion(env, out, 0, count, numbers);
}

static inline void put_number(JNIEnv *env, jlongArray out, jlong number) {
    put_numbers(env, out, &number, 1);
}

static inline void put_handle(JNIEnv *env, jlongArray out, const void *handle) {
    put_number(env, out, (jlong)(intptr_t)handle);
}

static inline void put_object(JNIEnv *env, jobjectArray out, jsize i, jobject object) {
    (*env)->SetObjectArrayElement(env, out, i, object);
    if ((*env)->ExceptionCheck(env)) return;
    (*env)->DeleteLocalRef(env, object);
}

// Arrays have at most 2^31 - 1 elements: a larger one is the same as no memory for it.
static inline jsize java_size(size_t count) {
    return count > INT32_MAX ? INT32_MAX : (jsize)count;
}

static inline jbyteArray bytes_of(JNIEnv *env, const void *at, size_t count) {
    jbyteArray array = (*env)->NewByteArray(env, java_size(count));
    if (array == NULL) return NULL;
    if (count > 0) (*env)->SetByteArrayRegion(env, array, 0, java_size(count), at);
    return (*env)->ExceptionCheck(env) ? NULL : array;
}

static inline void put_bytes(JNIEnv *env, jobjectArray out, jsize i, const void *at, size_t count) {
    if ((*env)->ExceptionCheck(env)) return;
    jbyteArray array = bytes_of(env, at, count);
    if (array != NULL) put_object(env, out, i, array);
}

static inline void put_ints(JNIEnv *env, jobjectArray out, const uint32_t *at, size_t count) {
    jintArray array = (*env)->NewIntArray(env, java_size(count));
    if (array == NULL) return;
    if (count > 0) (*env)->SetIntArrayRegion(env, array, 0, java_size(count), (const jint *)at);
    if (!(*env)->ExceptionCheck(env)) put_object(env, out, 0, array);
}

static inline void put_floats(JNIEnv *env, jobjectArray out, const float *at, size_t count) {
    jfloatArray array = (*env)->NewFloatArray(env, java_size(count));
    if (array == NULL) return;
    if (count > 0) (*env)->SetFloatArrayRegion(env, array, 0, java_size(count), at);
    if (!(*env)->ExceptionCheck(env)) put_object(env, out, 0, array);
}

#endif
