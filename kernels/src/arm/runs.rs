//! Runs of instructions with their loads, in an order and in registers that were chosen by hand: on these the speed of
//! products depends. Invariant: each is one block that stays where it stands. Left to itself, the compiler would load far
//! ahead, and have no registers left for it.

use core::arch::aarch64::*;
use core::arch::asm;

use crate::math::INTEGERS;

/// Adds eight weights of each of four rows, the four of one step and then of the next, to the products with four columns,
/// and moves on behind the weights: `sums[c][r] += weights[16 step + 4r..][..4] . x[c][4 (FIRST + step)..][..4]`.
///
/// One block with its loads, in its place: the compiler would load far ahead, and have no registers left for it.
///
/// # Safety
/// There must be 32 bytes of weights.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn sdot_steps<const FIRST: usize>(
    [mut a, mut b, mut c, mut d]: [int32x4_t; 4],
    weights: &mut *const u8,
    x: [int8x16_t; 4],
) -> [int32x4_t; 4] {
    // SAFETY: the caller's CPU has SDOT, and the weights are there.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "sdot {a:v}.4s, {w0:v}.16b, {xa:v}.4b[{first}]",
            "sdot {b:v}.4s, {w0:v}.16b, {xb:v}.4b[{first}]",
            "sdot {c:v}.4s, {w0:v}.16b, {xc:v}.4b[{first}]",
            "sdot {d:v}.4s, {w0:v}.16b, {xd:v}.4b[{first}]",
            "sdot {a:v}.4s, {w1:v}.16b, {xa:v}.4b[{first} + 1]",
            "sdot {b:v}.4s, {w1:v}.16b, {xb:v}.4b[{first} + 1]",
            "sdot {c:v}.4s, {w1:v}.16b, {xc:v}.4b[{first} + 1]",
            "sdot {d:v}.4s, {w1:v}.16b, {xd:v}.4b[{first} + 1]",
            a = inout(vreg) a, b = inout(vreg) b, c = inout(vreg) c, d = inout(vreg) d,
            xa = in(vreg) x[0], xb = in(vreg) x[1], xc = in(vreg) x[2], xd = in(vreg) x[3],
            w0 = out(vreg) _, w1 = out(vreg) _, weights = inout(reg) *weights, first = const FIRST,
            options(readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// Adds eight weights of each of two pairs of rows to the products with two pairs of columns, and moves on behind the
/// weights: `sums[2p + q][2j + i] += weights[16p + 8i..][..8] . x[q][8j..][..8]`.
///
/// One block with its loads, in its place, as [`sdot_steps`].
///
/// # Safety
/// There must be 32 bytes of weights.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) unsafe fn smmla_step(
    [mut a, mut b, mut c, mut d]: [int32x4_t; 4],
    weights: &mut *const u8,
    x: [int8x16_t; 2],
) -> [int32x4_t; 4] {
    // SAFETY: the caller's CPU has SMMLA, and the weights are there.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "smmla {a:v}.4s, {x0:v}.16b, {w0:v}.16b",
            "smmla {b:v}.4s, {x1:v}.16b, {w0:v}.16b",
            "smmla {c:v}.4s, {x0:v}.16b, {w1:v}.16b",
            "smmla {d:v}.4s, {x1:v}.16b, {w1:v}.16b",
            a = inout(vreg) a, b = inout(vreg) b, c = inout(vreg) c, d = inout(vreg) d,
            x0 = in(vreg) x[0], x1 = in(vreg) x[1],
            w0 = out(vreg) _, w1 = out(vreg) _, weights = inout(reg) *weights,
            options(readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// [`START`] in the registers of sixteen sums.
static STARTS: [f32; 16] = [START; 16];

/// What sums of integers start as that are to be floats without a conversion.
pub(crate) const START: f32 = INTEGERS;

/// Adds the products of 32 weights of each of four rows with four columns, by their factors, and moves on behind them.
///
/// ```text
/// weights  [step]  16 bytes: weights 4 step .. 4 step + 4 of row 0, of row 1, ..      step: 0..8
/// factors  [start] [scale]  of the rows; start = -START * scale, which is exact
/// ```
///
/// The dot products are summed on top of [`START`], so that `(sum - START) * scale` is one instruction, and exact but for
/// its rounding. One block with its loads, in its place: the compiler would load far ahead, and have no registers left.
///
/// # Safety
/// There must be 160 bytes of weights and factors.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn sdot_quad(
    sums: &mut [float32x4_t; 4],
    weights: &mut *const u8,
    x: &[[int8x16_t; 2]; 4],
    columns: float32x4_t,
) {
    let [s, t, u, v] = sums;
    // SAFETY: the caller's CPU has SDOT, and the weights are there.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "ld1 {{v28.4s, v29.4s, v30.4s, v31.4s}}, [{starts}]",
            "sdot v28.4s, {w0:v}.16b, {x0:v}.4b[0]",
            "sdot v29.4s, {w0:v}.16b, {x1:v}.4b[0]",
            "sdot v30.4s, {w0:v}.16b, {x2:v}.4b[0]",
            "sdot v31.4s, {w0:v}.16b, {x3:v}.4b[0]",
            "sdot v28.4s, {w1:v}.16b, {x0:v}.4b[1]",
            "sdot v29.4s, {w1:v}.16b, {x1:v}.4b[1]",
            "sdot v30.4s, {w1:v}.16b, {x2:v}.4b[1]",
            "sdot v31.4s, {w1:v}.16b, {x3:v}.4b[1]",
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "sdot v28.4s, {w0:v}.16b, {x0:v}.4b[2]",
            "sdot v29.4s, {w0:v}.16b, {x1:v}.4b[2]",
            "sdot v30.4s, {w0:v}.16b, {x2:v}.4b[2]",
            "sdot v31.4s, {w0:v}.16b, {x3:v}.4b[2]",
            "sdot v28.4s, {w1:v}.16b, {x0:v}.4b[3]",
            "sdot v29.4s, {w1:v}.16b, {x1:v}.4b[3]",
            "sdot v30.4s, {w1:v}.16b, {x2:v}.4b[3]",
            "sdot v31.4s, {w1:v}.16b, {x3:v}.4b[3]",
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "sdot v28.4s, {w0:v}.16b, {y0:v}.4b[0]",
            "sdot v29.4s, {w0:v}.16b, {y1:v}.4b[0]",
            "sdot v30.4s, {w0:v}.16b, {y2:v}.4b[0]",
            "sdot v31.4s, {w0:v}.16b, {y3:v}.4b[0]",
            "sdot v28.4s, {w1:v}.16b, {y0:v}.4b[1]",
            "sdot v29.4s, {w1:v}.16b, {y1:v}.4b[1]",
            "sdot v30.4s, {w1:v}.16b, {y2:v}.4b[1]",
            "sdot v31.4s, {w1:v}.16b, {y3:v}.4b[1]",
            "ldr {w2:q}, [{weights}, #48]",
            "ldp {w0:q}, {w1:q}, [{weights}], #32",
            "sdot v28.4s, {w0:v}.16b, {y0:v}.4b[2]",
            "sdot v29.4s, {w0:v}.16b, {y1:v}.4b[2]",
            "sdot v30.4s, {w0:v}.16b, {y2:v}.4b[2]",
            "sdot v31.4s, {w0:v}.16b, {y3:v}.4b[2]",
            "ldr {w0:q}, [{weights}]",
            "sdot v28.4s, {w1:v}.16b, {y0:v}.4b[3]",
            "sdot v29.4s, {w1:v}.16b, {y1:v}.4b[3]",
            "sdot v30.4s, {w1:v}.16b, {y2:v}.4b[3]",
            "sdot v31.4s, {w1:v}.16b, {y3:v}.4b[3]",
            "ldr {w1:q}, [{weights}]",
            "fmla {w0:v}.4s, v28.4s, {w2:v}.4s",
            "ldr q28, [{weights}]",
            "fmla {w1:v}.4s, v29.4s, {w2:v}.4s",
            "ldr q29, [{weights}], #32",
            "fmla v28.4s, v30.4s, {w2:v}.4s",
            "fmla v29.4s, v31.4s, {w2:v}.4s",
            "fmla {s:v}.4s, {w0:v}.4s, {d:v}.s[0]",
            "fmla {t:v}.4s, {w1:v}.4s, {d:v}.s[1]",
            "fmla {u:v}.4s, v28.4s, {d:v}.s[2]",
            "fmla {v:v}.4s, v29.4s, {d:v}.s[3]",
            s = inout(vreg) *s, t = inout(vreg) *t, u = inout(vreg) *u, v = inout(vreg) *v,
            x0 = in(vreg) x[0][0], x1 = in(vreg) x[1][0], x2 = in(vreg) x[2][0], x3 = in(vreg) x[3][0],
            y0 = in(vreg) x[0][1], y1 = in(vreg) x[1][1], y2 = in(vreg) x[2][1], y3 = in(vreg) x[3][1],
            d = in(vreg) columns, w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            weights = inout(reg) *weights, starts = in(reg) STARTS.as_ptr(),
            options(readonly, nostack)
        );
    }
}

