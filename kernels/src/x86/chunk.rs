//! Weights as the dot products want them: [`Chunk`]; and what unpacks a format's blocks into it: [`Unpack`].

use super::lanes::Lanes;
use super::register::Floats;
use crate::blocks::Block;
use crate::columns::Scales;

/// Weights along `k` in a chunk: as many as share one scale of the activations.
pub(crate) const CHUNK: usize = 32;
/// Steps of a chunk: a step is the 4 bytes along `k` that one lane of a dot instruction multiplies.
pub(crate) const STEPS: usize = CHUNK / 4;

/// 32 weights of each row of a strip; a strip is as many rows as a register `V` has lanes, `N`.
///
/// ```text
/// w[0]    | row 0: k 0 1 2 3 | row 1: k 0 1 2 3 | ..          one byte per weight
/// w[1]    | row 0: k 4 5 6 7 | row 1: k 4 5 6 7 | ..
///   ..
/// w[7]    | row 0: k 28 .. 31 | ..
/// d[g]    | row 0 | row 1 | ..                        scale of group g, one f32 per row
/// m[g]    | row 0 | row 1 | ..                        minimum of group g, for formats that have one
/// ```
/// A group is the whole chunk, or half of it where a format has a scale per 16 weights. The weights of a half may lie in its four
/// registers in another way, if who takes the chunk wants them so: see [`Sink::half`].
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Chunk<V: Lanes<N>, const N: usize> {
    pub(crate) w: [V; STEPS],
    pub(crate) d: [V::Floats; 2],
    pub(crate) m: [V::Floats; 2],
}

/// What is added to the scaled sum of products of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// `w = d q + m`: the minimum times the sum of the activations.
    Minimum,
    /// `w = d (q - offset)`: the offset times the sum of the activations is taken off the integer sum.
    Offset(i32),
}

impl<V: Lanes<N>, const N: usize> Chunk<V, N> {
    /// A chunk of one group without a minimum.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    pub(crate) unsafe fn new(w: [V; STEPS], d: V::Floats) -> Self {
        // SAFETY: the CPU's features are promised by the caller.
        let zero = unsafe { V::Floats::splat(0.0) };
        Chunk { w, d: [d, zero], m: [zero; 2] }
    }

    /// The chunk with the scale of its second group.
    #[inline(always)]
    pub(crate) fn with_second(mut self, d: V::Floats) -> Self {
        self.d[1] = d;
        self
    }

    /// The chunk with a minimum for each group.
    #[inline(always)]
    pub(crate) fn with_minima(mut self, m: [V::Floats; 2]) -> Self {
        self.m = m;
        self
    }
}

/// What the multiplication of chunks is compiled for.
pub(crate) trait Kind {
    /// Whether weights are signed bytes.
    const SIGNED: bool;
    /// Groups of a chunk.
    const GROUPS: usize;
    /// Whether only the products of half a group surely add up in 16 bits.
    const SPLIT: bool;
    /// Whether the scales of the activations are powers of two.
    const POWERS: bool;
    /// Whether the term is a minimum, if that is not told.
    const MINIMUM: Option<bool> = None;
}

impl<B: Unpack> Kind for B {
    const SIGNED: bool = B::BITS == 8;
    const GROUPS: usize = B::GROUPS;
    const SPLIT: bool = {
        // A step adds two products of at most 2^bits - 1 and 127.
        let fit = i16::MAX as usize / (((1 << B::BITS) - 1) * 127 * 2);
        assert!(B::BITS == 8 || fit >= STEPS / B::GROUPS / 2, "half a group does not fit");
        fit < STEPS / B::GROUPS
    };
    const POWERS: bool = matches!(B::FORMAT.scales(), Some(Scales::Powers));
}

/// The kind of all formats with as many groups, signed or not, split or not, with powers of two or without.
pub(crate) struct Of<const SIGNED: bool, const GROUPS: usize, const SPLIT: bool, const POWERS: bool>;

impl<const SIGNED: bool, const GROUPS: usize, const SPLIT: bool, const POWERS: bool> Kind
    for Of<SIGNED, GROUPS, SPLIT, POWERS>
{
    const SIGNED: bool = SIGNED;
    const GROUPS: usize = GROUPS;
    const SPLIT: bool = SPLIT;
    const POWERS: bool = POWERS;
}

/// A kind of which the term is a minimum, or is not.
pub(crate) struct With<K: Kind, const MINIMUM: bool>(core::marker::PhantomData<K>);

impl<K: Kind, const MINIMUM: bool> Kind for With<K, MINIMUM> {
    const SIGNED: bool = K::SIGNED;
    const GROUPS: usize = K::GROUPS;
    const SPLIT: bool = K::SPLIT;
    const POWERS: bool = K::POWERS;
    const MINIMUM: Option<bool> = Some(MINIMUM);
}

/// Takes the chunks of a block as they are unpacked: a panel that holds them, or products that use them at once.
pub(crate) trait Sink<V: Lanes<N>, const N: usize> {
    /// Takes chunk `i` of the block; chunks come in order.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    unsafe fn take<B: Unpack>(&mut self, i: usize, chunk: Chunk<V, N>);

