//! Attention for every tier of x86: of a few heads to a run of keys ([`fn@few`]), and of a block of tokens to all of theirs
//! ([`fn@wide`]), both written once for registers of any width and keys of any format ([`cached`]). Heads that are not whole
//! registers go down to registers of eight, the last of which is filled up ([`fn@odd`]).

mod cached;
mod few;
mod odd;
mod wide;

use super::register::Floats;
use crate::attention::{ATTEND_KEYS, AttendMut, KvFormat, Piece, Queries, Score};
use crate::backend::Table;
use crate::blocks::{BlockQ4_0, BlockQ8_0, F16};
use crate::tile::TileMut;
pub(crate) use cached::Cached;
pub(crate) use few::{few, weigh};
pub(crate) use odd::odd;
pub(crate) use wide::{Heads, products, to_floats, wide};

/// The scores of one head with up to one run of keys, and then their weights.
pub(crate) type Scores = [f32; ATTEND_KEYS];

/// Turns keys or values of a format into floats.
pub(crate) type ToFloats = unsafe fn(bytes: &[u8], dim: usize, out: &mut [f32]);

/// How a tier attends: with registers of `N` floats.
///
/// `few` and `wide` are the functions of those files, compiled for the tier's features.
pub(crate) trait Attention<const N: usize>: Sized {
    /// The tier's register.
    type F: Floats<N>;
    /// The same register, seen as integers.
    type V: super::lanes::Lanes<N, Floats = Self::F>;
    /// The heads that go through keys together: 2 or 4.
    const HEADS: usize;

    /// See [`fn@few`].
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::attend`] checks, for `H`
    /// heads that are whole registers.
    unsafe fn few<C: Cached<N>, const H: usize>(
        query: &[f32],
        keys: &[C],
        values: &[C],
        score: Score,
        state: &mut AttendMut<'_>,
    );

    /// See [`weigh`]: a function of its own, as it is the same for any number of heads and every format.
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn weigh(scores: &mut Scores, n: usize, score: Score, max: &mut f32, sum: &mut f32) -> f32;

    /// See [`fn@wide`].
    ///
    /// # Safety
    /// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::attend_wide`] checks, of keys of
    /// the format that `to_floats` turns.
    unsafe fn wide(
        queries: &Queries<'_>,
        cached: (KvFormat, ToFloats),
        piece: Piece,
        keys: &[u8],
        values: &[u8],
        out: &mut TileMut<'_>,
        scratch: &mut [f32],
    );

    /// See [`wide::to_floats`].
    ///
    /// # Safety
    /// The CPU must have the tier's features.
    unsafe fn to_floats<C: Cached<N>>(bytes: &[u8], dim: usize, out: &mut [f32]);

    /// See [`fn@products`]: a function of its own, as it wants all registers.
    ///
    /// # Safety
    /// The CPU must have the tier's features, a query must be whole registers, and a key must be there for each product.
    unsafe fn products(queries: &[Heads<N>], keys: &[f32], products: &mut [Heads<N>]);
}

impl Table {
    /// The table with a tier's attention.
    pub(in crate::x86) const fn with_attention<T: Attention<N>, const N: usize>(self) -> Table
    where
        [F16; N]: Cached<N>,
        BlockQ8_0: Cached<N>,
        BlockQ4_0: Cached<N>,
    {
        Table { attend_scratch: wide::scratch_len::<N>, ..self }
            .with_cached::<T, [F16; N], N>()
            .with_cached::<T, BlockQ8_0, N>()
            .with_cached::<T, BlockQ4_0, N>()
    }

    const fn with_cached<T: Attention<N>, C: Cached<N>, const N: usize>(self) -> Table {
        self.with_kv(C::FORMAT, attend::<T, C, N>, attend_wide::<T, C, N>)
    }
}

/// See [`crate::Backend::attend`]: the heads are cut as evenly as they can be, into as few groups as the tier allows.
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::attend`] checks.
unsafe fn attend<T: Attention<N>, C: Cached<N>, const N: usize>(
    query: &[f32],
    keys: &[u8],
    values: &[u8],
    score: Score,
    state: &mut AttendMut<'_>,
) {
    let group = state.max.len();
    let dim = query.len() / group;
    if !dim.is_multiple_of(C::PARTS * N) {
        // SAFETY: the CPU's features and the lengths are promised by the caller.
        return unsafe { (C::ODD.attend)(query, keys, values, score, state) };
    }
    let (keys, values) = (cached::as_blocks::<C, N>(keys), cached::as_blocks::<C, N>(values));
    let mut from = 0;
    for cuts in (1..=group.div_ceil(T::HEADS)).rev() {
        let to = from + (group - from).div_ceil(cuts);
        let query = &query[from * dim..to * dim];
        let state = &mut AttendMut {
            max: &mut state.max[from..to],
            sum: &mut state.sum[from..to],
            acc: &mut state.acc[from * dim..to * dim],
        };
        // SAFETY: the CPU's features and the lengths are promised by the caller.
        unsafe {
            match to - from {
                1 => T::few::<C, 1>(query, keys, values, score, state),
                2 => T::few::<C, 2>(query, keys, values, score, state),
                3 if T::HEADS > 2 => T::few::<C, 3>(query, keys, values, score, state),
                4 if T::HEADS > 2 => T::few::<C, 4>(query, keys, values, score, state),
                _ => unreachable!("a tier takes HEADS heads at most"),
            }
        }
        from = to;
    }
}

/// See [`crate::Backend::attend_wide`].
///
/// # Safety
/// The CPU must have the tier's features, and the lengths must be what [`crate::Backend::attend_wide`] checks.
unsafe fn attend_wide<T: Attention<N>, C: Cached<N>, const N: usize>(
    queries: &Queries<'_>,
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    // SAFETY: the CPU's features and the lengths are promised by the caller.
    unsafe {
        if queries.dim.is_multiple_of(C::PARTS * N) {
            all_wide::<T, C, N>(queries, piece, keys, values, out, scratch);
        } else {
            (C::ODD.attend_wide)(queries, piece, keys, values, out, scratch);
        }
    }
}

/// [`Attention::wide`] for keys and values of a format, and heads that need not be whole registers.
///
/// # Safety
/// As there.
pub(crate) unsafe fn all_wide<T: Attention<N>, C: Cached<N>, const N: usize>(
    queries: &Queries<'_>,
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    // SAFETY: the same promises.
    unsafe { T::wide(queries, (C::FORMAT, T::to_floats::<C>), piece, keys, values, out, scratch) }
}
