//! Floor 8. Chats: messages in, prompts out.

use alloc::string::String;
use core::ffi::c_char;

use bantam::Model;
use bantam::chat::{Answer, ChatTemplate, Conversation, Message, Speaker, Tool};

use crate::boundary::{Caller, call};
use crate::handle::{Noun, create_at};
use crate::model::bantam_model;
use crate::options::{Struct, flag};
use crate::session::bantam_session;
use crate::status::{BANTAM_ARGUMENT, BANTAM_CONTEXT_FULL, bantam_error, bantam_status, fail};

/// The messages of a conversation, and how a model wants them to be written down.
pub struct bantam_chat(());

impl Noun for bantam_chat {
    const MAGIC: u32 = u32::from_le_bytes(*b"bcha");
    const NAME: &'static str = "the chat";
    type Inside = OpenChat;
}

/// What is behind a chat's handle.
pub(crate) struct OpenChat {
    model: Model,
    conversation: Conversation,
    /// The text that was last handed out.
    text: String,
}

/// How to make a chat. Zeros mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_chat_options {
    /// sizeof(bantam_chat_options)
    pub struct_size: usize,
    /// A template, in Jinja; NULL is that of the model's metadata.
    pub template_source: *const c_char,
    /// Bytes of it; 0 if it ends with a 0.
    pub template_bytes: usize,
    /// What the model may call: a JSON array as APIs in OpenAI's style have it; NULL is nothing.
    pub tools: *const c_char,
    /// Bytes of it; 0 if it ends with a 0.
    pub tools_bytes: usize,
    /// More variables of the template: a JSON object, {"enable_thinking": false}; NULL is none.
    pub variables: *const c_char,
    /// Bytes of them; 0 if they end with a 0.
    pub variables_bytes: usize,
}

// SAFETY: repr(C), a usize first, and integers and pointers of any bytes.
unsafe impl Struct for bantam_chat_options {
    const NAME: &'static str = "bantam_chat_options";
}

/// Who set the conversation up: how to answer.
pub const BANTAM_ROLE_SYSTEM: i32 = 1;
/// Who asks.
pub const BANTAM_ROLE_USER: i32 = 2;
/// The model.
pub const BANTAM_ROLE_ASSISTANT: i32 = 3;
/// What the model called.
pub const BANTAM_ROLE_TOOL: i32 = 4;

/// Makes a chat without messages.
///
/// Ownership: the caller frees it with bantam_chat_free; it keeps what it needs of the model. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_CHANGED, BANTAM_MEMORY, BANTAM_TEMPLATE if there is no template or it cannot be
/// parsed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_new(
    model: *const bantam_model,
    options: *const bantam_chat_options,
    out: *mut *mut bantam_chat,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        let options = caller.options(options)?;
        let model = caller.mapped(model)?.model.clone();
        let template =
            match caller.field(options.template_source, options.template_bytes, "template_source")? {
                Some(source) => ChatTemplate::with_tokens_of(&model, source)?,
                None => ChatTemplate::from_model(&model)?,
            };
        let mut conversation = Conversation::new(template);
        if let Some(tools) = caller.field(options.tools, options.tools_bytes, "tools")? {
            conversation.set_tools(Tool::list_from_json(tools)?);
        }
        if let Some(variables) = caller.field(options.variables, options.variables_bytes, "variables")? {
            conversation.set_variables(variables.into())?;
        }
        create_at(out, OpenChat { model, conversation, text: String::new() })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Adds a message: BANTAM_ROLE_..., and what is said. What users and tools say can name no control tokens.
