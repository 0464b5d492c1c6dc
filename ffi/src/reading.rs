//! Floor 8. What a session reads and forgets, and the logits behind it.

use core::ffi::c_char;

use bantam::Session;

use crate::boundary::{Caller, call};
use crate::session::{OpenSession, bantam_session};
use crate::status::{BANTAM_ARGUMENT, BANTAM_STATE, Result, bantam_error, bantam_status, fail};

/// Makes `tokens` what the session holds, and reads only those behind what it holds of them already: a prompt that shares its beginning
/// with the one before costs only the rest. `read`, which may be NULL, is how many were read, also when that was cancelled.
///
/// An answer in progress is given up.
///
/// Ownership: none taken. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_CONTEXT_FULL, BANTAM_CHANGED: the session holds what it held then. BANTAM_CANCELLED: call
/// again to read the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_prompt(
    session: *mut bantam_session,
    tokens: *const u32,
    count: usize,
    read: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let tokens = caller.slice(tokens, count, "the tokens")?;
        caller.exclusive(session, |open| prompt(caller, open, tokens, read))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Has a session hold a prompt.
pub(crate) fn prompt(caller: Caller, open: &mut OpenSession, tokens: &[u32], read: *mut usize) -> Result<()> {
    let read = caller.optional_out(read, "read")?;
    let shared = open.session.shared_prefix(tokens);
    open.generator = None;
    let (mut count, result) = open.timed(|session| session.prompt(tokens));
    if result.is_err() {
        count = open.session.position().saturating_sub(shared.min(tokens.len().saturating_sub(1)));
    }
    let cancelled = result.as_ref().is_err_and(|failure| failure.status == crate::status::BANTAM_CANCELLED);
    if let Some(read) = read.filter(|_| result.is_ok() || cancelled) {
        read.write(count);
    }
    result
}

