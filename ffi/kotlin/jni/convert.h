// What every file of the JNI shim is made of: the frame of a call, and arrays of Java's copied in and out.
//
// The shim is bantam.h for bantam/Native.kt, and nothing but the conversion of types. It calls no Java code. A function that can fail has one shape:
//
//     static jbyteArray name(SELF, jlong object, jbyteArray text, jlongArray out) {
//         FRAME;
//         bytes_in t = read_bytes(&f, text);              copies, which the frame frees
//         size_t count = 0;
//         CALL(bantam_...(HANDLE(...), t.at, t.count, &count, ERROR));
//         PUT(out, count);
//         END;                                            NULL, or what went wrong as bytes
//     }
//
// Once something went wrong, a pending exception included, the lines that follow do nothing. Numbers come out in a long[], texts as byte[] of UTF-8 in an
// array of one or two: JNI's own strings are "modified UTF-8", which writes emoji and U+0000 in another way. A float is the low 32 bits of a long.
//
// Pointers are right because Handle.kt counts who uses them; texts that are a session's stay while they are copied as no other thread can use it.
#ifndef BANTAM_JNI_CONVERT_H
#define BANTAM_JNI_CONVERT_H

#include <jni.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bantam.h"

#define SELF JNIEnv *env, jclass self
// Handles travel as 64-bit numbers.
#define HANDLE(type, number) ((bantam_##type *)(intptr_t)(number))

// The functions of one file, as Native.kt declares them: name, types, address.
typedef struct {
    const JNINativeMethod *at;
    jint count;
} natives;

extern const natives natives_of_library, natives_of_models, natives_of_sessions, natives_of_answers, natives_of_chats, natives_of_adapters, natives_of_embedders,
    natives_of_logs;

// Keeps a line of the log until Java takes it.
void keep_line(void *user, const char *text, size_t bytes);

#define NATIVE(name, signature, function) {(char *)(name), (char *)(signature), (void *)(function)}
#define NATIVES(noun, table) const natives natives_of_##noun = {table, sizeof table / sizeof *table}

// ---- the frame of a call

// Memory of a frame's own.
typedef struct block {
    struct block *next;
    max_align_t bytes[];
} block;

// A call in progress: what it said, and what is freed at its end. `is_good` is 0 once something went wrong.
typedef struct {
    JNIEnv *env;
    bantam_error error;
    block *blocks;
    int is_good;
} frame;

#define FRAME                                 \
    (void)self;                               \
    frame f = {.env = env, .is_good = 1}
#define ERROR (&f.error)
#define CALL(call)                                                 \
    do {                                                           \
        if (f.is_good) called(&f, (call));                         \
    } while (0)
#define END return ended(&f)
// A call with nothing to copy in or to hand out.
#define ONLY(call) \
    FRAME;         \
    CALL(call);    \
    END

static inline void called(frame *f, bantam_status status) {
    f->is_good = status == BANTAM_OK;
    // A call that failed without words still says what it was.
    f->error.status = status;
}

static inline void fail(frame *f, bantam_status status, const char *message) {
    if (!f->is_good) return;
    f->is_good = 0;
    f->error.status = status;
    strncpy(f->error.message, message, BANTAM_MESSAGE_BYTES - 1);
}

// Looks for an exception after a call of JNI's; Java throws it when the shim returns.
static inline int is_good(frame *f) {
    if (f->is_good && (*f->env)->ExceptionCheck(f->env)) f->is_good = 0;
    return f->is_good;
}

// Frees what the frame has. What went wrong is 4 bytes of status, 8 of detail, big-endian, and the message.
static inline jbyteArray ended(frame *f) {
    while (f->blocks != NULL) {
        block *next = f->blocks->next;
        free(f->blocks);
        f->blocks = next;
    }
    if (f->is_good || (*f->env)->ExceptionCheck(f->env)) return NULL;
    size_t text = strnlen(f->error.message, BANTAM_MESSAGE_BYTES);
    jbyte bytes[12 + BANTAM_MESSAGE_BYTES];
    for (int i = 0; i < 4; i++) bytes[i] = (jbyte)((uint32_t)f->error.status >> (24 - 8 * i));
    for (int i = 0; i < 8; i++) bytes[4 + i] = (jbyte)((uint64_t)f->error.detail >> (56 - 8 * i));
    memcpy(bytes + 12, f->error.message, text);
    jbyteArray array = (*f->env)->NewByteArray(f->env, (jsize)(12 + text));
    if (array != NULL) (*f->env)->SetByteArrayRegion(f->env, array, 0, (jsize)(12 + text), bytes);
    return array;
}

