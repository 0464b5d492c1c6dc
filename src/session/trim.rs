//! Floor 4. Giving memory back while a session is not used: for an app in the background, or a warning of the system.
//!
//! Invariant: a session whose keys and values are in a file refuses to work until they are back; what it holds is the same
//! then.
#![forbid(unsafe_code)]

use super::Session;
#[cfg(feature = "std")]
use super::saved::saved_sum;
#[cfg(feature = "std")]
use crate::error::Ending;
use crate::error::{Error, Result, text};

/// Where keys, values and logits are while they are not in memory: a file, and the checksum at its end.
#[derive(Default)]
pub(super) struct Spilled {
    #[cfg(feature = "std")]
    file: Option<(std::path::PathBuf, u64)>,
}

#[cfg(feature = "std")]
impl Drop for Spilled {
    fn drop(&mut self) {
        if let Some((path, sum)) = self.file.take()
            && saved_sum(&path) == Ok(sum)
        {
            // What is left of it is of no use; that it cannot be removed is not worth an error.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Session {
    /// Gives the memory of what is computed anew each time, such as the buffers of a batch, back to the system: how many
    /// bytes that were. The session goes on as if nothing had been; its first call takes the memory again.
    ///
    /// Of a session in a caller's buffer nothing is given back.
    pub fn trim(&mut self) -> usize {
        self.work.scratch.release() + self.work.room.release()
    }

    /// As [`Session::trim`], and writes what is held and the logits to a file, and gives their memory back as well: how many bytes
    /// in all. [`Session::tokens`] stay. Until [`Session::recall`], what needs them is an error.
    ///
    /// # Errors
    /// As [`Session::save`]: nothing has happened then.
    #[cfg(feature = "std")]
    pub fn spill(&mut self, path: impl AsRef<std::path::Path>) -> Result<usize> {
        let path = path.as_ref();
        // The process may have another working directory when the file is wanted back.
        let whole = std::path::absolute(path)
            .map_err(|error| Error::Io(text!("cannot save the session to {}: {error}", Ending(path))))?;
        let sum = self.save_file(&whole)?;
        self.ahead = 0;
        self.spilled.file = Some((whole, sum));
        let held = self.kv.release() + self.recurrent.release() + self.work.logits.release();
        Ok(held + self.trim())
    }

    /// Takes back what [`Session::spill`] wrote, and removes the file. Does nothing if nothing was spilled.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Saved`] if the file is gone, damaged, or was written anew by somebody else. It can be tried again;
    /// [`Session::rewind`] to 0 gives up what was spilled. The file is removed with whatever gives it up, the end of the session
    /// included, unless it is somebody else's.
    #[cfg(feature = "std")]
    pub fn recall(&mut self) -> Result<()> {
        let Some((path, sum)) = self.spilled.file.take() else { return Ok(()) };
        let held = self.position;
        let restored = saved_sum(&path).and_then(|found| {
            if found != sum {
                let path = Ending(&path);
                return Err(Error::Saved(text!(
                    "{path} is not what this session wrote: give each one a file of its own"
                )));
            }
            self.restore(&path)
        });
        self.spilled.file = Some((path, sum));
        restored.inspect_err(|_| self.position = held)?;
        self.forget_spilled();
        self.rewind(held);
        Ok(())
    }

    /// Whether keys and values are in a file: see [`Session::spill`].
    pub fn is_spilled(&self) -> bool {
        #[cfg(feature = "std")]
        return self.spilled.file.is_some();
        #[cfg(not(feature = "std"))]
        false
    }

    /// An error while keys and values are not in memory.
    pub(super) fn check_memory(&self) -> Result<()> {
        if self.is_spilled() {
            return Err(Error::Argument(text!(
                "the session's memory was given back: recall what was spilled first"
            )));
        }
        Ok(())
    }

    /// What was spilled is not wanted any more.
    pub(super) fn forget_spilled(&mut self) {
        self.spilled = Spilled::default();
    }
}
