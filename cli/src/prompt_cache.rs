//! A file that keeps what was read of a prompt, so that the next run with the same beginning does not read it again.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use bantam::Session;
use clap::Args;

use crate::failure::{Failure, Result};

/// Where what was read is kept, and what of it.
#[derive(Args, Clone, Default)]
pub(crate) struct PromptCache {
    /// Keep what was read of the prompt in a file, and read only what is new of the next prompt that begins alike
    ///
    /// The file is made if it is not there. It fits the model, the kind of cache (--cache-type) and no other; a damaged or
    /// foreign file is an error, and never overwritten.
    #[arg(long, value_name = "FILE")]
    prompt_cache: Option<PathBuf>,
    /// Keep the answers in the file, too
    #[arg(long, requires = "prompt_cache", conflicts_with = "prompt_cache_ro")]
    prompt_cache_all: bool,
    /// Only use the file, and never write it
    #[arg(long, requires = "prompt_cache")]
    prompt_cache_ro: bool,
}

impl PromptCache {
    /// Gives a session what the file keeps.
    pub(crate) fn restore(&self, session: &mut Session) -> Result<()> {
        let Some(path) = self.prompt_cache.as_ref().filter(|path| self.prompt_cache_ro || path.exists())
        else {
            return Ok(());
        };
        session.restore(path).map_err(|error| match error {
            bantam::Error::Io(_) => error.into(),
            _ => Failure::Message(format!("--prompt-cache {}: {error}", path.display())),
        })
    }

    /// Keeps what the session holds once a prompt was read, `read` tokens of which were new.
    pub(crate) fn save_prompt(&self, session: &Session, read: usize) -> Result<()> {
        // The last token is always read, for what follows it.
        let is_new = read > 1 || self.prompt_cache.as_ref().is_some_and(|path| !path.exists());
        self.save(session, is_new && !self.prompt_cache_ro)
    }

    /// Keeps what the session holds once a prompt was answered.
    pub(crate) fn save_answer(&self, session: &Session) -> Result<()> {
        self.save(session, self.prompt_cache_all)
    }

    fn save(&self, session: &Session, wanted: bool) -> Result<()> {
        match self.prompt_cache.as_ref().filter(|_| wanted) {
            Some(path) => Ok(session.save(path)?),
            None => Ok(()),
        }
    }
}
