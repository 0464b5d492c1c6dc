//! Attention to a run of keys, in one call and in several, and of a block of tokens to all keys, for every way to keep
//! keys and values.

#![forbid(unsafe_code)]

use bantam_kernels::attention::{ATTEND_KEYS, AttendMut, HIDDEN_STEP, Piece, Queries, Score, wide_tokens};
use bantam_kernels::{Backend, KvFormat, TileMut};

use crate::common::{Placed, Random, dequantized, scalar};

/// The error that an output may have, relative to the weighted mean of `|value|`: rounding of a score moves its
/// exponential by as much, and there are `dim` additions behind a score and `n` behind an output.
const TOLERANCE: f64 = 2e-5;

properties! {
    attention_is_exact_up_to_rounding
    attention_in_parts_equals_the_whole
    one_great_score_takes_all
    attention_to_nothing_changes_nothing
    wide_attention_is_exact_up_to_rounding
    a_token_of_wide_attention_does_not_depend_on_the_others
    wide_attention_has_the_bits_of_runs_that_are_joined
    windows_and_sinks_are_exact_up_to_rounding
    wide_attention_has_the_bits_of_runs_in_windows_and_behind_sinks
    heads_are_stored_as_the_reference_does
    what_is_no_number_is_kept_and_seen
}

/// Keys or values as they are kept, and what they stand for.
struct Kept {
    format: KvFormat,
    bytes: Vec<u8>,
    values: Vec<f32>,
    dim: usize,
}

impl Kept {
    /// `n` heads of random values.
    fn random(random: &mut Random, format: KvFormat, n: usize, dim: usize) -> Kept {
        Kept::of(format, &random.units(n * dim), dim)
    }

    /// Heads of `dim` values each.
    fn of(format: KvFormat, values: &[f32], dim: usize) -> Kept {
        let mut bytes = vec![0; format.row_bytes(values.len()).expect("whole blocks")];
        let rows = bytes.chunks_exact_mut(format.row_bytes(dim).expect("whole blocks"));
        values.chunks_exact(dim).zip(rows).for_each(|(head, row)| scalar().store_kv(format, head, row));
        Kept { format, values: dequantized(format.format(), &bytes), bytes, dim }
    }

    /// The bytes of heads `from..to`.
    fn heads(&self, from: usize, to: usize) -> &[u8] {
        let row_bytes = self.format.row_bytes(self.dim).expect("whole blocks");
        &self.bytes[from * row_bytes..to * row_bytes]
    }

    fn len(&self) -> usize {
        self.values.len() / self.dim
    }
}

/// The running state of some heads.
#[derive(Clone, PartialEq, Debug)]
struct State {
    max: Vec<f32>,
    sum: Vec<f32>,
    acc: Vec<f32>,
}

impl State {
    fn new(group: usize, dim: usize) -> State {
        State { max: vec![f32::NEG_INFINITY; group], sum: vec![0.0; group], acc: vec![0.0; group * dim] }
    }

    /// Attends to keys `from..to`.
    fn attend(
        &mut self,
        backend: Backend,
        query: &[f32],
        [keys, values]: [&Kept; 2],
        (from, to): (usize, usize),
        score: Score,
    ) {
        let mut state = AttendMut { max: &mut self.max, sum: &mut self.sum, acc: &mut self.acc };
        backend.attend(keys.format, query, keys.heads(from, to), values.heads(from, to), score, &mut state);
    }

    /// The finished outputs, head after head.
    fn outputs(&self) -> Vec<f32> {
        let dim = self.acc.len() / self.sum.len();
        self.acc.iter().enumerate().map(|(i, acc)| acc / self.sum[i / dim]).collect()
    }
}

/// What one head gets from the first `n` keys, in 64-bit floats.
struct Exact {
    /// The greatest score, and the sum of the weights relative to it.
    max: f64,
    sum: f64,
    outputs: Vec<f64>,
    /// The weighted means of `|value|`.
    magnitudes: Vec<f64>,
}

