//! Answers of random tokens among those that a constraint allows, with the vocabulary of the demo model.

use std::sync::OnceLock;

use bantam::constrain::{Constrainer, Constraint};
use bantam::{Model, TokenId};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/SmolLM2-135M-Instruct.Q4_1.gguf");

/// The demo model and its vocabulary, built once.
pub(crate) fn demo() -> Option<&'static (Model, Constrainer)> {
    static DEMO_MODEL: OnceLock<Option<(Model, Constrainer)>> = OnceLock::new();
    let made = || {
        if !std::path::Path::new(DEMO).exists() && std::env::var_os("CI").is_none() {
            println!("skipped: {DEMO} is not there (make model)");
            return None;
        }
        let model = Model::open(DEMO).unwrap();
        let constrainer = Constrainer::new(&model).unwrap();
        Some((model, constrainer))
    };
    DEMO_MODEL.get_or_init(made).as_ref()
}

/// Numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

pub(crate) fn ids(allowed: &[u32]) -> Vec<TokenId> {
    let mut ids = Vec::new();
    for (i, &word) in allowed.iter().enumerate() {
        let mut word = word;
        while word != 0 {
            ids.push(i as TokenId * 32 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    ids
}

/// An answer of random tokens among those that are allowed. Behind `long` tokens it takes those that close what is open.
pub(crate) fn walk(model: &Model, constraint: &mut Constraint, seed: u64, long: usize) -> String {
    let tokenizer = model.tokenizer();
    let mut random = Random::new(seed);
    let mut bytes = Vec::new();
    for step in 0.. {
        assert!(step < long + 2000, "it does not end: {}", String::from_utf8_lossy(&bytes));
        let allowed = ids(constraint.allowed().unwrap());
        let ends: Vec<TokenId> =
            allowed.iter().copied().filter(|&id| tokenizer.is_end_of_generation(id)).collect();
        assert_eq!(!ends.is_empty(), constraint.is_complete().unwrap());
        if !ends.is_empty() && (step > long || allowed.len() == ends.len() || random.below(4) == 0) {
            let end = ends[random.below(ends.len())];
            constraint.accept(end).unwrap();
            assert!(constraint.must_stop());
            assert!(constraint.forced().is_empty());
            break;
        }
        let text: Vec<TokenId> = allowed.iter().copied().filter(|id| !ends.contains(id)).collect();
        let short = |id: &&TokenId| tokenizer.piece(**id).len() == 1;
        let closing = |id: &&TokenId| short(id) && b"\"}])>".contains(&tokenizer.piece(**id)[0]);
        let candidates: Vec<TokenId> = match random.below(4) {
            _ if step > long => {
                let found: Vec<TokenId> = text.iter().filter(closing).copied().collect();
                let is_some = !found.is_empty() && random.below(4) > 0;
                if is_some { found } else { text.iter().filter(short).copied().collect() }
            }
            0 => text.iter().filter(short).copied().collect(),
            _ => text.clone(),
        };
        let candidates = if candidates.is_empty() { text } else { candidates };
        let id = candidates[random.below(candidates.len())];
        constraint.accept(id).unwrap();
        bytes.extend_from_slice(tokenizer.token_bytes(id).unwrap());
    }
    String::from_utf8(bytes).expect("an answer is UTF-8")
}