    /// Sixteen bytes of each row, as half a chunk has them.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    unsafe fn half<T>(rows: [&[T; 16]; N]) -> [V; 4] {
        // SAFETY: the same promises.
        unsafe { V::transpose(rows) }
    }

    /// Bit 4 of each byte of register `i` of a chunk, from a word of each row that has those of all 32.
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    #[inline(always)]
    unsafe fn fifth_bits(words: V, i: usize) -> V {
        // SAFETY: the same promises.
        unsafe { words.fifth_bits(i) }
    }
}

/// A block of each row of a strip.
pub(crate) trait Rows<'a, B: 'a, const N: usize>: Copy {
    /// What a function makes of each block.
    fn map<R>(self, f: impl Fn(&'a B) -> R) -> [R; N];
}

impl<'a, B: 'a, const N: usize> Rows<'a, B, N> for [&'a B; N] {
    #[inline(always)]
    fn map<R>(self, f: impl Fn(&'a B) -> R) -> [R; N] {
        <[&'a B; N]>::map(self, f)
    }
}

/// A block that can be unpacked into chunks.
pub(crate) trait Unpack: Block {
    /// Bits of an unpacked weight: `q` is in `0..1 << BITS`, or any signed byte where this is 8.
    const BITS: u32;
    /// Groups of a chunk, that is scales per 32 weights: 1 or 2.
    const GROUPS: usize;
    /// How `w` follows from `q`.
    const TERM: Term;
    /// Whether products of two columns and more are compiled for it, where they are few, and not left to panels: each
    /// costs size, so formats have them in which models have much of their weights.
    const COMMON: bool = false;

    /// Unpacks one block of each row of a strip into `LEN / 32` chunks. Bytes that become weights are read by [`Sink::half`], the
    /// fifth bits of weights by [`Sink::fifth_bits`], and scales by [`Lanes::transpose`].
    ///
    /// # Safety
    /// The CPU must have the features of the tier that `V` belongs to.
    unsafe fn unpack<'a, V: Lanes<N>, const N: usize, S: Sink<V, N>>(
        rows: impl Rows<'a, Self, N>,
        sink: &mut S,
    ) where
        Self: 'a;
}

/// Thirty-two bytes of each row, as a chunk has them.
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
pub(crate) unsafe fn bytes_32<V: Lanes<N>, const N: usize, S: Sink<V, N>, T>(
    rows: [&[T; 32]; N],
) -> [V; STEPS] {
    // SAFETY: the CPU's features are promised by the caller.
    let ([a, b, c, d], [e, f, g, h]) =
        unsafe { (S::half(rows.map(|row| part(row, 0))), S::half(rows.map(|row| part(row, 16)))) };
    [a, b, c, d, e, f, g, h]
}

/// Splits 16 bytes of each row: the first half of a chunk lies in the low nibbles, the second in the high.
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
pub(crate) unsafe fn nibbles<V: Lanes<N>, const N: usize, S: Sink<V, N>>(rows: [&[u8; 16]; N]) -> [V; STEPS] {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe {
        let [a, b, c, d] = S::half(rows);
        let (low, high) = (|v: V| v.bits(0, 15), |v: V| v.bits(4, 15));
        [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)]
    }
}

/// Some bytes of a block.
#[inline(always)]
pub(crate) fn part<T, const N: usize, const M: usize>(bytes: &[T; N], at: usize) -> &[T; M] {
    bytes[at..].first_chunk().expect("blocks are longer")
}

/// The half that each block starts with, as floats. It is loaded as a part of a word: a register into which two bytes are
/// put waits for what it held before.
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
pub(crate) unsafe fn first_halves<'a, V: Lanes<N>, const N: usize, B: Block + 'a>(
    rows: impl Rows<'a, B, N>,
) -> V::Floats {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe { V::words(rows.map(|row| *first(row))).halves() }
}

/// The half that each block ends with, as floats.
///
/// # Safety
/// The CPU must have the features of the tier that `V` belongs to.
#[inline(always)]
pub(crate) unsafe fn last_halves<'a, V: Lanes<N>, const N: usize, B: Block + 'a>(
    rows: impl Rows<'a, B, N>,
) -> V::Floats {
    // SAFETY: the CPU's features are promised by the caller.
    unsafe { V::words(rows.map(|row| *last(row))).shr(16, 0xffff).halves() }
}

/// The first bytes of a block.
#[inline(always)]
pub(crate) fn first<B: Block, const M: usize>(block: &B) -> &[u8; M] {
    const { assert!(size_of::<B>() >= M) };
    // SAFETY: a Block has no padding, alignment 1, and, as was just checked, at least as many bytes.
    unsafe { &*core::ptr::from_ref(block).cast() }
}

/// The last bytes of a block.
#[inline(always)]
pub(crate) fn last<B: Block, const M: usize>(block: &B) -> &[u8; M] {
    const { assert!(size_of::<B>() >= M) };
    // SAFETY: a Block has no padding, alignment 1, and, as was just checked, at least as many bytes.
    unsafe { &*core::ptr::from_ref(block).cast::<u8>().add(size_of::<B>() - M).cast() }
}
