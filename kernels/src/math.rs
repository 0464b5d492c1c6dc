//! The transcendental functions of the whole runtime, from one software implementation, so that seeded sampling
//! gives the same tokens on every platform (`core` has none of them, and system libraries differ); and the numbers
//! behind those that kernels compute a register at a time.

/// `1.5 * 2^23`, the middle of the floats that lie 1 apart. An integer of less than 2^22 that is added to its bits is
/// added to its value, and a float of less than 2^22 that is added to it is rounded to an integer, in the low bits of
/// the sum.
pub(crate) const INTEGERS: f32 = 12_582_912.0;

/// ln 2 in two parts, the first of so few bits that its product with the integer exponent of a float is exact.
pub(crate) const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// The coefficients of `p` in `e^r = 1 + r + r^2 p(r)` for `|r| <= ln 2 / 2`, fitted to a relative error of 3e-9 of the whole.
pub(crate) const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_71, 0.001_381_461_3];

/// The nearest integer, for up to 2^22; any integer for what is no number.
#[allow(dead_code, reason = "the reference rounds by libm")]
#[inline(always)]
pub(crate) fn nearest(x: f32) -> i32 {
    ((x + INTEGERS).to_bits() as i32).wrapping_sub(INTEGERS.to_bits() as i32)
}

/// e to the power of `x`.
pub fn exp(x: f32) -> f32 {
    libm::expf(x)
}

/// e to the power of `x`.
pub fn exp_f64(x: f64) -> f64 {
    libm::exp(x)
}

/// Natural logarithm.
pub fn ln(x: f32) -> f32 {
    libm::logf(x)
}

/// Natural logarithm.
pub fn ln_f64(x: f64) -> f64 {
    libm::log(x)
}

/// Square root, correctly rounded.
pub fn sqrt(x: f32) -> f32 {
    libm::sqrtf(x)
}

/// `x` to the power of `y`.
pub fn pow_f64(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Sine and cosine of an angle in radians, of any size.
pub fn sin_cos_f64(x: f64) -> (f64, f64) {
    libm::sincos(x)
}

/// Rounds to the nearest integer, halves to even, as every SIMD unit does.
pub fn round(x: f32) -> f32 {
    libm::rintf(x)
}

/// The greatest integer not above `x`.
pub fn floor_f64(x: f64) -> f64 {
    libm::floor(x)
}

/// The least integer not below `x`.
pub fn ceil_f64(x: f64) -> f64 {
    libm::ceil(x)
}
