//! Unpacks the formats whose block is one run of 32 weights, drawn in [`crate::blocks`].

use super::chunk::*;
use super::lanes::Lanes;
use crate::blocks::*;

impl Unpack for BlockQ8_0 {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            chunks[0].d[0][strip] = V::halves(rows.map(|row| row.d));
            let low = V::transpose(rows.map(|row| part(&row.qs, 0)));
            let high = V::transpose(rows.map(|row| part(&row.qs, 16)));
            for i in 0..4 {
                chunks[0].w[i][strip] = low[i];
                chunks[0].w[4 + i][strip] = high[i];
            }
        }
    }
}

impl Unpack for BlockQ4_0 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(8);

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            chunks[0].d[0][strip] = V::halves(rows.map(|row| row.d));
            let w = nibbles::<V, N>(rows.map(|row| &row.qs));
            for i in 0..STEPS {
                chunks[0].w[i][strip] = w[i];
            }
        }
    }
}

impl Unpack for BlockQ4_1 {
    const BITS: u32 = 4;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            (chunks[0].d[0][strip], chunks[0].m[0][strip]) = V::half_pairs(rows.map(|row| [row.d, row.m]));
            let w = nibbles::<V, N>(rows.map(|row| &row.qs));
            for i in 0..STEPS {
                chunks[0].w[i][strip] = w[i];
            }
        }
    }
}

impl Unpack for BlockQ5_0 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(16);

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            chunks[0].d[0][strip] = V::halves(rows.map(|row| row.d));
            let (w, high) = (nibbles::<V, N>(rows.map(|row| &row.qs)), V::words(rows.map(|row| row.qh)));
            for i in 0..STEPS {
                chunks[0].w[i][strip] = w[i].or(high.fifth_bits(i));
            }
        }
    }
}

impl Unpack for BlockQ5_1 {
    const BITS: u32 = 5;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Minimum;

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            (chunks[0].d[0][strip], chunks[0].m[0][strip]) = V::half_pairs(rows.map(|row| [row.d, row.m]));
            let (w, high) = (nibbles::<V, N>(rows.map(|row| &row.qs)), V::words(rows.map(|row| row.qh)));
            for i in 0..STEPS {
                chunks[0].w[i][strip] = w[i].or(high.fifth_bits(i));
            }
        }
    }
}

impl Unpack for BlockIQ4NL {
    const BITS: u32 = 8;
    const GROUPS: usize = 1;
    const TERM: Term = Term::Offset(0);

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            chunks[0].d[0][strip] = V::halves(rows.map(|row| row.d));
            let w = nibbles::<V, N>(rows.map(|row| &row.qs));
            for i in 0..STEPS {
                chunks[0].w[i][strip] = w[i].iq4_values();
            }
        }
    }
}
