//! Floor 3. Which tokens may be chosen: a bit for each.
#![forbid(unsafe_code)]

use crate::tokenizer::TokenId;

/// A set of tokens: bit `t % 32` of word `t / 32` says whether token `t` is allowed. Tokens behind the last word are not.
#[derive(Clone, Copy, Debug)]
pub struct TokenMask<'a> {
    words: &'a [u32],
}

impl<'a> TokenMask<'a> {
    /// The set of these bits.
    pub fn new(words: &'a [u32]) -> TokenMask<'a> {
        TokenMask { words }
    }

    /// Whether a token is in the set.
    pub fn allows(self, token: TokenId) -> bool {
        let word = self.words.get(token as usize / 32).copied().unwrap_or(0);
        word >> (token % 32) & 1 == 1
    }

    /// The first token of the set that is less than `vocab_size`.
    pub(crate) fn first(self, vocab_size: usize) -> Option<TokenId> {
        let (at, word) = self.words.iter().enumerate().find(|(_, word)| **word != 0)?;
        let token = at * 32 + word.trailing_zeros() as usize;
        (token < vocab_size).then_some(token as TokenId)
    }

    /// Copies the logits of the set's tokens, and makes the others -inf. How many tokens that is.
    pub(crate) fn copy(self, logits: &[f32], out: &mut [f32]) -> usize {
        let mut tokens = 0;
        let words = self.words.iter().copied().chain(core::iter::repeat(0));
        for ((logits, out), word) in logits.chunks(32).zip(out.chunks_mut(32)).zip(words) {
            // The bits behind the last token count for nothing.
            tokens += (word << (32 - out.len())).count_ones() as usize;
            match word {
                0 => out.fill(f32::NEG_INFINITY),
                u32::MAX => out.copy_from_slice(logits),
                _ => {
                    for (i, (out, &logit)) in out.iter_mut().zip(logits).enumerate() {
                        *out = if word >> i & 1 == 1 { logit } else { f32::NEG_INFINITY };
                    }
                }
            }
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_its_bits() {
        let mask = TokenMask::new(&[0, 0b101, u32::MAX]);
        let allowed: alloc::vec::Vec<u32> = (0..200).filter(|&token| mask.allows(token)).collect();
        assert_eq!(allowed[..3], [32, 34, 64]);
        assert_eq!((allowed.len(), allowed[33]), (34, 95));
        assert_eq!((mask.first(100), mask.first(33), mask.first(32)), (Some(32), Some(32), None));
        assert_eq!(TokenMask::new(&[]).first(10), None);

        let mut out = [7.0; 110];
        assert_eq!(mask.copy(&[1.0; 110], &mut out), 34);
        assert_eq!(mask.copy(&[1.0; 65], &mut out[..65]), 3);
        mask.copy(&[1.0; 110], &mut out);
        for (token, out) in out.into_iter().enumerate() {
            assert_eq!(out, if mask.allows(token as u32) { 1.0 } else { f32::NEG_INFINITY }, "{token}");
        }
    }
}
