//! Floor 8. Answers: pulled from a session piece by piece, or handed to a function.

use core::ffi::{c_char, c_void};

use bantam::{GenerateOptions, Generator, Overflow, StopReason};

use crate::boundary::{Caller, call, call_back};
use crate::clock::Moment;
use crate::handle::boxed;
use crate::options::{Struct, flag, unused};
use crate::reading::check_logits;
use crate::sampler::{bantam_sampler_options, bantam_text, check_token, texts};
use crate::session::{OpenSession, bantam_session};
#[cfg(not(feature = "constrain"))]
use crate::status::BANTAM_UNSUPPORTED;
use crate::status::{BANTAM_STATE, Result, bantam_error, bantam_status, fail};

/// What answers may look like, compiled for the vocabulary of one model. Any number of answers may follow it.
pub struct bantam_grammar(());

/// The answer goes on.
pub const BANTAM_STOP_NONE: i32 = 0;
/// The model ended it. The token that did is no part of the text.
pub const BANTAM_STOP_END: i32 = 1;
/// One of the stop tokens came: its number among them is `stop_index`. It is no part of the text.
pub const BANTAM_STOP_TOKEN: i32 = 2;
/// One of the stop strings came: its number is `stop_index`. It is no part of the text.
pub const BANTAM_STOP_STRING: i32 = 3;
/// As many tokens came as were asked for; the last of them is shown.
pub const BANTAM_STOP_BUDGET: i32 = 4;
/// What the grammar describes is complete, and nothing may follow.
pub const BANTAM_STOP_COMPLETE: i32 = 5;
/// The context is full.
pub const BANTAM_STOP_CONTEXT_FULL: i32 = 6;
/// The cancel object was set, or the function that takes the pieces did not return 0.
pub const BANTAM_STOP_CANCELLED: i32 = 7;

/// How an answer begins, goes on and ends. Zeros mean defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_answer_options {
    /// sizeof(bantam_answer_options)
    pub struct_size: usize,
    /// How tokens are chosen; NULL is the default.
    pub sampler: *const bantam_sampler_options,
    /// The most tokens; 0 is as many as the context has room for, and with `shift` as many as come.
    pub max_tokens: usize,
    /// Texts that end it, also in the middle of a token.
    pub stop: *const bantam_text,
    /// How many.
    pub stop_count: usize,
    /// Tokens that end it, beside those that the model's metadata names.
    pub stop_tokens: *const u32,
    /// How many.
    pub stop_token_count: usize,
    /// What it has to look like; NULL is anything.
    pub grammar: *const bantam_grammar,
    /// 1 goes on behind the tokens that end an answer.
    pub ignore_end: i32,
    /// 1 forgets older tokens when the context is full, and goes on, in models that allow it; 0 ends the answer.
    pub shift: i32,
    /// Tokens at the start that are never forgotten so.
    pub shift_keep: usize,
    /// 1 guesses tokens ahead from what was said before, which is faster and changes nothing, in sessions with a `draft_max`.
    pub lookup: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: repr(C), a usize first, and integers and pointers of any bytes.
unsafe impl Struct for bantam_answer_options {
    const NAME: &'static str = "bantam_answer_options";
}

/// A piece of an answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_piece {
    /// sizeof(bantam_piece), set by the caller.
    pub struct_size: usize,
    /// Whole characters, UTF-8 without a 0 at its end; often those of the token, sometimes of several or of none. They are the session's, and
    /// stay until the next call with it.
    pub text: *const c_char,
    /// Bytes of them.
    pub text_bytes: usize,
    /// The token; -1 in a last piece that has none.
    pub token: i32,
    /// The natural logarithm of its probability, before biases, penalties, grammar and temperature: the model's own; 0 without a token.
    pub logprob: f32,
    /// The entropy of the model's distribution, in nats.
    pub entropy: f32,
    /// By how much the log-probability of the most likely token is above that of the second.
    pub margin: f32,
    /// BANTAM_STOP_...: what ended the answer, with this piece; BANTAM_STOP_NONE while it goes on.
    pub stop_reason: i32,
    /// Which stop string or stop token it was; -1 if it was none.
    pub stop_index: i32,
}

// SAFETY: repr(C), a usize first, and numbers and pointers of any bytes.
unsafe impl Struct for bantam_piece {
    const NAME: &'static str = "bantam_piece";
}

/// What an answer was.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_summary {
    /// sizeof(bantam_summary), set by the caller.
    pub struct_size: usize,
    /// BANTAM_STOP_...
    pub stop_reason: i32,
    /// Which stop string or stop token it was; -1 if it was none.
    pub stop_index: i32,
    /// 1 if it is one that its grammar describes, 0 if it is the beginning of one, -1 without a grammar or before its end.
    pub is_complete: i32,
    /// 0.
    pub reserved: i32,
    /// Tokens of the answer, the one that ended it included.
    pub tokens: u64,
    /// Microseconds that they took; what passed between two calls, or inside of the function that takes pieces, is not counted.
    pub answer_us: u64,
    /// Tokens that the last call read as a prompt.
    pub prompt_tokens: u64,
    /// Microseconds that took.
    pub prompt_us: u64,
    /// Tokens that were guessed.
    pub drafted: u64,
    /// Guesses that were right.
    pub accepted: u64,
    /// How often prompt and answer waited for a page of the model to be read.
    pub major_faults: u64,
    /// The mean of the tokens' log-probabilities: 0 is certain. These are the model's own, and 0 if there was no token.
    pub mean_logprob: f32,
    /// The least.
    pub min_logprob: f32,
    /// The 10 % quantile.
    pub logprob_q10: f32,
    /// The 25 % quantile.
    pub logprob_q25: f32,
    /// The mean of the entropies, in nats.
    pub mean_entropy: f32,
    /// 0.
    pub reserved2: i32,
}

