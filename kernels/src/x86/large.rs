//! Unpacks the formats whose block is a super-block of 256 weights, drawn in [`crate::blocks`].

use super::chunk::*;
use super::lanes::Lanes;
use super::register::Floats;
use crate::blocks::*;

impl Unpack for BlockQ2K {
    const BITS: u32 = 2;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Minimum;

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let (d, dmin) = V::half_pairs(rows.map(|row| [row.d, row.dmin]));
            let dmin = dmin.neg();
            let scales = V::transpose(rows.map(|row| &row.scales));
            for h in 0..2 {
                let qs = bytes_32::<V, N, S, _>(rows.map(|row| part(&row.qs, 32 * h)));
                let half = Half { h, low: [qs; 2], high: qs, scales: [scales[2 * h], scales[2 * h + 1]] };
                half.q2_k::<0>((d, dmin), sink);
                half.q2_k::<1>((d, dmin), sink);
                half.q2_k::<2>((d, dmin), sink);
                half.q2_k::<3>((d, dmin), sink);
            }
        }
    }
}

impl Unpack for BlockQ3K {
    const BITS: u32 = 3;
    const GROUPS: usize = 2;
    const TERM: Term = Term::Offset(4);

    #[inline(always)]
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let (scales, d) = scales_q3_k(V::transpose(rows.map(last)));
            let high = bytes_32::<V, N, S, _>(rows.map(|row| &row.hmask));
            for h in 0..2 {
                let qs = bytes_32::<V, N, S, _>(rows.map(|row| part(&row.qs, 32 * h)));
                let mut four = high;
                for i in 0..STEPS {
                    four[i] = high[i].bits(4 * h, 15);
                }
                let half = Half { h, low: [qs; 2], high: four, scales: [scales[2 * h], scales[2 * h + 1]] };
                half.q3_k::<0>(d, sink);
                half.q3_k::<1>(d, sink);
                half.q3_k::<2>(d, sink);
                half.q3_k::<3>(d, sink);
            }
        }
    }
}

impl Unpack for BlockQ4K {
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
            let head = V::transpose(rows.map(first));
            let (scales, mins) = scales_and_mins(head);
            let (d, dmin) = (head[0].halves(), head[0].shr(16, 0xffff).halves().neg());
            for p in 0..4 {
                let qs = bytes_32::<V, N, S, _>(rows.map(|row| part(&row.qs, 32 * p)));
                for s in [2 * p, 2 * p + 1] {
                    let mut w = qs;
                    for i in 0..STEPS {
                        w[i] = qs[i].bits(s % 2 * 4, 15);
                    }
                    let d = scales[s / 4].byte_times(s % 4, d);
                    let m = mins[s / 4].byte_times(s % 4, dmin);
                    sink.take::<Self>(s, Chunk::new(w, d).with_minima([m; 2]));
                }
            }
        }
    }
}

impl Unpack for BlockQ5K {
    const BITS: u32 = 5;
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
            let head = V::transpose(rows.map(first));
            let (scales, mins) = scales_and_mins(head);
            let (d, dmin) = (head[0].halves(), head[0].shr(16, 0xffff).halves().neg());
            let high = bytes_32::<V, N, S, _>(rows.map(|row| &row.qh));
            for p in 0..4 {
                let qs = bytes_32::<V, N, S, _>(rows.map(|row| part(&row.qs, 32 * p)));
                for s in [2 * p, 2 * p + 1] {
                    let mut w = qs;
                    for i in 0..STEPS {
                        w[i] = qs[i].bits(s % 2 * 4, 15).or(high[i].bits(s, 1).shl_bytes(4));
                    }
                    let d = scales[s / 4].byte_times(s % 4, d);
                    let m = mins[s / 4].byte_times(s % 4, dmin);
                    sink.take::<Self>(s, Chunk::new(w, d).with_minima([m; 2]));
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
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let d = last_halves::<V, N, Self>(rows);
            let scales = V::transpose(rows.map(|row| &row.scales));
            for h in 0..2 {
                let high = bytes_32::<V, N, S, _>(rows.map(|row| part(&row.qh, 32 * h)));
                let low = [
                    bytes_32::<V, N, S, _>(rows.map(|row| part(&row.ql, 64 * h))),
                    bytes_32::<V, N, S, _>(rows.map(|row| part(&row.ql, 64 * h + 32))),
                ];
                let half = Half { h, low, high, scales: [scales[2 * h], scales[2 * h + 1]] };
                half.q6_k::<0>(d, sink);
                half.q6_k::<1>(d, sink);
                half.q6_k::<2>(d, sink);
                half.q6_k::<3>(d, sink);
            }
        }
    }
}

