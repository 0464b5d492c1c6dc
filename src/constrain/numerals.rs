//! Floor 4. How many digits the numbers of JSON may have. A model that is unsure goes on with digits for ever; and what a double
//! cannot hold is an error to some readers.
//!
//! Invariant: a number ends behind 16 digits before its point, 16 behind it, and 2 of its exponent, unless the grammar then
//! allows nothing but more of them.
#![forbid(unsafe_code)]

use std::vec::Vec;

use llguidance::toktrie::{SimpleVob, TokTrie};

use crate::tokenizer::TokenId;

/// The most digits of a whole number, and behind a point.
const DIGITS_MAX: u8 = 16;
/// The most digits of an exponent.
const EXPONENT_MAX: u8 = 2;

/// Where in JSON an answer is, as far as that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How many objects and lists are open. Text in which there is no JSON yet is on none.
    depth: u16,
    is_text: bool,
    is_escaped: bool,
    /// The byte before, if it is part of a number.
    last: u8,
    is_exponent: bool,
    /// How many digits may follow.
    room: u8,
}

impl Place {
    /// At the beginning of a value, or of text in which there may be one.
    pub(super) fn new(is_value: bool) -> Place {
        let depth = u16::from(is_value);
        Place { depth, is_text: false, is_escaped: false, last: 0, is_exponent: false, room: DIGITS_MAX }
    }

    /// Goes past these bytes; whether a number among them became too long.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> bool {
        let mut is_over = false;
        for &byte in bytes {
            is_over |= self.step(byte);
        }
        is_over
    }

    fn step(&mut self, byte: u8) -> bool {
        if self.is_text {
            match byte {
                _ if core::mem::take(&mut self.is_escaped) => {}
                b'\\' => self.is_escaped = true,
                // No text of JSON goes over a line.
                b'"' | b'\n' => self.is_text = false,
                _ => {}
            }
            return false;
        }
        let last = core::mem::replace(&mut self.last, 0);
        match byte {
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ if self.depth == 0 => {}
            b'"' => self.is_text = true,
            b'0'..=b'9' => {
                self.last = byte;
                if last == 0 {
                    (self.room, self.is_exponent) = (DIGITS_MAX, false);
                }
                let is_over = self.room == 0;
                self.room = self.room.saturating_sub(1);
                return is_over;
            }
            b'.' if last.is_ascii_digit() => (self.last, self.room) = (byte, DIGITS_MAX),
            b'e' | b'E' if last.is_ascii_digit() => {
                (self.last, self.room, self.is_exponent) = (byte, EXPONENT_MAX, true);
            }
            b'+' | b'-' if self.is_exponent && matches!(last, b'e' | b'E') => self.last = byte,
            _ => {}
        }
        false
    }
}

/// The tokens of a vocabulary that can make a number too long.
pub(super) struct Numerals {
    /// Those that go on with a number.
    inside: Vec<TokenId>,
    /// Those that hold more digits than a number may have.
    long: Vec<TokenId>,
}

impl Numerals {
    pub(super) fn new(tree: &TokTrie) -> Numerals {
        let mut numerals = Numerals { inside: Vec::new(), long: Vec::new() };
        for id in 0..tree.vocab_size() as TokenId {
            let bytes = tree.token(id);
            let goes_on = bytes.first().is_some_and(|first| b"0123456789.eE+-".contains(first));
            if goes_on && bytes.iter().any(u8::is_ascii_digit) {
                numerals.inside.push(id);
            }
            let (mut value, mut text) = (Place::new(true), Place { is_text: true, ..Place::new(true) });
            if value.pass(bytes) || text.pass(bytes) {
                numerals.long.push(id);
            }
        }
        numerals
    }

    /// Takes what would make a number too long from the allowed tokens, unless nothing would be left.
    pub(super) fn narrow(&self, place: Place, tree: &TokTrie, allowed: &mut SimpleVob) {
        if place.depth == 0 {
            return;
        }
        let inside = if place.last == 0 { &[] } else { &self.inside[..] };
        let mut taken = Vec::new();
        for &id in inside.iter().chain(&self.long) {
            if allowed.is_allowed(id) && place.clone().pass(tree.token(id)) {
                allowed.disallow_token(id);
                taken.push(id);
            }
        }
        if !taken.is_empty() && allowed.is_zero() {
            taken.into_iter().for_each(|id| allowed.allow_token(id));
        }
    }
}