// SAFETY: repr(C), a usize first, and numbers of any bytes.
unsafe impl Struct for bantam_summary {
    const NAME: &'static str = "bantam_summary";
}

/// Takes a piece of an answer; returns 0 to go on, anything else to end it. It is called on the thread that called the library, and may call
/// nothing of it but cancel objects.
pub type bantam_on_piece = Option<unsafe extern "C" fn(user: *mut c_void, piece: *const bantam_piece) -> i32>;

/// Begins an answer behind what the session holds, in place of one that is in progress. The tokens come with bantam_session_next.
///
/// Ownership: none taken; the session keeps copies of what the options point to. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY, BANTAM_CHANGED, BANTAM_UNSUPPORTED for a grammar in a library without
/// grammars, BANTAM_STATE if nothing was read yet, or nothing since a rewind: an answer in progress goes on then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_begin(
    session: *mut bantam_session,
    options: *const bantam_answer_options,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| caller.exclusive(session, |open| begin(caller, open, options));
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

fn begin(caller: Caller, open: &mut OpenSession, options: *const bantam_answer_options) -> Result<()> {
    let options = caller.options(options)?;
    unused(options.reserved, bantam_answer_options::NAME)?;
    check_logits(open.awake()?)?;
    open.session.check_files()?;
    let model = open.session.model();
    let sampler = crate::sampler::open(caller, model, options.sampler)?;
    let stop_tokens = caller.slice(options.stop_tokens, options.stop_token_count, "stop_tokens")?;
    stop_tokens.iter().try_for_each(|&token| check_token(model, token, "stop_tokens"))?;
    let generate = GenerateOptions {
        max_tokens: if options.max_tokens == 0 { usize::MAX } else { options.max_tokens },
        stop: &texts(caller, options.stop, options.stop_count, "stop")?,
        stop_tokens,
        ignore_end: flag(options.ignore_end, "ignore_end of bantam_answer_options")?,
        overflow: match flag(options.shift, "shift of bantam_answer_options")? {
            true => Overflow::Shift { keep: options.shift_keep },
            false => Overflow::Stop,
        },
    };
    let mut generator = Generator::new(model, open.session.context(), sampler, &generate)?;
    if flag(options.lookup, "lookup of bantam_answer_options")? {
        generator.set_drafter(Some(boxed(bantam::Lookup::new(), "looking guesses up")?));
    }
    if !options.grammar.is_null() {
        #[cfg(feature = "constrain")]
        generator.set_constraint(Some(boxed(
            caller.shared(options.grammar)?.rule(model)?,
            "following a grammar",
        )?));
        #[cfg(not(feature = "constrain"))]
        return Err(fail!(BANTAM_UNSUPPORTED, "this build has no grammars"));
    }
    let drafts = open.session.drafts();
    (open.times.drafted, open.times.accepted, open.times.answer_us) = (drafts.drafted, drafts.accepted, 0);
    open.generator = Some(generator);
    Ok(())
}

/// Pulls the next piece of the answer. The last one has a `stop_reason`; behind it there is none.
///
/// The session holds the answer up to its last token, which was drawn and not read, whatever ended the answer. Who goes on behind a budget decodes that
/// piece's `token` first, or would draw it once more.
///
/// Being cancelled ends an answer like anything else does: BANTAM_OK with BANTAM_STOP_CANCELLED. What the session holds then, it keeps.
///
/// Ownership: the text is the session's, and stays until the next call with it. Threads: one at a time.
/// Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_GRAMMAR, BANTAM_STATE if no answer is in progress: none was begun, it is over,
/// or another call gave it up; BANTAM_INCONSISTENT as bantam_session_sample.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_next(
    session: *mut bantam_session,
    piece: *mut bantam_piece,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.check_struct(piece)?;
        caller.exclusive(session, |open| caller.fill(piece, &next(open)?))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

