//! Progress of what takes longer than a second, on standard error if that is a terminal.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use bantam::{Session, TokenId};
use indicatif::{ProgressBar, ProgressStyle};

/// What is done faster needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that shows itself when the work turns out to be long.
pub(crate) struct Progress {
    start: Instant,
    what: &'static str,
    len: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work of `len` parts, described by `what`.
    pub(crate) fn new(what: &'static str, len: usize) -> Progress {
        Progress { start: Instant::now(), what, len: len as u64, bar: None }
    }

    /// Says how many parts are done.
    pub(crate) fn at(&mut self, done: usize) {
        if self.bar.is_none() && self.start.elapsed() >= PATIENCE && stderr().is_terminal() {
            let bar = ProgressBar::new(self.len).with_elapsed(self.start.elapsed());
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} {eta}") {
                bar.set_style(style);
            }
            bar.set_message(self.what);
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Makes `tokens` what `session` holds; how many of them had to be read.
pub(crate) fn prompt(session: &mut Session, tokens: &[TokenId]) -> bantam::Result<usize> {
    // A prompt that is too long, or empty, is the session's to refuse before its first part is read.
    if !stderr().is_terminal() || tokens.len() > session.context() || tokens.is_empty() {
        return session.prompt(tokens);
    }
    let held = session.shared_prefix(tokens).min(tokens.len() - 1);
    let mut progress = Progress::new("reading the prompt", tokens.len() - held);
    let mut read = 0;
    // A batch is what the session takes through the layers at once: parts of it would be slower.
    for end in (held..tokens.len()).step_by(session.batch()).skip(1).chain([tokens.len()]) {
        read += session.prompt(&tokens[..end])?;
        progress.at(read);
    }
    Ok(read)
}
