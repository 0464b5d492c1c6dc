//! What a chain keeps, how often it draws what, and that it bears any logits.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::*;
use crate::arena::Arena;

/// Room for a vocabulary of that size, and a history of up to 100 tokens.
pub(super) fn room(vocab_size: usize) -> Room {
    let mut counting = Arena::counting("test");
    Room::carve(vocab_size, 100, &mut counting).unwrap();
    Room::carve(vocab_size, 100, &mut Arena::allocate(&counting).unwrap()).unwrap()
}

/// Tokens that a chain of these settings chooses, and what their choices tell.
fn choices(logits: &[f32], options: SamplerOptions<'_>, draws: usize) -> Vec<Choice> {
    let mut sampler = Sampler::new(options).unwrap();
    let mut room = room(logits.len());
    let backend = Backend::detect();
    (0..draws).map(|_| sampler.choose(backend, logits, &[], None, &mut room, &mut []).unwrap().0).collect()
}

fn sample(logits: &[f32], options: SamplerOptions<'_>, draws: usize) -> Vec<TokenId> {
    choices(logits, options, draws).into_iter().map(|choice| choice.token).collect()
}

fn all() -> SamplerOptions<'static> {
    SamplerOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 7, ..Default::default() }
}

#[test]
fn greedy_takes_the_first_of_the_greatest() {
    let options = SamplerOptions { temperature: 0.0, ..all() };
    assert_eq!(sample(&[1.0, 3.0, 3.0, f32::NAN], options, 1), [1]);
    assert_eq!(sample(&[f32::NAN, f32::NAN], options, 1), [0]);
}

#[test]
fn frequencies_follow_the_softmax() {
    let logits = [0.0f32, 1.0, 2.0, -1.0];
    let draws = sample(&logits, all(), 20_000);
    let total: f32 = logits.iter().map(|l| l.exp()).sum();
    for (token, logit) in logits.iter().enumerate() {
        let seen = draws.iter().filter(|&&t| t as usize == token).count() as f32 / 20_000.0;
        assert!((seen - logit.exp() / total).abs() < 0.015, "token {token}: {seen}");
    }
}

#[test]
fn each_sampler_keeps_what_it_should() {
    let logits = [0.0f32, 4.0, 3.9, 1.0, -5.0];
    let kept = |options| {
        let mut tokens = sample(&logits, options, 4000);
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    };
    assert_eq!(kept(SamplerOptions { top_k: 2, ..all() }), [1, 2]);
    assert_eq!(kept(SamplerOptions { top_p: 0.5, ..all() }), [1]);
    assert_eq!(kept(SamplerOptions { top_p: 0.9, ..all() }), [1, 2]);
    assert_eq!(kept(SamplerOptions { min_p: 0.01, ..all() }), [0, 1, 2, 3]);
    assert_eq!(kept(SamplerOptions { min_p: 1.0, ..all() }), [1]);
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 20.0).collect();
    let options = SamplerOptions { seed: 3, ..SamplerOptions::default() };
    assert_eq!(sample(&logits, options, 50), sample(&logits, options, 50));
    assert_ne!(sample(&logits, options, 50), sample(&logits, SamplerOptions { seed: 4, ..options }, 50));
}

#[test]
fn logits_that_are_not_numbers_still_give_a_token() {
    for logits in [[f32::NAN; 3], [f32::NEG_INFINITY; 3], [f32::INFINITY, 0.0, f32::NAN]] {
        for top_k in [0, 2, 40] {
            let options = SamplerOptions { top_k, ..SamplerOptions::default() };
            assert!(sample(&logits, options, 10).iter().all(|&t| t < 3));
        }
    }
}

#[test]
fn senseless_settings_are_errors() {
    for options in [
        SamplerOptions { temperature: -1.0, ..all() },
        SamplerOptions { temperature: f32::NAN, ..all() },
        SamplerOptions { top_p: 1.5, ..all() },
        SamplerOptions { min_p: -0.1, ..all() },
        SamplerOptions { mirostat: 3, ..all() },
        SamplerOptions { repeat_penalty: 0.0, ..all() },
        SamplerOptions { logit_bias: &[(1, f32::NAN)], ..all() },
        SamplerOptions { stages: &[Stage::TopK; 17], ..all() },
        SamplerOptions { top_logprobs: 65, ..all() },
        SamplerOptions { dry_multiplier: 1.0, ..all() },
    ] {
        assert!(Sampler::new(options).is_err());
    }
}

#[test]
fn a_choice_tells_of_the_models_own_distribution() {
    let logits = [1.0f32, 2.0, 4.0, 3.5];
    let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
    let p = logits.map(|l| f64::from(l).exp() / total);
    let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    // A temperature, a bias and a penalty change what is chosen, and not what is told.
    let options = SamplerOptions { temperature: 0.3, logit_bias: &[(0, 9.0)], ..all() };
    let choice = choices(&logits, options, 1)[0];
    assert_eq!(choice.token, 0);
    assert!((f64::from(choice.logprob) - p[0].ln()).abs() < 1e-6);
    assert!((f64::from(choice.entropy) - entropy).abs() < 1e-6);
    assert_eq!(choice.margin, 0.5);
}

