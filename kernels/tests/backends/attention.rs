//! Attention to a run of keys, in one call and in several.

#![forbid(unsafe_code)]

use bantam_kernels::backend::{ATTEND_KEYS, AttendMut};
use bantam_kernels::{Backend, f16};

use crate::common::Random;

/// The error that an output may have, relative to the weighted mean of `|value|`: rounding of a score moves its
/// exponential by as much, and there are `dim` additions behind a score and `n` behind an output.
const TOLERANCE: f64 = 2e-5;

properties! {
    attention_is_exact_up_to_rounding
    attention_in_parts_equals_the_whole
    one_great_score_takes_all
    attention_to_nothing_changes_nothing
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

    fn attend(&mut self, backend: Backend, query: &[f32], keys: &[f16], values: &[f16], scale: f32) {
        let mut state = AttendMut { max: &mut self.max, sum: &mut self.sum, acc: &mut self.acc };
        backend.attend_f16(query, keys, values, scale, &mut state);
    }

    /// The finished outputs, head after head.
    fn outputs(&self) -> Vec<f32> {
        let dim = self.acc.len() / self.sum.len();
        self.acc.iter().enumerate().map(|(i, acc)| acc / self.sum[i / dim]).collect()
    }
}

/// Checks a state against softmax attention in 64-bit floats.
fn assert_attends(state: &State, query: &[f32], keys: &[f16], values: &[f16], scale: f32, what: &str) {
    let dim = query.len() / state.max.len();
    let outputs = state.outputs();
    for (h, query) in query.chunks_exact(dim).enumerate() {
        let scores: Vec<f64> = keys
            .chunks_exact(dim)
            .map(|key| {
                f64::from(scale) * key.iter().zip(query).map(|(k, q)| k.to_f64() * f64::from(*q)).sum::<f64>()
            })
            .collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let error = (f64::from(state.max[h]) - max).abs();
        assert!(error <= 1e-5 * (1.0 + max.abs()), "{what}: greatest score {} is not {max}", state.max[h]);
        for i in 0..dim {
            let (mut exact, mut magnitude) = (0.0, 0.0);
            for (weight, value) in weights.iter().zip(values[i..].iter().step_by(dim)) {
                exact += weight * value.to_f64() / sum;
                magnitude += weight * value.to_f64().abs() / sum;
            }
            let got = outputs[h * dim + i];
            let error = (f64::from(got) - exact).abs();
            assert!(error <= TOLERANCE * magnitude, "{what}: head {h}, {i}: {got} is not {exact}");
        }
    }
}

fn attention_is_exact_up_to_rounding(backend: Backend) {
    let mut random = Random::new(1);
    let counts = [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 100, 255, ATTEND_KEYS];
    let mut turn = 0;
    for dim in [8, 32, 40, 64, 80, 96, 128, 256] {
        for group in [1, 3, 4, 8] {
            // Two of the counts each, so that in all every count meets every group.
            for n in [counts[turn % counts.len()], counts[(turn + 5) % counts.len()]] {
                let query = random.units(group * dim);
                let (keys, values) = (random.halves(n * dim), random.halves(n * dim));
                let scale = 4.0 / (dim as f32).sqrt();
                let mut state = State::new(group, dim);
                state.attend(backend, &query, &keys, &values, scale);
                let what = format!("{group} heads of {dim}, {n} keys");
                assert_attends(&state, &query, &keys, &values, scale, &what);
            }
            turn += 1;
        }
    }
}

fn attention_in_parts_equals_the_whole(backend: Backend) {
    let mut random = Random::new(2);
    for (group, dim) in [(1, 128), (3, 64), (4, 40)] {
        let n = 200;
        let query = random.units(group * dim);
        let (keys, values) = (random.halves(n * dim), random.halves(n * dim));
        for cut in [1, 64, 100, 199] {
            let mut state = State::new(group, dim);
            let ((keys_a, keys_b), (values_a, values_b)) =
                (keys.split_at(cut * dim), values.split_at(cut * dim));
            state.attend(backend, &query, keys_a, values_a, 0.5);
            state.attend(backend, &query, keys_b, values_b, 0.5);
            assert_attends(
                &state,
                &query,
                &keys,
                &values,
                0.5,
                &format!("{group} heads of {dim}, cut at {cut}"),
            );
        }
    }
}

fn one_great_score_takes_all(backend: Backend) {
    let mut random = Random::new(3);
    let (group, dim, n) = (3, 64, 70);
    // Scores of about 1e4, 1e3 apart: all but the greatest have a weight of zero.
    let query = vec![100.0; group * dim];
    let values = random.halves(n * dim);
    for great in [0, 1, 31, 32, 69] {
        for (low, high) in [(-1.5, 1.5), (-1.5, -1.0), (0.0, 0.25)] {
            let mut keys = vec![f16::from_f32(low); n * dim];
            keys[great * dim..][..dim].fill(f16::from_f32(high));
            for cut in [0, 32, n] {
                let mut state = State::new(group, dim);
                let (from, to) = (keys.split_at(cut * dim), values.split_at(cut * dim));
                for (keys, values) in [(from.0, to.0), (from.1, to.1)] {
                    if !keys.is_empty() {
                        state.attend(backend, &query, keys, values, 1.0);
                    }
                }
                let outputs = state.outputs();
                for (i, got) in outputs.iter().enumerate() {
                    let value = values[great * dim + i % dim].to_f32();
                    assert_eq!(*got, value, "key {great} of score {high} among {low}, cut at {cut}: {i}");
                }
            }
        }
    }
}

fn attention_to_nothing_changes_nothing(backend: Backend) {
    let query = [1.0; 64];
    let mut state = State::new(2, 32);
    state.attend(backend, &query, &[], &[], 1.0);
    assert_eq!(state, State::new(2, 32));
    let ones = [f16::ONE; 32];
    state.attend(backend, &query, &ones, &ones, 1.0);
    let before = state.clone();
    state.attend(backend, &query, &[], &[], 1.0);
    assert_eq!(state, before);
}
