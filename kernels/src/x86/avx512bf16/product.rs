//! The product with weights of bfloat16: `vdpbf16ps`, which adds two products to each lane's float.
//!
//! Columns are rounded once, into scratch, each a cache line longer than it is: columns of a power of two would all start in
//! one set of the first cache.
//! ```text
//! a line of a column    | k 0 1 | k 2 3 | .. | k 30 31 |
//! few columns           a lane of a sum is a pair of k modulo 32, as rows lie; lanes are added up last
//! many columns          a panel's rows are transposed: a lane of a sum is a row
//! ```
//! Invariant: up to [`NARROW`] columns go the first way, whatever their number, so that each has the same bits.

use core::arch::x86_64::*;
use core::array;
use core::ops::Range;

use crate::backend::NARROW;
use crate::blocks::{BlockBF16, Format, as_blocks};
use crate::columns::Columns;
use crate::tile::TileMut;
use crate::x86::avx512;
use crate::x86::lanes::Lanes;
use crate::x86::matmul::{ask, get, prefetch, put};
use crate::x86::register::Floats;

/// Values of a cache line.
const LINE: usize = 32;
/// Rows of a panel: two registers of them.
const PANEL_ROWS: usize = 32;
/// Weights along `k` of a panel: it stays in the first cache, beside the activations it is multiplied with.
const PANEL: usize = 256;
/// Columns that are rounded at once, for a panel's run of `k`: they stay in the second cache.
const PANEL_COLUMNS: usize = 256;

/// Two weights of each row of a panel.
type Pairs = [__m512i; 2];

/// Lines between the starts of two rounded columns.
const fn stride(k: usize) -> usize {
    k / LINE + 1
}

/// Bytes of rounded columns and of a panel.
pub(super) fn scratch_bytes(k: usize) -> usize {
    let narrow = NARROW * stride(k) * 64;
    narrow.max(PANEL_COLUMNS * stride(PANEL) * 64 + PANEL / 2 * size_of::<Pairs>())
}

/// See [`crate::Backend::matmul`].
///
/// # Safety
/// The CPU must have the features, and the lengths must be what [`crate::Backend::matmul`] checks.
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn matmul(weights: &[u8], x: &Columns<'_>, out: &mut TileMut<'_>, scratch: &mut [u8]) {
    if x.k == 0 || !x.k.is_multiple_of(LINE) {
        // No model has such rows.
        // SAFETY: the same promises.
        return unsafe { (avx512::TABLE.formats[Format::BF16 as usize].matmul)(weights, x, out, scratch) };
    }
    let weights = as_blocks::<BlockBF16>(weights);
    // SAFETY: any bits are integers; the scratch is aligned and has room for either way; the CPU's features are promised by
    // the caller.
    unsafe {
        if x.n <= NARROW {
            let lines = scratch.align_to_mut().1;
            round(x, 0, x.k, lines);
            // The sums of a tile fit into the registers. Of up to eight columns one tile is enough: each weight is read once.
            return match x.n {
                7..9 => few::<3, 8>(weights, x.k, x.n, lines, out),
                _ => few::<4, 6>(weights, x.k, x.n, lines, out),
            };
        }
        let (lines, panel) = scratch.split_at_mut(PANEL_COLUMNS * stride(PANEL) * 64);
        let (lines, panel) = (lines.align_to_mut().1, panel.align_to_mut().1);
        for c in (0..x.n).step_by(PANEL_COLUMNS) {
            let (x, out) =
                (&x.range(c, x.n.min(c + PANEL_COLUMNS)), &mut out.columns(c, x.n.min(c + PANEL_COLUMNS)));
            for from in (0..x.k).step_by(PANEL) {
                let len = PANEL.min(x.k - from);
                round(x, from, len, lines);
                many(weights, x.k, from, &mut panel[..len / 2], lines, out);
            }
        }
    }
}

/// Rounds `len` values of each column from `from` on.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn round(x: &Columns<'_>, from: usize, len: usize, lines: &mut [__m512i]) {
    for (c, lines) in lines.chunks_exact_mut(stride(len)).enumerate().take(x.n) {
        let (values, _) = x.f32[c * x.k + from..][..len].as_chunks::<LINE>();
        for (values, line) in values.iter().zip(lines) {
            // SAFETY: there are 32 floats; both types are 64 bytes of any bits.
            *line = unsafe {
                let (low, high) = (_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values[16..].as_ptr()));
                core::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
            };
        }
    }
}

/// `sum`, and in each lane two products.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn multiply(w: __m512i, x: __m512i, sum: __m512) -> __m512 {
    // SAFETY: both types are 64 bytes of any bits.
    let (w, x) = unsafe {
        (core::mem::transmute::<__m512i, __m512bh>(w), core::mem::transmute::<__m512i, __m512bh>(x))
    };
    _mm512_dpbf16_ps(sum, w, x)
}

/// Multiplies with `n` columns: `R` rows at once, as they lie, with up to `MOST` columns.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn few<const R: usize, const MOST: usize>(
    weights: &[BlockBF16],
    k: usize,
    n: usize,
    lines: &[__m512i],
    out: &mut TileMut<'_>,
) {
    let tiles = n.div_ceil(MOST);
    for r in (0..out.rows()).step_by(R) {
        for t in 0..tiles {
            let (c, to) = (n * t / tiles, n * (t + 1) / tiles);
            match to - c {
                _ if MOST == 8 => few_tile::<R, 8>(weights, k, lines, out, r, c..to),
                1 => few_tile::<R, 1>(weights, k, lines, out, r, c..to),
                2 => few_tile::<R, 2>(weights, k, lines, out, r, c..to),
                3 | 4 => few_tile::<R, 4>(weights, k, lines, out, r, c..to),
                _ => few_tile::<R, 6>(weights, k, lines, out, r, c..to),
            }
        }
    }
}