/// Adds the products of 32 weights of each of four rows with four columns, by their factors, and moves on behind them.
/// `x` are eight values of columns 0 and 1, and of columns 2 and 3, of each step; at `scales` lie the factors of columns
/// 0, 0, 1, 1, and of 2, 2, 3, 3, behind which it is moved if these are the `LAST` rows.
///
/// ```text
/// weights  [step][pair]  16 bytes: weights 8 step .. 8 step + 8 of each row of the pair      step: 0..4
/// factors  [pair]        [scale] [start] [start] of rows 0, 1, 0, 1 of the pair; start = -START * scale
/// ```
///
/// One block, as [`sdot_quad`]: with sixteen outputs it takes every register there is.
///
/// # Safety
/// There must be 224 bytes of weights and factors.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) unsafe fn smmla_quad<const LAST: bool>(
    sums: &mut [float32x4_t; 4],
    weights: &mut *const u8,
    x: &[[int8x16_t; 2]; 4],
    scales: &mut *const u8,
) {
    let [s, t, u, v] = sums;
    macro_rules! multiply {
        ($behind:literal) => {
            asm!(
                "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
                "ld1 {{v28.4s, v29.4s, v30.4s, v31.4s}}, [{starts}]",
                "smmla v28.4s, {x0:v}.16b, v24.16b",
                "smmla v29.4s, {y0:v}.16b, v24.16b",
                "smmla v30.4s, {x0:v}.16b, v25.16b",
                "smmla v31.4s, {y0:v}.16b, v25.16b",
                "smmla v28.4s, {x1:v}.16b, v26.16b",
                "smmla v29.4s, {y1:v}.16b, v26.16b",
                "smmla v30.4s, {x1:v}.16b, v27.16b",
                "smmla v31.4s, {y1:v}.16b, v27.16b",
                "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64",
                "smmla v28.4s, {x2:v}.16b, v24.16b",
                "smmla v29.4s, {y2:v}.16b, v24.16b",
                "smmla v30.4s, {x2:v}.16b, v25.16b",
                "smmla v31.4s, {y2:v}.16b, v25.16b",
                "smmla v28.4s, {x3:v}.16b, v26.16b",
                "smmla v29.4s, {y3:v}.16b, v26.16b",
                "smmla v30.4s, {x3:v}.16b, v27.16b",
                "smmla v31.4s, {y3:v}.16b, v27.16b",
                "ld1 {{v24.4s, v25.4s, v26.4s}}, [{weights}], #48",
                "fmla v25.4s, v28.4s, v24.4s",
                "fmla v26.4s, v29.4s, v24.4s",
                concat!("ldp q28, q29, [{scales}]", $behind),
                "fmla {s:v}.4s, v25.4s, v28.4s",
                "fmla {t:v}.4s, v26.4s, v29.4s",
                "ld1 {{v24.4s, v25.4s, v26.4s}}, [{weights}], #48",
                "fmla v25.4s, v30.4s, v24.4s",
                "fmla v26.4s, v31.4s, v24.4s",
                "fmla {u:v}.4s, v25.4s, v28.4s",
                "fmla {v:v}.4s, v26.4s, v29.4s",
                s = inout(vreg) *s, t = inout(vreg) *t, u = inout(vreg) *u, v = inout(vreg) *v,
                x0 = in(vreg) x[0][0], y0 = in(vreg) x[0][1], x1 = in(vreg) x[1][0], y1 = in(vreg) x[1][1],
                x2 = in(vreg) x[2][0], y2 = in(vreg) x[2][1], x3 = in(vreg) x[3][0], y3 = in(vreg) x[3][1],
                out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                weights = inout(reg) *weights, scales = inout(reg) *scales, starts = in(reg) STARTS.as_ptr(),
                options(readonly, nostack)
            )
        };
    }
    // SAFETY: the caller's CPU has SMMLA, and the weights are there.
    unsafe { if LAST { multiply!(", #32") } else { multiply!("") } }
}

