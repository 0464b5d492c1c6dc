//! Floor 3. Which candidates are kept: the likeliest, the typical, those above a cut. None of it sorts a vocabulary. Candidates are
//! collected from the greatest logits downwards, in steps, until there are enough; of those only the border is looked at closely.
#![forbid(unsafe_code)]

use core::cmp::Ordering;
use core::ops::Range;

use bantam_kernels::math;

use super::{Candidate, Candidates, Kept, order};
use crate::sample::spread::Total;
use crate::tokenizer::TokenId;

/// How far below the greatest logit, in units of the temperature, candidates are looked for at first, and by how much
/// farther each time that they are not enough.
const REACH: f32 = 4.0;
const FARTHER: f32 = 1.25;
/// From here on all that are left are taken.
const REACH_MAX: f32 = 64.0;

impl Candidates<'_> {
    /// Keeps the candidates whose logit is at least `cut`, or the greatest ones if none is.
    pub(crate) fn keep_from(&mut self, cut: f32) {
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

    /// Keeps the `k` most likely, sorted.
    pub(crate) fn keep_top(&mut self, k: usize) {
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
    pub(crate) fn collect_top(&mut self, k: usize) -> usize {
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
        if k > blocks && blocks > 1 {
            // About as many as are greater than the least of the blocks' greatest, but for outliers, will be wanted at least.
            self.room.iter_mut().zip(self.spread.max.iter()).for_each(|(room, &max)| *room = (max, 0));
            let (_, least, _) = self.room[..blocks].select_nth_unstable_by(blocks - 1 - blocks / 64, order);
            reach = (greatest - least.0).clamp(REACH, REACH_MAX);
        }
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
    pub(crate) fn top(&mut self, k: usize) -> &[Candidate] {
        let len = self.collect_top(k);
        &self.room[..len]
    }

    /// Shows each of the `n` most likely with the next, by its place; the candidates stay what they are.
    pub(crate) fn each_pair(&mut self, n: usize, mut each: impl FnMut(usize, [f32; 2])) {
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
    pub(crate) fn keep_likeliest(&mut self, p: f64) {
        let total = self.total();
        let mut wanted = p * total.sum;
        let enough = |sum, wanted| sum >= wanted;
        if let Some(kept) = self.kept {
            let cut = self.cut(0..kept.len, order, &total, &mut wanted, enough);
            return self.hold(cut.unwrap_or(kept.len), kept.sorted);
        }
        // As far as they would have to be looked for if their distances from the greatest were distributed exponentially.
        let mean = -total.weighted / total.sum;
        let guess = (-mean * math::ln_f64(1.0 - p)) as f32;
        let (mut len, mut high, mut reach) = (0, f32::INFINITY, guess.clamp(1.0, 2.0 * REACH));
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
    pub(crate) fn keep_typical(&mut self, p: f64) {
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
    pub(crate) fn drop_likelier(&mut self, p: f64) {
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
