//! Floor 2. What layers carry from token to token instead of keys and values: the last inputs of convolutions, and memories
//! that each token changes. They have one size for any number of tokens, and cannot be cut shorter.
//!
//! ```text
//! slot:  layer | inputs of the tokens before, the oldest first | matrices
//! ```
//! A batch reads one slot and writes another, so the state before it stays: a batch that was cancelled has changed nothing, and
//! going back by one is free. Which of the older ones is overwritten leaves some from further back.
//!
//! Invariant: a slot that says how many tokens it has read holds what they make.
#![forbid(unsafe_code)]

use crate::arena::{Arena, Slab};
use crate::error::Result;

/// States that are kept: the last, the one that is written, and two from further back.
const SLOTS: usize = 4;

/// Floats of a state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecurrentShape {
    /// Layers with a state.
    pub(crate) layers: usize,
    /// Inputs of a layer's convolution.
    pub(crate) inputs: usize,
    /// Values of a layer's matrices.
    pub(crate) matrices: usize,
}

impl RecurrentShape {
    /// A number that overflows asks for more than there can be, which the arena refuses.
    fn len(&self) -> usize {
        self.inputs.saturating_add(self.matrices).saturating_mul(self.layers)
    }
}

pub(crate) struct Recurrent {
    shape: RecurrentShape,
    /// All slots.
    values: Slab<f32>,
    /// Tokens that each slot has read, if it holds something.
    read: [Option<usize>; SLOTS],
    /// The slot of the last token,
    current: usize,
    /// and the one that a batch writes.
    next: usize,
    /// A slot that is not overwritten: the state before the last batch of a prompt.
    marked: Option<usize>,
}

/// The state before a batch, and the one behind it.
pub(crate) struct Turn<'a> {
    shape: RecurrentShape,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl<'a> Turn<'a> {
    /// That of no layers.
    pub(crate) fn none() -> Turn<'a> {
        Turn { shape: RecurrentShape::default(), from: &[], to: &mut [] }
    }

    /// The inputs of a layer's convolution: those before the batch, and where those behind it go.
    pub(crate) fn inputs(self, layer: usize) -> (&'a [f32], &'a mut [f32]) {
        let RecurrentShape { inputs, matrices, .. } = self.shape;
        let start = layer * (inputs + matrices);
        (&self.from[start..][..inputs], &mut self.to[start..][..inputs])
    }

    /// A layer's matrices, likewise.
    pub(crate) fn matrices(self, layer: usize) -> (&'a [f32], &'a mut [f32]) {
        let RecurrentShape { inputs, matrices, .. } = self.shape;
        let start = layer * (inputs + matrices) + inputs;
        (&self.from[start..][..matrices], &mut self.to[start..][..matrices])
    }
}

impl Recurrent {
    pub(crate) fn carve(shape: RecurrentShape, arena: &mut Arena) -> Result<Recurrent> {
        let values = arena.slab(shape.len().saturating_mul(SLOTS))?;
        Ok(Recurrent { shape, values, read: [None; SLOTS], current: 0, next: 0, marked: None })
    }

    /// Whether no layer carries anything.
    pub(crate) fn is_none(&self) -> bool {
        self.shape.layers == 0
    }

    /// Floats of a state.
    pub(crate) fn len(&self) -> usize {
        self.shape.len()
    }

    /// Tokens that the last state has read.
    pub(crate) fn position(&self) -> usize {
        self.read[self.current].unwrap_or(0)
    }

    /// Goes back to the last state that has read no more than `position` tokens: to none at all, if no other is left.
    pub(crate) fn go_back(&mut self, position: usize) {
        for read in &mut self.read {
            *read = read.filter(|&read| read <= position);
        }
        self.marked = self.marked.filter(|&slot| self.read[slot].is_some());
        match self.newest(position) {
            Some((slot, _)) => self.current = slot,
            None => self.reset(0).fill(0.0),
        }
    }

    /// The last state that has read no more than `position` tokens, but at least one: how many.
    pub(crate) fn at(&self, position: usize) -> Option<(usize, &[f32])> {
        let (slot, read) = self.newest(position).filter(|&(_, read)| read > 0)?;
        Some((read, &self.values[slot * self.len()..][..self.len()]))
    }

    fn newest(&self, position: usize) -> Option<(usize, usize)> {
        let read = self.read.iter().enumerate().filter_map(|(slot, read)| Some((slot, (*read)?)));
        read.filter(|&(_, read)| read <= position).max_by_key(|&(_, read)| read)
    }

    /// Holds nothing but one state that has read `position` tokens, whose values the caller writes.
    pub(crate) fn reset(&mut self, position: usize) -> &mut [f32] {
        (self.read, self.current, self.marked) = ([None; SLOTS], 0, None);
        self.read[0] = Some(position);
        let len = self.len();
        &mut self.values[..len]
    }

    /// Keeps the last state until another is marked.
    pub(crate) fn mark(&mut self) {
        self.marked = Some(self.current);
    }

    /// Chooses the slot of the next state.
    pub(crate) fn begin(&mut self) {
        let free = (0..SLOTS).filter(|&slot| slot != self.current && Some(slot) != self.marked);
        // What would have to be read again without a state, in parts of how far one has to go back to need it: where that is
        // least, the state is overwritten. So those that stay stand further apart the further back they are.
        let (position, read) = (self.position(), &self.read);
        let loss = |slot: usize| {
            let Some(own) = read[slot] else { return (0, 1) };
            let before = read.iter().flatten().filter(|&&other| other < own).max().unwrap_or(&0);
            (own - before, (position - own).max(1))
        };
        let less = |a: &usize, b: &usize| {
            let (a, b) = (loss(*a), loss(*b));
            (a.0 as u128 * b.1 as u128).cmp(&(b.0 as u128 * a.1 as u128))
        };
        self.next = free.min_by(less).unwrap_or(0);
        self.read[self.next] = None;
    }

    /// The state that a batch reads and the one that it writes, since [`Recurrent::begin`].
    pub(crate) fn turn(&mut self) -> Turn<'_> {
        let len = self.len();
        let places = [self.current, self.next].map(|slot| slot * len..(slot + 1) * len);
        let [from, to] = self.values.get_disjoint_mut(places).expect("two slots");
        Turn { shape: self.shape, from, to }
    }

    /// The batch went through: the state that it wrote has read `count` tokens more.
    pub(crate) fn commit(&mut self, count: usize) {
        let position = self.position() + count;
        self.read[self.next] = Some(position);
        self.current = self.next;
    }

    /// Holds what `other` of the same shape holds of the first `position` tokens.
    pub(crate) fn copy_from(&mut self, other: &Recurrent, position: usize) {
        let len = self.len();
        if len > 0 {
            let slots = self.values.chunks_exact_mut(len).zip(other.values.chunks_exact(len));
            let held = slots.zip(other.read).filter(|(_, read)| read.is_some_and(|read| read <= position));
            held.for_each(|((own, other), _)| own.copy_from_slice(other));
        }
        (self.read, self.current, self.marked) = (other.read, other.current, other.marked);
        self.go_back(position);
    }

    /// Gives the memory of all states back to the system; how many bytes.
    #[cfg(feature = "std")]
    pub(crate) fn release(&mut self) -> usize {
        (self.read, self.current, self.marked) = ([None; SLOTS], 0, None);
        self.values.release()
    }
}
