// Two versions of the library in one program: this file is compiled with each one's header, and as main, which asks both for the tokens of a text.
#include "check.h"

#ifdef VERSION
size_t VERSION(const char *path);
size_t VERSION(const char *path) {
    uint32_t tokens[256];
    bantam_model *model = open_model(path);
    size_t count = tokens_of(model, "The capital of France is", tokens);
    OK(bantam_model_free(model));
    return count;
}
#else
size_t one(const char *path);
size_t two(const char *path);
int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(one(argv[1]) == 5 && two(argv[1]) == 5);
    printf("two versions in one program: %d checks\n", checks);
    return 0;
}
#endif
