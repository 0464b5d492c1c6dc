//! Floor 3. The tokens that may still be chosen, with their logits, in memory that the session planned.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use crate::tokenizer::TokenId;

/// A logit and its token.
pub(crate) type Candidate = (f32, TokenId);

/// The candidates that are left. Until a sampler narrows them they are the whole vocabulary, which stays in the logits.
pub(crate) struct Candidates<'a> {
    logits: &'a [f32],
    room: &'a mut [Candidate],
    /// Candidates in `room`, the most likely first; `None` while they are all of `logits`.
    kept: Option<usize>,
}

/// A logit by which candidates can be ordered: one that is not a number can never be chosen before a number.
fn rank(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit }
}

impl<'a> Candidates<'a> {
    /// All tokens; `room` is as long as `logits`.
    pub(crate) fn new(logits: &'a [f32], room: &'a mut [Candidate]) -> Candidates<'a> {
        Candidates { logits, room, kept: None }
    }

    /// The first of the tokens with the greatest logit.
    pub(crate) fn most_likely(&self) -> TokenId {
        // The greatest of each block is found without its place, many values side by side.
        const BLOCK: usize = 256;
        let mut best = (f32::NEG_INFINITY, 0);
        for (block, logits) in self.logits.chunks(BLOCK).enumerate() {
            let greatest = greatest(logits);
            if greatest > best.0 {
                best = (greatest, block * BLOCK);
            }
        }
        let first = self.logits[best.1..].iter().position(|&logit| logit == best.0).unwrap_or(0);
        (best.1 + first) as TokenId
    }

    /// Keeps the `k` most likely, sorted; equal ones by token.
    pub(crate) fn keep_top(&mut self, k: usize) {
        if let Some(kept) = self.kept {
            self.kept = Some(kept.min(k));
            return;
        }
        let k = k.min(self.logits.len());
        let mut len = 0;
        // A threshold from the first k filters nearly all of the rest, so that the sorting sees few.
        let mut threshold = f32::NEG_INFINITY;
        let room_for = (2 * k).max(k + 64).min(self.room.len());
        for (token, &logit) in self.logits.iter().enumerate() {
            let logit = rank(logit);
            if logit <= threshold && len >= k {
                continue;
            }
            if len == room_for {
                len = self.select(len, k);
                threshold = self.room[..len].iter().fold(f32::INFINITY, |min, c| min.min(c.0));
                if logit <= threshold {
                    continue;
                }
            }
            self.room[len] = (logit, token as TokenId);
            len += 1;
        }
        let len = self.select(len, k);
        self.room[..len].sort_unstable_by(order);
        self.kept = Some(len);
    }

    /// Moves the `k` most likely of the first `len` to the front.
    fn select(&mut self, len: usize, k: usize) -> usize {
        if len <= k {
            return len;
        }
        self.room[..len].select_nth_unstable_by(k, order);
        k
    }

    /// The candidates, the most likely first.
    pub(crate) fn sorted(&mut self) -> &mut [Candidate] {
        if self.kept.is_none() {
            self.keep_top(self.logits.len());
        }
        &mut self.room[..self.kept.unwrap_or(0)]
    }

    /// Keeps the first `n` of the sorted candidates, at least one.
    pub(crate) fn truncate(&mut self, n: usize) {
        let len = self.sorted().len();
        self.kept = Some(len.min(n.max(1)));
    }

    /// Draws one by its share of the softmax; `unit` is a random number of 0 to 1, 1 excluded.
    pub(crate) fn draw(&mut self, unit: f64) -> TokenId {
        let candidates = self.sorted();
        let max = candidates.first().map_or(0.0, |best| best.0);
        let weight = |candidate: &Candidate| weight(candidate.0, max);
        let total: f64 = candidates.iter().map(weight).sum();
        let mut left = unit * total;
        for candidate in candidates.iter() {
            left -= weight(candidate);
            if left < 0.0 {
                return candidate.1;
            }
        }
        // Rounding may leave a little; the most likely is never wrong.
        candidates.first().map_or(0, |best| best.1)
    }
}

/// What a logit counts in a softmax, relative to the greatest.
pub(crate) fn weight(logit: f32, max: f32) -> f64 {
    // Equal infinities have no difference, and are equally likely.
    if logit == max { 1.0 } else { f64::from(math::exp(logit - max)) }
}

/// The more likely first; of equals the lower token.
fn order(a: &Candidate, b: &Candidate) -> core::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The greatest of the values that are numbers, -inf of none.
fn greatest(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, value);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| greater(a, b))
}
