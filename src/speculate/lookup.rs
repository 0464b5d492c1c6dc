//! Floor 3. Prompt look-up: what followed the last tokens where they stood before, in the prompt or in the answer, is
//! expected to follow them again. It needs no second model, and pays wherever an answer repeats what it was given:
//! summaries, corrections, code.
#![forbid(unsafe_code)]

use super::{Chance, Costs, DRAFT_MAX, Drafter};
use crate::tokenizer::TokenId;

/// Matches are compared up to this length: longer ones are no more certain.
const MATCH_MAX: usize = 8;

/// What the chances are taken for before anything was seen: of guesses behind a match of 1, 2, .. tokens.
const CHANCES: [f32; MATCH_MAX] = [0.05, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.85];
/// How many guesses it takes for what was seen to count as much as that.
const BELIEF: f32 = 4.0;

/// Guesses from the tokens that were read. It learns from its guesses, also from those that nobody was asked to verify,
/// how often a match of each length is right, and drafts no more than pays.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Of a guess behind a match of 1, 2, .. tokens, the guesses before it counted as matched.
    chances: [Chance; MATCH_MAX],
    /// The tokens that were held when the last guess was made.
    guessed_at: usize,
    /// How many tokens matched, and what was guessed to follow them.
    matched: usize,
    guess: [TokenId; DRAFT_MAX],
    len: usize,
}

impl Lookup {
    /// A look-up that has seen nothing yet.
    pub fn new() -> Lookup {
        Lookup {
            chances: CHANCES.map(|chance| Chance::new(chance, BELIEF)),
            guessed_at: 0,
            matched: 0,
            guess: [0; DRAFT_MAX],
            len: 0,
        }
    }

    /// Compares the last guess with what came instead.
    fn learn(&mut self, tokens: &[TokenId]) {
        // Fewer tokens: another conversation, or a rewound one. The guess is no one's any more.
        let came = tokens.get(self.guessed_at..).unwrap_or_default();
        for (i, (guess, token)) in self.guess[..self.len].iter().zip(came).enumerate() {
            self.chances[(self.matched + i).min(MATCH_MAX) - 1].note(guess == token);
            if guess != token {
                break;
            }
        }
        self.len = 0;
    }

    /// The longest match of the last tokens with earlier ones, the latest of equals: how long, and where it ends.
    fn find(tokens: &[TokenId]) -> Option<(usize, usize)> {
        let (&last, before) = tokens.split_last()?;
        let mut best = None;
        for end in (1..=before.len()).rev().filter(|&end| tokens[end - 1] == last) {
            let pairs = tokens[..end].iter().rev().zip(tokens.iter().rev());
            let matched = pairs.take(MATCH_MAX).take_while(|(a, b)| a == b).count();
            if best.is_none_or(|(longest, _)| matched > longest) {
                best = Some((matched, end));
            }
            if matched == MATCH_MAX {
                break;
            }
        }
        best
    }
}

impl Default for Lookup {
    fn default() -> Lookup {
        Lookup::new()
    }
}

impl Drafter for Lookup {
    fn draft(&mut self, tokens: &[TokenId], costs: &Costs, out: &mut [TokenId]) -> usize {
        self.learn(tokens);
        let Some((matched, end)) = Lookup::find(tokens) else { return 0 };
        (self.guessed_at, self.matched) = (tokens.len(), matched);
        // What followed may run into the match itself: then it repeats, as text does that repeats itself.
        let period = tokens.len() - end;
        for i in 0..DRAFT_MAX {
            self.guess[i] = if i < period { tokens[end + i] } else { self.guess[i - period] };
        }
        self.len = DRAFT_MAX;
        let chance = |i: usize| self.chances[(matched + i).min(MATCH_MAX) - 1].get();
        let len = costs.worth((0..out.len().min(DRAFT_MAX)).map(chance), 0.0);
        out[..len].copy_from_slice(&self.guess[..len]);
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(lookup: &mut Lookup, tokens: &[TokenId]) -> alloc::vec::Vec<TokenId> {
        let mut out = [0; DRAFT_MAX];
        let len = lookup.draft(tokens, &Costs::new(0), &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn the_longest_match_decides_and_the_latest_of_equals() {
        assert_eq!(Lookup::find(&[1, 2, 3, 9, 2, 3, 8, 1, 2, 3]), Some((3, 3)));
        assert_eq!(Lookup::find(&[3, 9, 3, 8, 3]), Some((1, 3)));
        assert_eq!(Lookup::find(&[5, 5, 5]), Some((2, 2)));
        assert_eq!(Lookup::find(&[1, 2, 3]), None);
        assert_eq!(Lookup::find(&[1]), None);
        assert_eq!(Lookup::find(&[]), None);
    }

    #[test]
    fn what_followed_is_expected_to_follow_again() {
        let text: alloc::vec::Vec<TokenId> = (100..140).chain(100..108).collect();
        let drafted = draft(&mut Lookup::new(), &text);
        assert!(drafted.len() > 4, "{drafted:?}");
        assert!(drafted.iter().copied().eq(108..108 + drafted.len() as TokenId));
        // Text that repeats itself goes on repeating itself.
        let drafted = draft(&mut Lookup::new(), &[1, 2, 3, 1, 2, 3, 1, 2, 3]);
        assert_eq!(drafted[..4], [1, 2, 3, 1]);
    }

    #[test]
    fn guesses_that_are_wrong_are_made_no_more() {
        // Every token comes twice, and what follows it is never the same.
        let mut lookup = Lookup::new();
        let mut tokens = alloc::vec::Vec::new();
        let mut drafted = 0;
        for i in 0..200 {
            tokens.extend([7, 8, 9, 1000 + i]);
            drafted = draft(&mut lookup, &tokens[..tokens.len() - 1]).len();
        }
        assert_eq!(drafted, 0);
        // When they come true, also unasked, they are made again.
        for _ in 0..100 {
            tokens.extend([7, 8, 9, 10]);
            drafted = draft(&mut lookup, &tokens[..tokens.len() - 1]).len();
        }
        assert!(drafted > 0);
    }

    #[test]
    fn another_conversation_teaches_nothing_about_the_last_one() {
        let mut lookup = Lookup::new();
        draft(&mut lookup, &[1, 2, 3, 4, 1, 2, 3]);
        let before = lookup.chances[2].get();
        draft(&mut lookup, &[5]);
        assert_eq!(lookup.chances[2].get(), before);
    }
}
