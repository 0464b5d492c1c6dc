//! Floor 7. Text to tokens and back.

use alloc::vec::Vec;
use core::ffi::c_char;

use bantam::{EncodeOptions, Tokenizer};

use crate::boundary::{Caller, call};
use crate::model::bantam_model;
use crate::options::Struct;
use crate::status::{BANTAM_ARGUMENT, BANTAM_MEMORY, Result, bantam_error, bantam_status, fail};

/// Tokenising adds the tokens that begin and end a text, where the model wants them.
pub const BANTAM_TEXT_ADD_SPECIAL: u32 = 1;
/// Tokenising takes the texts of control tokens, such as `<|im_start|>`, for those tokens. Never do so for text from strangers: they
/// could end the turn and speak for someone else.
pub const BANTAM_TEXT_PARSE_SPECIAL: u32 = 2;
/// Detokenising shows control tokens as their text, instead of leaving them out.
pub const BANTAM_TEXT_SHOW_SPECIAL: u32 = 4;

/// Turns text into tokens: writes them to `tokens`, which has room for `capacity`, and their number to `count`.
///
/// `flags` is a sum of BANTAM_TEXT_...; `text_bytes` may be BANTAM_NUL_TERMINATED. There are never more tokens than bytes and 2 more.
///
/// Ownership: none taken. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_TOO_SMALL with the number of tokens as the detail: nothing is written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_tokenize(
    model: *const bantam_model,
    text: *const c_char,
    text_bytes: usize,
    flags: u32,
    tokens: *mut u32,
    capacity: usize,
    count: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let found = encode(caller, caller.shared(model)?.model.tokenizer(), (text, text_bytes), flags)?;
        caller.copy(&found, (tokens, capacity), count)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The tokens of a text of the caller's.
pub(crate) fn encode(
    caller: Caller,
    tokenizer: &Tokenizer,
    (text, bytes): (*const c_char, usize),
    flags: u32,
) -> Result<Vec<u32>> {
    let text = caller.text(text, bytes, "the text")?;
    check_flags(flags, BANTAM_TEXT_ADD_SPECIAL | BANTAM_TEXT_PARSE_SPECIAL)?;
    let options = EncodeOptions {
        add_special: flags & BANTAM_TEXT_ADD_SPECIAL != 0,
        parse_special: flags & BANTAM_TEXT_PARSE_SPECIAL != 0,
    };
    let mut tokens = Vec::new();
    tokenizer.encode(text, options, &mut tokens)?;
    Ok(tokens)
}

fn check_flags(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(fail!(BANTAM_ARGUMENT, "the flags have a bit that means nothing here: {unknown:#x}")),
    }
}

/// Turns tokens into text: writes it to `text`, which has room for `capacity` bytes, and its length to `text_bytes`. No 0 is added. Tokens
/// need not end where characters end, so it is UTF-8 only if all of an answer's are there.
///
/// `flags` is 0 or BANTAM_TEXT_SHOW_SPECIAL.
///
/// Ownership: none taken. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_MEMORY, BANTAM_TOO_SMALL with the length as the detail: nothing is written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_detokenize(
    model: *const bantam_model,
    tokens: *const u32,
    count: usize,
    flags: u32,
    text: *mut c_char,
    capacity: usize,
    text_bytes: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let tokenizer = caller.shared(model)?.model.tokenizer();
        let tokens = caller.slice(tokens, count, "the tokens")?;
        check_flags(flags, BANTAM_TEXT_SHOW_SPECIAL)?;
        let shows = flags & BANTAM_TEXT_SHOW_SPECIAL != 0;
        let mut bytes: Vec<u8> = Vec::new();
        for &token in tokens {
            let vocab_size = tokenizer.vocab_size();
            let missing =
                || fail!(BANTAM_ARGUMENT, "token {token} is outside the vocabulary of {vocab_size}");
            let text = tokenizer.token_bytes(token).ok_or_else(missing)?;
            let text = if shows { text } else { tokenizer.piece(token) };
            let needed = bytes.len() + text.len();
            let refused =
                |_| fail!(BANTAM_MEMORY, "the text of {count} tokens cannot be had").with_detail(needed);
            bytes.try_reserve(text.len()).map_err(refused)?;
            bytes.extend_from_slice(text);
        }
        caller.copy(&bytes, (text.cast(), capacity), text_bytes)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// A token of the vocabulary.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_token_info {
    /// sizeof(bantam_token_info), set by the caller.
    pub struct_size: usize,
    /// Its bytes, which may be a part of a character; for a control token its name. They are the model's.
    pub text: *const c_char,
    /// How many.
    pub text_bytes: usize,
    /// 1 if it is no text: it steers the model, or is an unused place.
    pub is_control: i32,
    /// 1 if an answer is over when it comes.
    pub is_end: i32,
}

// SAFETY: repr(C), a usize first, and integers and pointers of any bytes.
unsafe impl Struct for bantam_token_info {
    const NAME: &'static str = "bantam_token_info";
}

/// Says what a token is.
///
/// Ownership: the text is the model's, and stays as long as it does. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_STRUCT, BANTAM_ARGUMENT for a token outside the vocabulary.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_model_token(
    model: *const bantam_model,
    token: u32,
    info: *mut bantam_token_info,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let tokenizer = caller.shared(model)?.model.tokenizer();
        let vocab_size = tokenizer.vocab_size();
        let missing = || fail!(BANTAM_ARGUMENT, "token {token} is outside the vocabulary of {vocab_size}");
        let text = tokenizer.token_bytes(token).ok_or_else(missing)?;
        let value = bantam_token_info {
            struct_size: 0,
            text: text.as_ptr().cast(),
            text_bytes: text.len(),
            is_control: i32::from(tokenizer.is_control(token)),
            is_end: i32::from(tokenizer.is_end_of_generation(token)),
        };
        caller.fill(info, &value)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}