/// The next 128 bytes, and moves on behind them: the values of four columns that a panel is multiplied with.
///
/// Loads of four registers at once want neighbours, which the compiler makes room for by moving others.
///
/// # Safety
/// They must be there.
#[inline(always)]
pub(crate) unsafe fn next_values(at: &mut *const u8) -> [[int8x16_t; 2]; 4] {
    let (a, b, c, d, e, f, g, h);
    // SAFETY: the caller has them.
    unsafe {
        asm!(
            "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{at}], #64",
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{at}], #64",
            out("v16") a, out("v17") b, out("v18") c, out("v19") d,
            out("v20") e, out("v21") f, out("v22") g, out("v23") h,
            at = inout(reg) *at,
            options(readonly, nostack, preserves_flags)
        );
    }
    [[a, b], [c, d], [e, f], [g, h]]
}

/// The next half of each of four rows, and moves on behind them.
///
/// # Safety
/// They must be there.
#[inline(always)]
pub(crate) unsafe fn next_halves(rows: &mut [*const u8; 4]) -> uint16x8_t {
    let halves;
    // SAFETY: the caller has them.
    unsafe {
        asm!(
            "ldr {halves:h}, [{a}], #2",
            "ld1 {{{halves:v}.h}}[1], [{b}], #2",
            "ld1 {{{halves:v}.h}}[2], [{c}], #2",
            "ld1 {{{halves:v}.h}}[3], [{d}], #2",
            halves = out(vreg) halves,
            a = inout(reg) rows[0], b = inout(reg) rows[1], c = inout(reg) rows[2], d = inout(reg) rows[3],
            options(readonly, nostack, preserves_flags)
        );
    }
    halves
}

