//! Floor 3. Top-n-sigma: keeps candidates whose logit is at most `n` standard deviations of all of them below the greatest; 0 or
//! less keeps all. Tang et al., arXiv:2411.07641.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, n: f32) {
    if n <= 0.0 || candidates.count() <= 1 {
        return;
    }
    // Of the differences from a number that is about their mean, so that their squares are about the variance.
    let near = candidates.some_logit();
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    candidates.each_logit(|logits| {
        let moments = moments(logits, near);
        (count, sum, squares) = (count + moments[0], sum + moments[1], squares + moments[2]);
    });
    if count > 0.0 {
        let mean = sum / count;
        let deviation = math::sqrt((squares / count - mean * mean).max(0.0) as f32);
        let cut = candidates.max() - n * deviation;
        candidates.keep_from(cut);
    }
}

/// How many logits are numbers, and the sums of their differences from `near` and of the squares of these: in lanes within a
/// block, and of blocks in 64 bits.
fn moments(logits: &[f32], near: f32) -> [f64; 3] {
    const LANES: usize = 16;
    let mut all = [0.0; 3];
    for block in logits.chunks(256) {
        let mut lanes = [[0.0f32; LANES]; 3];
        let (rows, rest) = block.as_chunks::<LANES>();
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for row in rows.iter().chain([&last]) {
            for (lane, &logit) in row.iter().enumerate() {
                let one = if logit.abs() <= f32::MAX { 1.0 } else { 0.0 };
                let difference = if logit.abs() <= f32::MAX { logit - near } else { 0.0 };
                lanes[0][lane] += one;
                lanes[1][lane] += difference;
                lanes[2][lane] += difference * difference;
            }
        }
        for (all, lanes) in all.iter_mut().zip(lanes) {
            *all += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
        }
    }
    all
}
