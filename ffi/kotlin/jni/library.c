// The library itself, cancel switches, how anything is freed, and where the shim begins.
#include "convert.h"

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

// ---- names

static const JNINativeMethod table[] = {
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
};

NATIVES(library, table);

// Binds every function when the library is loaded: one that Native.kt lacks, or has with other types, is an error there and not at its first call.
JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved) {
    UNUSED(reserved);
    JNIEnv *env = NULL;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
    jclass class = (*env)->FindClass(env, "bantam/Native");
    if (class == NULL) return JNI_ERR;
    const natives *all[] = {&natives_of_library, &natives_of_models, &natives_of_sessions, &natives_of_answers, &natives_of_chats};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if ((*env)->RegisterNatives(env, class, all[i]->at, all[i]->count) != 0) return JNI_ERR;
    }
    return JNI_VERSION_1_6;
}