/// The next four bytes of each of four rows, and moves on behind them.
///
/// # Safety
/// They must be there.
#[inline(always)]
pub(crate) unsafe fn next_words(rows: &mut [*const u8; 4]) -> uint32x4_t {
    let words;
    // SAFETY: the caller has them.
    unsafe {
        asm!(
            "ldr {words:s}, [{a}], #4",
            "ld1 {{{words:v}.s}}[1], [{b}], #4",
            "ld1 {{{words:v}.s}}[2], [{c}], #4",
            "ld1 {{{words:v}.s}}[3], [{d}], #4",
            words = out(vreg) words,
            a = inout(reg) rows[0], b = inout(reg) rows[1], c = inout(reg) rows[2], d = inout(reg) rows[3],
            options(readonly, nostack, preserves_flags)
        );
    }
    words
}

/// The next eight bytes of each of four rows, two rows to a register; moves on behind the first `HEAD` of them.
///
/// # Safety
/// They must be there.
#[inline(always)]
pub(crate) unsafe fn next_heads<const HEAD: usize>(rows: &mut [*const u8; 4]) -> [uint8x16_t; 2] {
    let (ab, cd);
    // SAFETY: the caller has them.
    unsafe {
        asm!(
            "ldr {ab:d}, [{a}], #{head}",
            "ld1 {{{ab:v}.d}}[1], [{b}], {step}",
            "ldr {cd:d}, [{c}], #{head}",
            "ld1 {{{cd:v}.d}}[1], [{d}], {step}",
            ab = out(vreg) ab, cd = out(vreg) cd, head = const HEAD, step = in(reg) HEAD,
            a = inout(reg) rows[0], b = inout(reg) rows[1], c = inout(reg) rows[2], d = inout(reg) rows[3],
            options(readonly, nostack, preserves_flags)
        );
    }
    [ab, cd]
}

