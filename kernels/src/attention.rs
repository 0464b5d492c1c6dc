//! Attention: how past keys and values are kept, and the contract of the kernels that read them.
//!
//! Two kernels compute the same thing. [`Backend::attend`] takes the heads of one token through one run of keys: what
//! decoding wants, whose runs go to different threads. [`Backend::attend_wide`] takes a block of tokens through all of
//! their keys: what a prompt wants, where keys and values are turned into floats once for many heads. Both give the same
//! bits.

use crate::Backend;
use crate::blocks::Format;
use crate::tile::TileMut;

/// The most keys that one call of [`Backend::attend`] takes. Longer ranges are cut at multiples of this position, never
/// by the number of threads.
pub const ATTEND_KEYS: usize = 256;

/// The query heads, over all of its tokens, that a block of [`Backend::attend_wide`] has at most, unless one token
/// has more: a multiple of every tier's registers, enough that turning
/// keys into floats costs little, few enough for the second-level cache.
const WIDE_HEADS: usize = 64;

/// A run that begins inside of a window's first keys may begin at a multiple of so many before them, with those between
/// [hidden](Score::hidden): its sums are then those of a whole run, lane for lane.
pub const HIDDEN_STEP: usize = 16;

/// How keys and values are kept: a head's values are a row of blocks of [`KvFormat::format`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
#[allow(non_camel_case_types)]
pub enum KvFormat {
    /// Halves.
    #[default]
    F16,
    /// 8 bits, one scale per 32: 53 % of the bytes of halves.
    Q8_0,
    /// 4 bits, one scale per 32: 28 % of the bytes of halves, and noticeably less exact.
    Q4_0,
}

impl KvFormat {
    /// Every format, in the order of a table's kernels.
    pub const ALL: &[KvFormat] = &[KvFormat::F16, KvFormat::Q8_0, KvFormat::Q4_0];
    /// How many formats there are.
    pub const COUNT: usize = KvFormat::ALL.len();

    /// The blocks that a head's values are kept in.
    pub const fn format(self) -> Format {
        match self {
            KvFormat::F16 => Format::F16,
            KvFormat::Q8_0 => Format::Q8_0,
            KvFormat::Q4_0 => Format::Q4_0,
        }
    }

    /// The format's name: `f16`, `q8_0`, `q4_0`.
    pub const fn name(self) -> &'static str {
        match self {
            KvFormat::F16 => "f16",
            KvFormat::Q8_0 => "q8_0",
            KvFormat::Q4_0 => "q4_0",
        }
    }

    /// Bytes of a head of `dim` values; `None` if it is not whole blocks.
    pub const fn row_bytes(self, dim: usize) -> Option<usize> {
        self.format().row_bytes(dim)
    }
}

/// The softmax-weighted sum of values seen so far, for the query heads that share one key and value head.
///
/// The finished output of head `h` is `acc[h] / sum[h]`. It starts as `max = -inf, sum = 0, acc = 0`.
pub struct AttendMut<'a> {
    /// The greatest score so far, per head.
    pub max: &'a mut [f32],
    /// The sum of `exp(score - max)`, per head.
    pub sum: &'a mut [f32],
    /// The sum of `exp(score - max) * value`, `head_dim` values per head.
    pub acc: &'a mut [f32],
}

impl AttendMut<'_> {
    /// Nothing seen yet.
    pub fn reset(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.acc.fill(0.0);
    }
}

/// What the product of a query and a key becomes before the softmax.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Score {
    /// Multiplies it; not negative.
    pub scale: f32,
    /// Where it levels off then: it becomes `cap * tanh(score / cap)`.
    pub cap: Option<f32>,
    /// The first keys of a run that are not seen, fewer than there are: those before a window. Blocks of tokens have
    /// [`Queries::window`] instead.
    pub hidden: usize,
}

impl From<f32> for Score {
    fn from(scale: f32) -> Score {
        Score { scale, cap: None, hidden: 0 }
    }
}

/// The query heads of consecutive tokens that share one key head.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// Head `h` of token `t` is the `dim` values from `t * stride + h * dim` on.
    pub values: &'a [f32],
    /// Values between the heads of two tokens.
    pub stride: usize,
    /// Tokens.
    pub tokens: usize,
    /// Heads of a token.
    pub group: usize,
    /// Values of a head.
    pub dim: usize,
    /// What the product of a head and a key becomes.
    pub score: Score,
    /// The most keys that a token sees, its own among them.
    pub window: usize,
    /// A score for each head of a token that takes its share of the softmax and has no value; none if empty.
    pub sinks: &'a [f32],
}

