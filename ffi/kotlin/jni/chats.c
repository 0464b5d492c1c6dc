// Chats: messages in, prompts and grammars of tool calls out.
#include "convert.h"

static jbyteArray chat_new(SELF, jlong model, jbyteArray source, jbyteArray tools, jbyteArray variables, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in s = read_bytes(&r, source), t = read_bytes(&r, tools), v = read_bytes(&r, variables);
    bantam_chat_options options = {.struct_size = sizeof options,
                                   .template_source = s.at,
                                   .template_bytes = s.count,
                                   .tools = t.at,
                                   .tools_bytes = t.count,
                                   .variables = v.at,
                                   .variables_bytes = v.count};
    bantam_error e;
    bantam_chat *chat = NULL;
    bantam_status status = r.is_good ? bantam_chat_new(HANDLE(model, model), &options, &chat, &e) : BANTAM_OK;
    free(s.at);
    free(t.at);
    free(v.at);
    if (!r.is_good) return r.error;
    if (status) return failed(env, &e);
    put_handle(env, out, chat);
    return NULL;
}

static jbyteArray chat_add(SELF, jlong chat, jint role, jbyteArray text) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in t = read_bytes(&r, text);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_chat_add(HANDLE(chat, chat), role, t.at, t.count, &e);
    free(t.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray chat_add_json(SELF, jlong chat, jbyteArray messages) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in m = read_bytes(&r, messages);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_status status = bantam_chat_add_json(HANDLE(chat, chat), m.at, m.count, &e);
    free(m.at);
    return status ? failed(env, &e) : NULL;
}

static jbyteArray chat_add_answer(SELF, jlong chat, jbyteArray text, jboolean is_complete, jobjectArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in t = read_bytes(&r, text);
    if (!r.is_good) return r.error;
    bantam_error e;
    const char *json = NULL;
    size_t bytes = 0;
    bantam_status status = bantam_chat_add_answer(HANDLE(chat, chat), t.at, t.count, is_complete, &json, &bytes, &e);
    free(t.at);
    if (status) return failed(env, &e);
    put_bytes(env, out, 0, json, bytes);
    return NULL;
}

static jbyteArray chat_count(SELF, jlong chat, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    size_t count = 0, left_out = 0;
    if (bantam_chat_count(HANDLE(chat, chat), &count, &left_out, &e)) return failed(env, &e);
    jlong numbers[] = {(jlong)count, (jlong)left_out};
    put_numbers(env, out, numbers, 2);
    return NULL;
}

static jbyteArray chat_truncate(SELF, jlong chat, jlong count) {
    UNUSED(self);
    RETURN(bantam_chat_truncate(HANDLE(chat, chat), (size_t)count, &e_));
}

static jbyteArray chat_render(SELF, jlong chat, jobjectArray out) {
    UNUSED(self);
    bantam_error e;
    const char *text = NULL;
    size_t bytes = 0;
    if (bantam_chat_render(HANDLE(chat, chat), &text, &bytes, &e)) return failed(env, &e);
    put_bytes(env, out, 0, text, bytes);
    return NULL;
}

static jbyteArray chat_prompt(SELF, jlong chat, jlong session, jlongArray out) {
    UNUSED(self);
    bantam_error e;
    size_t read = 0;
    bantam_status status = bantam_chat_prompt(HANDLE(chat, chat), HANDLE(session, session), &read, &e);
    put_number(env, out, (jlong)read);
    return status && !(*env)->ExceptionCheck(env) ? failed(env, &e) : NULL;
}

// `out` is 0 if anything goes.
static jbyteArray chat_grammar(SELF, jlong chat, jlong model, jbyteArray choice, jlongArray out) {
    UNUSED(self);
    reader r = reading(env);
    bytes_in c = read_bytes(&r, choice);
    if (!r.is_good) return r.error;
    bantam_error e;
    bantam_grammar *grammar = NULL;
    bantam_status status = bantam_chat_grammar(HANDLE(chat, chat), HANDLE(model, model), c.at, c.count, &grammar, &e);
    free(c.at);
    if (status) return failed(env, &e);
    put_handle(env, out, grammar);
    return NULL;
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