/// Adds the products of the next 32 weights of each of four rows, which are bytes, and moves on behind them.
///
/// # Safety
/// They must be there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn sdot_bytes(sums: &mut [int32x4_t; 4], rows: &mut [*const u8; 4], x: [int8x16_t; 2]) {
    // SAFETY: the caller has them, and SDOT.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{a}], #32",
            "ldp {w2:q}, {w3:q}, [{b}], #32",
            "sdot {p:v}.4s, {w0:v}.16b, {x0:v}.16b",
            "sdot {q:v}.4s, {w2:v}.16b, {x0:v}.16b",
            "sdot {p:v}.4s, {w1:v}.16b, {x1:v}.16b",
            "sdot {q:v}.4s, {w3:v}.16b, {x1:v}.16b",
            "ldp {w0:q}, {w1:q}, [{c}], #32",
            "ldp {w2:q}, {w3:q}, [{d}], #32",
            "sdot {r:v}.4s, {w0:v}.16b, {x0:v}.16b",
            "sdot {s:v}.4s, {w2:v}.16b, {x0:v}.16b",
            "sdot {r:v}.4s, {w1:v}.16b, {x1:v}.16b",
            "sdot {s:v}.4s, {w3:v}.16b, {x1:v}.16b",
            a = inout(reg) rows[0], b = inout(reg) rows[1], c = inout(reg) rows[2], d = inout(reg) rows[3],
            p = inout(vreg) sums[0], q = inout(vreg) sums[1], r = inout(vreg) sums[2], s = inout(vreg) sums[3],
            x0 = in(vreg) x[0], x1 = in(vreg) x[1],
            w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
            options(readonly, nostack, preserves_flags)
        );
    }
}

/// Adds the products of the next 32 weights of each of four rows, the low nibbles of 16 bytes and then the high ones, and
/// moves on behind them. `low` is 15 in every byte.
///
/// # Safety
/// They must be there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn sdot_nibbles(
    sums: &mut [int32x4_t; 4],
    rows: &mut [*const u8; 4],
    x: [int8x16_t; 2],
    low: uint8x16_t,
) {
    // SAFETY: the caller has them, and SDOT.
    unsafe {
        asm!(
            "ldr {w0:q}, [{a}], #16",
            "ldr {w1:q}, [{b}], #16",
            "and {l0:v}.16b, {w0:v}.16b, {low:v}.16b",
            "and {l1:v}.16b, {w1:v}.16b, {low:v}.16b",
            "ushr {w0:v}.16b, {w0:v}.16b, #4",
            "ushr {w1:v}.16b, {w1:v}.16b, #4",
            "sdot {p:v}.4s, {l0:v}.16b, {x0:v}.16b",
            "sdot {q:v}.4s, {l1:v}.16b, {x0:v}.16b",
            "sdot {p:v}.4s, {w0:v}.16b, {x1:v}.16b",
            "sdot {q:v}.4s, {w1:v}.16b, {x1:v}.16b",
            "ldr {w0:q}, [{c}], #16",
            "ldr {w1:q}, [{d}], #16",
            "and {l0:v}.16b, {w0:v}.16b, {low:v}.16b",
            "and {l1:v}.16b, {w1:v}.16b, {low:v}.16b",
            "ushr {w0:v}.16b, {w0:v}.16b, #4",
            "ushr {w1:v}.16b, {w1:v}.16b, #4",
            "sdot {r:v}.4s, {l0:v}.16b, {x0:v}.16b",
            "sdot {s:v}.4s, {l1:v}.16b, {x0:v}.16b",
            "sdot {r:v}.4s, {w0:v}.16b, {x1:v}.16b",
            "sdot {s:v}.4s, {w1:v}.16b, {x1:v}.16b",
            a = inout(reg) rows[0], b = inout(reg) rows[1], c = inout(reg) rows[2], d = inout(reg) rows[3],
            p = inout(vreg) sums[0], q = inout(vreg) sums[1], r = inout(vreg) sums[2], s = inout(vreg) sums[3],
            x0 = in(vreg) x[0], x1 = in(vreg) x[1], low = in(vreg) low,
            w0 = out(vreg) _, w1 = out(vreg) _, l0 = out(vreg) _, l1 = out(vreg) _,
            options(readonly, nostack, preserves_flags)
        );
    }
}