impl Unpack for BlockIQ4XS {
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
            let (scales, d) = scales_iq4_xs(V::transpose(rows.map(first)));
            for s in 0..8 {
                let mut w = nibbles::<V, N, S>(rows.map(|row| part(&row.qs, 16 * s)));
                for i in 0..STEPS {
                    w[i] = w[i].lookup(&IQ4_VALUES);
                }
                sink.take::<Self>(s, Chunk::new(w, scales[s / 4].signed_byte_times(s % 4, d)));
            }
        }
    }
}

/// Half `h` of the blocks of a format with a scale per 16 weights: four chunks. Each is a function of its own number `J`, so
/// that the compiler knows by how much it shifts; in a loop it would not.
struct Half<V: Lanes<N>, const N: usize> {
    h: usize,
    /// The low bits of the weights. Q2_K and Q3_K have those of all four chunks in the same 32 bytes, Q6_K those of
    /// chunks 0 and 2 in the first 32, and of 1 and 3 in the second.
    low: [[V; STEPS]; 2],
    /// The high bits of the weights of all four chunks; Q2_K has none, and its low ones here.
    high: [V; STEPS],
    /// The scales, four in a word: of chunks 0 and 1, and of 2 and 3.
    scales: [V; 2],
}

impl<V: Lanes<N>, const N: usize> Half<V, N> {
    /// Chunk `J` of Q2_K: two bits of each byte.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    unsafe fn q2_k<const J: usize>(&self, (d, dmin): (V::Floats, V::Floats), sink: &mut impl Sink<V, N>) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = self.high;
            for i in 0..STEPS {
                w[i] = self.high[i].bits(2 * J, 3);
            }
            let (scale, min) = (self.scales[J / 2].bits(0, 15), self.scales[J / 2].bits(4, 15));
            let (first, second) = (2 * (J % 2), 2 * (J % 2) + 1);
            let chunk = Chunk::new(w, scale.byte_times(first, d))
                .with_second(scale.byte_times(second, d))
                .with_minima([min.byte_times(first, dmin), min.byte_times(second, dmin)]);
            sink.take::<BlockQ2K>(4 * self.h + J, chunk);
        }
    }

    /// Chunk `J` of Q3_K: two bits of each byte, and a third of four that this half has in another.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    unsafe fn q3_k<const J: usize>(&self, d: V::Floats, sink: &mut impl Sink<V, N>) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = self.high;
            for i in 0..STEPS {
                w[i] = self.low[0][i].bits(2 * J, 3).or(self.high[i].bits(J, 1).shl_bytes(2));
            }
            sink.take::<BlockQ3K>(4 * self.h + J, self.scaled::<J>(w, d));
        }
    }

    /// Chunk `J` of Q6_K: four bits of each byte, and two more in another.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    unsafe fn q6_k<const J: usize>(&self, d: V::Floats, sink: &mut impl Sink<V, N>) {
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            let mut w = self.high;
            for i in 0..STEPS {
                let low = self.low[J % 2][i].bits(J / 2 * 4, 15);
                w[i] = low.or(self.high[i].bits(2 * J, 3).shl_bytes(4));
            }
            sink.take::<BlockQ6K>(4 * self.h + J, self.scaled::<J>(w, d));
        }
    }

    /// Chunk `J` with its two scales, which are signed.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    unsafe fn scaled<const J: usize>(&self, w: [V; STEPS], d: V::Floats) -> Chunk<V, N> {
        let (scales, at) = (self.scales[J / 2], 2 * (J % 2));
        // SAFETY: the CPU's features are promised by the caller.
        unsafe {
            Chunk::new(w, scales.signed_byte_times(at, d)).with_second(scales.signed_byte_times(at + 1, d))
        }
    }
}

