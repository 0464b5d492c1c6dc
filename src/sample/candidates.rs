//! Floor 3. The tokens that may still be chosen, with their logits, in memory that the session planned.
//!
//! Until a sampler narrows them they are the whole vocabulary, of which nothing is copied or sorted: what the scan found of
//! each block tells which few blocks hold the likely tokens. A logit of -inf, or one that is no number, is that of no
//! candidate. A temperature changes no logit: it divides their differences wherever those are used.
//!
//! Invariant: there is always at least one candidate.
#![forbid(unsafe_code)]

use core::cmp::Ordering;
use core::ops::Range;

use bantam_kernels::{Backend, SCAN_BLOCK, math};

use super::mask::TokenMask;
use super::room::Parts;
use super::spread::{Spread, Total, range};
use crate::tokenizer::TokenId;

/// A logit and its token.
pub(crate) type Candidate = (f32, TokenId);

/// How far below the greatest logit, in units of the temperature, candidates are looked for at first, and by how much
/// farther each time that they are not enough.
const REACH: f32 = 4.0;
const FARTHER: f32 = 1.25;
/// From here on all that are left are taken.
const REACH_MAX: f32 = 64.0;

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
                if !self.edited {
                    self.row.copy_from_slice(self.logits);
                    self.edited = true;
                }
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
                let source = if self.edited { None } else { Some(self.logits) };
                if let Some(logits) = source {
                    self.row.copy_from_slice(logits);
                    self.edited = true;
                }
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

    /// The softmax of all candidates.
    pub(super) fn total(&mut self) -> Total {
        if self.floor > f32::NEG_INFINITY {
            self.gather();
        }
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

    /// Keeps the candidates whose logit is at least `cut`, or the greatest ones if none is.
    pub(super) fn keep_from(&mut self, cut: f32) {
        let max = self.max();
        // No cut that is no number cuts anything.
        let cut = if cut > max { max } else { cut };
        if cut.is_nan() || cut <= self.floor {
            return;
        }
        match &mut self.kept {
            None => self.floor = cut,
            Some(kept) if kept.sorted => {
                kept.len = self.room[..kept.len].partition_point(|c| c.0 >= cut).max(1);
            }
            Some(kept) => {
                let mut len = 0;
                for at in 0..kept.len {
                    if self.room[at].0 >= cut {
                        self.room[len] = self.room[at];
                        len += 1;
                    }
                }
                kept.len = len.max(1);
            }
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
                for (i, &value) in values.iter().enumerate() {
                    if value >= low && value <= high {
                        self.room[len] = (value, (range.start + 16 * row + i) as TokenId);
                        len += 1;
                    }
                }
            }
        }
        len
    }

    /// Keeps the `k` most likely, sorted.
    pub(super) fn keep_top(&mut self, k: usize) {
        let k = k.max(1);
        match self.kept {
            None if k >= self.logits.len() => {}
            None => {
                let len = self.collect_top(k);
                self.hold(len, true);
            }
            Some(kept) => {
                if !kept.sorted {
                    let len = select_by(&mut self.room[..kept.len], k, order);
                    self.room[..len].sort_unstable_by(order);
                }
                self.hold(kept.len.min(k), true);
            }
        }
    }

    /// Writes the `k` most likely tokens of the vocabulary into the room, sorted; the candidates stay what they are. How
    /// many they are, as there may be fewer.
    pub(super) fn collect_top(&mut self, k: usize) -> usize {
        self.settle();
        let mut low = self.floor;
        let blocks = self.spread.max.len();
        let mut len = 0;
        if k <= blocks {
            // As many logits as there are greater blocks are not less than the least of their greatest.
            self.room.iter_mut().zip(self.spread.max.iter()).for_each(|(room, &max)| *room = (max, 0));
            let (_, least, _) = self.room[..blocks].select_nth_unstable_by(k - 1, order);
            low = low.max(least.0);
        }
        // Of more, the likeliest are taken, and then less likely ones until there are enough.
        let (greatest, mut high, mut reach) = (self.spread.greatest(), f32::INFINITY, REACH);
        while k > blocks && len < k && reach < REACH_MAX {
            len = self.collect(len, greatest - reach, high);
            (high, reach) = ((greatest - reach).next_down(), reach * FARTHER);
        }
        if len < k {
            len = self.collect(len, low, high);
        }
        let len = select_by(&mut self.room[..len], k, order);
        self.room[..len].sort_unstable_by(order);
        len
    }

    /// The `k` most likely tokens of the vocabulary, fewer if there are no more.
    pub(super) fn top(&mut self, k: usize) -> &[Candidate] {
        let len = self.collect_top(k);
        &self.room[..len]
    }

    /// Shows each of the `n` most likely with the next, by its place; the candidates stay what they are.
    pub(super) fn each_pair(&mut self, n: usize, mut each: impl FnMut(usize, [f32; 2])) {
        let len = match self.kept {
            None => self.collect_top(n),
            Some(kept) => {
                self.keep_top(kept.len);
                kept.len.min(n)
            }
        };
        for (i, pair) in self.room[..len].windows(2).enumerate() {
            each(i, [pair[0].0, pair[1].0]);
        }
    }

    /// Keeps the most likely until their shares add up to `p`.
    pub(super) fn keep_likeliest(&mut self, p: f64) {
        let total = self.total();
        let mut wanted = p * total.sum;
        let enough = |sum, wanted| sum >= wanted;
        if let Some(kept) = self.kept {
            let cut = self.cut(0..kept.len, order, &total, &mut wanted, enough);
            return self.hold(cut.unwrap_or(kept.len), kept.sorted);
        }
        let (mut len, mut high, mut reach) = (0, f32::INFINITY, REACH);
        while reach < REACH_MAX {
            let low = total.max - reach * self.temperature;
            let end = self.collect(len, low, high);
            if let Some(cut) = self.cut(len..end, order, &total, &mut wanted, enough) {
                return self.hold(cut, false);
            }
            (len, high, reach) = (end, low.next_down(), reach * FARTHER);
        }
        let end = self.collect(len, f32::MIN, high);
        let cut = self.cut(len..end, order, &total, &mut wanted, enough);
        self.hold(cut.unwrap_or(end), false);
    }

    /// Keeps the candidates whose `-ln p` is nearest to the entropy, until their shares add up to more than `p`.
    pub(super) fn keep_typical(&mut self, p: f64) {
        let total = self.total();
        let mut wanted = p * total.sum;
        let enough = |sum, wanted| sum > wanted;
        let log_sum = math::ln_f64(total.sum);
        let entropy = log_sum - total.weighted / total.sum;
        let temperature = f64::from(self.temperature);
        // The logit whose -ln p is the entropy.
        let center = f64::from(total.max) + temperature * (log_sum - entropy);
        let distance = move |c: &Candidate| (f64::from(c.0) - center).abs();
        let nearer =
            move |a: &Candidate, b: &Candidate| distance(a).total_cmp(&distance(b)).then_with(|| order(a, b));
        if let Some(kept) = self.kept {
            let cut = self.cut(0..kept.len, nearer, &total, &mut wanted, enough);
            return self.hold(cut.unwrap_or(kept.len), false);
        }
        // Logits on either side, then those farther away.
        let (mut len, mut reach) = (0, 1.0);
        let (mut below, mut above) = ((center as f32).next_down(), center as f32);
        while reach < REACH_MAX {
            let width = temperature * f64::from(reach);
            let (low, high) = ((center - width) as f32, (center + width) as f32);
            let end = self.collect(len, above, high);
            let end = self.collect(end, low, below);
            if let Some(cut) = self.cut(len..end, nearer, &total, &mut wanted, enough) {
                return self.hold(cut, false);
            }
            (len, reach, below, above) = (end, reach * FARTHER, low.next_down(), high.next_up());
        }
        let end = self.collect(len, above, f32::INFINITY);
        let end = self.collect(end, f32::MIN, below);
        let cut = self.cut(len..end, nearer, &total, &mut wanted, enough);
        self.hold(cut.unwrap_or(end), false);
    }

    /// Moves the first in that order of a part of the room to its front, until their weights are enough for what is `wanted`:
    /// where they end. `None` if all are not enough, and what is still wanted then.
    ///
    /// Halves are told apart, of which only the one with the cut is looked at further; nothing but the last few is sorted.
    fn cut(
        &mut self,
        part: Range<usize>,
        order: impl Fn(&Candidate, &Candidate) -> Ordering + Copy,
        total: &Total,
        wanted: &mut f64,
        enough: impl Fn(f64, f64) -> bool,
    ) -> Option<usize> {
        let Range { mut start, mut end } = part;
        if !self.room[start..end].is_sorted_by(|a, b| order(a, b).is_le()) {
            let weights = |candidates: &Candidates<'_>, part: Range<usize>| {
                candidates.room[part].iter().map(|c| candidates.weight(c.0, total.max)).sum::<f64>()
            };
            let sum = weights(self, start..end);
            if !enough(sum, *wanted) {
                *wanted -= sum;
                return None;
            }
            while end - start > 32 {
                let half = (end - start) / 2;
                self.room[start..end].select_nth_unstable_by(half, order);
                let sum = weights(self, start..start + half);
                if enough(sum, *wanted) {
                    end = start + half;
                } else {
                    *wanted -= sum;
                    start += half;
                }
            }
            self.room[start..end].sort_unstable_by(order);
        }
        for at in start..end {
            let weight = self.weight(self.room[at].0, total.max);
            if enough(weight, *wanted) {
                return Some(at + 1);
            }
            *wanted -= weight;
        }
        None
    }

    /// Takes away the most likely ones for as long as the next one is also as likely as `p`.
    pub(super) fn drop_likelier(&mut self, p: f64) {
        let total = self.total();
        let likely =
            |candidates: &Candidates<'_>, c: &Candidate| candidates.weight(c.0, total.max) / total.sum >= p;
        let Some(Kept { len, sorted }) = self.kept else {
            // p of all is this far below the greatest; what rounding makes of it is decided below.
            let reach = -math::ln_f64(p * total.sum) * f64::from(self.temperature);
            let low = f64::from(total.max) - reach;
            let len = self.collect(0, (low - 1e-5 * (1.0 + low.abs())) as f32, f32::INFINITY);
            self.room[..len].sort_unstable_by(order);
            let count = self.room[..len].iter().take_while(|c| likely(self, c)).count();
            for at in 0..count.saturating_sub(1) {
                self.adjust_to_nothing(self.room[at].1);
            }
            return;
        };
        if !sorted {
            self.room[..len].sort_unstable_by(order);
        }
        let count = self.room[..len].iter().take_while(|c| likely(self, c)).count().saturating_sub(1);
        self.room.copy_within(count..len, 0);
        self.hold(len - count, true);
    }

    /// A token of the whole vocabulary is a candidate no more, at any temperature.
    fn adjust_to_nothing(&mut self, token: TokenId) {
        let temperature = core::mem::replace(&mut self.temperature, 1.0);
        self.adjust(token, |_| f32::NEG_INFINITY);
        self.temperature = temperature;
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
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// Moves the `k` first in that order to the front. How many they are.
fn select_by(
    candidates: &mut [Candidate],
    k: usize,
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
) -> usize {
    if candidates.len() > k {
        candidates.select_nth_unstable_by(k, order);
    }
    candidates.len().min(k)
}
