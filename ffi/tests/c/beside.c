// libbantam.a beside another static library of Rust: each has its own copy of Rust's runtime, and none of the other's.
#include "check.h"

int other_half(int n);

int main(int count, char **arguments) {
    CHECK(count == 2 && other_half(42) == 21 && other_half(41) == -1);
    bantam_model *model = open_model(arguments[1]);
    bantam_session *session = open_session(model, 64);
    size_t read = 0;
    OK(bantam_session_prompt_text(session, "The capital of France is", BANTAM_NUL_TERMINATED, 0, &read, e));
    CHECK(read == 5 && other_half(41) == -1);
    OK(bantam_session_free(session));
    OK(bantam_model_free(model));
    printf("beside another library of Rust: %d checks\n", checks);
    return 0;
}
