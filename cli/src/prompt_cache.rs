//! A file that keeps what was read of a prompt, so that the next run with the same beginning does not read it again.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bantam::Session;
use clap::Args;

use crate::failure::{Failure, Result};
use crate::output::note;

/// Where what was read is kept, and what of it.
#[derive(Args, Clone, Default)]
pub(crate) struct PromptCache {
    /// Keep what was read of the prompt in a file, and read only what is new of the next prompt that begins alike
    ///
    /// The file is made if it is not there; its folder has to be. It fits the model, the kind of cache (--cache-type) and no other; a damaged or
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
    /// An error if the file could not be written once there is something to keep, which would cost a prompt that is long to read.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(path) = self.prompt_cache.as_deref().filter(|_| !self.prompt_cache_ro) else {
            return Ok(());
        };
        // The session writes beside what a link leads to, and renames; nobody knows whether that goes well but who tries it.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            return Err(Failure::Message(format!(
                "--prompt-cache {}: it is not a file: name one",
                path.display()
            )));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.new", std::process::id()));
        let tried = folder.join(name);
        let written = File::create(&tried).and_then(|_| fs::remove_file(&tried));
        written.map_err(|error| {
            let remedy = match path.exists() {
                true => "--prompt-cache-ro only reads it",
                false => "name a file in a folder that is there and can be written to",
            };
            let (path, folder) = (path.display(), folder.display());
            Failure::Message(format!(
                "--prompt-cache {path}: cannot write to the folder {folder}: {error}; {remedy}"
            ))
        })
    }

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

    /// A file that cannot be written costs no answer.
    fn save(&self, session: &Session, wanted: bool) -> Result<()> {
        let Some(path) = self.prompt_cache.as_ref().filter(|_| wanted) else { return Ok(()) };
        match session.save(path) {
            Err(error @ bantam::Error::Io(_)) => {
                note(&format!("note: {error}; the next run reads the prompt again"))
            }
            saved => saved?,
        }
        Ok(())
    }
}