/// As bantam_session_prompt, with a text: `flags` is a sum of BANTAM_TEXT_..., `text_bytes` may be BANTAM_NUL_TERMINATED.
///
/// Ownership: none taken. Threads: one at a time. Errors: as bantam_session_prompt and bantam_model_tokenize.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_prompt_text(
    session: *mut bantam_session,
    text: *const c_char,
    text_bytes: usize,
    flags: u32,
    read: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(session, |open| {
            let tokenizer = open.session.model().tokenizer();
            let tokens = crate::text::encode(caller, tokenizer, (text, text_bytes), flags)?;
            prompt(caller, open, &tokens, read)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Reads tokens behind those that the session holds. An answer in progress is given up.
///
/// Ownership: none taken. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_CONTEXT_FULL, BANTAM_CHANGED: the session holds what it held then. BANTAM_CANCELLED: its
/// position tells how many were read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_prefill(
    session: *mut bantam_session,
    tokens: *const u32,
    count: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let tokens = caller.slice(tokens, count, "the tokens")?;
        caller.exclusive(session, |open| {
            open.generator = None;
            open.timed(|session| session.prefill(tokens).map(|()| tokens.len())).1
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Reads one token, such as the one that bantam_session_sample chose. An answer in progress is given up.
///
/// Ownership: none taken. Threads: one at a time. Errors: as bantam_session_prefill.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_decode(
    session: *mut bantam_session,
    token: u32,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(session, |open| {
            open.generator = None;
            let session = open.awake()?;
            session.check_files()?;
            Ok(session.decode(token)?)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The most sessions that bantam_session_decode_together takes.
pub const BANTAM_TOGETHER_MAX: usize = 64;

/// Reads one token in each of several sessions of one model at once, `tokens[i]` in `sessions[i]`: the weights are read once for all. The first
/// session's threads and cancel object are used; open it with `together_max`. Answers in progress are given up.
///
/// Ownership: none taken. Threads: one at a time each.
/// Errors: as bantam_session_prefill. BANTAM_BUSY also if a session is there twice, BANTAM_ARGUMENT if they are of several models, have different
/// adapters, or are more than BANTAM_TOGETHER_MAX. BANTAM_CANCELLED: those that were through hold their tokens, the others what they held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_decode_together(
    sessions: *const *mut bantam_session,
    tokens: *const u32,
    count: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let sessions = caller.slice(sessions, count, "the sessions")?;
        let tokens = caller.slice(tokens, count, "the tokens")?;
        if count > BANTAM_TOGETHER_MAX {
            return Err(fail!(
                BANTAM_ARGUMENT,
                "{count} sessions, and at most {BANTAM_TOGETHER_MAX} at once"
            ));
        }
        caller.exclusive_all::<_, _, BANTAM_TOGETHER_MAX>(sessions, |open| {
            let mut all: [Option<&mut Session>; BANTAM_TOGETHER_MAX] = [const { None }; BANTAM_TOGETHER_MAX];
            let mut there = 0;
            for (one, open) in all.iter_mut().zip(open) {
                open.generator = None;
                *one = Some(open.awake()?);
                there += 1;
            }
            let all = core::ptr::from_mut(&mut all[..there]) as *mut [&mut Session];
            // SAFETY: the first `there` were set above, and an optional reference that is there is the reference.
            let all = unsafe { &mut *all };
            // They are of one model and have the same adapters, or it is an error.
            all.first().map_or(Ok(()), |first| first.check_files())?;
            Ok(Session::decode_together(all, tokens)?)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The tokens that the session holds.
///
/// Ownership: they are the session's, and stay until the next call that changes what it holds: reads, goes on with an answer, rewinds, shifts, restores,
/// copies into it, sets adapters, trims or frees. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_tokens(
    session: *mut bantam_session,
    tokens: *mut *const u32,
    count: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let (tokens, count) = (caller.out(tokens, "tokens")?, caller.out(count, "count")?);
        caller.exclusive(session, |open| {
            tokens.write(open.session.tokens().as_ptr());
            count.write(open.session.tokens().len());
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// The score of every token of the vocabulary as the next one.
///
/// Ownership: they are the session's, and stay until the next call that changes what it holds: reads, goes on with an answer, rewinds, shifts, restores,
/// copies into it, sets adapters, trims or frees. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STATE if nothing was read yet, or nothing since a rewind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_logits(
    session: *mut bantam_session,
    logits: *mut *const f32,
    count: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let (logits, count) = (caller.out(logits, "logits")?, caller.out(count, "count")?);
        caller.exclusive(session, |open| {
            let session = open.awake()?;
            check_logits(session)?;
            logits.write(session.logits().as_ptr());
            count.write(session.logits().len());
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// An error unless there are logits.
pub(crate) fn check_logits(session: &Session) -> Result<()> {
    if session.has_logits() {
        return Ok(());
    }
    Err(fail!(BANTAM_STATE, "there are no logits behind the last token: read one first"))
}

/// Forgets every token behind the first `position`. An answer in progress is given up.
///
/// The logits of the last token that is left are gone as well, so something has to be read before the next answer; bantam_session_prompt with what is held
/// reads its last token once more. Nothing is computed. In models with sliding windows (see `rewind_max` of the options), and in those that carry a state from token to token, the
/// next call may have to read tokens again that are held: then it takes that much longer.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT if it holds fewer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_rewind(
    session: *mut bantam_session,
    position: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(session, |open| {
            let held = open.session.position();
            if position > held {
                return Err(fail!(BANTAM_ARGUMENT, "the session holds {held} tokens, fewer than {position}"));
            }
            open.generator = None;
            open.session.rewind(position);
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Forgets `discard` tokens behind the first `keep`; those behind them move up, and an answer in progress goes on.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT if it does not hold so many, or if
/// layers of its model carry a state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_shift(
    session: *mut bantam_session,
    keep: usize,
    discard: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| caller.exclusive(session, |open| Ok(open.awake()?.shift(keep, discard)?));
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}
