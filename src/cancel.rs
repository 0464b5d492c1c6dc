//! Floor 2. A switch that stops work from outside.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};

use crate::arena::Shared;
use crate::error::Result;

/// A latched switch: once set it stays set until [`Cancel::reset`], so a cancel that comes just before the work starts
/// is not lost. Clones share the switch. Setting it is safe in a signal handler.
#[derive(Clone, Debug)]
pub struct Cancel(Shared<AtomicBool>);

impl Cancel {
    /// A switch that is not set.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub fn new() -> Result<Cancel> {
        Shared::new(AtomicBool::new(false), "a cancel switch").map(Cancel)
    }

    /// Stops the work that looks at this switch, now or when it starts.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Allows work again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the switch is set.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
