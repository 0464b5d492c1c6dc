//! Unpacks the formats whose block is a super-block of 256 weights, drawn in [`crate::blocks`].

use super::chunk::*;
use super::lanes::Lanes;
use crate::blocks::*;
use crate::dequantize::{scales_iq4_xs, scales_q3_k};

impl Unpack for BlockQ2K {
    const BITS: u32 = 2;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Minimum;

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let (d, dmin) = V::half_pairs(rows.map(|row| [row.d, row.dmin]));
            let dmin = V::negative(dmin);
            let scales = V::transpose(rows.map(|row| &row.scales));
            for h in 0..2 {
                let qs = transpose_32::<V, N, _>(rows.map(|row| part(&row.qs, 32 * h)));
                for j in 0..4 {
                    let chunk = &mut chunks[4 * h + j];
                    for i in 0..STEPS {
                        chunk.w[i][strip] = qs[i].bits(2 * j, 3);
                    }
                    for g in 0..2 {
                        let at = 8 * h + 2 * j + g;
                        chunk.d[g][strip] = scales[at / 4].bits(0, 15).byte_times(at % 4, d);
                        chunk.m[g][strip] = scales[at / 4].bits(4, 15).byte_times(at % 4, dmin);
                    }
                }
            }
        }
    }
}

impl Unpack for BlockQ3K {
    const BITS: u32 = 3;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Offset(4);

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let d = V::halves(rows.map(|row| row.d));
            let scales = rows.map(|row| scales_q3_k(&row.scales));
            let scales = V::transpose(scales.each_ref());
            let high = transpose_32::<V, N, _>(rows.map(|row| &row.hmask));
            for h in 0..2 {
                let qs = transpose_32::<V, N, _>(rows.map(|row| part(&row.qs, 32 * h)));
                for j in 0..4 {
                    let chunk = &mut chunks[4 * h + j];
                    for i in 0..STEPS {
                        let third = high[i].bits(4 * h + j, 1).raised(2);
                        chunk.w[i][strip] = qs[i].bits(2 * j, 3).or(third);
                    }
                    for g in 0..2 {
                        let at = 8 * h + 2 * j + g;
                        chunk.d[g][strip] = scales[at / 4].signed_byte_times(at % 4, d);
                    }
                }
            }
        }
    }
}

impl Unpack for BlockQ4K {
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
            let (d, dmin) = V::half_pairs(rows.map(|row| [row.d, row.dmin]));
            scales_and_mins(V::transpose(rows.map(head)), d, V::negative(dmin), chunks, strip);
            for p in 0..4 {
                let qs = transpose_32::<V, N, _>(rows.map(|row| part(&row.qs, 32 * p)));
                for i in 0..STEPS {
                    chunks[2 * p].w[i][strip] = qs[i].bits(0, 15);
                    chunks[2 * p + 1].w[i][strip] = qs[i].bits(4, 15);
                }
            }
        }
    }
}

impl Unpack for BlockQ5K {
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
            let (d, dmin) = V::half_pairs(rows.map(|row| [row.d, row.dmin]));
            scales_and_mins(V::transpose(rows.map(head)), d, V::negative(dmin), chunks, strip);
            let high = transpose_32::<V, N, _>(rows.map(|row| &row.qh));
            for p in 0..4 {
                let qs = transpose_32::<V, N, _>(rows.map(|row| part(&row.qs, 32 * p)));
                for i in 0..STEPS {
                    let (first, second) = (high[i].bits(2 * p, 1), high[i].bits(2 * p + 1, 1));
                    chunks[2 * p].w[i][strip] = qs[i].bits(0, 15).or(first.raised(4));
                    chunks[2 * p + 1].w[i][strip] = qs[i].bits(4, 15).or(second.raised(4));
                }
            }
        }
    }
}

impl Unpack for BlockQ6K {
    const BITS: u32 = 6;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Offset(32);

    #[inline(always)]
    unsafe fn unpack<V: Lanes<N>, const N: usize, const R: usize>(
        rows: [&Self; N],
        chunks: &mut [Chunk<V, N, R>],
        strip: usize,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let d = V::halves(rows.map(|row| row.d));
            let scales = V::transpose(rows.map(|row| &row.scales));
            for h in 0..2 {
                let high = transpose_32::<V, N, _>(rows.map(|row| part(&row.qh, 32 * h)));
                for half in 0..2 {
                    let low = transpose_32::<V, N, _>(rows.map(|row| part(&row.ql, 64 * h + 32 * half)));
                    for j in [half, half + 2] {
                        let chunk = &mut chunks[4 * h + j];
                        for i in 0..STEPS {
                            chunk.w[i][strip] =
                                low[i].bits(j / 2 * 4, 15).or(high[i].bits(2 * j, 3).raised(4));
                        }
                        for g in 0..2 {
                            let at = 8 * h + 2 * j + g;
                            chunk.d[g][strip] = scales[at / 4].signed_byte_times(at % 4, d);
                        }
                    }
                }
            }
        }
    }
}

impl Unpack for BlockIQ4XS {
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
            let d = V::halves(rows.map(|row| row.d));
            let scales = rows.map(scales_iq4_xs);
            let low = V::words(scales.map(|[a, b, c, d, ..]| [a as u8, b as u8, c as u8, d as u8]));
            let high = V::words(scales.map(|[.., a, b, c, d]| [a as u8, b as u8, c as u8, d as u8]));
            for s in 0..8 {
                let w = nibbles::<V, N>(rows.map(|row| part(&row.qs, 16 * s)));
                for i in 0..STEPS {
                    chunks[s].w[i][strip] = w[i].iq4_values();
                }
                chunks[s].d[0][strip] = if s < 4 { low } else { high }.signed_byte_times(s % 4, d);
            }
        }
    }
}

/// The scales and minima of Q4_K and Q5_K, from the transposed first 16 bytes of the blocks:
/// ```text
/// head[0]   | dmin | d |
/// head[1]   | scale 7: bits 4-5 | scale 3 | .. | scale 4: bits 4-5 | scale 0 |
/// head[2]   | min 7: bits 4-5   | min 3   | .. | min 4: bits 4-5   | min 0   |
/// head[3]   | min 7: bits 0-3   | scale 7: bits 0-3 | .. | min 4: bits 0-3 | scale 4: bits 0-3 |
/// ```
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
unsafe fn scales_and_mins<V: Lanes<N>, const N: usize, const R: usize>(
    head: [V; 4],
    d: V::Floats,
    minus_dmin: V::Floats,
    chunks: &mut [Chunk<V, N, R>],
    strip: usize,
) {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let scales = [head[1].bits(0, 63), head[3].bits(0, 15).or(head[1].bits(6, 3).raised(4))];
        let mins = [head[2].bits(0, 63), head[3].bits(4, 15).or(head[2].bits(6, 3).raised(4))];
        for s in 0..8 {
            chunks[s].d[0][strip] = scales[s / 4].byte_times(s % 4, d);
            chunks[s].m[0][strip] = mins[s / 4].byte_times(s % 4, minus_dmin);
        }
    }
}

/// The first 16 bytes of a block.
#[inline(always)]
fn head<B: Block>(block: &B) -> &[u8; 16] {
    const { assert!(size_of::<B>() >= 16) };
    // SAFETY: a Block has no padding, alignment 1, and, as was just checked, at least 16 bytes.
    unsafe { &*core::ptr::from_ref(block).cast() }
}