///
/// Ownership: none taken; the chat keeps a copy. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_add(
    chat: *mut bantam_chat,
    role: i32,
    text: *const c_char,
    text_bytes: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let text = caller.text(text, text_bytes, "the message")?;
        let speaker = match role {
            BANTAM_ROLE_SYSTEM => Speaker::System,
            BANTAM_ROLE_USER => Speaker::User,
            BANTAM_ROLE_ASSISTANT => Speaker::Assistant,
            BANTAM_ROLE_TOOL => Speaker::Tool,
            _ => return Err(fail!(BANTAM_ARGUMENT, "there is no role {role}; they are 1 to 4")),
        };
        caller.exclusive(chat, |open| {
            open.conversation.push(Message::new(speaker, text));
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Adds the messages of a JSON array as APIs in OpenAI's style have them, with all of their fields. Content may be a list of parts, if all are texts.
///
/// Ownership: none taken; the chat keeps a copy. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_add_json(
    chat: *mut bantam_chat,
    messages: *const c_char,
    messages_bytes: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let messages = Message::list_from_json(caller.text(messages, messages_bytes, "the messages")?)?;
        caller.exclusive(chat, |open| {
            messages.into_iter().for_each(|message| open.conversation.push(message));
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Adds what the model answered, with thoughts and tool calls apart from the text. `is_complete` is 1 if BANTAM_STOP_END, _TOKEN, _STRING or
/// _COMPLETE ended it, and 0 for an answer that was cut off: a call that was only begun is left out then. The message comes out as JSON in OpenAI's style: {"role", "content", "reasoning_content", "tool_calls"}.
///
/// Ownership: the JSON is the chat's, and stays until the next call with it; both places for it may be NULL. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_add_answer(
    chat: *mut bantam_chat,
    text: *const c_char,
    text_bytes: usize,
    is_complete: i32,
    json: *mut *const c_char,
    json_bytes: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let text = caller.text(text, text_bytes, "the answer")?;
        let is_complete = flag(is_complete, "is_complete")?;
        let json = (caller.optional_out(json, "json")?, caller.optional_out(json_bytes, "json_bytes")?);
        caller.exclusive(chat, |open| {
            // Another one for each answer of the conversation.
            let salt = open.conversation.messages().len() as u64;
            let answer = open.conversation.read(text, is_complete, salt);
            open.text = to_json(&answer);
            open.conversation.push(answer.into());
            if let Some(start) = json.0 {
                start.write(open.text.as_ptr().cast());
            }
            if let Some(bytes) = json.1 {
                bytes.write(open.text.len());
            }
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The message of an answer, as APIs in OpenAI's style have it.
fn to_json(answer: &Answer) -> String {
    let mut message = serde_json::json!({ "role": "assistant", "content": answer.content });
    if let Some(reasoning) = &answer.reasoning {
        message["reasoning_content"] = reasoning.as_str().into();
    }
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().map(|call| {
            let function = serde_json::json!({ "name": call.name, "arguments": call.arguments });
            serde_json::json!({ "id": call.id, "type": "function", "function": function })
        });
        message["tool_calls"] = calls.collect();
    }
    serde_json::to_string(&message).unwrap_or_default()
}

/// How many messages there are, and how many of them are left out as the context has no room for them. Both may be NULL.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_count(
    chat: *mut bantam_chat,
    count: *mut usize,
    left_out: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let count = caller.optional_out(count, "count")?;
        let left_out = caller.optional_out(left_out, "left_out")?;
        caller.exclusive(chat, |open| {
            if let Some(count) = count {
                count.write(open.conversation.messages().len());
            }
            if let Some(left_out) = left_out {
                left_out.write(open.conversation.left_out());
            }
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Takes back all messages behind the first `count`; 0 begins anew.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_truncate(
    chat: *mut bantam_chat,
    count: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(chat, |open| {
            open.conversation.truncate(count);
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The conversation as the template writes it down, up to where the answer begins: to be shown. For a session use bantam_chat_prompt, which tells
/// control tokens from text that only looks like them.
///
/// Ownership: the text is the chat's, and stays until the next call with it. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_TEMPLATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_render(
    chat: *mut bantam_chat,
    text: *mut *const c_char,
    text_bytes: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let (start, bytes) = (caller.out(text, "text")?, caller.out(text_bytes, "text_bytes")?);
        caller.exclusive(chat, |open| {
            open.text = open.conversation.render()?;
            start.write(open.text.as_ptr().cast());
            bytes.write(open.text.len());
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Makes the conversation what the session holds, up to where the answer begins, and reads what of it is new; `read`, which may be NULL, is how
/// much. Oldest turns are left out if the context has no room for them. An answer in progress is given up.
///
/// Ownership: none taken. Threads: one at a time each. Errors: as bantam_session_prompt; BANTAM_TEMPLATE, BANTAM_ARGUMENT for a session of another
/// model, BANTAM_CONTEXT_FULL if the last message alone is too long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_prompt(
    chat: *mut bantam_chat,
    session: *mut bantam_session,
    read: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(chat, |chat| {
            caller.exclusive(session, |open| {
                if !open.session.model().is_same(&chat.model) {
                    return Err(fail!(BANTAM_ARGUMENT, "chat and session are of two models"));
                }
                let context = open.session.context();
                let tokens = chat.conversation.fitting_tokens(chat.model.tokenizer(), context)?;
                if tokens.len() >= context {
                    let count = tokens.len();
                    return Err(fail!(
                        BANTAM_CONTEXT_FULL,
                        "the last message takes {count} tokens with what comes before it, and the context holds {context}"
                    )
                    .with_detail(count));
                }
                crate::reading::prompt(caller, open, &tokens, read)
            })
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The grammar of answers that may call the chat's tools: `choice` is "auto", "required", "none", or the name of the tool that has to be called, once.
/// Every call is of a tool that there is, with arguments that its schema accepts, and none that it does not list unless it says `additionalProperties`.
/// `model` is that of the chat. `out` is NULL if anything goes.
///
/// Ownership: the caller frees it with bantam_grammar_free. Threads: one at a time.
/// Errors: BANTAM_BUSY, and as bantam_grammar_new; BANTAM_ARGUMENT also for a tool that there is none, and for another model.
#[cfg(feature = "constrain")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_grammar(
    chat: *mut bantam_chat,
    model: *const bantam_model,
    choice: *const c_char,
    choice_bytes: usize,
    out: *mut *mut crate::answer::bantam_grammar,
    error: *mut bantam_error,
) -> bantam_status {
    use bantam::chat::ToolChoice;

    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        let choice = ToolChoice::from_word(caller.text(choice, choice_bytes, "the choice")?);
        let model = caller.mapped(model)?;
        caller.exclusive(chat, |open| {
            if !model.model.is_same(&open.model) {
                return Err(fail!(BANTAM_ARGUMENT, "chat and model are of two models"));
            }
            let conversation = &open.conversation;
            let tokenizer = open.model.tokenizer();
            match conversation.call_syntax().grammar(tokenizer, conversation.tools(), choice, false)? {
                Some(grammar) => crate::grammar::compile(model, &grammar, out),
                None => {
                    out.write(core::ptr::null_mut());
                    Ok(())
                }
            }
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Frees a chat; NULL is none.
///
/// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_chat_free(chat: *mut bantam_chat) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(chat)) }
}
