//! Floor 7. How tokens are chosen: the settings of a sampler, and samplers that are used by hand.

use alloc::vec::Vec;
use core::ffi::c_char;

use bantam::{DRY_BREAKERS, Model, Sampler, SamplerOptions, Stage};

use crate::boundary::{Caller, Plain, call};
use crate::handle::{Noun, create_at};
use crate::model::bantam_model;
use crate::options::Struct;
use crate::status::{BANTAM_ARGUMENT, BANTAM_MEMORY, Result, bantam_error, bantam_status, fail};

/// A sampler: its settings, and its random numbers.
pub struct bantam_sampler(());

impl Noun for bantam_sampler {
    const MAGIC: u32 = u32::from_le_bytes(*b"bsam");
    const NAME: &'static str = "the sampler";
    type Inside = Sampler;
}

/// A text of the caller's: UTF-8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_text {
    /// Where it begins.
    pub text: *const c_char,
    /// Bytes of it; 0 if it ends with a 0.
    pub bytes: usize,
}

// SAFETY: a pointer and an integer of any bytes.
unsafe impl Plain for bantam_text {}

/// A number that is added to the logit of a token; minus infinity forbids it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_bias {
    /// The token.
    pub token: u32,
    /// The number.
    pub bias: f32,
}

// SAFETY: two numbers of any bytes.
unsafe impl Plain for bantam_bias {}

/// Repetition, presence and frequency penalties.
pub const BANTAM_STAGE_PENALTIES: u32 = 1;
/// DRY.
pub const BANTAM_STAGE_DRY: u32 = 2;
/// Top-n-sigma.
pub const BANTAM_STAGE_TOP_N_SIGMA: u32 = 3;
/// Top-k.
pub const BANTAM_STAGE_TOP_K: u32 = 4;
/// Locally typical sampling.
pub const BANTAM_STAGE_TYPICAL_P: u32 = 5;
/// Top-p.
pub const BANTAM_STAGE_TOP_P: u32 = 6;
/// Min-p.
pub const BANTAM_STAGE_MIN_P: u32 = 7;
/// XTC.
pub const BANTAM_STAGE_XTC: u32 = 8;
/// Temperature.
pub const BANTAM_STAGE_TEMPERATURE: u32 = 9;

/// The settings of a sampler: llama.cpp's names and defaults. 0 means the default; where 0 itself would mean something, a negative number
/// does instead.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bantam_sampler_options {
    /// sizeof(bantam_sampler_options)
    pub struct_size: usize,
    /// Where the random draws start: the same seed gives the same tokens. Take one from the clock for answers that differ.
    pub seed: u64,
    /// Divides the logits; 0 is 0.8, negative always takes the most likely token.
    pub temperature: f32,
    /// Keeps the most likely tokens until their probabilities add up to this; 0 is 0.95, 1 keeps all.
    pub top_p: f32,
    /// Keeps the `k` most likely tokens; 0 is 40, negative keeps all.
    pub top_k: i32,
    /// Keeps tokens at least this share as likely as the most likely one; 0 is 0.05, negative keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose information is nearest to the entropy; 0 and 1 keep all.
    pub typical_p: f32,
    /// Keeps tokens whose logit is at most so many standard deviations below the greatest; 0 and negative keep all.
    pub top_n_sigma: f32,
    /// How often XTC is applied; 0 is never.
    pub xtc_probability: f32,
    /// Of the tokens at least so likely XTC keeps only the least likely; 0 is 0.1.
    pub xtc_threshold: f32,
    /// The temperature moves by up to this, after the entropy; 0 does not.
    pub dynatemp_range: f32,
    /// How entropy becomes temperature; 0 is 1.
    pub dynatemp_exponent: f32,
    /// Divides positive logits of repeated tokens, and multiplies others; 0 and 1 leave them.
    pub repeat_penalty: f32,
    /// Taken from the logit of a repeated token, once.
    pub presence_penalty: f32,
    /// Taken from the logit of a repeated token for each time that it stands there.
    pub frequency_penalty: f32,
    /// The tokens whose repetition is penalised: so many last ones; 0 is 64, negative all of the context.
    pub repeat_last_n: i32,
    /// Penalises what goes on with a repetition; 0 does not.
    pub dry_multiplier: f32,
    /// Its base; 0 is 1.75.
    pub dry_base: f32,
    /// The longest repetition that is let be; 0 is 2, negative none.
    pub dry_allowed_length: i32,
    /// The tokens in which repetitions are looked for: so many last ones; 0 is 64, negative all of the context.
    pub dry_last_n: i32,
    /// 1 or 2 chooses by mirostat of that version.
    pub mirostat: i32,
    /// The surprise that mirostat aims at; 0 is 5.
    pub mirostat_target: f32,
    /// How fast it learns; 0 is 0.1.
    pub mirostat_rate: f32,
    /// How many of the most likely tokens a choice tells of, at most 64: see bantam_session_top_logprobs.
    pub top_logprobs: u32,
    /// Texts behind which DRY looks for no repetition; NULL is line breaks, colons, quotes and asterisks.
    pub dry_breakers: *const bantam_text,
    /// How many.
    pub dry_breaker_count: usize,
    /// Numbers that are added to the logits of some tokens.
    pub logit_bias: *const bantam_bias,
    /// How many.
    pub logit_bias_count: usize,
    /// The stages and their order, BANTAM_STAGE_..., those that are missing being off; NULL is all in the order of their numbers.
    pub stages: *const u32,
    /// How many.
    pub stage_count: usize,
}

// SAFETY: repr(C), a usize first, and numbers and pointers of any bytes.
unsafe impl Struct for bantam_sampler_options {
    const NAME: &'static str = "bantam_sampler_options";
}

