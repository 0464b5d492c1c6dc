//! A thin safe wrapper over llama.cpp's samplers: what a chain of them makes of given logits.
//!
//! Invariant: a chain owns its samplers, and the vocabulary that one of them reads outlives it.

use std::ffi::CString;
use std::ptr::{NonNull, null, null_mut};

use anyhow::{Result, anyhow, ensure};
use llama_cpp_sys_2 as sys;

use crate::llama::{Model, Token};

/// One sampler with its settings.
#[derive(Clone, Copy)]
pub(crate) enum Stage<'a> {
    LogitBias(&'a [(Token, f32)]),
    Penalties {
        last_n: i32,
        repeat: f32,
        frequency: f32,
        presence: f32,
    },
    Dry {
        multiplier: f32,
        base: f32,
        allowed_length: i32,
        last_n: i32,
        breakers: &'a [&'a str],
    },
    TopNSigma(f32),
    TopK(i32),
    TypicalP(f32),
    TopP(f32),
    MinP(f32),
    Xtc {
        probability: f32,
        threshold: f32,
    },
    Temperature {
        temperature: f32,
        range: f32,
        exponent: f32,
    },
    Mirostat {
        version: u8,
        target: f32,
        rate: f32,
    },
    /// The draw, which writes the probabilities.
    Dist,
}

/// A token that is left, and its probability.
pub(crate) type Left = (Token, f32);

/// Samplers in their order.
pub(crate) struct Chain<'a> {
    raw: NonNull<sys::llama_sampler>,
    /// What a sampler may read.
    _model: Option<&'a Model>,
}

impl<'a> Chain<'a> {
    /// A chain for a vocabulary of `tokens`; DRY with breakers wants the model.
    pub(crate) fn new(stages: &[Stage<'_>], tokens: usize, model: Option<&'a Model>) -> Result<Chain<'a>> {
        let n_vocab = i32::try_from(tokens)?;
        // SAFETY: the chain's parameters are llama.cpp's own defaults.
        let raw = unsafe { sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params()) };
        let raw = NonNull::new(raw).ok_or_else(|| anyhow!("llama.cpp makes no chain"))?;
        let chain = Chain { raw, _model: model };
        for stage in stages {
            // SAFETY: the functions take plain numbers, but for arrays that live through the call and are as long as is
            // said, and the vocabulary of a model that outlives the chain.
            let sampler = unsafe {
                match *stage {
                    Stage::LogitBias(biases) => {
                        let biases: Vec<_> = biases
                            .iter()
                            .map(|&(token, bias)| sys::llama_logit_bias { token, bias })
                            .collect();
                        sys::llama_sampler_init_logit_bias(
                            n_vocab,
                            i32::try_from(biases.len())?,
                            biases.as_ptr(),
                        )
                    }
                    Stage::Penalties { last_n, repeat, frequency, presence } => {
                        sys::llama_sampler_init_penalties(n_vocab, last_n, repeat, frequency, presence)
                    }
                    Stage::Dry { multiplier, base, allowed_length, last_n, breakers } => {
                        let breakers: Vec<_> =
                            breakers.iter().map(|text| CString::new(*text)).collect::<Result<_, _>>()?;
                        let mut texts: Vec<_> = breakers.iter().map(|text| text.as_ptr()).collect();
                        let vocabulary = model.map_or(null(), Model::vocabulary);
                        ensure!(texts.is_empty() || !vocabulary.is_null(), "breakers want a vocabulary");
                        sys::llama_sampler_init_dry(
                            vocabulary,
                            multiplier,
                            base,
                            allowed_length,
                            last_n,
                            if texts.is_empty() { null_mut() } else { texts.as_mut_ptr() },
                            texts.len(),
                        )
                    }
                    Stage::TopNSigma(n) => sys::llama_sampler_init_top_n_sigma(n),
                    Stage::TopK(k) => sys::llama_sampler_init_top_k(k),
                    Stage::TypicalP(p) => sys::llama_sampler_init_typical(p, 0),
                    Stage::TopP(p) => sys::llama_sampler_init_top_p(p, 0),
                    Stage::MinP(p) => sys::llama_sampler_init_min_p(p, 0),
                    Stage::Xtc { probability, threshold } => {
                        sys::llama_sampler_init_xtc(probability, threshold, 0, 1)
                    }
                    Stage::Temperature { temperature, range, exponent } => {
                        sys::llama_sampler_init_temp_ext(temperature, range, exponent)
                    }
                    Stage::Mirostat { version: 1, target, rate } => {
                        sys::llama_sampler_init_mirostat(n_vocab, 1, target, rate, 100)
                    }
                    Stage::Mirostat { target, rate, .. } => {
                        sys::llama_sampler_init_mirostat_v2(1, target, rate)
                    }
                    Stage::Dist => sys::llama_sampler_init_dist(1),
                }
            };
            ensure!(!sampler.is_null(), "llama.cpp makes no sampler");
            // SAFETY: both were just made; the chain owns the sampler from here on.
            unsafe { sys::llama_sampler_chain_add(chain.raw.as_ptr(), sampler) };
        }
        Ok(chain)
    }

    /// Tells the samplers of tokens that were read.
    pub(crate) fn accept(&mut self, tokens: &[Token]) {
        for &token in tokens {
            // SAFETY: the chain is alive; samplers only count and compare tokens.
            unsafe { sys::llama_sampler_accept(self.raw.as_ptr(), token) };
        }
    }

    /// What is left of the tokens of these logits, in llama.cpp's order, and which was selected.
    pub(crate) fn apply(&mut self, logits: &[f32]) -> Result<(Vec<Left>, Option<Token>)> {
        let mut data: Vec<_> = logits
            .iter()
            .enumerate()
            .map(|(id, &logit)| sys::llama_token_data { id: id as Token, logit, p: 0.0 })
            .collect();
        let mut array = sys::llama_token_data_array {
            data: data.as_mut_ptr(),
            size: data.len(),
            selected: -1,
            sorted: false,
        };
        // SAFETY: the chain is alive, and the array has as many elements as it says.
        unsafe { sys::llama_sampler_apply(self.raw.as_ptr(), &mut array) };
        ensure!(array.size <= data.len(), "llama.cpp left more than there was");
        // SAFETY: samplers only move the start and the size within the array, which lives.
        let left = unsafe { std::slice::from_raw_parts(array.data, array.size) };
        let selected = usize::try_from(array.selected).ok().and_then(|at| left.get(at)).map(|data| data.id);
        Ok((left.iter().map(|data| (data.id, data.p)).collect(), selected))
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        // SAFETY: this type owns the chain, which owns its samplers.
        unsafe { sys::llama_sampler_free(self.raw.as_ptr()) }
    }
}