// Room for `count` things, zeros, until the call ends; NULL if something went wrong.
static inline void *room(frame *f, size_t count, size_t bytes) {
    if (!f->is_good) return NULL;
    block *new = count < (SIZE_MAX - sizeof *new) / bytes ? calloc(1, sizeof *new + count * bytes) : NULL;
    if (new == NULL) {
        fail(f, BANTAM_MEMORY, "no memory to copy what is handed over: free some, and call again");
        return NULL;
    }
    new->next = f->blocks;
    f->blocks = new;
    return new->bytes;
}

// Has a call that found its buffer too short be made again: with so much room as it asked for, which `capacity` is then.
static inline int is_too_small(frame *f, size_t *capacity) {
    if (f->is_good || f->error.status != BANTAM_TOO_SMALL) return 0;
    *capacity = (size_t)f->error.detail;
    f->is_good = 1;
    return 1;
}

// ---- in

// Bytes of a Java array with a 0 behind them, or NULL for none.
typedef struct {
    char *at;
    size_t count;
} bytes_in;

// Elements of an int[], a long[] or a float[].
typedef struct {
    void *at;
    size_t count;
} words_in;

// A list of texts.
typedef struct {
    bantam_text *at;
    size_t count;
} texts_in;

static inline size_t length(frame *f, jarray array) {
    return f->is_good && array != NULL ? (size_t)(*f->env)->GetArrayLength(f->env, array) : 0;
}

static inline bytes_in read_bytes(frame *f, jbyteArray array) {
    size_t count = length(f, array);
    char *at = array == NULL ? NULL : room(f, count + 1, 1);
    if (at != NULL) (*f->env)->GetByteArrayRegion(f->env, array, 0, (jsize)count, (jbyte *)at);
    return is_good(f) ? (bytes_in){at, count} : (bytes_in){NULL, 0};
}

static inline texts_in read_texts(frame *f, jobjectArray array) {
    size_t count = length(f, array);
    bantam_text *at = array == NULL ? NULL : room(f, count, sizeof *at);
    for (size_t i = 0; i < count && f->is_good; i++) {
        jbyteArray text = (*f->env)->GetObjectArrayElement(f->env, array, (jsize)i);
        if (!is_good(f)) break;
        bytes_in bytes = read_bytes(f, text);
        (*f->env)->DeleteLocalRef(f->env, text);
        at[i] = (bantam_text){bytes.at, bytes.count};
    }
    return is_good(f) ? (texts_in){at, count} : (texts_in){NULL, 0};
}

static inline words_in read_ints(frame *f, jintArray array) {
    words_in in = {NULL, length(f, array)};
    in.at = room(f, in.count, sizeof(jint));
    if (in.at != NULL && in.count > 0) (*f->env)->GetIntArrayRegion(f->env, array, 0, (jsize)in.count, in.at);
    return is_good(f) ? in : (words_in){NULL, 0};
}

static inline words_in read_floats(frame *f, jfloatArray array) {
    words_in in = {NULL, length(f, array)};
    in.at = room(f, in.count, sizeof(jfloat));
    if (in.at != NULL && in.count > 0) (*f->env)->GetFloatArrayRegion(f->env, array, 0, (jsize)in.count, in.at);
    return is_good(f) ? in : (words_in){NULL, 0};
}

// Pointers of handles.
static inline words_in read_handles(frame *f, jlongArray array) {
    words_in in = {NULL, length(f, array)};
    jlong *numbers = room(f, in.count, sizeof *numbers);
    void **at = room(f, in.count, sizeof *at);
    if (at != NULL && in.count > 0) (*f->env)->GetLongArrayRegion(f->env, array, 0, (jsize)in.count, numbers);
    if (!is_good(f)) return (words_in){NULL, 0};
    for (size_t i = 0; i < in.count; i++) at[i] = (void *)(intptr_t)numbers[i];
    in.at = at;
    return in;
}

