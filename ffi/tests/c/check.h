// What the C tests share: checks that say where they failed, and the demo model.
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bantam.h"

// Threads of a test check at the same time.
static _Atomic int checks = 0;

#define CHECK(condition)                                                              \
    do {                                                                              \
        checks++;                                                                     \
        if (!(condition)) {                                                           \
            printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

// A call that has to return a status; what it said otherwise.
#define EXPECT(wanted, call)                                                          \
    do {                                                                              \
        bantam_error e_;                                                              \
        memset(&e_, 0, sizeof e_);                                                    \
        bantam_error *e = &e_;                                                        \
        bantam_status got_ = (call);                                                  \
        checks++;                                                                     \
        if (got_ != (wanted)) {                                                       \
            printf("%s:%d: %s is %s (%s), and not %s\n", __FILE__, __LINE__, #call,   \
                   bantam_status_name(got_), e_.message, bantam_status_name(wanted)); \
            exit(1);                                                                  \
        }                                                                             \
        if (got_ != BANTAM_OK && e_.status != 0) {                                    \
            CHECK(e_.status == got_ && e_.message[0] != 0);                           \
        }                                                                             \
        (void)e;                                                                      \
    } while (0)

#define OK(call) EXPECT(BANTAM_OK, call)

static inline bantam_model *open_model(const char *path) {
    bantam_model *model = NULL;
    OK(bantam_model_open(path, BANTAM_NUL_TERMINATED, NULL, &model, e));
    CHECK(model != NULL);
    return model;
}

static inline bantam_session *open_session(bantam_model *model, size_t context) {
    bantam_session_options options = {.struct_size = sizeof options, .context = context, .threads = 2};
    bantam_session *session = NULL;
    OK(bantam_session_open(model, &options, &session, e));
    return session;
}

// The tokens of a text, at most 256.
static inline size_t tokens_of(bantam_model *model, const char *text, uint32_t *tokens) {
    size_t count = 0;
    OK(bantam_model_tokenize(model, text, BANTAM_NUL_TERMINATED, BANTAM_TEXT_ADD_SPECIAL, tokens, 256, &count, e));
    return count;
}

#endif