impl<'a> Queries<'a> {
    /// Heads of all tokens.
    #[inline]
    pub fn rows(&self) -> usize {
        self.tokens * self.group
    }

    /// Head `row % group` of token `row / group`.
    #[inline]
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row / self.group * self.stride + row % self.group * self.dim..][..self.dim]
    }

    /// What a row's state begins with: its greatest score and the sum of its weights.
    #[inline]
    pub(crate) fn start(&self, row: usize) -> (f32, f32) {
        self.sinks.get(row % self.group).map_or((f32::NEG_INFINITY, 0.0), |&sink| (sink, 1.0))
    }
}

/// Which keys one call of [`Backend::attend_wide`] has of all that a block of tokens sees: a cache that begins anew at its
/// start has them in several places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The first of them, a multiple of [`ATTEND_KEYS`].
    pub from: usize,
    /// All keys, the last of them the last token's own.
    pub all: usize,
}

impl Piece {
    /// All `n` keys in one call.
    pub const fn whole(n: usize) -> Piece {
        Piece { from: 0, all: n }
    }

    /// Of the keys `from..to`, how many `row` does not see since they are before its window, and the end of those that it
    /// sees.
    #[inline(always)]
    pub(crate) fn seen(self, queries: &Queries<'_>, row: usize, from: usize, to: usize) -> (usize, usize) {
        let end = self.all - queries.tokens + row.min(queries.rows() - 1) / queries.group + 1;
        let hidden = end.saturating_sub(queries.window).saturating_sub(from).min(to - from);
        (hidden, end.saturating_sub(from).min(to - from))
    }
}

/// The kernels of one way to keep keys and values.
#[derive(Clone, Copy)]
pub struct KvKernels {
    /// The backend whose file they come from.
    pub origin: &'static str,
    /// See [`Backend::store_kv`].
    pub store: unsafe fn(x: &[f32], out: &mut [u8]),
    /// See [`Backend::attend`].
    pub attend: Attend,
    /// See [`Backend::attend_wide`].
    pub attend_wide: AttendWide,
}