impl Exact {
    fn of(query: &[f32], [keys, values]: [&Kept; 2], n: usize, score: Score) -> Exact {
        let dim = query.len();
        let dot =
            |key: &[f32]| -> f64 { key.iter().zip(query).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum() };
        let scores: Vec<f64> = keys
            .values
            .chunks_exact(dim)
            .take(n)
            .map(|key| {
                let product = f64::from(score.scale) * dot(key);
                score.cap.map_or(product, |cap| f64::from(cap) * (product / f64::from(cap)).tanh())
            })
            .collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mut exact = Exact { max, sum, outputs: vec![0.0; dim], magnitudes: vec![0.0; dim] };
        for (weight, value) in weights.iter().zip(values.values.chunks_exact(dim)) {
            for (i, &value) in value.iter().enumerate() {
                exact.outputs[i] += weight * f64::from(value) / sum;
                exact.magnitudes[i] += weight * f64::from(value).abs() / sum;
            }
        }
        exact
    }

    fn assert_near(&self, got: &[f32], what: &str) {
        for (i, got) in got.iter().enumerate() {
            let error = (f64::from(*got) - self.outputs[i]).abs();
            let exact = self.outputs[i];
            assert!(error <= TOLERANCE * self.magnitudes[i], "{what}: value {i}: {got} is not {exact}");
        }
    }
}

/// Checks a state against softmax attention in 64-bit floats.
fn assert_attends(state: &State, query: &[f32], kept: [&Kept; 2], score: Score, what: &str) {
    let dim = query.len() / state.max.len();
    let outputs = state.outputs();
    for (h, query) in query.chunks_exact(dim).enumerate() {
        let exact = Exact::of(query, kept, kept[0].len(), score);
        let (got, max) = (state.max[h], exact.max);
        assert!(
            (f64::from(got) - max).abs() <= 1e-5 * (1.0 + max.abs()),
            "{what}: greatest {got} is not {max}"
        );
        exact.assert_near(&outputs[h * dim..][..dim], &format!("{what}: head {h}"));
    }
}

/// A score that levels off every third turn.
fn score(scale: f32, turn: usize) -> Score {
    Score { cap: (turn % 3 == 1).then_some(1.5), ..scale.into() }
}

/// Whether heads of that many values can be kept so.
fn fits(format: KvFormat, dim: usize) -> bool {
    format.row_bytes(dim).is_some()
}

fn attention_is_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(1);
    let counts = [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 100, 255, ATTEND_KEYS];
    let mut turn = 0;
    for dim in [8, 32, 40, 64, 80, 96, 128, 256] {
        for group in [1, 2, 3, 4, 5, 7, 8] {
            for &format in KvFormat::ALL.iter().filter(|&&format| fits(format, dim)) {
                // Two of the counts each, so that in all every count meets every group.
                for n in [counts[turn % counts.len()], counts[(turn + 5) % counts.len()]] {
                    let query = random.units(group * dim);
                    let [keys, values] = [0, 1].map(|_| Kept::random(&mut random, format, n, dim));
                    let score = score(4.0 / (dim as f32).sqrt(), turn);
                    let mut state = State::new(group, dim);
                    state.attend(backend, &query, [&keys, &values], (0, n), score);
                    let what = format!("{}, {group} heads of {dim}, {n} keys", format.name());
                    assert_attends(&state, &query, [&keys, &values], score, &what);
                }
                turn += 1;
            }
        }
    }
}

fn attention_in_parts_equals_the_whole(backend: Backend) {
    let mut random = Random::new(2);
    for (format, group, dim) in
        [(KvFormat::F16, 1, 128), (KvFormat::F16, 3, 64), (KvFormat::F16, 4, 40), (KvFormat::Q8_0, 3, 64)]
    {
        let n = 200;
        let query = random.units(group * dim);
        let [keys, values] = [0, 1].map(|_| Kept::random(&mut random, format, n, dim));
        for cut in [1, 64, 100, 199] {
            let mut state = State::new(group, dim);
            state.attend(backend, &query, [&keys, &values], (0, cut), Score::from(0.5));
            state.attend(backend, &query, [&keys, &values], (cut, n), Score::from(0.5));
            let what = format!("{}, {group} heads of {dim}, cut at {cut}", format.name());
            assert_attends(&state, &query, [&keys, &values], 0.5.into(), &what);
        }
    }
}

