//! Floor 2. Rotary position embedding: the angle per position of each pair of a head's values, with the ways of
//! stretching it to longer contexts.
//!
//! A pair `i` of `n` turns by `position * f[i]`, where unscaled `f[i] = base^(-i / n)`. Scaling kinds change `f`:
//! - `linear`: `f / factor`.
//! - `yarn`: pairs that turn often stay, pairs that turn less than once over the original context are divided by
//!   the factor, with a ramp between; and all cosines and sines grow by `1 + 0.1 ln(factor)` (arXiv:2309.00071).
//! - `longrope`: each pair has its own divisor in a tensor, one set up to the original context and one beyond.
//! - Llama 3's kind comes as a tensor of divisors, `rope_freqs.weight`, made by the converter.
#![forbid(unsafe_code)]

use bantam_kernels::backend::RopePairs;
use bantam_kernels::math;

use super::hyper::{HyperParameters, Keys};
use super::weights::{Tensors, Vector};
use crate::error::{Error, Result, text};

/// How a model turns its queries and keys.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    pub(crate) pairs: RopePairs,
    /// Values of a head that are turned; the rest stay.
    pub(crate) width: usize,
    base: f64,
    scaling: Scaling,
    /// Multiplies cosines and sines.
    magnitude: f64,
    /// Context before stretching.
    original_context: usize,
    /// Divisors of the angles, one per pair: of every context, or of short and long ones.
    divisors: Divisors,
}

#[derive(Clone, Debug)]
enum Scaling {
    None,
    Linear { factor: f64 },
    Yarn { factor: f64, extrapolation: f64, beta_fast: f64, beta_slow: f64 },
}

#[derive(Clone, Debug)]
enum Divisors {
    None,
    Fixed(Vector),
    ByContext { short: Vector, long: Vector },
}

