//! Floor 3. Top-n-sigma: keeps candidates whose logit is at most `n` standard deviations of all of them below the greatest; 0 or
//! less keeps all. Tang et al., arXiv:2411.07641.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, n: f32) {
    if n <= 0.0 || candidates.count() <= 1 {
        return;
    }
    let (mut count, mut sum) = (0usize, 0.0);
    candidates.each_logit(|logits| {
        let (of_logits, sum_of_logits) = moments(logits, |logit| logit);
        (count, sum) = (count + of_logits, sum + sum_of_logits);
    });
    let mean = (sum / count.max(1) as f64) as f32;
    let mut squares = 0.0;
    candidates.each_logit(|logits| squares += moments(logits, |logit| (logit - mean) * (logit - mean)).1);
    let deviation = math::sqrt((squares / count.max(1) as f64) as f32);
    let cut = candidates.max() - n * deviation;
    candidates.keep_from(cut);
}

/// How many logits are numbers, and the sum of a value of each: in lanes within a block, and of blocks in 64 bits.
fn moments(logits: &[f32], value: impl Fn(f32) -> f32) -> (usize, f64) {
    const LANES: usize = 16;
    let (mut count, mut sum) = (0, 0.0);
    for block in logits.chunks(256) {
        let (mut counts, mut sums) = ([0u32; LANES], [0.0f32; LANES]);
        for row in block.chunks(LANES) {
            for (lane, &logit) in row.iter().enumerate() {
                let is_finite = logit.is_finite();
                counts[lane] += u32::from(is_finite);
                sums[lane] += if is_finite { value(logit) } else { 0.0 };
            }
        }
        count += counts.iter().sum::<u32>() as usize;
        sum += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    (count, sum)
}