fn one_great_score_takes_all(backend: Backend) {
    let mut random = Random::new(3);
    let (group, dim, n) = (3, 64, 70);
    // Scores of about 1e4, 1e3 apart: all but the greatest have a weight of zero.
    let query = vec![100.0; group * dim];
    for &format in KvFormat::ALL {
        let values = Kept::random(&mut random, format, n, dim);
        for great in [0, 1, 31, 32, 69] {
            for (low, high) in [(-1.5, 1.5), (-1.5, -1.0), (0.0, 0.25)] {
                let mut keys = vec![low; n * dim];
                keys[great * dim..][..dim].fill(high);
                let keys = Kept::of(format, &keys, dim);
                for cut in [0, 32, n] {
                    let mut state = State::new(group, dim);
                    state.attend(backend, &query, [&keys, &values], (0, cut), Score::from(1.0));
                    state.attend(backend, &query, [&keys, &values], (cut, n), Score::from(1.0));
                    for (i, got) in state.outputs().iter().enumerate() {
                        let value = values.values[great * dim + i % dim];
                        assert_eq!(*got, value, "key {great} of score {high} among {low}, cut at {cut}: {i}");
                    }
                }
            }
        }
    }
}

fn attention_to_nothing_changes_nothing(backend: Backend) {
    let query = [1.0; 64];
    for &format in KvFormat::ALL {
        let ones = Kept::of(format, &[1.0; 32], 32);
        let mut state = State::new(2, 32);
        state.attend(backend, &query, [&ones, &ones], (0, 0), Score::from(1.0));
        assert_eq!(state, State::new(2, 32));
        state.attend(backend, &query, [&ones, &ones], (0, 1), Score::from(1.0));
        let before = state.clone();
        state.attend(backend, &query, [&ones, &ones], (1, 1), Score::from(1.0));
        assert_eq!(state, before);
    }
}

/// The outputs of a block of tokens, token after token; their heads lie among others that must not matter.
fn wide(
    backend: Backend,
    queries: &[f32],
    (tokens, group, dim): (usize, usize, usize),
    [keys, values]: [&Kept; 2],
    n: usize,
    score: Score,
) -> Vec<f32> {
    let stride = queries.len() / tokens;
    let queries =
        Queries { values: queries, stride, tokens, group, dim, score, window: usize::MAX, sinks: &[] };
    wide_of(backend, &queries, [keys, values], n, n.max(1))
}

/// The same of any queries, with at most `most` keys in a call.
fn wide_of(
    backend: Backend,
    queries: &Queries<'_>,
    [keys, values]: [&Kept; 2],
    n: usize,
    most: usize,
) -> Vec<f32> {
    let (&Queries { stride, tokens, group, dim, .. }, format) = (queries, keys.format);
    // Old values that would spoil any sum they came into.
    let mut scratch = vec![f32::NAN; backend.attend_scratch(group, dim)];
    let mut out = vec![f32::NAN; tokens * stride];
    let mut tile = TileMut::new(&mut out, stride, tokens);
    let mut tile = tile.rows_range(0, group * dim);
    for from in (0..n).step_by(most) {
        let (to, piece) = (n.min(from + most), Piece { from, all: n });
        let keys = Placed::copy(keys.heads(from, to), 1);
        let values = values.heads(from, to);
        backend.attend_wide(format, queries, piece, &keys, values, &mut tile, &mut scratch);
    }
    let others = out.chunks_exact(stride).flat_map(|token| &token[group * dim..]);
    assert!(others.copied().all(f32::is_nan), "only the tile is written");
    out.chunks_exact(stride).flat_map(|token| &token[..group * dim]).copied().collect()
}