/// See [`Backend::attend`].
pub type Attend =
    unsafe fn(query: &[f32], keys: &[u8], values: &[u8], score: Score, state: &mut AttendMut<'_>);

/// See [`Backend::attend_wide`].
pub type AttendWide = unsafe fn(
    queries: &Queries<'_>,
    piece: Piece,
    keys: &[u8],
    values: &[u8],
    out: &mut TileMut<'_>,
    scratch: &mut [f32],
);

/// The tokens that a block of [`Backend::attend_wide`] has, when `group` heads share a key head.
pub const fn wide_tokens(group: usize) -> usize {
    if group < WIDE_HEADS { WIDE_HEADS / group } else { 1 }
}

impl Backend {
    /// The backend whose attention kernels a format of keys and values gets here. What they cannot take, heads that are not
    /// whole registers long, they hand over to a lower one.
    pub fn kv_origin(self, format: KvFormat) -> &'static str {
        self.0.kv[format as usize].origin
    }

    /// Writes a head's key or value as it is kept. Halves are rounded to nearest and even; the quantised formats are
    /// rounded as ggml's are, but that the scale of a block with a NaN is NaN.
    ///
    /// # Panics
    /// If `out` is not [`KvFormat::row_bytes`] long.
    pub fn store_kv(self, format: KvFormat, x: &[f32], out: &mut [u8]) {
        assert_eq!(Some(out.len()), format.row_bytes(x.len()), "a head and its bytes");
        // SAFETY: a Backend exists only for a CPU that supports its table; the length was checked above.
        unsafe { (self.0.kv[format as usize].store)(x, out) }
    }

    /// Attends from the query heads of one token that share a key head to a run of at most [`ATTEND_KEYS`] keys,
    /// and adds the values to `state`: `score = scale * query . key`, capped if it says so. No keys leave it as it was.
    ///
    /// With `g = state.max.len()` heads of `dim` values: `query` is `g x dim`, `keys` and `values` are `n` rows of
    /// [`KvFormat::row_bytes`].
    ///
    /// # Panics
    /// If a length does not fit the others.
    pub fn attend(
        self,
        format: KvFormat,
        query: &[f32],
        keys: &[u8],
        values: &[u8],
        score: impl Into<Score>,
        state: &mut AttendMut<'_>,
    ) {
        let group = state.max.len();
        assert!(group > 0 && query.len().is_multiple_of(group) && !query.is_empty(), "whole heads");
        let dim = query.len() / group;
        assert_eq!(state.sum.len(), group);
        assert_eq!(state.acc.len(), group * dim);
        assert_eq!(keys.len(), values.len());
        let row_bytes = format.row_bytes(dim).expect("a head is whole blocks");
        assert!(keys.len().is_multiple_of(row_bytes) && keys.len() / row_bytes <= ATTEND_KEYS, "whole keys");
        let score = score.into();
        assert!(score.hidden == 0 || score.hidden < keys.len() / row_bytes, "a key is seen");
        // Without a key there is no maximum: a fresh state would turn into NaN.
        if keys.is_empty() {
            return;
        }
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.kv[format as usize].attend)(query, keys, values, score, state) }
    }

    /// Adds the state of a later run to that of the runs so far, both brought to the greater of their maxima.
    ///
    /// # Panics
    /// If the states are not of the same heads.
    pub fn attend_join(self, all: &mut AttendMut<'_>, run: &AttendMut<'_>) {
        let group = all.max.len();
        assert!(group > 0 && all.acc.len().is_multiple_of(group), "whole heads");
        assert_eq!((all.sum.len(), run.max.len(), run.sum.len()), (group, group, group));
        assert_eq!(all.acc.len(), run.acc.len());
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.attend_join)(all, run) }
    }

    /// Floats of scratch that [`Backend::attend_wide`] needs, for blocks of up to [`wide_tokens`] tokens.
    pub fn attend_scratch(self, group: usize, dim: usize) -> usize {
        (self.0.attend_scratch)(wide_tokens(group).saturating_mul(group), dim)
    }

    /// Attends from the last `queries.tokens` tokens to all keys up to each one's own:
    /// `out[t] = softmax(score(query . keys)) . values`, `group * dim` rows for each token. A token's result has the
    /// bits of [`Backend::attend`] to each run of [`ATTEND_KEYS`] keys, with a state of its own, and of
    /// [`Backend::attend_join`] in order.
    ///
    /// `keys` and `values` are rows of [`KvFormat::row_bytes`]: those of `piece`. Where that is not all keys, the calls for the
    /// others follow in order with the same `scratch`, and the last of them writes `out`. Of tokens with a window, a result has
    /// the bits of runs that begin at a multiple of [`HIDDEN_STEP`] at or before the window.
    ///
    /// # Panics
    /// If a length does not fit the others.
    #[expect(
        clippy::too_many_arguments,
        reason = "keys and values come and go together, and all else is of its own kind"
    )]
    pub fn attend_wide(
        self,
        format: KvFormat,
        queries: &Queries<'_>,
        piece: Piece,
        keys: &[u8],
        values: &[u8],
        out: &mut TileMut<'_>,
        scratch: &mut [f32],
    ) {
        let &Queries { tokens, group, dim, stride, .. } = queries;
        assert!(tokens > 0 && tokens <= wide_tokens(group) && group > 0 && dim > 0, "a block of tokens");
        let heads = group.checked_mul(dim).expect("the heads of a token are in memory");
        let last = stride.checked_mul(tokens - 1).and_then(|last| last.checked_add(heads));
        assert!(last.is_some_and(|last| last <= queries.values.len()), "whole tokens");
        assert_eq!((out.rows(), out.cols()), (heads, tokens), "an output for each head");
        assert_eq!(keys.len(), values.len());
        let row_bytes = format.row_bytes(dim).expect("a head is whole blocks");
        let left = piece.all.checked_sub(piece.from).filter(|_| piece.from.is_multiple_of(ATTEND_KEYS));
        let n = keys.len() / row_bytes;
        assert!(keys.len().is_multiple_of(row_bytes) && piece.all >= tokens, "whole keys");
        assert!(
            left.is_some_and(|left| n == left || n < left && n.is_multiple_of(ATTEND_KEYS)),
            "whole runs"
        );
        assert!(
            queries.window > 0 && (queries.sinks.is_empty() || queries.sinks.len() == group),
            "sinks of a token"
        );
        assert!(scratch.len() >= self.attend_scratch(group, dim), "scratch");
        // SAFETY: a Backend exists only for a CPU that supports its table; the lengths were checked above.
        unsafe { (self.0.kv[format as usize].attend_wide)(queries, piece, keys, values, out, scratch) }
    }
}
