//! Floor 2. The numbers of a model's metadata that shape it, read and checked once.
#![forbid(unsafe_code)]

use crate::error::{Error, Result, text};
use crate::gguf::{File, Value};

/// Shapes of a model. All counts are at least 1.
#[derive(Clone, Debug)]
pub struct HyperParameters {
    /// The context length that the model was trained for, in tokens.
    pub context_length: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Number of layers.
    pub layers: usize,
    /// Width of the feed-forward hidden layer.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added to the mean square in a norm, or to the variance.
    pub norm_eps: f32,
    /// Number of tokens.
    pub vocab_size: usize,
}

/// Reads the keys of one architecture, `llama.block_count` for `block_count`.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) file: &'a File,
    pub(crate) architecture: &'a str,
    /// Whether layers may have other numbers than the rest of them.
    pub(crate) uneven: bool,
}

/// No width or count of a real model is larger; products of three of them stay inside 64 bits.
pub(crate) const SHAPE_MAX: u32 = 1 << 20;
const MOST: usize = SHAPE_MAX as usize;
/// No real model was trained for as many positions.
const CONTEXT_MAX: u32 = 1 << 30;

impl Keys<'_> {
    /// A number that may be missing. An array of one number for all layers counts as that number; where layers may differ, an
    /// array counts as the greatest.
    pub(crate) fn u32_if_any(self, key: &str) -> Result<Option<u32>> {
        let key = text!("{}.{key}", self.architecture);
        if let Some(Value::Array(array)) = self.file.get(key.as_str()) {
            let mut numbers = array.iter().map(|value| value.as_integer());
            if self.uneven {
                let greatest = numbers.try_fold(0, |most, number| Some(most.max(number?)));
                let greatest = greatest.and_then(|greatest| u32::try_from(greatest).ok());
                let wrong = || Error::Inconsistent(text!("{key} holds other things than numbers of layers"));
                return greatest.map(Some).ok_or_else(wrong);
            }
            let first = numbers.next().flatten().and_then(|number| u32::try_from(number).ok());
            if first.is_none() || !numbers.all(|number| number == first.map(i128::from)) {
                return Err(Error::Unsupported(text!("{key} differs from layer to layer")));
            }
            return Ok(first);
        }
        self.file.u32(key.as_str())
    }

    /// The key heads of the layers that have some, which may be missing: files of models in which not every layer attends
    /// have an array with zeros.
    fn key_heads(self) -> Result<Option<usize>> {
        let key = text!("{}.attention.head_count_kv", self.architecture);
        let Some(Value::Array(array)) = self.file.get(key.as_str()).filter(|_| !self.uneven) else {
            return self.count_if_any("attention.head_count_kv");
        };
        let mut counts = array.iter().map(|value| value.as_integer()).filter(|count| *count != Some(0));
        let first = counts.next().flatten().and_then(|count| usize::try_from(count).ok());
        let first = first.filter(|&count| count <= SHAPE_MAX as usize);
        if first.is_none() || !counts.all(|count| count == first.map(|first| first as i128)) {
            return Err(Error::Unsupported(text!("{key} differs between layers that attend")));
        }
        Ok(first)
    }

    /// Blocks that a token goes through. Those behind them, of which some files have one, guess further tokens.
    fn layers(self) -> Result<usize> {
        let (blocks, guessing) = (self.count("block_count")?, self.guessing_blocks()?);
        blocks.checked_sub(guessing).filter(|&layers| layers > 0).ok_or_else(|| {
            let architecture = self.architecture;
            Error::Inconsistent(text!(
                "{architecture}.nextn_predict_layers is {guessing} of {blocks} blocks; it must leave some"
            ))
        })
    }

    /// Blocks behind the layers that guess further tokens.
    pub(crate) fn guessing_blocks(self) -> Result<usize> {
        /// No real model has more.
        const MOST: u32 = 16;
        match self.u32_if_any("nextn_predict_layers")?.unwrap_or(0) {
            count @ 0..=MOST => Ok(count as usize),
            count => Err(Error::Unsupported(text!("{count} blocks that guess further tokens"))),
        }
    }

    /// Whether a layer has key heads, as far as the file says.
    pub(crate) fn has_keys(self, layer: usize) -> bool {
        let key = text!("{}.attention.head_count_kv", self.architecture);
        match self.file.get(key.as_str()) {
            Some(Value::Array(array)) => {
                array.iter().nth(layer).is_none_or(|count| count.as_integer() != Some(0))
            }
            _ => true,
        }
    }

    /// The count of a layer, 1 to a million, where the file has an array of them.
    pub(crate) fn of_layer(self, key: &str, layer: usize) -> Result<Option<usize>> {
        let key = text!("{}.{key}", self.architecture);
        let Some(Value::Array(array)) = self.file.get(key.as_str()) else { return Ok(None) };
        let count = array.iter().nth(layer).and_then(|value| value.as_integer());
        match count.and_then(|count| usize::try_from(count).ok()) {
            Some(count @ 1..=MOST) => Ok(Some(count)),
            _ => Err(Error::Inconsistent(text!("{key} gives layer {layer} no count of 1 to {SHAPE_MAX}"))),
        }
    }

    /// A count, 1 to a million, that may be missing.
    pub(crate) fn count_if_any(self, key: &str) -> Result<Option<usize>> {
        self.count_up_to(SHAPE_MAX, key)
    }

    /// The same, of which files also say with a zero that there is none.
    pub(crate) fn count_unless_zero(self, key: &str) -> Result<Option<usize>> {
        match self.u32_if_any(key)? {
            Some(0) => Ok(None),
            _ => self.count_if_any(key),
        }
    }

    /// A count, 1 to `most`, that may be missing.
    fn count_up_to(self, most: u32, key: &str) -> Result<Option<usize>> {
        let Some(count) = self.u32_if_any(key)? else { return Ok(None) };
        if !(1..=most).contains(&count) {
            let architecture = self.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.{key} is {count}; it must be 1 to {most}"
            )));
        }
        Ok(Some(count as usize))
    }

    /// A count that must be there.
    pub(crate) fn count(self, key: &str) -> Result<usize> {
        self.count_if_any(key)?.ok_or_else(|| self.missing(key))
    }

    /// A finite float that may be missing.
    pub(crate) fn f32_if_any(self, key: &str) -> Result<Option<f32>> {
        let key = text!("{}.{key}", self.architecture);
        match self.file.f32(key.as_str())? {
            Some(number) if !number.is_finite() => {
                Err(Error::Inconsistent(text!("{key} is {number}, which is not finite")))
            }
            number => Ok(number),
        }
    }

    /// A positive factor that may be missing; a zero says the same.
    pub(crate) fn factor(self, key: &str) -> Result<Option<f32>> {
        let Some(factor) = self.f32_if_any(key)? else { return Ok(None) };
        if factor < 0.0 {
            let architecture = self.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.{key} is {factor}; it cannot be negative"
            )));
        }
        Ok(Some(factor).filter(|&factor| factor > 0.0))
    }

    /// A truth value that may be missing.
    pub(crate) fn bool_if_any(self, key: &str) -> Result<Option<bool>> {
        let key = text!("{}.{key}", self.architecture);
        self.file.bool(key.as_str())
    }

    /// What to say of a key that must be there.
    pub(crate) fn missing(self, key: &str) -> Error {
        Error::Inconsistent(text!("metadata key {}.{key} is missing", self.architecture))
    }
}

