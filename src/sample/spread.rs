//! Floor 3. What the scan of logits finds of each block of them: the greatest, and the sums of a softmax.
//!
//! Invariant: block `b` is of logits `256 b .. 256 (b + 1)`, and every one of them is looked at once.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::{Backend, SCAN_BLOCK, SpreadMut, math};

/// A value per block.
pub(crate) struct Spread<'a> {
    pub(crate) max: &'a mut [f32],
    pub(crate) sum: &'a mut [f32],
    pub(crate) weighted: &'a mut [f32],
}

/// A softmax over all logits, relative to the greatest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    /// The greatest logit that is a number; -inf if none is.
    pub(crate) max: f32,
    /// The sum of `exp(d)`, where `d = scale (logit - max)`: at least 1.
    pub(crate) sum: f64,
    /// The sum of `d exp(d)`.
    pub(crate) weighted: f64,
}

/// Blocks of so many logits.
pub(crate) fn blocks(logits: usize) -> usize {
    logits.div_ceil(SCAN_BLOCK)
}

impl Spread<'_> {
    /// Scans all logits.
    pub(crate) fn scan(&mut self, backend: Backend, logits: &[f32], scale: f32) {
        let mut out = SpreadMut { max: self.max, sum: self.sum, weighted: self.weighted };
        backend.scan(logits, scale, &mut out);
    }

    /// Finds the greatest alone; the sums stay what they were.
    pub(crate) fn find_greatest(&mut self, logits: &[f32]) {
        for (max, logits) in self.max.iter_mut().zip(logits.chunks(SCAN_BLOCK)) {
            let (rows, rest) = logits.as_chunks::<16>();
            let mut lanes = [f32::NEG_INFINITY; 16];
            for row in rows {
                for (lane, &logit) in lanes.iter_mut().zip(row) {
                    *lane = if logit > *lane { logit } else { *lane };
                }
            }
            *max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        }
    }

    /// Scans one block again.
    pub(crate) fn rescan(&mut self, backend: Backend, logits: &[f32], scale: f32, block: usize) {
        let one = block..block + 1;
        let mut out = SpreadMut {
            max: &mut self.max[one.clone()],
            sum: &mut self.sum[one.clone()],
            weighted: &mut self.weighted[one],
        };
        backend.scan(&logits[range(logits.len(), block)], scale, &mut out);
    }

    /// The greatest logit.
    pub(crate) fn greatest(&self) -> f32 {
        self.max.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
    }

    /// All blocks together, of a scan by `scale`.
    pub(crate) fn total(&self, scale: f32) -> Total {
        let max = self.greatest();
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (b, &of_block) in self.max.iter().enumerate() {
            // How far below the greatest the block's greatest is; infinities have no difference.
            let below = if of_block == max { 0.0 } else { (of_block - max) * scale };
            let power = f64::from(math::exp(below));
            if power > 0.0 {
                sum += power * f64::from(self.sum[b]);
                weighted += power * (f64::from(self.weighted[b]) + f64::from(below) * f64::from(self.sum[b]));
            }
        }
        Total { max, sum, weighted }
    }

    /// The place of the first of the greatest logits; 0 if none is a number above -inf.
    pub(crate) fn first_greatest(&self, logits: &[f32]) -> usize {
        let greatest = self.greatest();
        let block = self.max.iter().position(|&max| max == greatest).unwrap_or(0);
        let range = range(logits.len(), block);
        let start = range.start;
        start + logits[range].iter().position(|&logit| logit == greatest).unwrap_or(0)
    }

    /// The greatest logit and the second, which may be equal.
    pub(crate) fn greatest_two(&self, logits: &[f32]) -> [f32; 2] {
        let first = self.first_greatest(logits);
        let block = first / SCAN_BLOCK;
        let others = self.max.iter().enumerate().filter(|(b, _)| *b != block).map(|(_, &max)| max);
        let range = range(logits.len(), block);
        let beside =
            range.clone().zip(&logits[range]).filter(|(at, _)| *at != first).map(|(_, &logit)| logit);
        let second = others.chain(beside).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
        [self.greatest(), second]
    }
}

/// The places of a block.
pub(crate) fn range(logits: usize, block: usize) -> Range<usize> {
    block * SCAN_BLOCK..logits.min((block + 1) * SCAN_BLOCK)
}
