//! Floor 8. Grammars: what answers may look like.

use core::ffi::c_char;

use bantam::constrain::{Constrainer, Constraint, Grammar};

use crate::answer::bantam_grammar;
use crate::boundary::{Caller, Out, call};
use crate::handle::{Noun, create_at};
use crate::model::{OpenModel, bantam_model};
use crate::status::{BANTAM_ARGUMENT, Result, bantam_error, bantam_status, fail};

impl Noun for bantam_grammar {
    const MAGIC: u32 = u32::from_le_bytes(*b"bgra");
    const NAME: &'static str = "the grammar";
    type Inside = Compiled;
}

/// What is behind a grammar's handle.
pub(crate) struct Compiled {
    /// The state of an answer that has not begun.
    begin: std::sync::Mutex<Constraint>,
    /// Of the model that it was compiled for.
    fingerprint: u64,
}

impl Compiled {
    /// The rule for one answer of a model.
    pub(crate) fn rule(&self, model: &bantam::Model) -> Result<Constraint> {
        // The fingerprint is read of the file.
        model.file().mapping().check()?;
        if self.fingerprint != model.fingerprint() {
            return Err(fail!(BANTAM_ARGUMENT, "the grammar was made for another model"));
        }
        Ok(self.begin.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone())
    }
}

/// Any JSON value; the source is not looked at.
pub const BANTAM_GRAMMAR_JSON: i32 = 1;
/// JSON that a JSON schema accepts.
pub const BANTAM_GRAMMAR_JSON_SCHEMA: i32 = 2;
/// Text that a regular expression matches from its beginning to its end.
pub const BANTAM_GRAMMAR_REGEX: i32 = 3;
/// A grammar in the language of Lark.
pub const BANTAM_GRAMMAR_LARK: i32 = 4;
/// A grammar in llama.cpp's GBNF.
pub const BANTAM_GRAMMAR_GBNF: i32 = 5;

/// Compiles a grammar, BANTAM_GRAMMAR_..., for a model. The first of a model takes longer than those that follow.
///
/// Ownership: the caller frees it with bantam_grammar_free; answers keep what they need of it. Threads: any.
/// Errors: BANTAM_HANDLE, BANTAM_ARGUMENT, BANTAM_CHANGED, BANTAM_MEMORY, BANTAM_GRAMMAR that says what is wrong and where, BANTAM_UNSUPPORTED for a vocabulary that cannot be
/// constrained.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_grammar_new(
    model: *const bantam_model,
    kind: i32,
    source: *const c_char,
    source_bytes: usize,
    out: *mut *mut bantam_grammar,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let out = caller.out(out, "out")?;
        let model = caller.mapped(model)?;
        let source = || caller.text(source, source_bytes, "the grammar");
        let grammar = match kind {
            BANTAM_GRAMMAR_JSON => Grammar::json(),
            BANTAM_GRAMMAR_JSON_SCHEMA => Grammar::json_schema(source()?)?,
            BANTAM_GRAMMAR_REGEX => Grammar::regex(source()?)?,
            BANTAM_GRAMMAR_LARK => Grammar::lark(source()?)?,
            BANTAM_GRAMMAR_GBNF => Grammar::gbnf(source()?)?,
            _ => return Err(fail!(BANTAM_ARGUMENT, "there is no kind {kind} of grammars; they are 1 to 5")),
        };
        compile(model, &grammar, out)
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { call(error, body) }
}

/// Compiles a grammar to where the caller wants it.
pub(crate) fn compile(model: &OpenModel, grammar: &Grammar, out: Out<*mut bantam_grammar>) -> Result<()> {
    let constrainer = match model.constrainer.get() {
        Some(constrainer) => constrainer,
        // Of two threads that come first, one throws its own away.
        None => {
            let made = Constrainer::new(&model.model)?;
            model.constrainer.get_or_init(|| made)
        }
    };
    let begin = std::sync::Mutex::new(constrainer.constraint(grammar)?);
    create_at(out, Compiled { begin, fingerprint: model.model.fingerprint() })
}

/// Frees a grammar; NULL is none.
///
/// Ownership: ends. Threads: any, while nobody else uses the handle. Errors: BANTAM_HANDLE, BANTAM_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_grammar_free(grammar: *mut bantam_grammar) -> bantam_status {
    // SAFETY: the caller keeps to what the header says of the pointer.
    unsafe { call(core::ptr::null_mut(), |caller| caller.free(grammar)) }
}
