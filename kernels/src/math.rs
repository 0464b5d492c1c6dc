//! The transcendental functions of the whole runtime, from one software implementation, so that seeded sampling
//! gives the same tokens on every platform (`core` has none of them, and system libraries differ).

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
