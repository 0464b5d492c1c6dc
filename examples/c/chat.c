// A chat in a terminal: cc chat.c -lbantam, then ./chat MODEL. It answers line by line until its input ends.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bantam.h"

static bantam_cancel *cancel;

// A cancel object may be set anywhere, a signal handler included.
static void on_interrupt(int signal) {
    (void)signal;
    bantam_cancel_set(cancel);
}

static int fail(const bantam_error *e) {
    fprintf(stderr, "%s: %s\n", bantam_status_name(e->status), e->message);
    return 1;
}

// Shows an answer piece by piece, and adds it to the chat.
static bantam_status answer(bantam_chat *chat, bantam_session *session, bantam_error *e) {
    static char text[1 << 16];
    size_t bytes = 0;
    bantam_piece piece = {.struct_size = sizeof piece};
    bantam_status status = bantam_session_begin(session, NULL, e);
    while (status == BANTAM_OK && piece.stop_reason == BANTAM_STOP_NONE) {
        status = bantam_session_next(session, &piece, e);
        if (status != BANTAM_OK) break;
        fwrite(piece.text, 1, piece.text_bytes, stdout);
        fflush(stdout);
        if (bytes + piece.text_bytes <= sizeof text) {
            memcpy(text + bytes, piece.text, piece.text_bytes);
            bytes += piece.text_bytes;
        }
    }
    putchar('\n');
    if (status != BANTAM_OK) return status;
    int is_complete = piece.stop_reason == BANTAM_STOP_END;
    return bantam_chat_add_answer(chat, text, bytes, is_complete, NULL, NULL, e);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    bantam_error e;
    bantam_model *model = NULL;
    bantam_chat *chat = NULL;
    bantam_session *session = NULL;
    if (bantam_cancel_new(&cancel, &e)) return fail(&e);
    signal(SIGINT, on_interrupt);
    bantam_session_options options = {.struct_size = sizeof options, .cancel = cancel};
    if (bantam_model_open(argv[1], BANTAM_NUL_TERMINATED, NULL, &model, &e)) return fail(&e);
    if (bantam_session_open(model, &options, &session, &e)) return fail(&e);
    if (bantam_chat_new(model, NULL, &chat, &e)) return fail(&e);

    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        bantam_cancel_reset(cancel);
        if (bantam_chat_add(chat, BANTAM_ROLE_USER, line, BANTAM_NUL_TERMINATED, &e)) return fail(&e);
        bantam_status status = bantam_chat_prompt(chat, session, NULL, &e);
        if (status == BANTAM_OK) status = answer(chat, session, &e);
        if (status == BANTAM_CANCELLED) {
            puts("(stopped)");
        } else if (status != BANTAM_OK) {
            return fail(&e);
        }
    }

    bantam_chat_free(chat);
    bantam_session_free(session);
    bantam_model_free(model);
    bantam_cancel_free(cancel);
    return 0;
}