fn wide_attention_is_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(4);
    let shapes = [(1, 64), (2, 8), (3, 64), (3, 80), (4, 128), (7, 32), (9, 40), (71, 64)];
    for (turn, (group, dim)) in shapes.into_iter().enumerate() {
        for &format in KvFormat::ALL.iter().filter(|&&format| fits(format, dim)) {
            for (tokens, before) in [(1, 0), (5, 3), (17, 0), (64, 250), (2, 600), (33, 256)] {
                let tokens = tokens.min(wide_tokens(group));
                let n = before + tokens + turn;
                let stride = group * dim + 3;
                let queries = random.units(tokens * stride);
                let [keys, values] = [0, 1].map(|_| Kept::random(&mut random, format, n, dim));
                let score = score(4.0 / (dim as f32).sqrt(), turn);
                let outputs = wide(backend, &queries, (tokens, group, dim), [&keys, &values], n, score);
                for (row, got) in outputs.chunks_exact(dim).enumerate().step_by(3) {
                    let (token, head) = (row / group, row % group);
                    let query = &queries[token * stride + head * dim..][..dim];
                    let exact = Exact::of(query, [&keys, &values], n - tokens + token + 1, score);
                    let what = format!("{}, {group} heads of {dim}, token {token} of {n}", format.name());
                    exact.assert_near(got, &what);
                }
            }
        }
    }
}

fn a_token_of_wide_attention_does_not_depend_on_the_others(backend: Backend) {
    let mut random = Random::new(5);
    let (group, dim, n) = (3, 64, 300);
    let tokens = wide_tokens(group);
    for &format in KvFormat::ALL {
        let queries = random.units(tokens * group * dim);
        let [keys, values] = [0, 1].map(|_| Kept::random(&mut random, format, n, dim));
        let whole = wide(backend, &queries, (tokens, group, dim), [&keys, &values], n, 0.5.into());
        for token in [0, 1, 7, tokens - 1] {
            let part = token * group * dim..(token + 1) * group * dim;
            let seen = n - tokens + token + 1;
            let alone =
                wide(backend, &queries[part.clone()], (1, group, dim), [&keys, &values], seen, 0.5.into());
            assert_eq!(alone, whole[part], "token {token}");
        }
    }
}

/// The outputs of one token, run by run.
fn joined(
    backend: Backend,
    query: &[f32],
    group: usize,
    kept: [&Kept; 2],
    n: usize,
    score: Score,
) -> Vec<f32> {
    let dim = query.len() / group;
    let mut all = State::new(group, dim);
    for from in (0..n).step_by(ATTEND_KEYS) {
        let mut run = State::new(group, dim);
        run.attend(backend, query, kept, (from, n.min(from + ATTEND_KEYS)), score);
        let run = AttendMut { max: &mut run.max, sum: &mut run.sum, acc: &mut run.acc };
        let mut all = AttendMut { max: &mut all.max, sum: &mut all.sum, acc: &mut all.acc };
        backend.attend_join(&mut all, &run);
    }
    let share = |h: usize| 1.0 / all.sum[h];
    all.acc.iter().enumerate().map(|(i, acc)| acc * share(i / dim)).collect()
}

fn wide_attention_has_the_bits_of_runs_that_are_joined(backend: Backend) {
    let mut random = Random::new(7);
    let sizes =
        [(1, 1), (3, 5), (17, 17), (40, 40), (40, 255), (24, 256), (2, 257), (40, 290), (9, 513), (33, 700)];
    let mut turn = 0;
    for dim in [16, 24, 32, 40, 48, 64, 72, 80, 96, 100, 112, 128, 160, 192, 256, 7, 33] {
        for group in 1..=8 {
            for &format in KvFormat::ALL.iter().filter(|&&format| fits(format, dim)) {
                let (tokens, n) = sizes[turn % sizes.len()];
                let tokens = tokens.min(wide_tokens(group));
                let score = score([1.0 / (dim as f32).sqrt(), 3.7, 0.01][turn / sizes.len() % 3], turn);
                turn += 1;
                let queries = random.units(tokens * group * dim);
                let [keys, values] = [0, 1].map(|_| Kept::random(&mut random, format, n, dim));
                let kept = [&keys, &values];
                let outputs = wide(backend, &queries, (tokens, group, dim), kept, n, score);
                let both = queries.chunks_exact(group * dim).zip(outputs.chunks_exact(group * dim));
                for (token, (query, got)) in both.enumerate() {
                    let alone = joined(backend, query, group, kept, n - tokens + token + 1, score);
                    let same = alone.iter().map(|x| x.to_bits()).eq(got.iter().map(|x| x.to_bits()));
                    assert!(
                        same,
                        "{}, {group} heads of {dim}, token {token} of {tokens}, {n} keys",
                        format.name()
                    );
                }
            }
        }
    }
}