/// The scales and minima of Q4_K and Q5_K, four in a word, from the transposed first 16 bytes of the blocks:
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
unsafe fn scales_and_mins<V: Lanes<N>, const N: usize>(head: [V; 4]) -> ([V; 2], [V; 2]) {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let scales = [head[1].bits(0, 63), head[3].bits(0, 15).or(head[1].bits(6, 3).shl_bytes(4))];
        let mins = [head[2].bits(0, 63), head[3].bits(4, 15).or(head[2].bits(6, 3).shl_bytes(4))];
        (scales, mins)
    }
}

/// The scales of Q3_K, four in a word, and their own, from the transposed last 16 bytes of the blocks:
/// ```text
/// tail[0]   | scale 9, 1: bits 0-3 | scale 8, 0 | q | q |
/// tail[1]   | scale 13, 5          | scale 12, 4 | scale 11, 3 | scale 10, 2 |
/// tail[2]   | scales 13, 9, 5, 1: bits 4-5 | scales 12, 8, 4, 0: bits 4-5 | scale 15, 7 | scale 14, 6 |
/// tail[3]   | d | scales 15, 11, 7, 3 | scales 14, 10, 6, 2 |
/// ```
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
unsafe fn scales_q3_k<V: Lanes<N>, const N: usize>(tail: [V; 4]) -> ([V; 4], V::Floats) {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        // The words behind the two bytes of `q`.
        let mut words = tail;
        for i in 0..3 {
            words[i] = tail[i].shr(16, 0x0000_ffff).or(tail[i + 1].shl(16, 0xffff_0000));
        }
        let mut scales = words;
        for t in 0..4 {
            let low = words[t % 2].bits(t / 2 * 4, 15);
            scales[t] = low.or(words[2].bits(2 * t, 3).shl_bytes(4)).sub_bytes(32);
        }
        (scales, tail[3].shr(16, 0xffff).halves())
    }
}

/// The scales of IQ4_XS, four in a word, and their own, from the transposed first 16 bytes of the blocks:
/// ```text
/// head[0]   | scales 7 .. 0: bits 4-5, two each | d |
/// head[1]   | scale 7, 6: bits 0-3 | scale 5, 4 | scale 3, 2 | scale 1, 0 |
/// ```
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
unsafe fn scales_iq4_xs<V: Lanes<N>, const N: usize>(head: [V; 4]) -> ([V; 2], V::Floats) {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let first = spread(head[1], 0, 4).or(spread(head[0], 16, 2).shl_bytes(4));
        let second = spread(head[1], 16, 4).or(spread(head[0], 24, 2).shl_bytes(4));
        ([first.sub_bytes(32), second.sub_bytes(32)], head[0].halves())
    }
}

/// Four fields of a word, each of some bits, from bit `from` on: each put into a byte of its own.
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
unsafe fn spread<V: Lanes<N>, const N: usize>(word: V, from: usize, bits: usize) -> V {
    let mut bytes = [word; 4];
    for i in 0..4 {
        let (at, to, mask) = (from + bits * i, 8 * i, ((1 << bits) - 1) << (8 * i));
        // SAFETY: the CPU's features are promised by the caller.
        bytes[i] = unsafe { if at >= to { word.shr(at - to, mask) } else { word.shl(to - at, mask) } };
    }
    // SAFETY: as above.
    unsafe { bytes[0].or(bytes[1]).or(bytes[2].or(bytes[3])) }
}