/// Adds the products of the next 32 weights of each of four rows, `q - 16` of five bits as `FifthBits` reads them, and
/// moves on behind their low four bits. `head` holds the fifth bits of two rows each, `byte[row % 2][half]` which of its
/// bytes has the bits of each weight, and `bit` which bit.
///
/// # Safety
/// They must be there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn sdot_five_bits(
    sums: &mut [int32x4_t; 4],
    rows: &mut [*const u8; 4],
    x: [int8x16_t; 2],
    head: [uint8x16_t; 2],
    byte: [[uint8x16_t; 2]; 2],
    bit: uint8x16_t,
) {
    let [p, q, r, s] = sums;
    let [a, b, c, d] = rows;
    for ([p, q], [a, b], head) in [([p, q], [a, b], head[0]), ([r, s], [c, d], head[1])] {
        // SAFETY: the caller has them, and SDOT.
        unsafe {
            asm!(
                "mvn {not:v}.16b, {head:v}.16b",
                "ldr {w0:q}, [{a}], #16",
                "ldr {w1:q}, [{b}], #16",
                "tbl {m0:v}.16b, {{{not:v}.16b}}, {b1:v}.16b",
                "tbl {m1:v}.16b, {{{not:v}.16b}}, {b3:v}.16b",
                "ushr {h0:v}.16b, {w0:v}.16b, #4",
                "ushr {h1:v}.16b, {w1:v}.16b, #4",
                "cmtst {m0:v}.16b, {m0:v}.16b, {bit:v}.16b",
                "cmtst {m1:v}.16b, {m1:v}.16b, {bit:v}.16b",
                "sli {h0:v}.16b, {m0:v}.16b, #4",
                "sli {h1:v}.16b, {m1:v}.16b, #4",
                "tbl {m0:v}.16b, {{{not:v}.16b}}, {b0:v}.16b",
                "tbl {m1:v}.16b, {{{not:v}.16b}}, {b2:v}.16b",
                "sdot {p:v}.4s, {h0:v}.16b, {x1:v}.16b",
                "sdot {q:v}.4s, {h1:v}.16b, {x1:v}.16b",
                "cmtst {m0:v}.16b, {m0:v}.16b, {bit:v}.16b",
                "cmtst {m1:v}.16b, {m1:v}.16b, {bit:v}.16b",
                "sli {w0:v}.16b, {m0:v}.16b, #4",
                "sli {w1:v}.16b, {m1:v}.16b, #4",
                "sdot {p:v}.4s, {w0:v}.16b, {x0:v}.16b",
                "sdot {q:v}.4s, {w1:v}.16b, {x0:v}.16b",
                a = inout(reg) *a, b = inout(reg) *b, p = inout(vreg) *p, q = inout(vreg) *q,
                x0 = in(vreg) x[0], x1 = in(vreg) x[1], head = in(vreg) head, bit = in(vreg) bit,
                b0 = in(vreg) byte[0][0], b1 = in(vreg) byte[0][1], b2 = in(vreg) byte[1][0], b3 = in(vreg) byte[1][1],
                w0 = out(vreg) _, w1 = out(vreg) _, h0 = out(vreg) _, h1 = out(vreg) _, m0 = out(vreg) _, m1 = out(vreg) _,
                not = out(vreg) _,
                options(readonly, nostack, preserves_flags)
            );
        }
    }
}
