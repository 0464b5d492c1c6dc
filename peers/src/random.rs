//! Seeded numbers for golden data and benchmarks. Invariant: one seed, one sequence, on every platform.
#![forbid(unsafe_code)]

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(u64);

impl Random {
    /// Starts the sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// The next 8 bits.
    pub(crate) fn byte(&mut self) -> u8 {
        (self.word() >> 56) as u8
    }

    /// A number below `end`, which is not 0 and far below 2^64.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        (self.word() % u64::from(end)) as u32
    }

    /// About N(0, 1), as the sum of twelve uniform numbers: needs no libm, so it is the same everywhere.
    pub(crate) fn gaussian(&mut self) -> f32 {
        let sum: u64 = (0..12).map(|_| self.word() >> 40).sum();
        (sum as f64 / f64::from(1u32 << 24) - 6.0) as f32
    }
}
