//! Floor 3. The tokens that may still be chosen, with their logits, in memory that the session planned.
//!
//! Until a sampler narrows them they are the whole vocabulary, of which nothing is copied or sorted: what the scan found of
//! each block tells which few blocks hold the likely tokens. A logit of -inf, or one that is no number, is that of no
//! candidate. A temperature changes no logit: it divides their differences wherever those are used.
//!
//! Invariant: there is always at least one candidate.
#![forbid(unsafe_code)]

mod keep;

use core::cmp::Ordering;

use bantam_kernels::{Backend, SCAN_BLOCK, math};

use super::mask::TokenMask;
use super::room::Parts;
use super::spread::{Spread, Total, range};
use crate::tokenizer::TokenId;

/// A logit and its token.
pub(crate) type Candidate = (f32, TokenId);

/// The candidates that are left.
pub(crate) struct Candidates<'a> {
    backend: Backend,
    logits: &'a [f32],
    /// The logits with what samplers changed in them, once one has.
    row: &'a mut [f32],
    edited: bool,
    /// The scan of the logits, or of the row; its sums are by the temperature `scanned`.
    spread: Spread<'a>,
    scanned: f32,
    /// The block whose logits changed after its scan.
    stale: Option<usize>,
    room: &'a mut [Candidate],
    /// Candidates in `room`; `None` while they are all of the vocabulary not less than `floor`.
    kept: Option<Kept>,
    floor: f32,
    temperature: f32,
    /// Tokens of the vocabulary that may be chosen at all.
    tokens: usize,
    /// One of them, which is never wrong: for logits that say nothing.
    fallback: TokenId,
    /// Scratch of samplers that look at the history.
    pub(super) window: &'a mut [Candidate],
    /// The tokens before the one to be chosen.
    pub(super) history: &'a [TokenId],
}

/// Candidates in the room.
#[derive(Clone, Copy)]
struct Kept {
    len: usize,
    /// Whether the most likely come first, equal ones by token.
    sorted: bool,
}

impl<'a> Candidates<'a> {
    /// The tokens that `allowed` allows, or all. The spread in `parts` is the scan of `logits` by a scale of 1.
    pub(crate) fn new(
        backend: Backend,
        logits: &'a [f32],
        history: &'a [TokenId],
        parts: Parts<'a>,
        allowed: Option<(TokenMask<'_>, TokenId)>,
    ) -> Candidates<'a> {
        let Parts { row, candidates: room, window, spread } = parts;
        let mut candidates = Candidates {
            backend,
            logits,
            row,
            edited: false,
            spread,
            scanned: 1.0,
            stale: None,
            room,
            kept: None,
            floor: f32::NEG_INFINITY,
            temperature: 1.0,
            tokens: logits.len(),
            fallback: 0,
            window,
            history,
        };
        if let Some((mask, first)) = allowed {
            candidates.tokens = mask.copy(logits, candidates.row);
            candidates.edited = true;
            candidates.fallback = first;
            // The sums wait until somebody wants them.
            candidates.spread.find_greatest(candidates.row);
            candidates.scanned = f32::NAN;
        }
        candidates
    }

    /// Tokens of the vocabulary.
    pub(super) fn vocab_size(&self) -> usize {
        self.logits.len()
    }

    /// The logits of all tokens.
    fn values(&self) -> &[f32] {
        if self.edited { self.row } else { self.logits }
    }

    /// Gives the logits a row of their own, which samplers may change.
    fn edit(&mut self) {
        if !self.edited {
            self.row.copy_from_slice(self.logits);
            self.edited = true;
        }
    }

    /// Changes the logit of one token, if that is a candidate. Of several the changes are made in order of their tokens, or
    /// each costs a look at its block.
    pub(super) fn adjust(&mut self, token: TokenId, change: impl Fn(f32) -> f32) {
        self.apply_temperature();
        let at = token as usize;
        match &mut self.kept {
            Some(kept) => {
                kept.sorted = false;
                let left = &mut self.room[..kept.len];
                left.iter_mut().filter(|c| c.1 == token).for_each(|c| c.0 = change(c.0));
            }
            None if at < self.logits.len() => {
                self.edit();
                self.row[at] = change(self.row[at]);
                if self.stale != Some(at / SCAN_BLOCK) {
                    self.settle();
                    self.stale = Some(at / SCAN_BLOCK);
                }
            }
            None => {}
        }
    }

    /// Scans what was changed.
    fn settle(&mut self) {
        if let Some(block) = self.stale.take() {
            self.spread.rescan(self.backend, self.row, scale(self.scanned), block);
        }
    }

