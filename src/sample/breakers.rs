//! Floor 3. Sequence breakers: texts behind which no repetition is looked for, as the tokens that may spell them.
//!
//! A text may begin anywhere in a token and go on in the next ones. So a breaker is a head, a token that holds the text or ends
//! with its beginning, and a tail, the tokens of the rest; most have none.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use crate::error::{Error, Result, text};
use crate::tokenizer::{TokenId, Tokenizer};

/// The longest text, in bytes.
const TEXT_MAX: usize = 40;
/// Tokens of a tail that are looked at.
const TAIL_MAX: usize = 20;
const WHAT: &str = "the sequence breakers";

/// The heads and tails of all texts.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    /// Sorted by their tokens.
    heads: Vec<Head>,
    tails: Vec<TokenId>,
}

/// A head, and where its tail lies.
#[derive(Clone, Copy, Debug)]
struct Head {
    token: TokenId,
    from: usize,
    to: usize,
}

impl Breakers {
    /// Those of `texts`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text that is empty or too long, [`Error::Memory`].
    pub(super) fn new(texts: &[&str], tokenizer: &Tokenizer) -> Result<Breakers> {
        let mut breakers = Breakers::default();
        for text in texts {
            if text.is_empty() || text.len() > TEXT_MAX {
                let len = text.len();
                return Err(Error::Argument(text!(
                    "a sequence breaker of DRY has {len} bytes; it must have 1 to {TEXT_MAX}"
                )));
            }
            breakers.add(text, tokenizer)?;
        }
        breakers.heads.sort_unstable_by_key(|head| head.token);
        Ok(breakers)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    fn add(&mut self, text: &str, tokenizer: &Tokenizer) -> Result<()> {
        // Where the tail of the text without its first so many bytes lies, once it is known.
        let mut known = [None; TEXT_MAX];
        for token in 0..tokenizer.vocab_size() as TokenId {
            let bytes = tokenizer.token_bytes(token).unwrap_or_default();
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                self.push(Head { token, from: 0, to: 0 })?;
                continue;
            }
            // Every end of the token that the text begins with.
            for length in 1..text.len().min(bytes.len() + 1) {
                if !bytes.ends_with(&text.as_bytes()[..length]) || !text.is_char_boundary(length) {
                    continue;
                }
                let (from, to) = match known[length] {
                    Some(range) => range,
                    None => *known[length].insert(self.tail(&text[length..], tokenizer)?),
                };
                self.push(Head { token, from, to })?;
            }
        }
        Ok(())
    }

    /// Adds the tokens of a text to the tails, and says where they lie.
    fn tail(&mut self, text: &str, tokenizer: &Tokenizer) -> Result<(usize, usize)> {
        let from = self.tails.len();
        tokenizer.encode_more(text, false, &mut self.tails)?;
        self.tails.truncate(from + TAIL_MAX);
        Ok((from, self.tails.len()))
    }

    fn push(&mut self, head: Head) -> Result<()> {
        let bytes = size_of::<Head>() as u64;
        self.heads.try_reserve(1).map_err(|_| Error::Memory { what: WHAT, bytes })?;
        self.heads.push(head);
        Ok(())
    }

    /// The tails of a token.
    fn tails(&self, token: TokenId) -> impl Iterator<Item = &[TokenId]> {
        let from = self.heads.partition_point(|head| head.token < token);
        let heads = self.heads[from..].iter().take_while(move |head| head.token == token);
        heads.map(|head| &self.tails[head.from..head.to])
    }

    /// Whether the token holds a whole breaker.
    pub(super) fn is_alone(&self, token: TokenId) -> bool {
        self.tails(token).any(<[TokenId]>::is_empty)
    }

    /// How many tokens lie behind the last breaker among the last `n`; `back(i)` is the one before which `i` more come.
    pub(super) fn nearest(&self, n: usize, back: impl Fn(usize) -> TokenId) -> Option<usize> {
        (0..n).find_map(|i| {
            let follows = |tail: &&[TokenId]| {
                tail.len() <= i && tail.iter().enumerate().all(|(at, &token)| back(i - 1 - at) == token)
            };
            let longest = self.tails(back(i)).filter(follows).map(<[TokenId]>::len).max()?;
            Some(i - longest)
        })
    }
}
