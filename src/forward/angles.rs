//! Floor 3. Cosines and sines of a batch's positions, for one rotation of the program.
#![forbid(unsafe_code)]

use bantam_kernels::math;

use super::positions::Positions;
use crate::arena::{Arena, Slab};
use crate::error::Result;
use crate::model::rope::Rope;

pub(crate) struct Angles {
    /// Angle per position of each turned pair.
    pub(super) frequencies: Slab<f64>,
    /// Of each column's position.
    cos: Slab<f32>,
    sin: Slab<f32>,
}

impl Angles {
    /// Room for a batch; none if there is no such rotation.
    pub(super) fn carve(rope: Option<&Rope>, batch: usize, arena: &mut Arena) -> Result<Angles> {
        let pairs = rope.map_or(0, |rope| rope.width / 2);
        // A product that overflows asks for more than there can be, which the arena refuses.
        let angles = batch.saturating_mul(pairs);
        Ok(Angles { frequencies: arena.slab(pairs)?, cos: arena.slab(angles)?, sin: arena.slab(angles)? })
    }

    /// Gives the memory of what is computed anew for each batch back to the system; how many bytes.
    pub(super) fn release(&mut self) -> usize {
        self.cos.release() + self.sin.release()
    }

    /// Computes the angles of the positions of `n` columns.
    pub(super) fn turn(&mut self, rope: &Rope, n: usize, positions: &dyn Positions) {
        let pairs = self.frequencies.len();
        if pairs == 0 {
            return;
        }
        let columns = self.cos.chunks_exact_mut(pairs).zip(self.sin.chunks_exact_mut(pairs));
        for (c, (cos, sin)) in columns.take(n).enumerate() {
            rope.angles(positions.place(c).0, &self.frequencies, cos, sin);
        }
    }

    /// Computes the angles that turn a key back by `positions`, in the place of the first column's.
    pub(super) fn turn_back(&mut self, positions: usize) {
        let angles = self.cos.iter_mut().zip(self.sin.iter_mut());
        for ((cos, sin), frequency) in angles.zip(self.frequencies.iter()) {
            let (s, c) = math::sin_cos_f64(positions as f64 * frequency);
            (*cos, *sin) = (c as f32, -s as f32);
        }
    }

    /// Cosines and sines of a column.
    pub(super) fn column(&self, c: usize) -> (&[f32], &[f32]) {
        let pairs = self.frequencies.len();
        (&self.cos[c * pairs..][..pairs], &self.sin[c * pairs..][..pairs])
    }
}
