// Chats: messages in, prompts and grammars of tool calls out.
#include "convert.h"

static jbyteArray chat_new(SELF, jlong model, jbyteArray source, jbyteArray tools, jbyteArray variables, jlongArray out) {
    FRAME;
    bytes_in s = read_bytes(&f, source), t = read_bytes(&f, tools), v = read_bytes(&f, variables);
    bantam_chat_options options = {.struct_size = sizeof options,
                                   .template_source = s.at,
                                   .template_bytes = s.count,
                                   .tools = t.at,
                                   .tools_bytes = t.count,
                                   .variables = v.at,
                                   .variables_bytes = v.count};
    bantam_chat *chat = NULL;
    CALL(bantam_chat_new(HANDLE(model, model), &options, &chat, ERROR));
    PUT(out, of_handle(chat));
    END;
}

static jbyteArray chat_add(SELF, jlong chat, jint role, jbyteArray text) {
    FRAME;
    bytes_in t = read_bytes(&f, text);
    CALL(bantam_chat_add(HANDLE(chat, chat), role, t.at, t.count, ERROR));
    END;
}

static jbyteArray chat_add_json(SELF, jlong chat, jbyteArray messages) {
    FRAME;
    bytes_in m = read_bytes(&f, messages);
    CALL(bantam_chat_add_json(HANDLE(chat, chat), m.at, m.count, ERROR));
    END;
}

static jbyteArray chat_add_answer(SELF, jlong chat, jbyteArray text, jboolean is_complete, jobjectArray out) {
    FRAME;
    bytes_in t = read_bytes(&f, text);
    const char *json = NULL;
    size_t bytes = 0;
    CALL(bantam_chat_add_answer(HANDLE(chat, chat), t.at, t.count, is_complete, &json, &bytes, ERROR));
    put_bytes(&f, out, 0, json, bytes);
    END;
}

static jbyteArray chat_count(SELF, jlong chat, jlongArray out) {
    FRAME;
    size_t count = 0, left_out = 0;
    CALL(bantam_chat_count(HANDLE(chat, chat), &count, &left_out, ERROR));
    PUT(out, count, left_out);
    END;
}

static jbyteArray chat_truncate(SELF, jlong chat, jlong count) {
    ONLY(bantam_chat_truncate(HANDLE(chat, chat), (size_t)count, ERROR));
}

static jbyteArray chat_render(SELF, jlong chat, jobjectArray out) {
    FRAME;
    const char *text = NULL;
    size_t bytes = 0;
    CALL(bantam_chat_render(HANDLE(chat, chat), &text, &bytes, ERROR));
    put_bytes(&f, out, 0, text, bytes);
    END;
}

static jbyteArray chat_prompt(SELF, jlong chat, jlong session, jlongArray out) {
    FRAME;
    size_t read = 0;
    CALL(bantam_chat_prompt(HANDLE(chat, chat), HANDLE(session, session), &read, ERROR));
    PUT(out, read);
    END;
}

// `out` is 0 if anything goes.
static jbyteArray chat_grammar(SELF, jlong chat, jlong model, jbyteArray choice, jlongArray out) {
    FRAME;
    bytes_in c = read_bytes(&f, choice);
    bantam_grammar *grammar = NULL;
    CALL(bantam_chat_grammar(HANDLE(chat, chat), HANDLE(model, model), c.at, c.count, &grammar, ERROR));
    PUT(out, of_handle(grammar));
    END;
}

// ---- names

static const JNINativeMethod table[] = {
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

NATIVES(chats, table);