impl Rope {
    /// Reads the keys `rope.*` of an architecture.
    pub(crate) fn read(
        keys: Keys<'_>,
        hyper: &HyperParameters,
        tensors: &Tensors<'_>,
        pairs: RopePairs,
    ) -> Result<Rope> {
        let width = keys.count_if_any("rope.dimension_count")?.unwrap_or(hyper.head_dim);
        if width > hyper.head_dim || !width.is_multiple_of(2) {
            return Err(Error::Inconsistent(text!(
                "{}.rope.dimension_count is {width}; it must be even and at most a head's {}",
                keys.architecture,
                hyper.head_dim
            )));
        }
        let base = keys.f32_if_any("rope.freq_base")?.unwrap_or(10_000.0);
        if base <= 0.0 {
            let architecture = keys.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.rope.freq_base is {base}; it must be positive"
            )));
        }
        // Older files know only a linear factor, under another name.
        let factor = match keys.f32_if_any("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => keys.f32_if_any("rope.scale_linear")?,
        };
        let factor = f64::from(factor.filter(|&factor| factor != 0.0).unwrap_or(1.0));
        if factor < 0.0 {
            let architecture = keys.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.rope.scaling.factor is {factor}; it cannot be negative"
            )));
        }
        let attention_factor = f64::from(keys.f32_if_any("rope.scaling.attn_factor")?.unwrap_or(1.0));
        let kind = text!("{}.rope.scaling.type", keys.architecture);
        let kind = keys.file.string(kind.as_str())?.unwrap_or("linear");
        let (scaling, stretch) = match kind {
            "none" => (Scaling::None, 1.0),
            "linear" => (Scaling::Linear { factor }, 1.0),
            // The factor of longrope is already in its divisors.
            "longrope" => (Scaling::Linear { factor }, 1.0),
            "yarn" => {
                let number =
                    |key, default: f32| keys.f32_if_any(key).map(|n| f64::from(n.unwrap_or(default)));
                // Files write -1 for what they leave to the default.
                let extrapolation = match number("rope.scaling.yarn_ext_factor", 1.0)? {
                    unset if unset < 0.0 => 1.0,
                    extrapolation => extrapolation,
                };
                let yarn = Scaling::Yarn {
                    factor,
                    extrapolation,
                    beta_fast: number("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: number("rope.scaling.yarn_beta_slow", 1.0)?,
                };
                let is_stretched = factor > 1.0 && extrapolation != 0.0;
                (yarn, if is_stretched { 1.0 + 0.1 * math::ln_f64(factor) } else { 1.0 })
            }
            other => {
                return Err(Error::Unsupported(text!(
                    "rope scaling type {other:?}; known are none, linear, yarn, longrope"
                )));
            }
        };
        let original = keys.count_if_any("rope.scaling.original_context_length")?;
        let divisors = if kind == "longrope" {
            Divisors::ByContext {
                short: tensors.vector(text!("rope_factors_short.weight"), width / 2)?,
                long: tensors.vector(text!("rope_factors_long.weight"), width / 2)?,
            }
        } else {
            let fixed = tensors.vector_if_any(text!("rope_freqs.weight"), width / 2)?;
            fixed.map_or(Divisors::None, Divisors::Fixed)
        };
        Ok(Rope {
            pairs,
            width,
            base: base.into(),
            scaling,
            magnitude: attention_factor * stretch,
            original_context: original.unwrap_or(hyper.context_length),
            divisors,
        })
    }

    /// The same rotation with the divisors of short and long contexts, where the file has them: some architectures have them
    /// without saying `longrope`.
    pub(crate) fn by_context(self, tensors: &Tensors<'_>) -> Result<Rope> {
        let pairs = self.width / 2;
        if matches!(self.divisors, Divisors::ByContext { .. }) {
            return Ok(self);
        }
        let Some(short) = tensors.vector_if_any(text!("rope_factors_short.weight"), pairs)? else {
            return Ok(self);
        };
        let long = tensors.vector(text!("rope_factors_long.weight"), pairs)?;
        Ok(Rope { divisors: Divisors::ByContext { short, long }, ..self })
    }

    /// The same rotation without any stretching, of another base if there is one.
    pub(crate) fn unscaled(&self, base: Option<f32>) -> Rope {
        Rope {
            base: base.map_or(self.base, f64::from),
            scaling: Scaling::None,
            magnitude: 1.0,
            divisors: Divisors::None,
            ..*self
        }
    }

    /// The angle per position of each pair, for a session of `context` positions; `out` is `width / 2` long.
    pub(crate) fn frequencies(&self, file: &[u8], context: usize, out: &mut [f64]) {
        let divisors = match &self.divisors {
            Divisors::None => &[],
            Divisors::Fixed(divisors) => divisors.values(file),
            Divisors::ByContext { long, .. } if context > self.original_context => long.values(file),
            Divisors::ByContext { short, .. } => short.values(file),
        };
        let pairs = out.len() as f64;
        for (i, out) in out.iter_mut().enumerate() {
            let divisor = divisors.get(i).map_or(1.0, |&divisor| f64::from(divisor));
            let full = math::pow_f64(self.base, -(i as f64) / pairs) / divisor;
            *out = match self.scaling {
                Scaling::None => full,
                Scaling::Linear { factor } => full / factor,
                Scaling::Yarn { factor, extrapolation, beta_fast, beta_slow } => {
                    let keep = extrapolation * self.ramp(i, beta_fast, beta_slow);
                    full / factor * (1.0 - keep) + full * keep
                }
            };
        }
    }

    /// YaRN's ramp: 1 for pairs that turn more than `fast` times over the original context, 0 for those that turn less
    /// than `slow` times.
    fn ramp(&self, pair: usize, fast: f64, slow: f64) -> f64 {
        let width = self.width as f64;
        // The pair that turns `times` times over the original context.
        let pair_of = |times: f64| {
            let angle = self.original_context as f64 / (times * 2.0 * core::f64::consts::PI);
            width * math::ln_f64(angle) / (2.0 * math::ln_f64(self.base))
        };
        let low = math::floor_f64(pair_of(fast)).max(0.0);
        let high = math::ceil_f64(pair_of(slow)).min(width - 1.0);
        let y = (pair as f64 - low) / (high - low).max(0.001);
        1.0 - y.clamp(0.0, 1.0)
    }

    /// Cosines and sines of one position.
    pub(crate) fn angles(&self, position: usize, frequencies: &[f64], cos: &mut [f32], sin: &mut [f32]) {
        for ((frequency, cos), sin) in frequencies.iter().zip(cos).zip(sin) {
            let (s, c) = math::sin_cos_f64(position as f64 * frequency);
            *cos = (c * self.magnitude) as f32;
            *sin = (s * self.magnitude) as f32;
        }
    }
}