fn next(open: &mut OpenSession) -> Result<bantam_piece> {
    open.awake()?;
    let none = || fail!(BANTAM_STATE, "no answer is in progress: begin one first");
    let generator = open.generator.as_mut().filter(|generator| generator.stop_reason().is_none());
    let generator = generator.ok_or_else(none)?;
    let (began, faults) = (Moment::now(), crate::clock::major_faults());
    let pulled = generator.next(&mut open.session)?;
    let mut piece = bantam_piece {
        struct_size: size_of::<bantam_piece>(),
        text: c"".as_ptr(),
        text_bytes: 0,
        token: -1,
        logprob: 0.0,
        entropy: 0.0,
        margin: 0.0,
        stop_reason: BANTAM_STOP_NONE,
        stop_index: -1,
    };
    if let Some(pulled) = pulled {
        (piece.text, piece.text_bytes) = (pulled.text.as_ptr().cast(), pulled.text.len());
        if let Some(choice) = pulled.choice {
            piece.token = i32::try_from(choice.token).unwrap_or(i32::MAX);
            (piece.logprob, piece.entropy, piece.margin) = (choice.logprob, choice.entropy, choice.margin);
        }
    }
    (piece.stop_reason, piece.stop_index) = stop_in_c(generator);
    open.times.answer_us += began.elapsed_us();
    open.times.major_faults += crate::clock::major_faults().saturating_sub(faults);
    Ok(piece)
}

fn stop_in_c(generator: &Generator) -> (i32, i32) {
    let index = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    match generator.stop_reason() {
        None => (BANTAM_STOP_NONE, -1),
        Some(StopReason::EndOfGeneration) => (BANTAM_STOP_END, -1),
        Some(StopReason::StopToken(token)) => {
            (BANTAM_STOP_TOKEN, generator.stop_token_index(token).map_or(-1, index))
        }
        Some(StopReason::StopString(which)) => (BANTAM_STOP_STRING, index(which)),
        Some(StopReason::TokenBudget) => (BANTAM_STOP_BUDGET, -1),
        Some(StopReason::Complete) => (BANTAM_STOP_COMPLETE, -1),
        Some(StopReason::ContextFull) => (BANTAM_STOP_CONTEXT_FULL, -1),
        // What this version cannot name ended the answer from outside.
        Some(_) => (BANTAM_STOP_CANCELLED, -1),
    }
}

/// Says what the last answer was, or what it is so far.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_STATE if there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_get_summary(
    session: *mut bantam_session,
    summary: *mut bantam_summary,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.check_struct(summary)?;
        caller.exclusive(session, |open| caller.fill(summary, &summarize(open)?))
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

fn summarize(open: &OpenSession) -> Result<bantam_summary> {
    let none = || fail!(BANTAM_STATE, "there was no answer: begin one first");
    let generator = open.generator.as_ref().ok_or_else(none)?;
    let (stop_reason, stop_index) = stop_in_c(generator);
    let drafts = open.session.drafts();
    let mut summary = bantam_summary {
        struct_size: size_of::<bantam_summary>(),
        stop_reason,
        stop_index,
        is_complete: generator.is_complete().map_or(-1, i32::from),
        reserved: 0,
        tokens: generator.drawn() as u64,
        answer_us: open.times.answer_us,
        prompt_tokens: open.times.prompt_tokens,
        prompt_us: open.times.prompt_us,
        drafted: drafts.drafted.saturating_sub(open.times.drafted),
        accepted: drafts.accepted.saturating_sub(open.times.accepted),
        major_faults: open.times.major_faults,
        mean_logprob: 0.0,
        min_logprob: 0.0,
        logprob_q10: 0.0,
        logprob_q25: 0.0,
        mean_entropy: 0.0,
        reserved2: 0,
    };
    if let Some(sure) = generator.confidence().summary() {
        (summary.mean_logprob, summary.min_logprob) = (sure.mean_logprob, sure.min_logprob);
        (summary.logprob_q10, summary.logprob_q25) = (sure.logprob_q10, sure.logprob_q25);
        summary.mean_entropy = sure.mean_entropy;
    }
    Ok(summary)
}

/// Begins an answer, hands all of its pieces to a function, and says what it was. The function may be NULL, and so may `summary`.
///
/// Being cancelled, or ended by the function, is BANTAM_OK with BANTAM_STOP_CANCELLED in the summary. The session keeps what it holds; an answer that
/// the function ended can be pulled on with bantam_session_next.
///
/// Ownership: a piece and its text are the library's, and stay while the function runs. Threads: one at a time; the function runs on the
/// calling thread. Errors: as bantam_session_begin and bantam_session_next.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_generate(
    session: *mut bantam_session,
    options: *const bantam_answer_options,
    on_piece: bantam_on_piece,
    user: *mut c_void,
    summary: *mut bantam_summary,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        if !summary.is_null() {
            caller.check_struct(summary)?;
        }
        caller.exclusive(session, |open| {
            begin(caller, open, options)?;
            let mut ended = false;
            loop {
                let piece = next(open)?;
                if let Some(on_piece) = on_piece {
                    // SAFETY: the caller's function, called as the header says.
                    ended = call_back(|| unsafe { on_piece(user, &piece) }) != 0;
                }
                if ended || piece.stop_reason != BANTAM_STOP_NONE {
                    break;
                }
            }
            if summary.is_null() {
                return Ok(());
            }
            let mut value = summarize(open)?;
            if ended && value.stop_reason == BANTAM_STOP_NONE {
                value.stop_reason = BANTAM_STOP_CANCELLED;
            }
            caller.fill(summary, &value)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}