/// A window, sinks or none, and how many keys a call has at most, for each turn.
fn spans(random: &mut Random, turn: usize, group: usize) -> (usize, Vec<f32>, usize) {
    let window = [1, 5, 16, 100, 256, 300, 1000][turn % 7];
    let sinks = if turn.is_multiple_of(2) {
        random.units(group).iter().map(|sink| 3.0 * sink).collect()
    } else {
        Vec::new()
    };
    (window, sinks, [1, 2, 8][turn % 3] * ATTEND_KEYS)
}

fn windows_and_sinks_are_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(8);
    for (turn, (group, dim)) in
        [(1, 64), (2, 32), (3, 80), (4, 128), (7, 32), (8, 64), (5, 40)].into_iter().enumerate()
    {
        for (tokens, n) in [(8, 40), (20, 300), (9, 700)] {
            let tokens = tokens.min(wide_tokens(group));
            let (window, sinks, most) = spans(&mut random, turn, group);
            let values = random.units(tokens * group * dim);
            let [keys, kept] = [0, 1].map(|_| Kept::random(&mut random, KvFormat::F16, n, dim));
            let score = score(4.0 / (dim as f32).sqrt(), turn);
            let queries = Queries {
                values: &values,
                stride: group * dim,
                tokens,
                group,
                dim,
                score,
                window,
                sinks: &sinks,
            };
            let outputs = wide_of(backend, &queries, [&keys, &kept], n, most);
            for (row, got) in outputs.chunks_exact(dim).enumerate() {
                let end = n - tokens + row / group + 1;
                let start = end.saturating_sub(window);
                let [keys, kept] =
                    [&keys, &kept].map(|all| Kept::of(all.format, &all.values[start * dim..], dim));
                let mut exact = Exact::of(queries.row(row), [&keys, &kept], end - start, score);
                // A key with that score and a value of zeros.
                if let Some(&sink) = sinks.get(row % group) {
                    let share = 1.0 / (1.0 + (f64::from(sink) - exact.max).exp() / exact.sum);
                    exact.outputs.iter_mut().for_each(|output| *output *= share);
                }
                exact.assert_near(
                    got,
                    &format!("{group} heads of {dim}, window of {window}, row {row}, {n} keys"),
                );
            }
        }
    }
}

fn wide_attention_has_the_bits_of_runs_in_windows_and_behind_sinks(backend: Backend) {
    let mut random = Random::new(9);
    let sizes = [(3, 5), (40, 40), (40, 255), (24, 256), (2, 257), (40, 290), (9, 513), (33, 700)];
    let mut turn = 0;
    for dim in [24, 32, 64, 80, 128, 256, 7] {
        for group in 1..=8 {
            for &format in KvFormat::ALL.iter().filter(|&&format| fits(format, dim)) {
                let (tokens, n) = sizes[turn % sizes.len()];
                let tokens = tokens.min(wide_tokens(group));
                let (window, sinks, most) = spans(&mut random, turn, group);
                let score = score(1.0 / (dim as f32).sqrt(), turn);
                turn += 1;
                let values = random.units(tokens * group * dim);
                let [keys, kept] = [0, 1].map(|_| Kept::random(&mut random, format, n, dim));
                let queries = Queries {
                    values: &values,
                    stride: group * dim,
                    tokens,
                    group,
                    dim,
                    score,
                    window,
                    sinks: &sinks,
                };
                let outputs = wide_of(backend, &queries, [&keys, &kept], n, most);
                for (token, got) in outputs.chunks_exact(group * dim).enumerate() {
                    let alone =
                        joined_in_window(backend, &queries, token, [&keys, &kept], n - tokens + token + 1);
                    let same = alone.iter().map(|x| x.to_bits()).eq(got.iter().map(|x| x.to_bits()));
                    assert!(
                        same,
                        "{}, {group} heads of {dim}, token {token} of {tokens}, {n} keys",
                        format.name()
                    );
                }
            }
        }
    }
}