impl HyperParameters {
    /// Reads the keys that every model has.
    pub(crate) fn read(keys: Keys<'_>) -> Result<HyperParameters> {
        let dim = keys.count("embedding_length")?;
        let heads = keys.count("attention.head_count")?;
        let kv_heads = keys.key_heads()?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(Error::Inconsistent(text!("{heads} query heads cannot share {kv_heads} key heads")));
        }
        let key_length = keys.count_if_any("attention.key_length")?;
        let head_dim = match key_length {
            Some(length) => length,
            None if dim.is_multiple_of(heads) => dim / heads,
            None => {
                return Err(Error::Inconsistent(text!("{heads} heads do not divide a width of {dim}")));
            }
        };
        // So the width of all heads is a number on a machine of 32 bits as well.
        if heads.checked_mul(head_dim).is_none_or(|width| width > SHAPE_MAX as usize) {
            return Err(Error::Inconsistent(text!("{heads} heads of {head_dim} are wider than {SHAPE_MAX}")));
        }
        let value_dim = keys.count_if_any("attention.value_length")?.unwrap_or(head_dim);
        if value_dim != head_dim {
            return Err(Error::Unsupported(text!("keys of {head_dim} with values of {value_dim} per head")));
        }
        // Of the norm that the architecture has: no model has both.
        let norm_eps = match keys.f32_if_any("attention.layer_norm_rms_epsilon")? {
            None => keys.f32_if_any("attention.layer_norm_epsilon")?,
            eps => eps,
        };
        let norm_eps = norm_eps.ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon"))?;
        if norm_eps < 0.0 {
            let architecture = keys.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.attention.layer_norm_rms_epsilon is {norm_eps}; it cannot be negative"
            )));
        }
        // The rows of the embedding are the vocabulary that can be run, whatever else the file says.
        let embedding = keys.file.tensor("token_embd.weight");
        let vocab_size = embedding.and_then(|tensor| u32::try_from(tensor.shape[1]).ok());
        let vocab_size =
            vocab_size.ok_or_else(|| Error::Inconsistent(text!("tensor token_embd.weight is missing")))?;
        let context_length = keys.count_up_to(CONTEXT_MAX, "context_length")?;
        let ffn = match keys.u32_if_any("expert_count")? {
            // Where all layers have experts, a file need not say how wide one without is.
            Some(1..) => match keys.count_if_any("feed_forward_length")? {
                Some(ffn) => ffn,
                None => keys.count("expert_feed_forward_length")?,
            },
            _ => keys.count("feed_forward_length")?,
        };
        Ok(HyperParameters {
            context_length: context_length.ok_or_else(|| keys.missing("context_length"))?,
            dim,
            layers: keys.layers()?,
            ffn,
            heads,
            kv_heads,
            head_dim,
            norm_eps,
            vocab_size: vocab_size as usize,
        })
    }
}
