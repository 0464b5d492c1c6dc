//! Floor 2. A value with several owners, like one in an `Arc`, but for memory that can be refused.
//!
//! Invariant: the value lives, and only shared references to it exist, until the last owner is dropped.

use alloc::boxed::Box;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::memory::boxed;

/// One of the owners of a value.
pub(crate) struct Shared<T>(NonNull<Counted<T>>);

struct Counted<T> {
    owners: AtomicUsize,
    value: T,
}

impl<T> Shared<T> {
    /// The first owner; `what` says in an error what the memory is for.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn new(value: T, what: &'static str) -> Result<Shared<T>> {
        let counted = boxed(Counted { owners: AtomicUsize::new(1), value }, what)?;
        Ok(Shared(NonNull::from(Box::leak(counted)).cast()))
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: new made the pointer from a box, which drop frees only when self, an owner, is gone.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: an owner gives shared references to the value and may be the one that drops it, on whatever thread it is.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above, since a shared owner can be cloned.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        // Whoever clones has an owner already, so nothing has to be seen in order.
        let before = self.counted().owners.fetch_add(1, Ordering::Relaxed);
        // Only owners that are forgotten and never dropped can become so many.
        assert!(before < usize::MAX / 2, "too many owners of one value");
        Shared(self.0)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // What every other owner did with the value has happened before it is dropped.
        if self.counted().owners.fetch_sub(1, Ordering::Release) == 1 {
            self.counted().owners.load(Ordering::Acquire);
            // SAFETY: new made the pointer from a box of one such value, and no other owner is left.
            drop(unsafe { Box::from_raw(self.0.cast::<[Counted<T>; 1]>().as_ptr()) });
        }
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_owner_drops_the_value_once() {
        let witness = std::sync::Arc::new(());
        let shared = Shared::new(witness.clone(), "test").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let own = shared.clone();
                scope.spawn(move || (0..1000).for_each(|_| drop(own.clone())));
            }
        });
        assert_eq!(std::sync::Arc::strong_count(&witness), 2);
        drop(shared);
        assert_eq!(std::sync::Arc::strong_count(&witness), 1);
    }
}
