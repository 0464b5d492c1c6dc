//! Floor 2. The working buffers of a program: how wide each is, who reads and writes it, and where it lies in the memory of a
//! column. Nothing here is told by an architecture; it all follows from the steps.
#![forbid(unsafe_code)]

use super::{Program, Step};

/// A working buffer: one column of values per token of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Buffer {
    /// The residual stream: `dim`.
    Stream,
    /// The normed stream, which the projections read: `dim`.
    Normed,
    /// Queries of all heads: `heads * head_dim`.
    Query,
    /// Keys of all key heads: `kv_heads * head_dim`.
    Key,
    /// Values of all key heads: `kv_heads * head_dim`.
    Value,
    /// What the heads have gathered: `heads * head_dim`.
    Attended,
    /// The hidden values of the feed-forward layer, as the projection that reads them wants them: `ffn`.
    Hidden,
    /// What a block adds to the stream: `dim`.
    Delta,
    /// How well each expert fits: one value for each.
    Scores,
    /// The columns that an expert reads, side by side: `dim`, in models with experts.
    Gathered,
    /// What an expert makes of them: `dim`, in models with experts.
    Expert,
    /// Queries and gates of all heads, as one matrix makes them: `2 * heads * head_dim`.
    Joint,
    /// What gates the values that the heads have gathered: `heads * head_dim`.
    Gates,
    /// What a short convolution reads, and what it makes of it: its channels.
    Mixed,
    /// What gates that behind it: `dim`, or what the heads of a [`Step::Recall`] recall.
    Outlet,
    /// How much each head of a [`Step::Recall`] forgets: one value for each.
    Forgets,
    /// How much it learns: one value for each.
    Learns,
    /// What it recalls: `heads * head_dim` of its own heads.
    Recalled,
    /// How much a column takes of an expert that all go through: 1.
    Share,
    /// What each layer gets of a token beside the stream, one layer after the other.
    Inputs,
    /// What a layer lets in of it.
    Inlet,
}

impl Buffer {
    pub(crate) const ALL: [Buffer; 21] = [
        Buffer::Stream,
        Buffer::Normed,
        Buffer::Query,
        Buffer::Key,
        Buffer::Value,
        Buffer::Attended,
        Buffer::Hidden,
        Buffer::Delta,
        Buffer::Scores,
        Buffer::Gathered,
        Buffer::Expert,
        Buffer::Joint,
        Buffer::Gates,
        Buffer::Mixed,
        Buffer::Outlet,
        Buffer::Forgets,
        Buffer::Learns,
        Buffer::Recalled,
        Buffer::Share,
        Buffer::Inputs,
        Buffer::Inlet,
    ];
    pub(crate) const COUNT: usize = Buffer::ALL.len();

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Step {
    /// The buffers that the step reads and those that it writes, as bits.
    fn uses(&self) -> (u32, u32) {
        match self {
            Step::Norm { from, to, .. } | Step::LayerNorm { from, to, .. } => (from.bit(), to.bit()),
            Step::Place { .. } => (Buffer::Stream.bit(), Buffer::Stream.bit()),
            Step::NormParts { buffer, .. } => (buffer.bit(), buffer.bit()),
            Step::Linear { from, projections } => {
                (from.bit(), projections.iter().map(|(_, to)| to.bit()).sum())
            }
            Step::Gated { from, .. } | Step::Activate { from, .. } => (from.bit(), Buffer::Hidden.bit()),
            Step::Experts { from, .. } => {
                let own = Buffer::Gathered.bit() | Buffer::Hidden.bit() | Buffer::Expert.bit();
                (from.bit() | Buffer::Scores.bit(), own | Buffer::Delta.bit())
            }
            Step::Rope { buffer, .. } => (buffer.bit(), buffer.bit()),
            Step::Store { .. } => (Buffer::Key.bit() | Buffer::Value.bit(), 0),
            Step::Attend { .. } => (Buffer::Query.bit(), Buffer::Attended.bit()),
            Step::Add { from, to, .. } | Step::Gate { from, to, .. } => (from.bit() | to.bit(), to.bit()),
            Step::Share => (Buffer::Share.bit() | Buffer::Delta.bit(), Buffer::Delta.bit()),
            Step::Part { .. } => (Buffer::Joint.bit(), Buffer::Query.bit() | Buffer::Gates.bit()),
            Step::Convolve(_) => (Buffer::Mixed.bit(), Buffer::Mixed.bit()),
            Step::Recall(_) => {
                let own = Buffer::Mixed.bit() | Buffer::Forgets.bit() | Buffer::Learns.bit();
                (own, own | Buffer::Recalled.bit())
            }
            Step::Release { .. } => (Buffer::Recalled.bit() | Buffer::Outlet.bit(), Buffer::Outlet.bit()),
            Step::Scale { buffer, .. } => (buffer.bit(), buffer.bit()),
            Step::Inputs { .. } => (Buffer::Inputs.bit(), Buffer::Inputs.bit()),
            Step::Inlet { .. } => (Buffer::Inlet.bit() | Buffer::Inputs.bit(), Buffer::Inlet.bit()),
        }
    }
}

impl Program {
    /// Width of each buffer, in values of a column: the widest thing that a step writes there, and none where no step does.
    pub(crate) fn widths(&self) -> [usize; Buffer::COUNT] {
        let mut widths = [0; Buffer::COUNT];
        let mut write = |buffer: Buffer, len: usize| {
            let width = &mut widths[buffer as usize];
            *width = len.max(*width);
        };
        let dim = self.embedding.k;
        [Buffer::Stream, Buffer::Normed, Buffer::Delta].into_iter().for_each(|buffer| write(buffer, dim));
        for step in &self.steps {
            match step {
                Step::Linear { projections, .. } => {
                    projections.iter().for_each(|(projection, to)| write(*to, projection.weight.rows));
                }
                Step::Gated { gate: projection, hidden: None, .. }
                | Step::Activate { projection, hidden: None, .. } => {
                    write(Buffer::Hidden, projection.weight.rows);
                }
                Step::Experts { experts, .. } => {
                    let [gate, ..] = &experts.matrices;
                    write(
                        Buffer::Hidden,
                        if experts.hidden.is_none() { gate.weight.rows / experts.count } else { 0 },
                    );
                    write(Buffer::Gathered, dim);
                    write(Buffer::Expert, dim);
                }
                Step::Attend { layer, heads, .. } => write(Buffer::Attended, heads * self.kept[*layer].dim),
                Step::Part { len, heads } => {
                    write(Buffer::Query, heads * len);
                    write(Buffer::Gates, heads * len);
                }
                Step::Recall(recall) => write(Buffer::Recalled, recall.heads * recall.dim),
                // The others write to buffers that one of these has written to.
                _ => {}
            }
        }
        let labels = self.head.as_ref().and_then(|head| head.output.as_ref());
        write(Buffer::Scores, labels.map_or(0, |output| output.weight.rows));
        widths
    }

