//! Floor 3. Mirostat: keeps the surprise of the answer, `-log2 p` of its tokens, near a target, by a bound on the candidates that
//! learns from each draw. Basu et al., arXiv:2007.14966; version 1 estimates how many candidates the bound is, version 2
//! cuts by the surprise itself.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::Candidates;
use super::random::Random;
use crate::tokenizer::TokenId;

/// The candidates from which version 1 estimates the exponent of Zipf's law.
const ESTIMATED: usize = 100;

/// Which version, and its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mirostat {
    /// 1 or 2; 0 is none.
    pub(super) version: u8,
    /// The surprise that is aimed at, in bits.
    pub(super) target: f32,
    /// How fast the bound follows.
    pub(super) rate: f32,
}

/// Narrows the candidates and draws one; `mu` is the bound, which learns.
pub(super) fn draw(
    candidates: &mut Candidates<'_>,
    mirostat: &Mirostat,
    mu: &mut f32,
    random: &mut Random,
) -> TokenId {
    narrow(candidates, mirostat, *mu);
    let (token, share) = candidates.draw(random.unit());
    learn(mirostat, mu, share);
    token
}

/// Keeps the candidates within the bound.
pub(super) fn narrow(candidates: &mut Candidates<'_>, mirostat: &Mirostat, mu: f32) {
    match mirostat.version {
        1 => by_count(candidates, mu),
        _ => by_surprise(candidates, mu),
    }
}

/// Moves the bound, now that a token with this share of what was within it was drawn.
pub(super) fn learn(mirostat: &Mirostat, mu: &mut f32, share: f64) {
    let surprise = (-math::ln_f64(share) * core::f64::consts::LOG2_E) as f32;
    *mu -= mirostat.rate * (surprise - mirostat.target);
    if !mu.is_finite() {
        *mu = 2.0 * mirostat.target;
    }
}

/// Keeps as many candidates as have the surprise of `mu` by Zipf's law.
fn by_count(candidates: &mut Candidates<'_>, mu: f32) {
    let temperature = f64::from(candidates.temperature());
    let (mut products, mut squares) = (0.0, 0.0);
    candidates.each_pair(ESTIMATED, |i, [first, second]| {
        let t = math::ln_f64((i + 2) as f64 / (i + 1) as f64);
        products += t * (f64::from(first) - f64::from(second)) / temperature;
        squares += t * t;
    });
    let exponent = products / squares;
    let above = exponent - 1.0;
    let tokens = candidates.vocab_size() as f64;
    let ratio = above * math::pow_f64(2.0, f64::from(mu)) / (1.0 - math::pow_f64(tokens, -above));
    // What is no number becomes 0, and the least is 1.
    candidates.keep_top(math::pow_f64(ratio, 1.0 / exponent) as usize);
}

/// Keeps the candidates whose surprise is at most `mu`.
fn by_surprise(candidates: &mut Candidates<'_>, mu: f32) {
    let total = candidates.total();
    let below = f64::from(mu) * core::f64::consts::LN_2 - math::ln_f64(total.sum);
    let cut = f64::from(total.max) - below * f64::from(candidates.temperature());
    if cut > f64::from(total.max) {
        // All of them surprise too much.
        candidates.keep_greatest();
    } else {
        candidates.keep_from(cut as f32);
    }
}
