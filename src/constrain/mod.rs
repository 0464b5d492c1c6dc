//! Floor 4 (feature `constrain`). Answers that are held to a grammar: a JSON schema, a regular expression, Lark or GBNF.
//!
//! ```text
//!   Model ── Constrainer (its tokens as a tree, once) ─┐
//!   schema, regex, lark, gbnf ── Grammar ──────────────┴── Constraint: allowed ─ choose ─ accept ─ allowed ...
//! ```
//! Invariant: bytes of tokens that were allowed and accepted are the beginning of a sentence of the grammar. Grammars may come
//! from strangers: each is compiled and followed within limits (limits.rs). Everything here allocates.
#![forbid(unsafe_code)]

mod explain;
mod gbnf;
mod grammar;
mod limits;
mod numerals;
mod schema;
mod state;
mod vocabulary;

use std::sync::Arc;

#[cfg(feature = "chat")]
pub(crate) use grammar::with_options;
#[cfg(feature = "chat")]
pub(crate) use schema::{prepare, visit};

use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};

use crate::error::{Error, Result, text};
use crate::model::Model;
use crate::tokenizer::Tokenizer;
pub use grammar::Grammar;
use numerals::Numerals;
pub use state::Constraint;
use vocabulary::{Owner, Vocabulary};

/// What constraints need to know about a model's vocabulary. Building it takes a while (some hundredths of a second) and some
/// hundred bytes per token, so it is built once per model and shared: a clone is the same one.
///
/// ```no_run
/// use bantam::Model;
/// use bantam::constrain::{Constrainer, Grammar};
///
/// let model = Model::open("models/SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let constrainer = Constrainer::new(&model)?;
/// let grammar = Grammar::json_schema(r#"{ "type": "object", "properties": { "age": { "type": "integer" } } }"#)?;
/// let mut constraint = constrainer.constraint(&grammar)?;
/// while !constraint.must_stop() {
///     let allowed = constraint.allowed()?; // bit t % 32 of word t / 32 is token t
///     # let token = allowed.iter().position(|word| *word != 0).map_or(0, |i| i as u32 * 32 + allowed[i].trailing_zeros());
///     // choose one of them by the model's logits, then
///     constraint.accept(token)?;
/// }
/// # Ok::<(), bantam::Error>(())
/// ```
#[derive(Clone)]
pub struct Constrainer(Arc<Inner>);

struct Inner {
    factory: ParserFactory,
    numerals: Numerals,
    vocab_size: usize,
}

impl Constrainer {
    /// Prepares a model's vocabulary.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a vocabulary without an end of generation, or of more than 4 MiB of text.
    pub fn new(model: &Model) -> Result<Constrainer> {
        Constrainer::of(Owner::Model(model.clone()))
    }

    /// Prepares the vocabulary of a tokenizer that belongs to no model.
    ///
    /// # Errors
    /// As [`Constrainer::new`].
    pub fn from_tokenizer(tokenizer: Arc<Tokenizer>) -> Result<Constrainer> {
        Constrainer::of(Owner::Alone(tokenizer))
    }

    fn of(owner: Owner) -> Result<Constrainer> {
        let vocabulary = Vocabulary::new(owner)?;
        let vocab_size = vocabulary.count();
        let numerals = Numerals::new(vocabulary.tok_trie());
        let environment: TokEnv = Arc::new(vocabulary);
        let capabilities = InferenceCapabilities::default();
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, capabilities, &slices).map_err(|error| {
            Error::Unsupported(text!("constraints on this vocabulary: {}", explain::first_line(&error)))
        })?;
        factory.quiet();
        *factory.limits_mut() = limits::parser();
        Ok(Constrainer(Arc::new(Inner { factory, numerals, vocab_size })))
    }

    /// The state of an answer that has not begun.
    ///
    /// # Errors
    /// [`Error::Grammar`] says what is wrong and where, also for a grammar that goes over the limits.
    pub fn constraint(&self, grammar: &Grammar) -> Result<Constraint> {
        let parser = limits::on_large_stack(|| self.0.factory.create_parser(grammar.compiled()))?;
        Ok(Constraint::new(Matcher::new(Ok(parser)), self.0.clone(), grammar.place()))
    }
}

impl core::fmt::Debug for Constrainer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Constrainer").field("vocab_size", &self.0.vocab_size).finish()
    }
}