    /// Where each buffer starts in the memory of one column, and how much that is, in values. Buffers that never hold
    /// something of use at the same time share their place.
    pub(crate) fn places(&self) -> ([usize; Buffer::COUNT], usize) {
        let (widths, conflicts) = (self.widths(), self.conflicts());
        let mut order = Buffer::ALL;
        order.sort_unstable_by_key(|buffer| core::cmp::Reverse(widths[*buffer as usize]));
        let mut places = [0; Buffer::COUNT];
        let mut total = 0;
        for (i, buffer) in order.into_iter().enumerate() {
            let width = widths[buffer as usize];
            // Those placed already that this one must not touch.
            let others = || order[..i].iter().filter(|other| conflicts[buffer as usize] & other.bit() != 0);
            let end = |other: &Buffer| places[*other as usize] + widths[*other as usize];
            let fits = |place: &usize| {
                others().all(|other| place + width <= places[*other as usize] || *place >= end(other))
            };
            // Behind one of them, if not at the start; behind the last it always fits.
            let place = others().map(end).chain([0]).filter(fits).min().unwrap_or(0);
            places[buffer as usize] = place;
            total = total.max(place + width);
        }
        (places, total)
    }

    /// For each buffer, those that hold something of use while it is written, as bits.
    fn conflicts(&self) -> [u32; Buffer::COUNT] {
        let mut conflicts = [0; Buffer::COUNT];
        let mut meet = |written: u32, others: u32| {
            for a in Buffer::ALL.into_iter().filter(|a| written & a.bit() != 0) {
                for b in Buffer::ALL.into_iter().filter(|b| others & b.bit() != 0) {
                    conflicts[a as usize] |= b.bit();
                    conflicts[b as usize] |= a.bit();
                }
            }
        };
        // The output norm reads the stream into the normed buffer, column by column; so both outlive the steps. What scores
        // texts goes from there into the delta and the scores.
        meet(Buffer::Normed.bit(), Buffer::Stream.bit());
        if self.head.is_some() {
            let all = Buffer::Normed.bit() | Buffer::Delta.bit() | Buffer::Scores.bit();
            meet(all, all);
        }
        let mut live =
            Buffer::Stream.bit() | if self.output_norm.is_none() { Buffer::Normed.bit() } else { 0 };
        for step in self.steps.iter().rev() {
            let (reads, writes) = step.uses();
            meet(writes, live | reads | writes);
            live = live & !writes | reads;
        }
        conflicts
    }
}