/// The sampler that options describe, for a model.
pub(crate) fn open(caller: Caller, model: &Model, options: *const bantam_sampler_options) -> Result<Sampler> {
    let options = caller.options(options)?;
    let default = SamplerOptions::default();
    let breakers = texts(caller, options.dry_breakers, options.dry_breaker_count, "dry_breakers")?;
    let biases = caller.slice(options.logit_bias, options.logit_bias_count, "logit_bias")?;
    let biases = collect(biases.iter().map(|bias| {
        check_token(model, bias.token, "logit_bias")?;
        Ok((bias.token, bias.bias))
    }))?;
    let stages = caller.slice(options.stages, options.stage_count, "stages")?;
    let stages = collect(stages.iter().map(|&number| {
        let stage = number.checked_sub(1).and_then(|i| Stage::ALL.get(i as usize));
        stage.copied().ok_or_else(|| fail!(BANTAM_ARGUMENT, "there is no stage {number}; they are 1 to 9"))
    }))?;
    let real = |value: f32, default: f32| if value == 0.0 { default } else { value };
    let real_or_none =
        |value: f32, default: f32| real(value, default).max(if value.is_nan() { value } else { 0.0 });
    let count = |value: i32, default: usize, none: usize| match value {
        0 => default,
        value => usize::try_from(value).unwrap_or(none),
    };
    let mirostat = u8::try_from(options.mirostat);
    let options = SamplerOptions {
        temperature: real_or_none(options.temperature, default.temperature),
        dynatemp_range: options.dynatemp_range,
        dynatemp_exponent: real(options.dynatemp_exponent, default.dynatemp_exponent),
        top_k: count(options.top_k, default.top_k, 0),
        top_p: real(options.top_p, default.top_p),
        min_p: real_or_none(options.min_p, default.min_p),
        typical_p: real(options.typical_p, default.typical_p),
        top_n_sigma: options.top_n_sigma,
        xtc_probability: options.xtc_probability,
        xtc_threshold: real(options.xtc_threshold, default.xtc_threshold),
        mirostat: mirostat.map_err(|_| fail!(BANTAM_ARGUMENT, "mirostat must be 0, 1 or 2"))?,
        mirostat_target: real(options.mirostat_target, default.mirostat_target),
        mirostat_rate: real(options.mirostat_rate, default.mirostat_rate),
        repeat_penalty: real(options.repeat_penalty, default.repeat_penalty),
        repeat_last_n: count(options.repeat_last_n, default.repeat_last_n, usize::MAX),
        presence_penalty: options.presence_penalty,
        frequency_penalty: options.frequency_penalty,
        dry_multiplier: options.dry_multiplier,
        dry_base: real(options.dry_base, default.dry_base),
        dry_allowed_length: count(options.dry_allowed_length, default.dry_allowed_length, 0),
        dry_last_n: count(options.dry_last_n, default.dry_last_n, usize::MAX),
        dry_breakers: if options.dry_breakers.is_null() { DRY_BREAKERS } else { &breakers },
        logit_bias: &biases,
        stages: if options.stages.is_null() { &Stage::ALL } else { &stages },
        seed: options.seed,
        top_logprobs: options.top_logprobs as usize,
    };
    Ok(Sampler::with_tokenizer(options, model.tokenizer())?)
}

/// An error for a token that the model does not have: it would never come, and whoever names it meant another.
pub(crate) fn check_token(model: &Model, token: u32, what: &str) -> Result<()> {
    let vocab_size = model.hyper().vocab_size;
    match usize::try_from(token) {
        Ok(token) if token < vocab_size => Ok(()),
        _ => Err(fail!(BANTAM_ARGUMENT, "{what}: token {token} is outside the vocabulary of {vocab_size}")),
    }
}

/// A list in memory that may be refused.
fn collect<T>(items: impl ExactSizeIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut list = Vec::new();
    let bytes = items.len().saturating_mul(size_of::<T>());
    let refused = |_| {
        fail!(BANTAM_MEMORY, "a list of {} needs {bytes} bytes of memory, which cannot be had", items.len())
    };
    let refused = |error| refused(error).with_detail(bytes);
    list.try_reserve_exact(items.len()).map_err(refused)?;
    for item in items {
        list.push(item?);
    }
    Ok(list)
}

/// Texts of the caller's.
pub(crate) fn texts<'a>(
    caller: Caller,
    start: *const bantam_text,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>> {
    let list: &[bantam_text] = caller.slice(start, count, what)?;
    collect(list.iter().map(|text| {
        caller
            .field(text.text, text.bytes, what)?
            .ok_or_else(|| fail!(BANTAM_ARGUMENT, "a text of {what} is NULL"))
    }))
}

/// Makes a sampler, to be used with bantam_session_sample. Answers bring their own.
///
/// Ownership: the caller frees it with bantam_sampler_free. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_STRUCT, BANTAM_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_sampler_new(
    model: *const bantam_model,
    options: *const bantam_sampler_options,
    out: *mut *mut bantam_sampler,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        create_at(out, open(caller, &caller.shared(model)?.model, options)?)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Has the sampler start over: its random numbers, and what mirostat has learnt.
///
/// Ownership: none taken. Threads: one at a time. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_sampler_reset(
    sampler: *mut bantam_sampler,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        caller.exclusive(sampler, |sampler| {
            sampler.reset();
            Ok(())
        })
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Frees a sampler; NULL is none.
///
/// Ownership: ends. Threads: any, while nobody else uses it. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_sampler_free(sampler: *mut bantam_sampler) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(sampler)) }
}