// The numbers of an options object, as many as its class hands over.
static inline void read_numbers(frame *f, jlongArray array, jlong *numbers, size_t count) {
    if (!f->is_good) return;
    (*f->env)->GetLongArrayRegion(f->env, array, 0, (jsize)count, numbers);
    is_good(f);
}
#define NUMBERS(count, array)  \
    jlong n[count] = {0};      \
    read_numbers(f, array, n, count)

static inline float as_float(jlong number) {
    uint32_t bits = (uint32_t)number;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---- lent

// A direct buffer that C keeps, and the machine that it is of.
typedef struct {
    JavaVM *machine;
    jobject buffer;
} lent;

// The last user of a buffer is gone, on some thread: usually one of Java's.
static inline void give_back(void *user) {
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

// Where a direct buffer begins.
static inline char *address_of(frame *f, jobject buffer) {
    char *at = f->is_good ? (*f->env)->GetDirectBufferAddress(f->env, buffer) : NULL;
    if (at == NULL) fail(f, BANTAM_ARGUMENT, "the buffer has no address: allocate or map a direct one");
    return at;
}

// Keeps a buffer until `give_back` is called with what comes out.
static inline lent *lend(frame *f, jobject buffer) {
    if (!f->is_good) return NULL;
    lent *kept = malloc(sizeof *kept);
    if (kept == NULL || (*f->env)->GetJavaVM(f->env, &kept->machine) != JNI_OK || (kept->buffer = (*f->env)->NewGlobalRef(f->env, buffer)) == NULL) {
        free(kept);
        fail(f, BANTAM_MEMORY, "no memory for a reference to the buffer: free some, and call again");
        return NULL;
    }
    return kept;
}

// ---- out

static inline jlong of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (jlong)bits;
}

static inline jlong of_double(double value) {
    jlong bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline jlong of_handle(const void *handle) {
    return (jlong)(intptr_t)handle;
}

static inline void put_numbers(frame *f, jlongArray out, const jlong *numbers, size_t count) {
    if (!f->is_good) return;
    (*f->env)->SetLongArrayRegion(f->env, out, 0, (jsize)count, numbers);
    is_good(f);
}
// Hands out numbers.
#define PUT(out, ...)                                                   \
    do {                                                                \
        const jlong put_[] = {__VA_ARGS__};                             \
        put_numbers(&f, out, put_, sizeof put_ / sizeof *put_);         \
    } while (0)

static inline void put_object(frame *f, jobjectArray out, jsize i, jobject object) {
    if (!is_good(f)) return;
    (*f->env)->SetObjectArrayElement(f->env, out, i, object);
    if (is_good(f)) (*f->env)->DeleteLocalRef(f->env, object);
}

// Arrays have at most 2^31 - 1 elements: a larger one is the same as no memory for it.
static inline jsize java_size(size_t count) {
    return count > INT32_MAX ? INT32_MAX : (jsize)count;
}

static inline jbyteArray bytes_of(JNIEnv *env, const void *at, size_t count) {
    jbyteArray array = (*env)->NewByteArray(env, java_size(count));
    if (array != NULL && count > 0) (*env)->SetByteArrayRegion(env, array, 0, java_size(count), at);
    return array;
}

static inline void put_bytes(frame *f, jobjectArray out, jsize i, const void *at, size_t count) {
    if (f->is_good) put_object(f, out, i, bytes_of(f->env, at, count));
}

static inline void put_ints(frame *f, jobjectArray out, const uint32_t *at, size_t count) {
    if (!f->is_good) return;
    jintArray array = (*f->env)->NewIntArray(f->env, java_size(count));
    if (array != NULL && count > 0) (*f->env)->SetIntArrayRegion(f->env, array, 0, java_size(count), (const jint *)at);
    put_object(f, out, 0, array);
}

static inline void put_floats(frame *f, jobjectArray out, const float *at, size_t count) {
    if (!f->is_good) return;
    jfloatArray array = (*f->env)->NewFloatArray(f->env, java_size(count));
    if (array != NULL && count > 0) (*f->env)->SetFloatArrayRegion(f->env, array, 0, java_size(count), at);
    put_object(f, out, 0, array);
}

#endif
