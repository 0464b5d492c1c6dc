//! Floor 8. Choosing tokens by hand.

use bantam::{Choice, TokenLogprob};

use crate::boundary::{Caller, Plain, call};
use crate::options::Struct;
use crate::reading::check_logits;
use crate::sampler::bantam_sampler;
use crate::session::bantam_session;
use crate::status::{bantam_error, bantam_status};

/// A token that was chosen. The numbers are the model's own: before biases, penalties, grammars and temperature.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_choice {
    /// sizeof(bantam_choice), set by the caller.
    pub struct_size: usize,
    /// The token.
    pub token: u32,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// The entropy of the distribution, in nats.
    pub entropy: f32,
    /// By how much the log-probability of the most likely token is above that of the second.
    pub margin: f32,
}

// SAFETY: repr(C), and numbers of any bytes.
unsafe impl Struct for bantam_choice {
    const NAME: &'static str = "bantam_choice";
}

/// Chooses the next token; it is not read yet.
///
/// Ownership: none taken. Threads: one at a time each. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_STATE if nothing was
/// read yet, or nothing since a rewind; BANTAM_INCONSISTENT if no token has a logit that is a number, as damaged weights make them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_sample(
    session: *mut bantam_session,
    sampler: *mut bantam_sampler,
    choice: *mut bantam_choice,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.check_struct(choice)?;
        caller.exclusive(session, |open| {
            caller.exclusive(sampler, |sampler| {
                let session = open.awake()?;
                check_logits(session)?;
                let Choice { token, logprob, entropy, margin, .. } = session.choose(sampler, None)?;
                caller.fill(choice, &bantam_choice { struct_size: 0, token, logprob, entropy, margin })
            })
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// A token and the natural logarithm of its probability.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_token_logprob {
    /// The token.
    pub token: u32,
    /// The logarithm.
    pub logprob: f32,
}

/// The most likely tokens at the last choice, of bantam_session_sample or of an answer, the likeliest first: as many as its sampler's `top_logprobs` asked
/// for, none before the first choice. They are written to `out`, which has room for `capacity`, and their number to `count`.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY, BANTAM_ARGUMENT, BANTAM_TOO_SMALL with their number as the detail:
/// nothing is written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_session_top_logprobs(
    session: *mut bantam_session,
    out: *mut bantam_token_logprob,
    capacity: usize,
    count: *mut usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(session, |open| {
            let top = open.session.top_logprobs();
            let in_c =
                |&TokenLogprob { token, logprob, .. }: &TokenLogprob| bantam_token_logprob { token, logprob };
            let mut values = [bantam_token_logprob { token: 0, logprob: 0.0 }; bantam::TOP_LOGPROBS_MAX];
            values.iter_mut().zip(top.iter().map(in_c)).for_each(|(to, value)| *to = value);
            caller.copy(&values[..top.len()], (out, capacity), count)
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

// SAFETY: two numbers of any bytes.
unsafe impl Plain for bantam_token_logprob {}