#[test]
fn a_mask_excludes_before_the_chain() {
    let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 20.0).collect();
    let (mut room, mut top) = (room(1000), [TokenLogprob::default(); 3]);
    let backend = Backend::detect();
    let mut words = [0; 31];
    for token in [3, 500, 980] {
        words[token / 32] |= 1u32 << (token % 32);
    }
    for options in [
        all(),
        SamplerOptions { top_logprobs: 3, top_k: 2, ..all() },
        SamplerOptions { temperature: 0.0, ..all() },
    ] {
        let mut sampler = Sampler::new(options).unwrap();
        for _ in 0..100 {
            let mask = Some(TokenMask::new(&words));
            let (choice, told) = sampler.choose(backend, &logits, &[], mask, &mut room, &mut top).unwrap();
            assert!([3, 500, 980].contains(&choice.token));
            assert_eq!(told, options.top_logprobs);
            let free = sampler.choose(backend, &logits, &[], None, &mut room, &mut []).unwrap().0;
            assert_eq!((choice.entropy, choice.margin), (free.entropy, free.margin), "of all tokens");
        }
    }
    // The likeliest three are 5.0 at 101 i + 30.
    assert_eq!(top.map(|top| top.token), [30, 131, 232]);
    let mut sampler = Sampler::greedy();
    let none = sampler.choose(backend, &logits, &[], Some(TokenMask::new(&[0; 40])), &mut room, &mut []);
    assert!(matches!(none, Err(Error::Argument(_))));
}

#[cfg(feature = "std")]
mod adversarial {
    use proptest::prelude::*;

    use super::*;

    fn logit() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => -30.0f32..30.0,
            2 => any::<f32>(),
            1 => proptest::sample::select(std::vec![
                f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, 1e-45,
            ]),
        ]
    }

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        prop_oneof![
            proptest::collection::vec(logit(), 1..700),
            (logit(), 1..700usize).prop_map(|(logit, n)| std::vec![logit; n]),
            // Nothing but what is no candidate, or one.
            (0..700usize, 1..700usize).prop_map(|(at, n)| {
                let mut logits = std::vec![f32::NEG_INFINITY; n];
                if let Some(logit) = logits.get_mut(at) {
                    *logit = 1.0;
                }
                logits
            }),
        ]
    }

    fn share() -> impl Strategy<Value = f32> {
        prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..1.0]
    }

    fn stages() -> impl Strategy<Value = Vec<Stage>> {
        prop_oneof![
            Just(Stage::ALL.to_vec()),
            proptest::collection::vec(proptest::sample::select(&Stage::ALL[..]), 0..10),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

        /// Whatever the logits and the settings, one of the allowed tokens is chosen, and no number but an infinity is odd.
        #[test]
        fn some_allowed_token_is_chosen(
            logits in logits(),
            history in proptest::collection::vec(0u32..700, 0..120),
            words in proptest::option::of(proptest::collection::vec(any::<u32>(), 0..25)),
            (stages, top_k, mirostat, seed) in (stages(), 0usize..60, 0u8..3, any::<u64>()),
            (top_p, min_p, typical_p, xtc_probability, xtc_threshold) in (share(), share(), share(), share(), share()),
            (temperature, range, sigma) in (
                prop_oneof![Just(0.0f32), Just(1e-40), Just(1e30), 0.01f32..3.0], prop_oneof![Just(0.0f32), 0.0f32..2.0], -1.0f32..3.0,
            ),
            (repeat, frequency, dry_multiplier) in (prop_oneof![Just(1.0f32), 0.1f32..3.0], -1.0f32..1.0, prop_oneof![Just(0.0f32), 0.0f32..2.0]),
            bias in proptest::option::of((0u32..700, prop_oneof![Just(f32::NEG_INFINITY), -10.0f32..10.0])),
        ) {
            let n = logits.len();
            let history: Vec<TokenId> = history.into_iter().map(|token| token % n as TokenId).collect();
            let biases: Vec<_> = bias.into_iter().map(|(token, bias)| (token % n as TokenId, bias)).collect();
            let options = SamplerOptions {
                temperature, dynatemp_range: range, top_k, top_p, min_p, typical_p, top_n_sigma: sigma,
                xtc_probability, xtc_threshold, mirostat, repeat_penalty: repeat, frequency_penalty: frequency,
                dry_multiplier, dry_breakers: &[], logit_bias: &biases, stages: &stages, seed, top_logprobs: 5,
                ..Default::default()
            };
            let mut sampler = Sampler::new(options).unwrap();
            let (mut room, mut top) = (room(n), [TokenLogprob::default(); 5]);
            let mask = words.as_deref().map(TokenMask::new);
            for _ in 0..3 {
                let result = sampler.choose(Backend::detect(), &logits, &history, mask, &mut room, &mut top);
                let any = mask.is_none_or(|mask| (0..n as TokenId).any(|token| mask.allows(token)));
                prop_assert_eq!(result.is_ok(), any);
                let Ok((choice, told)) = result else { break };
                prop_assert!((choice.token as usize) < n);
                prop_assert!(mask.is_none_or(|mask| mask.allows(choice.token)));
                prop_assert!(choice.logprob <= 1e-6 && choice.entropy >= 0.0 && choice.margin >= 0.0, "{:?}", choice);
                // Logits near the greatest number there is have no entropy that can be told.
                if !logits.iter().any(|logit| logit.abs() > 1e30) {
                    prop_assert!(f64::from(choice.entropy) <= (n.next_multiple_of(256) as f64).ln() + 1e-5);
                }
                let mut sorted = top[..told].to_vec();
                let logit = |top: &TokenLogprob| logits[top.token as usize];
                sorted.sort_by(|a, b| logit(b).total_cmp(&logit(a)).then(a.token.cmp(&b.token)));
                prop_assert_eq!(&top[..told], &sorted[..]);
            }
        }
    }
}