    /// Divides the logits by the temperature, which a sampler that changes them must see.
    fn apply_temperature(&mut self) {
        if self.temperature == 1.0 {
            return;
        }
        let temperature = core::mem::replace(&mut self.temperature, 1.0);
        self.floor /= temperature;
        match self.kept {
            Some(kept) => self.room[..kept.len].iter_mut().for_each(|c| c.0 /= temperature),
            None => {
                self.settle();
                self.edit();
                self.row.iter_mut().for_each(|logit| *logit /= temperature);
                self.scanned = 1.0;
                self.spread.scan(self.backend, self.row, 1.0);
            }
        }
    }

    /// Divides the differences of logits by `temperature`, which is greater than 0.
    pub(super) fn divide(&mut self, temperature: f32) {
        self.temperature = (self.temperature * temperature).clamp(f32::MIN_POSITIVE, f32::MAX);
    }

    /// The temperature so far.
    pub(super) fn temperature(&self) -> f32 {
        self.temperature
    }

    /// What a candidate counts in a softmax, relative to the greatest.
    pub(super) fn weight(&self, logit: f32, max: f32) -> f64 {
        // Equal infinities have no difference, and are equally likely.
        if logit == max { 1.0 } else { f64::from(math::exp((logit - max) / self.temperature)) }
    }

    /// The greatest logit.
    pub(super) fn max(&mut self) -> f32 {
        self.settle();
        match self.kept {
            None => self.spread.greatest(),
            Some(Kept { len, sorted: false }) => {
                self.room[..len].iter().fold(f32::NEG_INFINITY, |a, c| if c.0 > a { c.0 } else { a })
            }
            Some(_) => self.room[0].0,
        }
    }

    /// How many candidates there are.
    pub(super) fn count(&mut self) -> usize {
        if self.floor > f32::NEG_INFINITY {
            self.gather();
        }
        self.kept.map_or(self.tokens, |kept| kept.len)
    }

    /// Takes what is below the floor away: few candidates go to the room, and many stay in their row, where sums are faster.
    fn apply_floor(&mut self) {
        if self.kept.is_some() || self.floor == f32::NEG_INFINITY {
            return;
        }
        self.settle();
        // One of 256 logits is its block's greatest: where nearly all of those are candidates, there are many.
        let blocks = self.spread.max.len();
        let below = self.spread.max.iter().filter(|max| **max < self.floor).count();
        if blocks < 16 * below.max(1) {
            return self.gather();
        }
        self.edit();
        self.tokens = 0;
        for logit in self.row.iter_mut() {
            let is_candidate = *logit >= self.floor;
            self.tokens += usize::from(is_candidate);
            *logit = if is_candidate { *logit } else { f32::NEG_INFINITY };
        }
        self.scanned = self.temperature;
        self.spread.scan(self.backend, self.row, scale(self.temperature));
        self.floor = f32::NEG_INFINITY;
    }

    /// The softmax of all candidates.
    pub(super) fn total(&mut self) -> Total {
        self.apply_floor();
        self.settle();
        let Some(kept) = self.kept else {
            if self.scanned != self.temperature {
                self.scanned = self.temperature;
                let values = if self.edited { &*self.row } else { self.logits };
                self.spread.scan(self.backend, values, scale(self.temperature));
            }
            return self.spread.total(scale(self.scanned));
        };
        let max = self.max();
        let (mut sum, mut weighted) = (0.0, 0.0);
        for &(logit, _) in &self.room[..kept.len] {
            let weight = self.weight(logit, max);
            sum += weight;
            if weight > 0.0 && logit != max {
                weighted += weight * f64::from((logit - max) / self.temperature);
            }
        }
        Total { max, sum, weighted }
    }

    /// The logit of one of the first candidates: a number, 0 if none of them has one.
    pub(super) fn some_logit(&self) -> f32 {
        let found = match self.kept {
            Some(kept) => self.room[..kept.len].iter().map(|c| c.0).find(|logit| logit.is_finite()),
            None => self.values().iter().copied().find(|logit| logit.is_finite()),
        };
        found.unwrap_or(0.0)
    }

    /// The logits of the candidates, of -inf ones too.
    pub(super) fn each_logit(&self, mut each: impl FnMut(&[f32])) {
        match self.kept {
            Some(kept) => self.room[..kept.len].iter().for_each(|c| each(&[c.0])),
            None => each(self.values()),
        }
    }

    /// Takes the candidates into the room, in order of their tokens.
    fn gather(&mut self) {
        if self.kept.is_none() {
            let len = self.collect(0, self.floor, f32::INFINITY);
            self.hold(len, false);
        }
    }

    /// The first `len` of the room are the candidates, or if none the one that is never wrong.
    fn hold(&mut self, len: usize, sorted: bool) {
        if len == 0 {
            self.room[0] = (f32::NEG_INFINITY, self.fallback);
        }
        self.kept = Some(Kept { len: len.max(1), sorted: sorted || len <= 1 });
        self.floor = f32::NEG_INFINITY;
    }

