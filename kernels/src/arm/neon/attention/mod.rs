//! Attention: of the heads of one token to a run of keys (`few`), and of a block of tokens to all of theirs (`wide`),
//! both written once for keys of any format (`cached`).

mod cached;
mod few;
mod wide;

use core::arch::aarch64::*;

use super::curves::soft_cap;
use super::vectors::Exp;
use crate::attention::{AttendMut, Piece, Queries, Score};
use crate::backend::Table;
use crate::blocks::{BlockF16, BlockQ4_0, BlockQ8_0};
use crate::scalar;
use crate::tile::TileMut;
use cached::Cached;

impl Table {
    /// The table with attention from here.
    pub(super) const fn with_attention(self) -> Table {
        Table { attend_scratch: wide::scratch_len, ..self }
            .with_cached::<BlockF16>()
            .with_cached::<BlockQ8_0>()
            .with_cached::<BlockQ4_0>()
    }

    const fn with_cached<C: Cached>(self) -> Table {
        self.with_kv(C::KEPT, few::few::<C>, attend_wide::<C>)
    }
}

/// See [`crate::Backend::attend_wide`].
///
/// # Safety
/// The lengths must be what [`crate::Backend::attend_wide`] checks.
#[target_feature(enable = "neon")]
unsafe fn attend_wide<C: Cached>(
    queries: &Queries<'_>,
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
) {
    // SAFETY: the caller checked the lengths.
    unsafe { wide::wide::<C>(queries, piece, keys, values, out, scratch) }
}

/// Turns products into scores if those level off, and says what is still to multiply them with.
#[target_feature(enable = "neon")]
fn cap_scores(products: &mut [[f32; 4]], score: Score) -> f32 {
    let Some(cap) = score.cap else { return score.scale };
    soft_cap(products.as_flattened_mut(), score.scale, cap);
    1.0
}

/// See [`crate::Backend::attend_join`].
#[target_feature(enable = "neon")]
pub(super) fn attend_join(all: &mut AttendMut<'_>, run: &AttendMut<'_>) {
    let exp = Exp::new();
    scalar::attend_join(all, run, |x| vgetq_lane_f32::<0>(exp.of_negative(vdupq_n_f32(-x))));
}