/// The outputs of one token, run by run, from the last multiple of [`HIDDEN_STEP`] on that its window allows.
fn joined_in_window(
    backend: Backend,
    queries: &Queries<'_>,
    token: usize,
    kept: [&Kept; 2],
    n: usize,
) -> Vec<f32> {
    let &Queries { values, stride, group, dim, score, window, sinks, .. } = queries;
    let mut all = State::new(group, dim);
    if !sinks.is_empty() {
        all.max.copy_from_slice(sinks);
        all.sum.fill(1.0);
    }
    let start = n.saturating_sub(window);
    let mut from = start - start % HIDDEN_STEP;
    while from < n {
        let to = n.min((from + 1).next_multiple_of(ATTEND_KEYS));
        let score = Score { hidden: start.saturating_sub(from), ..score };
        let mut run = State::new(group, dim);
        run.attend(backend, &values[token * stride..][..group * dim], kept, (from, to), score);
        let run = AttendMut { max: &mut run.max, sum: &mut run.sum, acc: &mut run.acc };
        let mut all = AttendMut { max: &mut all.max, sum: &mut all.sum, acc: &mut all.acc };
        backend.attend_join(&mut all, &run);
        from = to;
    }
    let share = |h: usize| 1.0 / all.sum[h];
    all.acc.iter().enumerate().map(|(i, acc)| acc * share(i / dim)).collect()
}

fn heads_are_stored_as_the_reference_does(backend: Backend) {
    let mut random = Random::new(6);
    for &format in KvFormat::ALL {
        for dim in [32, 64, 96, 7, 40].into_iter().filter(|&dim| fits(format, dim)) {
            let mut heads = vec![random.units(dim), vec![0.0; dim], vec![-3.5; dim], vec![f32::MAX; dim]];
            heads.push((0..dim).map(|i| 1e-30 * i as f32).collect());
            for head in heads {
                let mut rows = [0, 1].map(|_| vec![0; format.row_bytes(dim).expect("whole blocks")]);
                backend.store_kv(format, &head, &mut rows[0]);
                scalar().store_kv(format, &head, &mut rows[1]);
                assert_eq!(rows[0], rows[1], "{} of {head:?}", format.name());
            }
        }
    }
}

/// A key or a value that is no number leaves none in what is attended to.
fn what_is_no_number_is_kept_and_seen(backend: Backend) {
    const DIM: usize = 64;
    const N: usize = 70;
    let mut random = Random::new(10);
    for &format in KvFormat::ALL {
        let mut odd = random.units(N * DIM);
        odd[41 * DIM + 7] = f32::NAN;
        let sound = Kept::random(&mut random, format, N, DIM);
        let odd = Kept::of(format, &odd, DIM);
        let block = format.format().block_len();
        for at in 0..DIM {
            let mut head = random.units(DIM);
            head[at] = f32::NAN;
            let mut row = vec![0; format.row_bytes(DIM).expect("whole blocks")];
            backend.store_kv(format, &head, &mut row);
            for (i, value) in dequantized(format.format(), &row).into_iter().enumerate() {
                assert_eq!(value.is_nan(), i / block == at / block, "{}: {i} of {at}", format.name());
            }
        }
        let query = random.units(2 * DIM);
        for kept in [[&odd, &sound], [&sound, &odd]] {
            let mut state = State::new(2, DIM);
            let score = Score { scale: 0.125, cap: None, hidden: 0 };
            state.attend(backend, &query, kept, (0, N), score);
            for value in [state.acc[7], state.acc[DIM + 7]] {
                assert!(value.is_nan(), "{} gave {value}", format.name());
            }
            // All of these tokens see that key.
            const TOKENS: usize = 20;
            let queries = random.units(TOKENS * 2 * DIM);
            let outputs = wide(backend, &queries, (TOKENS, 2, DIM), kept, N, score);
            for (head, output) in outputs.chunks_exact(DIM).enumerate() {
                assert!(output[7].is_nan(), "{}: head {head} gave {}", format.name(), output[7]);
            }
        }
    }
}