    /// Writes all tokens of the vocabulary with logits of `low..=high` into the room behind its first `len`. How many are there
    /// then.
    fn collect(&mut self, mut len: usize, low: f32, high: f32) -> usize {
        self.settle();
        let low = low.max(f32::MIN).max(self.floor);
        let values = if self.edited { &*self.row } else { self.logits };
        for (block, &max) in self.spread.max.iter().enumerate() {
            if max < low || max == f32::NEG_INFINITY {
                continue;
            }
            let range = range(values.len(), block);
            // Most of a block is below: sixteen are looked at together.
            for (row, values) in values[range.clone()].chunks(16).enumerate() {
                if !values.iter().fold(false, |any, &value| any | (value >= low)) {
                    continue;
                }
                // Which of these are candidates is hard to predict: all are written, and the others written over.
                for (i, &value) in values.iter().enumerate() {
                    if let Some(slot) = self.room.get_mut(len) {
                        *slot = (value, (range.start + 16 * row + i) as TokenId);
                    }
                    len += usize::from(value >= low && value <= high);
                }
            }
        }
        len
    }

    /// Keeps the first of the greatest.
    pub(super) fn keep_greatest(&mut self) {
        let greatest = self.greatest();
        self.room[0] = greatest;
        self.hold(1, true);
    }

    /// The first of the greatest.
    pub(super) fn greatest(&mut self) -> Candidate {
        self.settle();
        match self.kept {
            None => {
                let first = self.spread.first_greatest(self.values());
                let logit = self.values().get(first).copied().unwrap_or(f32::NAN);
                if logit > f32::NEG_INFINITY { (logit, first as TokenId) } else { (logit, self.fallback) }
            }
            Some(kept) => {
                let left = &self.room[..kept.len];
                left.iter().copied().min_by(order).unwrap_or((f32::NEG_INFINITY, self.fallback))
            }
        }
    }

    /// Every candidate with its share of the softmax, but for those that cannot be drawn.
    #[cfg(test)]
    pub(super) fn shares(&mut self) -> alloc::vec::Vec<(TokenId, f64)> {
        let total = self.total();
        self.gather();
        let len = self.kept.map_or(0, |kept| kept.len);
        let share = |c: &Candidate| (c.1, self.weight(c.0, total.max) / total.sum);
        self.room[..len].iter().map(share).filter(|(_, share)| *share > 0.0).collect()
    }

    /// Draws one by its share of the softmax; `unit` is a random number of 0 to 1, 1 excluded. Its token and its share.
    pub(super) fn draw(&mut self, unit: f64) -> (TokenId, f64) {
        let total = self.total();
        let mut left = unit * total.sum;
        let share = |candidates: &Candidates<'_>, logit| candidates.weight(logit, total.max) / total.sum;
        if let Some(kept) = self.kept {
            // Rounding may leave a little; the first is never wrong.
            let mut drawn = self.room[0];
            for candidate in &self.room[..kept.len] {
                left -= self.weight(candidate.0, total.max);
                if left < 0.0 {
                    drawn = *candidate;
                    break;
                }
            }
            return (drawn.1, share(self, drawn.0));
        }
        let values = self.values();
        for (block, (&max, &sum)) in self.spread.max.iter().zip(self.spread.sum.iter()).enumerate() {
            let of_block = self.weight(max, total.max) * f64::from(sum);
            if max == f32::NEG_INFINITY || of_block <= left {
                left -= if max == f32::NEG_INFINITY { 0.0 } else { of_block };
                continue;
            }
            let mut drawn = None;
            for at in range(values.len(), block) {
                let weight =
                    if values[at] > f32::NEG_INFINITY { self.weight(values[at], total.max) } else { 0.0 };
                left -= weight;
                if weight > 0.0 {
                    drawn = Some(at);
                }
                if left < 0.0 {
                    break;
                }
            }
            if let Some(at) = drawn {
                return (at as TokenId, share(self, values[at]));
            }
        }
        let (logit, token) = self.greatest();
        (token, share(self, logit))
    }
}

/// What the scan multiplies by.
fn scale(temperature: f32) -> f32 {
    (1.0 / temperature).min(f32::MAX)
}

/// The more likely first; of equals the lower token.
pub(super) fn order(a: &Candidate, b: &Candidate) -> Ordering {
    rank(a).cmp(&rank(b))
}

/// The place in that order as one number, which sorts faster than two: the logit's bits as a whole number that grows as the logit
/// falls (`f32::total_cmp` has the trick), above those of the token.
fn rank((logit, token): &Candidate) -> u64 {
    let bits = logit.to_bits();
    let falling = if bits >> 31 == 1 { bits } else { !bits & 0x7fff_ffff };
    u64::from(falling) << 32 | u64::from(*token)
}
