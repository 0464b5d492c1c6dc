//! Floor 3. Routed experts: of each token's feed-forward layers a few are chosen by their scores, and only those are run.
//!
//! Tokens of a batch that chose the same expert go through it together, and what a token gathers is added in the order of
//! the experts' numbers; so its sum does not depend on the tokens around it.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::Forward;
use crate::model::program::{Buffer, Choice, Experts};

/// The least sum of shares by a sigmoid: the least normal half.
const SUM_LEAST: f32 = 6.103_515_6e-5;

impl Forward<'_> {
    /// `Delta = sum of share[e] * down[e] . (activation(gate[e] . from) * (up[e] . from))` over the chosen experts.
    pub(super) fn experts(&mut self, n: usize, from: Buffer, experts: &Experts) {
        self.choose(n, experts);
        self.scratch.columns_mut(Buffer::Delta, n).fill(0.0);
        for expert in 0..experts.count {
            let found = self.gather(n, from, expert as u32, experts.used);
            if found == 0 {
                continue;
            }
            let [gate, up, down] = experts.of(expert);
            self.gated(found, Buffer::Gathered, (&gate, Some(&up), experts.activation), experts.hidden);
            self.linear(found, Buffer::Hidden, &[(down, Buffer::Expert)]);
            self.scatter(n, expert as u32, experts.used);
        }
    }

    /// Chooses the experts of each column, those with the greatest scores and of equals the first, and their shares. A score
    /// that is no number is greater than all, so that the share is none either.
    fn choose(&mut self, n: usize, experts: &Experts) {
        let Experts { count, used, scale, ref choice, .. } = *experts;
        let bias = match choice {
            Choice::Softmax => None,
            Choice::Sigmoid { bias } => Some(bias.values(self.file)),
        };
        let range = self.scratch.range(Buffer::Scores, n);
        let scratch = &mut *self.scratch;
        let columns = scratch.buffers[range].chunks_exact_mut(count);
        let routes = scratch.chosen.chunks_exact_mut(used).zip(scratch.shares.chunks_exact_mut(used));
        for (scores, (chosen, shares)) in columns.zip(routes) {
            if bias.is_some() {
                scores.iter_mut().for_each(|score| *score = 1.0 / (1.0 + math::exp(-*score)));
            }
            for (chosen, share) in chosen.iter_mut().zip(shares.iter_mut()) {
                let (mut best, mut greatest) = (0, f32::NEG_INFINITY);
                for (expert, &score) in scores.iter().enumerate() {
                    let score = bias.map_or(score, |bias| score + bias[expert]);
                    if score > greatest || score.is_nan() {
                        (best, greatest) = (expert, score);
                    }
                }
                (*chosen, *share) = (best as u32, if greatest.is_nan() { greatest } else { scores[best] });
                scores[best] = f32::NEG_INFINITY;
            }
            if bias.is_some() {
                let sum = shares.iter().sum::<f32>().max(SUM_LEAST);
                shares.iter_mut().for_each(|share| *share = *share / sum * scale);
                continue;
            }
            let greatest = shares[0];
            shares.iter_mut().for_each(|share| *share = math::exp(*share - greatest));
            let sum: f32 = shares.iter().sum();
            shares.iter_mut().for_each(|share| *share = *share / sum * scale);
        }
    }

    /// Copies the columns that chose an expert next to each other, and says how many they are.
    fn gather(&mut self, n: usize, from: Buffer, expert: u32, used: usize) -> usize {
        let width = self.scratch.width(from);
        let ranges = [self.scratch.range(from, n), self.scratch.range(Buffer::Gathered, n)];
        let scratch = &mut *self.scratch;
        let [from, to] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        let columns = from.chunks_exact(width).zip(scratch.chosen.chunks_exact(used));
        let found = columns.filter(|(_, chosen)| chosen.contains(&expert));
        found.zip(to.chunks_exact_mut(width)).map(|((from, _), to)| to.copy_from_slice(from)).count()
    }

    /// Adds what an expert made of the columns that chose it to their deltas.
    fn scatter(&mut self, n: usize, expert: u32, used: usize) {
        let (backend, width) = (self.backend, self.scratch.width(Buffer::Delta));
        let ranges = [self.scratch.range(Buffer::Expert, n), self.scratch.range(Buffer::Delta, n)];
        let scratch = &mut *self.scratch;
        let [made, to] = scratch.buffers.get_disjoint_mut(ranges).expect("two buffers");
        let routes = scratch.chosen.chunks_exact(used).zip(scratch.shares.chunks_exact(used));
        let columns = to.chunks_exact_mut(width).zip(routes).filter_map(|(to, (chosen, shares))| {
            let place = chosen.iter().position(|&chosen| chosen == expert)?;
            Some((to, shares[place]))
        });
        for ((to, share), made) in columns.zip(made.chunks_exact(width)) {
            backend.add_scaled(to, made, share);
        }
    }
}
