//! Floor 4. A session's adapters: which of them, how strong, and what changing them does to what is held.
//!
//! Invariant: all that a session holds was computed with the adapters that it has.
#![forbid(unsafe_code)]

use super::Session;
use crate::checksum::Checksum;
use crate::error::{Error, Result, text};
use crate::forward::ADAPTERS_MAX;
use crate::lora::Adapter;

impl Session {
    /// Has the session use these adapters, each with a scale, instead of those that it had: each product of the model
    /// becomes `W . x` plus the sum of `scale * alpha / rank * B . (A . x)`, in the order given. None takes all away; then the
    /// session computes what it did before, to the last bit. A scale of 0 is the same as leaving an adapter out.
    ///
    /// What the session holds was computed with other adapters, so it is forgotten: the next [`Session::prompt`] reads all of
    /// its tokens. With the adapters that are set already, nothing happens. Nothing is allocated; the session has to be
    /// opened with room for as many ranks ([`SessionOptions::adapter_rank`](super::SessionOptions::adapter_rank)).
    ///
    /// ```no_run
    /// # use bantam::{Adapter, Model, Pool, Session, SessionOptions};
    /// # use std::sync::Arc;
    /// # let (model, prompt) = (Model::open("model.gguf")?, [1, 2, 3]);
    /// let (tone, task) = (Adapter::open(&model, "tone.gguf")?, Adapter::open(&model, "task.gguf")?);
    /// let options =
    ///     SessionOptions { adapter_rank: tone.rank() + task.rank(), ..SessionOptions::default() };
    /// let mut session = Session::open(&model, Arc::new(Pool::new(2)?), &options)?;
    /// session.set_adapters(&[(&tone, 0.5), (&task, 1.0)])?;
    /// session.prompt(&prompt)?;
    /// # Ok::<(), bantam::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for more than 8 adapters, one of another model, a scale that is no number, or ranks that there is
    /// no room for; [`Error::Changed`] if a file was cut short: nothing has happened then.
    pub fn set_adapters(&mut self, adapters: &[(&Adapter, f32)]) -> Result<()> {
        let used = || adapters.iter().copied().filter(|(_, scale)| *scale != 0.0);
        for (adapter, scale) in used() {
            if !scale.is_finite() {
                return Err(Error::Argument(text!("an adapter's scale is {scale}, which is no number")));
            }
            if !adapter.model().is_same(&self.model) {
                return Err(Error::Argument(text!(
                    "the adapter was opened for another model than the session's; open it with this one"
                )));
            }
            adapter.file().mapping().check()?;
        }
        let count = used().count();
        if count > ADAPTERS_MAX {
            return Err(Error::Argument(text!("{count} adapters, and a session has at most {ADAPTERS_MAX}")));
        }
        self.check_rank(used().map(|(adapter, _)| adapter.rank()).sum())?;
        if !same(self.adapters(), used()) {
            self.rewind(0);
            self.work.scratch.adapters.set(used());
        }
        Ok(())
    }

    /// The adapters that are set, with their scales.
    pub fn adapters(&self) -> impl Iterator<Item = (&Adapter, f32)> {
        self.work.scratch.adapters.iter()
    }

    /// An error if the model's file, or that of an adapter, has become shorter since it was opened. What reads many tokens asks by itself;
    /// [`Session::decode`], which is called for each token of an answer, does not.
    ///
    /// # Errors
    /// [`Error::Changed`].
    pub fn check_files(&self) -> Result<()> {
        self.model.file().mapping().check()?;
        self.adapters().try_for_each(|(adapter, _)| adapter.file().mapping().check())
    }

    /// An error unless there is room for ranks of that sum.
    fn check_rank(&self, rank: usize) -> Result<()> {
        let room = self.work.scratch.adapters.rank();
        if rank <= room {
            return Ok(());
        }
        Err(Error::Argument(text!(
            "the ranks of the adapters sum up to {rank}, and the session has room for {room}; open it with adapter_rank of {rank}"
        )))
    }

    /// An error unless there is room for the adapters of `other`.
    pub(super) fn check_room_for(&self, other: &Session) -> Result<()> {
        self.check_rank(other.adapters().map(|(adapter, _)| adapter.rank()).sum())
    }

    /// Has the adapters of `other`. What the session holds is computed with them, or forgotten by the caller.
    pub(super) fn take_adapters(&mut self, other: &Session) {
        self.work.scratch.adapters.set(other.adapters());
    }

    /// An error unless `other` has the same adapters, as sessions that share a product must.
    pub(super) fn check_same_adapters(&self, other: &Session) -> Result<()> {
        if same(self.adapters(), other.adapters()) {
            return Ok(());
        }
        Err(Error::Argument(text!("sessions with different adapters cannot be decoded together")))
    }

    /// A sum of the adapters and their scales; 0 without any.
    pub(super) fn adapters_sum(&self) -> u64 {
        if self.adapters().next().is_none() {
            return 0;
        }
        let mut checksum = Checksum::new();
        for (adapter, scale) in self.adapters() {
            checksum.add(&adapter.fingerprint().to_le_bytes());
            checksum.add(&scale.to_bits().to_le_bytes());
        }
        checksum.sum()
    }
}

/// Whether both are the same adapters with the same scales, in one order.
fn same<'a, 'b>(
    one: impl Iterator<Item = (&'a Adapter, f32)>,
    other: impl Iterator<Item = (&'b Adapter, f32)>,
) -> bool {
    fn facts((adapter, scale): (&Adapter, f32)) -> (*const crate::gguf::File, u32) {
        (adapter.file(), scale.to_bits())
    }
    one.map(facts).eq(other.map(facts))
}
