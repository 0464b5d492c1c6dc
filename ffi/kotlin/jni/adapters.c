// Adapters: opened from anywhere, and what they are.
#include "convert.h"

static jbyteArray adapter_open_path(SELF, jlong model, jbyteArray path, jlongArray out) {
    FRAME;
    bytes_in p = read_bytes(&f, path);
    bantam_adapter *adapter = NULL;
    CALL(bantam_adapter_open(HANDLE(model, model), p.at, p.count, &adapter, ERROR));
    PUT(out, of_handle(adapter));
    END;
}

static jbyteArray adapter_open_fd(SELF, jlong model, jint fd, jlong offset, jlong length, jlongArray out) {
    FRAME;
    bantam_adapter *adapter = NULL;
    CALL(bantam_adapter_open_fd(HANDLE(model, model), fd, (uint64_t)offset, (uint64_t)length, &adapter, ERROR));
    PUT(out, of_handle(adapter));
    END;
}

static jbyteArray adapter_open_buffer(SELF, jlong model, jobject buffer, jlong offset, jlong length, jlongArray out) {
    FRAME;
    char *at = address_of(&f, buffer);
    lent *kept = lend(&f, buffer);
    bantam_adapter *adapter = NULL;
    CALL(bantam_adapter_open_memory(HANDLE(model, model), at + offset, (size_t)length, give_back, kept, &adapter, ERROR));
    PUT(out, of_handle(adapter));
    END;
}

static jbyteArray adapter_info(SELF, jlong adapter, jlongArray out) {
    FRAME;
    bantam_adapter_info i = {.struct_size = sizeof i};
    CALL(bantam_adapter_get_info(HANDLE(adapter, adapter), &i, ERROR));
    PUT(out, i.rank, i.matrices, i.fingerprint, of_float(i.alpha));
    END;
}

// ---- names

static const JNINativeMethod table[] = {
    NATIVE("adapterOpenPath", "(J[B[J)[B", adapter_open_path),
    NATIVE("adapterOpenFd", "(JIJJ[J)[B", adapter_open_fd),
    NATIVE("adapterOpenBuffer", "(JLjava/nio/ByteBuffer;JJ[J)[B", adapter_open_buffer),
    NATIVE("adapterInfo", "(J[J)[B", adapter_info),
};

NATIVES(adapters, table);
