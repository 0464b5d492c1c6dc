//! Floor 3. Projections: the input quantised once, then rows of all weights that read it shared out to the threads.
#![forbid(unsafe_code)]

use core::ops::Range;

use bantam_kernels::columns::{Q8_BLOCK, Q8_SUM};
use bantam_kernels::{ColumnsMut, TileMut};

use super::Forward;
use crate::model::program::{Buffer, PROJECTIONS_MAX, Projection};
use crate::model::weights::Matrix;

/// Rows are shared out in panels, as wide as the widest of any kernel, and at most so many of them at a time.
const PANELS: (usize, usize) = (32, 8);

impl Forward<'_> {
    /// `to = weight . from + bias`, for each projection.
    pub(super) fn linear(&mut self, n: usize, from: Buffer, projections: &[Projection]) {
        let k = self.scratch.width(from);
        let quantize = projections.iter().any(|projection| projection.weight.format.wants_q8());
        self.prepare_input(n, from, quantize);
        let scratch = &mut *self.scratch;
        // The input, then the outputs; ranges that are not needed stay empty.
        let mut ranges: [Range<usize>; 1 + PROJECTIONS_MAX] = Default::default();
        ranges[0] = scratch.range(from, n);
        for (range, projection) in ranges[1..].iter_mut().zip(projections) {
            *range = scratch.range(projection.to, n);
        }
        let buffers = scratch.buffers.get_disjoint_mut(ranges).expect("a step's buffers are disjoint");
        let [input, outputs @ ..] = buffers;
        let mut rows = projections.iter().map(|projection| projection.weight.rows);
        let mut tiles =
            outputs.map(|out| rows.next().map_or(TileMut::empty(), |rows| TileMut::new(out, rows, n)));
        let tiles = &mut tiles[..projections.len()];
        let x = if quantize {
            scratch.quantized.columns(input, k, n)
        } else {
            bantam_kernels::Columns::from_f32(input, k)
        };
        let (file, backend) = (self.file, self.backend);
        self.pool.tiles(tiles, PANELS, &mut scratch.threads.kernels, self.cancel, &|p, from, out, own| {
            let Projection { weight, bias, .. } = &projections[p];
            let to = from + out.rows();
            backend.matmul(weight.format, weight.rows(file, from, to), &x, out, own);
            if let Some(bias) = bias {
                for c in 0..out.cols() {
                    backend.add(out.column(c), &bias.values(file)[from..to]);
                }
            }
        });
    }

    /// `out = weight . Normed`, for the first `n` columns.
    pub(super) fn score(&mut self, n: usize, weight: &Matrix, out: &mut [f32]) {
        self.prepare_input(n, Buffer::Normed, weight.format.wants_q8());
        let scratch = &mut *self.scratch;
        let input = &scratch.buffers[scratch.range(Buffer::Normed, n)];
        let x = if weight.format.wants_q8() {
            scratch.quantized.columns(input, weight.k, n)
        } else {
            bantam_kernels::Columns::from_f32(input, weight.k)
        };
        let (file, backend) = (self.file, self.backend);
        let mut tiles = [TileMut::new(out, weight.rows, n)];
        self.pool.tiles(
            &mut tiles,
            PANELS,
            &mut scratch.threads.kernels,
            self.cancel,
            &|_, from, out, own| {
                backend.matmul(weight.format, weight.rows(file, from, from + out.rows()), &x, out, own);
            },
        );
    }

    /// Quantises the first `n` columns of a buffer.
    fn prepare_input(&mut self, n: usize, from: Buffer, quantize: bool) {
        if !quantize {
            return;
        }
        let backend = self.backend;
        let scratch = &mut *self.scratch;
        let k = scratch.width(from);
        let input = &scratch.buffers[scratch.range(from, n)];
        let quantized = &mut scratch.quantized;
        self.pool.zip(
            n,
            (&mut quantized.q, k),
            (&mut quantized.d, k / Q8_BLOCK),
            (&mut quantized.s, k / Q8_SUM),
            &|c, q, d, s| backend.quantize_q8(&input[c * k..][..k], &mut ColumnsMut { q, d, s }),
        );
    }
}