/// Multiplies the rows from `r` on with up to `C` columns; what lies behind the last row or column is filled up with
/// it. Meanwhile the next rows are asked for, in the order of memory.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn few_tile<const R: usize, const C: usize>(
    weights: &[BlockBF16],
    k: usize,
    lines: &[__m512i],
    out: &mut TileMut<'_>,
    r: usize,
    c: Range<usize>,
) {
    let last = out.rows() - 1;
    let rows: [&[BlockBF16]; R] = array::from_fn(|i| &weights[(r + i).min(last) * k..][..k]);
    let columns: [&[__m512i]; C] =
        array::from_fn(|j| &lines[(c.start + j).min(c.end - 1) * stride(k)..][..k / LINE]);
    let next = weights.as_ptr().wrapping_add((r + R) * k);
    let mut sums = [[_mm512_setzero_ps(); R]; C];
    for s in 0..k / LINE {
        if c.start == 0 {
            prefetch::<_, _MM_HINT_T1>(next.wrapping_add(R * LINE * s), R * LINE);
        }
        // SAFETY: rows have 32 weights from each step on, and columns a line.
        let w = rows.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().add(s * LINE).cast()) });
        for j in 0..C {
            // SAFETY: as above.
            let x = unsafe { *columns[j].get_unchecked(s) };
            for i in 0..R {
                sums[j][i] = multiply(w[i], x, sums[j][i]);
            }
        }
    }
    for j in 0..C.min(c.len()) {
        let out = &mut out.column(c.start + j)[r..];
        // Behind the last row it is taken again.
        let four = array::from_fn(|i| sums[j][i.min(R - 1)]);
        // SAFETY: this function has the features that the callee asks for.
        let totals = unsafe { Floats::reduce_sums(four) };
        out.iter_mut().zip(totals).take(R).for_each(|(out, sum)| *out = sum);
    }
}

/// Multiplies weights from `from` on with all columns of `out`, and adds that to it: some rows are transposed at once.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn many(
    weights: &[BlockBF16],
    k: usize,
    from: usize,
    panel: &mut [Pairs],
    lines: &[__m512i],
    out: &mut TileMut<'_>,
) {
    let n = out.cols();
    let tiles = n.div_ceil(6);
    for r in (0..out.rows()).step_by(PANEL_ROWS) {
        unpack(weights, k, r, from, panel);
        let mut c = 0;
        for t in 0..tiles {
            // Of about the same width; only the last may take a column again.
            let width = (n - c).div_ceil(tiles - t).next_multiple_of(2);
            ask(out, r..r + PANEL_ROWS, c + width, 6);
            match width {
                2 => many_tile::<2>(panel, lines, from == 0, out, r, c),
                4 => many_tile::<4>(panel, lines, from == 0, out, r, c),
                _ => many_tile::<6>(panel, lines, from == 0, out, r, c),
            }
            c += width;
        }
    }
}

/// Transposes weights from `from` on of the rows from `r` on; what lies behind the last row is filled up with it.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn unpack(weights: &[BlockBF16], k: usize, r: usize, from: usize, panel: &mut [Pairs]) {
    let last = weights.len() / k - 1;
    for strip in 0..2 {
        let rows: [&[BlockBF16]; 16] =
            array::from_fn(|i| &weights[(r + 16 * strip + i).min(last) * k + from..][..2 * panel.len()]);
        for (at, pairs) in panel.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // SAFETY: rows have 8 weights, 16 bytes, from each step on; this function has the features that the callee asks for.
            let words = unsafe {
                <__m512i as Lanes<16>>::transpose(
                    rows.map(|row| &*row.as_ptr().add(8 * at).cast::<[u8; 16]>()),
                )
            };
            for i in 0..4 {
                pairs[i][strip] = words[i];
            }
        }
    }
}

/// Adds the product of a panel and up to `C` columns to a tile, or writes it if it is the `first`.
#[inline]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn many_tile<const C: usize>(
    panel: &[Pairs],
    lines: &[__m512i],
    first: bool,
    out: &mut TileMut<'_>,
    r: usize,
    c: usize,
) {
    let stride = stride(2 * panel.len());
    let columns: [*const i32; C] =
        array::from_fn(|j| lines[(c + j).min(out.cols() - 1) * stride..][..stride].as_ptr().cast());
    let mut acc = [[_mm512_setzero_ps(); 2]; C];
    if !first {
        // SAFETY: the registers are nothing but floats, here and below.
        unsafe { get(&mut acc, out, r, c) };
    }
    for (at, w) in panel.iter().enumerate() {
        for j in 0..C {
            // SAFETY: a column has a pair for each of the panel.
            let x = _mm512_set1_epi32(unsafe { *columns[j].add(at) });
            for s in 0..2 {
                acc[j][s] = multiply(w[s], x, acc[j][s]);
            }
        }
    }
    // SAFETY: as above.
    unsafe { put(&acc, out, r, c) };
}
