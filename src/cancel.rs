//! Floor 2. A switch that stops work from outside.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::arena::Shared;
use crate::error::Result;

/// A latched switch: once set it stays set until [`Cancel::reset`], so a cancel that comes just before the work starts
/// is not lost. Clones share the switch. Setting it is safe in a signal handler.
///
/// ```text
/// | how often it was set | whether it is : 1 |
/// ```
#[derive(Clone, Debug)]
pub struct Cancel(Shared<AtomicUsize>);

const SET: usize = 1;
const ONCE: usize = 2;

impl Cancel {
    /// A switch that is not set.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub fn new() -> Result<Cancel> {
        Shared::new(AtomicUsize::new(0), "a cancel switch").map(Cancel)
    }

    /// Stops the work that looks at this switch, now or when it starts.
    pub fn cancel(&self) {
        // Counted first: whoever sees it set, sees it counted.
        self.0.fetch_add(ONCE, Ordering::AcqRel);
        self.0.fetch_or(SET, Ordering::AcqRel);
    }

    /// Allows work again. What was already at work when the switch was set stops all the same.
    pub fn reset(&self) {
        self.0.fetch_and(!SET, Ordering::AcqRel);
    }

    /// Whether the switch is set.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) & SET != 0
    }

    /// How often it was set, and whether it is.
    pub(crate) fn state(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Whether it was set at any time since it had the state `before`, even if it was reset in between.
    pub(crate) fn was_set_since(&self, before: usize) -> bool {
        let now = self.state();
        now != before || now & SET != 0
    }
}
