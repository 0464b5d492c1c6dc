// The library itself, cancel switches, pools, how anything is freed, and where the shim begins.
#include "convert.h"

static jint version_of_abi(SELF) {
    (void)env, (void)self;
    // The shim fits the header it was compiled with: the library has to be of the same.
    return bantam_abi_version() == BANTAM_ABI_VERSION ? (jint)bantam_abi_version() : -(jint)bantam_abi_version();
}

// A text of the library's, or null.
static jbyteArray text_of(JNIEnv *env, const char *text) {
    return text ? bytes_of(env, text, strlen(text)) : NULL;
}

static jbyteArray version(SELF) {
    (void)self;
    return text_of(env, bantam_version());
}

static jint features(SELF) {
    (void)env, (void)self;
    return (jint)bantam_features();
}

static jbyteArray backend_name(SELF, jint i) {
    (void)self;
    return text_of(env, bantam_backend_name((size_t)i));
}

static jbyteArray cpu_feature(SELF, jint i) {
    (void)self;
    return text_of(env, bantam_cpu_feature((size_t)i));
}

static jint threads_default(SELF) {
    (void)env, (void)self;
    return (jint)bantam_threads_default();
}

static jlong memory_used(SELF) {
    (void)env, (void)self;
    return (jlong)bantam_memory_used();
}

static jlong memory_peak(SELF) {
    (void)env, (void)self;
    return (jlong)bantam_memory_peak();
}

// Frees a handle: the kinds are those of Handle.kt.
static jint free_handle(SELF, jint kind, jlong handle) {
    (void)env, (void)self;
    switch (kind) {
        case 0: return bantam_cancel_free(HANDLE(cancel, handle));
        case 1: return bantam_model_free(HANDLE(model, handle));
        case 2: return bantam_grammar_free(HANDLE(grammar, handle));
        case 3: return bantam_session_free(HANDLE(session, handle));
        case 4: return bantam_chat_free(HANDLE(chat, handle));
        case 5: return bantam_pool_free(HANDLE(pool, handle));
        case 6: return bantam_sampler_free(HANDLE(sampler, handle));
        case 7: return bantam_adapter_free(HANDLE(adapter, handle));
        case 8: return bantam_embedder_free(HANDLE(embedder, handle));
        default: return BANTAM_ARGUMENT;
    }
}

static jbyteArray cancel_new(SELF, jlongArray out) {
    FRAME;
    bantam_cancel *cancel = NULL;
    CALL(bantam_cancel_new(&cancel, ERROR));
    PUT(out, of_handle(cancel));
    END;
}

static void cancel_set(SELF, jlong cancel) {
    (void)env, (void)self;
    bantam_cancel_set(HANDLE(cancel, cancel));
}

static void cancel_reset(SELF, jlong cancel) {
    (void)env, (void)self;
    bantam_cancel_reset(HANDLE(cancel, cancel));
}

static jboolean cancel_is_set(SELF, jlong cancel) {
    (void)env, (void)self;
    return bantam_cancel_is_set(HANDLE(cancel, cancel)) ? JNI_TRUE : JNI_FALSE;
}

static jbyteArray pool_new(SELF, jlong threads, jlongArray out) {
    FRAME;
    bantam_pool_options options = {.struct_size = sizeof options, .threads = (size_t)threads};
    bantam_pool *pool = NULL;
    CALL(bantam_pool_new(&options, &pool, ERROR));
    PUT(out, of_handle(pool));
    END;
}

static jbyteArray pool_set_threads(SELF, jlong pool, jlong threads) {
    ONLY(bantam_pool_set_threads(HANDLE(pool, pool), (size_t)threads, ERROR));
}

static jbyteArray pool_set_priority(SELF, jlong pool, jint priority) {
    ONLY(bantam_pool_set_priority(HANDLE(pool, pool), priority, ERROR));
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("abiVersion", "()I", version_of_abi),
    NATIVE("version", "()[B", version),
    NATIVE("features", "()I", features),
    NATIVE("backendName", "(I)[B", backend_name),
    NATIVE("cpuFeature", "(I)[B", cpu_feature),
    NATIVE("threadsDefault", "()I", threads_default),
    NATIVE("memoryUsed", "()J", memory_used),
    NATIVE("memoryPeak", "()J", memory_peak),
    NATIVE("free", "(IJ)I", free_handle),
    NATIVE("cancelNew", "([J)[B", cancel_new),
    NATIVE("cancelSet", "(J)V", cancel_set),
    NATIVE("cancelReset", "(J)V", cancel_reset),
    NATIVE("cancelIsSet", "(J)Z", cancel_is_set),
    NATIVE("poolNew", "(J[J)[B", pool_new),
    NATIVE("poolSetThreads", "(JJ)[B", pool_set_threads),
    NATIVE("poolSetPriority", "(JI)[B", pool_set_priority),
};

NATIVES(library, table);

// Binds every function when the library is loaded: one that Native.kt lacks, or has with other types, is an error there and not at its first call.
JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved) {
    (void)reserved;
    JNIEnv *env = NULL;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
    jclass class = (*env)->FindClass(env, "bantam/Native");
    if (class == NULL) return JNI_ERR;
    const natives *all[] = {&natives_of_library, &natives_of_models,   &natives_of_sessions, &natives_of_answers,
                            &natives_of_chats,   &natives_of_adapters, &natives_of_embedders, &natives_of_logs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if ((*env)->RegisterNatives(env, class, all[i]->at, all[i]->count) != 0) return JNI_ERR;
    }
    return JNI_VERSION_1_6;
}
