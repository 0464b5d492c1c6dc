//! Floor 2. Llama 3's words, and those of the families that change a little of its expression:
//! `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
#![forbid(unsafe_code)]

use super::{contraction, end_of_run, end_while, is_line_end, rest, space_and_lines};
use crate::tokenizer::unicode::{Category, Class};

/// What a family changes.
struct Rules {
    /// Whether `'s` and its like are words.
    contractions: bool,
    /// How many numbers stand together.
    numbers: usize,
    /// Whether marks are letters: `[\p{L}\p{M}]+` and `[^\s\p{L}\p{M}\p{N}]+`.
    marks: bool,
    /// Whether symbols take the ends of lines behind them.
    lines: bool,
}

const LLAMA3: Rules = Rules { contractions: true, numbers: 3, marks: false, lines: true };

pub(super) fn first_word(text: &str) -> usize {
    LLAMA3.first_word(text)
}

/// Qwen 2: every number stands alone (`\p{N}` for `\p{N}{1,3}`).
pub(super) fn qwen2(text: &str) -> usize {
    const QWEN2: Rules = Rules { numbers: 1, ..LLAMA3 };
    QWEN2.first_word(text)
}

/// Qwen 3.5: as Qwen 2, but marks belong to the letters: `[\p{L}\p{M}]+` for `\p{L}+`, and no symbols.
pub(super) fn qwen35(text: &str) -> usize {
    const QWEN35: Rules = Rules { numbers: 1, marks: true, ..LLAMA3 };
    QWEN35.first_word(text)
}

/// Seed-Coder: as Qwen 2, but symbols leave the ends of lines: `[^\s\p{L}\p{N}\r\n]+`.
pub(super) fn seed_coder(text: &str) -> usize {
    const SEED_CODER: Rules = Rules { numbers: 1, lines: false, ..LLAMA3 };
    SEED_CODER.first_word(text)
}

/// Ufakzeka: as Qwen 2, without contractions.
pub(super) fn ufakzeka(text: &str) -> usize {
    const UFAKZEKA: Rules = Rules { contractions: false, numbers: 1, ..LLAMA3 };
    UFAKZEKA.first_word(text)
}

impl Rules {
    fn class(&self, c: char) -> Class {
        match Class::of(c) {
            Class::Other if self.marks && Category::of(c).is_mark() => Class::Letter,
            class => class,
        }
    }

    fn first_word(&self, text: &str) -> usize {
        if self.contractions
            && let Some(length) = contraction(text, true)
        {
            return length;
        }
        let run = |start, class| end_while(text, start, |c| self.class(c) == class);
        let mut characters = text.chars();
        let Some(first) = characters.next() else { return 0 };
        let second = characters.next().map(|c| self.class(c));
        match self.class(first) {
            Class::Letter => return run(0, Class::Letter),
            Class::Number => {
                let is_number = |c: &char| self.class(*c) == Class::Number;
                return text.chars().take(self.numbers).take_while(is_number).map(char::len_utf8).sum();
            }
            _ if !is_line_end(first) && second == Some(Class::Letter) => {
                return run(first.len_utf8(), Class::Letter);
            }
            _ => {}
        }
        let space = usize::from(first == ' ');
        if rest(text, space).chars().next().is_some_and(|c| self.class(c) == Class::Other) {
            let end = run(space, Class::Other);
            return if self.lines { end_while(text, end, is_line_end) } else { end };
        }
        space_and_lines(text, end_of_run(text, 0, Class::Space))
    }
}
