//! Floor 3. Temperature: divides the logits, so that below 1 the likely become likelier, above 1 less so; 0 keeps the greatest
//! alone. With a range it is dynamic: the temperature follows how undecided the candidates are. Zhu et al.,
//! arXiv:2309.02772.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::Candidates;

pub(super) fn apply(candidates: &mut Candidates<'_>, temperature: f32, range: f32, exponent: f32) {
    let temperature = if range > 0.0 {
        let count = candidates.count();
        if count <= 1 {
            return;
        }
        let total = candidates.total();
        let entropy = math::ln_f64(total.sum) - total.weighted / total.sum;
        // Of the greatest entropy that so many candidates can have.
        let share = (entropy / math::ln_f64(count as f64)).clamp(0.0, 1.0);
        let least = (temperature - range).max(0.0);
        let of_range = math::pow_f64(share, f64::from(exponent)) as f32;
        least + (temperature + range - least) * of_range
    } else {
        temperature
    };
    if temperature > 0.0 { candidates.divide(temperature) } else { candidates.keep_greatest() }
}
