//! The options of guessing ahead.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use bantam::{DRAFT_MAX, DraftModel, Drafter, Lookup, Pool, Session, SessionOptions};
use clap::Args;

use crate::failure::{self, Failure, Result};
use crate::options::{Machine, ModelFile};
use crate::output::note;
use crate::units;

/// How tokens are guessed ahead: several are read at once where guesses turn out right. It changes no answer.
#[derive(Args)]
pub(crate) struct Drafting {
    /// Most tokens that are guessed ahead and verified at once; 0 guesses none
    #[arg(long, value_name = "N", default_value_t = DRAFT_MAX as u8, value_parser = clap::value_parser!(u8).range(0..=DRAFT_MAX as i64))]
    pub(crate) draft_max: u8,
    /// Fewest tokens that are verified at once, even if that seems not to pay
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=DRAFT_MAX as i64))]
    pub(crate) draft_min: u8,
    /// Guess with this smaller model of the same vocabulary, instead of looking up what followed the last tokens where they
    /// stood before, in the prompt or in the answer
    #[arg(long, visible_alias = "md", value_name = "MODEL")]
    model_draft: Option<PathBuf>,
}

impl Drafting {
    /// An error if the options contradict each other.
    pub(crate) fn check(&self) -> Result<()> {
        let Drafting { draft_max, draft_min, .. } = self;
        if draft_min > draft_max {
            return Err(Failure::Usage(format!(
                "--draft-min {draft_min} is more than --draft-max {draft_max}"
            )));
        }
        Ok(())
    }

    /// Who guesses for `session`.
    pub(crate) fn drafter(
        &self,
        machine: &Machine,
        session: &Session,
        pool: &Arc<Pool>,
        verbose: bool,
    ) -> Result<Box<dyn Drafter + Send>> {
        let Some(path) = self.model_draft.as_ref().filter(|_| self.draft_max > 0) else {
            return Ok(Box::new(Lookup::new()));
        };
        let file = ModelFile { path: path.clone() };
        let model = machine.open(&file)?;
        let options = SessionOptions { context: Some(session.context()), ..SessionOptions::default() };
        let mut guessing = Session::open(&model, pool.clone(), &options).map_err(failure::unaffordable)?;
        guessing.set_cancel(session.cancel());
        if verbose {
            let memory = units::bytes(guessing.memory().total_bytes() as u64);
            note(&format!("draft model: {}, {memory} of memory", path.display()));
        }
        let drafter = DraftModel::new(guessing, session.model()).map_err(|error| file.blame(error))?;
        Ok(Box::new(drafter))
    }
}
