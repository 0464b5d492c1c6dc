//! Unpacks the formats whose block is one run of 32 weights, drawn in [`crate::blocks`].

use super::chunk::*;
use super::lanes::Lanes;
use super::register::Floats;
use crate::blocks::*;

impl Unpack for BlockQ8_0 {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);
    const COMMON: bool = true;

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let [a, b, c, d] = S::half(rows.map(|row| part(&row.qs, 0)));
            let [e, f, g, h] = S::half(rows.map(|row| part(&row.qs, 16)));
            let scale = first_halves::<V, N, Self>(rows);
            sink.take::<Self>(0, Chunk::new([a, b, c, d, e, f, g, h], scale));
        }
    }
}

impl Unpack for BlockQ4_0 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(8);
    const COMMON: bool = true;

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let w = nibbles::<V, N, S>(rows.map(|row| &row.qs));
            sink.take::<Self>(0, Chunk::new(w, first_halves::<V, N, Self>(rows)));
        }
    }
}

impl Unpack for BlockQ4_1 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;
    const COMMON: bool = true;

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let w = nibbles::<V, N, S>(rows.map(|row| &row.qs));
            let (d, m) = V::half_pairs(rows.map(|row| [row.d, row.m]));
            sink.take::<Self>(0, Chunk::new(w, d).with_minima([m; 2]));
        }
    }
}

impl Unpack for BlockQ5_0 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(16);
    const COMMON: bool = true;

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = nibbles::<V, N, S>(rows.map(|row| &row.qs));
            let high = V::words(rows.map(|row| row.qh));
            for i in 0..STEPS {
                w[i] = w[i].or(S::fifth_bits(high, i));
            }
            sink.take::<Self>(0, Chunk::new(w, first_halves::<V, N, Self>(rows)));
        }
    }
}

impl Unpack for BlockQ5_1 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = nibbles::<V, N, S>(rows.map(|row| &row.qs));
            let high = V::words(rows.map(|row| row.qh));
            for i in 0..STEPS {
                w[i] = w[i].or(S::fifth_bits(high, i));
            }
            let (d, m) = V::half_pairs(rows.map(|row| [row.d, row.m]));
            sink.take::<Self>(0, Chunk::new(w, d).with_minima([m; 2]));
        }
    }
}

impl Unpack for BlockIQ4NL {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = nibbles::<V, N, S>(rows.map(|row| &row.qs));
            for i in 0..STEPS {
                w[i] = w[i].lookup(&IQ4_VALUES);
            }
            sink.take::<Self>(0, Chunk::new(w, first_halves::<V, N, Self>(rows)));
        }
    }
}

impl Unpack for BlockMXFP4 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(12);

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // Without a sign, since products with signed weights take longer.
        const LEVELS: [i8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = nibbles::<V, N, S>(rows.map(|row| &row.qs));
            for i in 0..STEPS {
                w[i] = w[i].lookup(&LEVELS);
            }
            // With e = 2a + c: 2^(a - 64), twice, and 2^c, since half of the exponent always fits a float's.
            let e = V::words(rows.map(|row| *first(row)));
            let power = |half: V, bias: i8| half.sub_bytes(-bias).shl(23, 0x7f80_0000).as_floats();
            let (a, c) = (power(e.shr(1, 127), 63), power(e.shr(0, 1), 127));
            sink.take::<Self>(0, Chunk::new(w, a.mul(c).mul(a)));
        }
    }
}
