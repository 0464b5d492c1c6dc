//! Floor 6. Objects that the caller holds by pointer: which kind they are, who uses them, and whether they still work.
//!
//! ```text
//! state:  0 free   1 in use   2 poisoned
//! ```
//! Invariant: what is inside is used by one call at a time, or by many that only read it; after a panic by none.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::boundary::{Caller, Out};
use crate::status::{BANTAM_BUSY, BANTAM_HANDLE, BANTAM_MEMORY, BANTAM_PANIC, Failure, Result, fail};

/// What a handle of the header holds.
pub(crate) trait Noun: Sized {
    /// Tells handles of this kind from others, and from memory that was freed.
    const MAGIC: u32;
    /// What messages call it.
    const NAME: &'static str;
    /// What is inside.
    type Inside;
}

/// What a pointer of the caller's leads to. The types of the header stand for it.
#[repr(C)]
struct Handle<T> {
    head: Head,
    inside: UnsafeCell<T>,
}

/// What all of them begin with. What is to be found out of a handle is found out here, for all kinds at once.
#[repr(C)]
struct Head {
    magic: AtomicU32,
    state: AtomicU32,
}

const FREE: u32 = 0;
const IN_USE: u32 = 1;
const POISONED: u32 = 2;

/// Puts `inside` behind a new handle.
pub(crate) fn create<N: Noun>(inside: N::Inside) -> Result<*mut N> {
    let head = Head { magic: AtomicU32::new(N::MAGIC), state: AtomicU32::new(FREE) };
    let handle = Handle { head, inside: UnsafeCell::new(inside) };
    Ok(Box::into_raw(boxed(handle, N::NAME)?).cast())
}

/// A box whose memory may be refused: `Box::new` would end the process.
pub(crate) fn boxed<T>(value: T, name: &str) -> Result<Box<T>> {
    let bytes = size_of::<T>();
    let refused = || fail!(BANTAM_MEMORY, "{name} needs {bytes} bytes of memory, which cannot be had");
    let mut one: Vec<T> = Vec::new();
    one.try_reserve_exact(1).map_err(|_| refused().with_detail(bytes))?;
    one.push(value);
    // SAFETY: the slice has one value, and so its layout.
    Ok(unsafe { Box::from_raw(Box::into_raw(one.into_boxed_slice()).cast()) })
}

/// As [`create`], to where the caller wants it.
pub(crate) fn create_at<N: Noun>(out: Out<*mut N>, inside: N::Inside) -> Result<()> {
    out.write(create(inside)?);
    Ok(())
}

impl Head {
    /// What `pointer` leads to, once it is known to be a live handle of that kind.
    fn find<'a>(_: Caller, pointer: *const Head, magic: u32, name: &str) -> Result<&'a Head> {
        if pointer.is_null() || !pointer.is_aligned() {
            return Err(fail!(BANTAM_HANDLE, "{name} is NULL or no handle"));
        }
        // SAFETY: the caller's promise: a pointer that is not NULL leads to a handle, of whatever kind, or to one that was
        // freed and whose memory is still there; both begin with a head, which is only reached through shared references.
        let head = unsafe { &*pointer };
        if head.magic.load(Ordering::Relaxed) != magic {
            return Err(fail!(BANTAM_HANDLE, "{name} is another kind of handle, or was freed"));
        }
        Ok(head)
    }

    /// Turns the state from free to in use.
    fn take(&self, name: &str) -> Result<()> {
        match self.state.compare_exchange(FREE, IN_USE, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(POISONED) => Err(poisoned(name)),
            Err(_) => Err(fail!(BANTAM_BUSY, "another call uses {name}")),
        }
    }

    /// An error if nobody may use what is inside any more.
    fn check(&self, name: &str) -> Result<()> {
        if self.state.load(Ordering::Relaxed) == POISONED { Err(poisoned(name)) } else { Ok(()) }
    }
}

impl Caller {
    /// What `pointer` leads to, once it is known to be a live handle of that kind.
    fn handle<'a, N: Noun>(self, pointer: *const N) -> Result<&'a Handle<N::Inside>> {
        Head::find(self, pointer.cast(), N::MAGIC, N::NAME)?;
        // SAFETY: what has that number was made by create, of that kind; handles are only reached through shared references.
        Ok(unsafe { &*pointer.cast() })
    }

    /// Uses what is inside a handle alone.
    pub(crate) fn exclusive<N: Noun, R>(
        self,
        pointer: *mut N,
        body: impl FnOnce(&mut N::Inside) -> Result<R>,
    ) -> Result<R> {
        let mut used = self.take(pointer)?;
        let result = body(used.inside());
        used.state = FREE;
        result
    }

    /// Takes a handle for as long as the value lives; it is poisoned then, unless its state is set to free before.
    fn take<'a, N: Noun>(self, pointer: *const N) -> Result<InUse<'a, N::Inside>> {
        let handle = self.handle(pointer)?;
        handle.head.take(N::NAME)?;
        Ok(InUse { handle, state: POISONED })
    }

    /// Uses what is inside several handles alone, of which there are at most `MOST`: their list lies on the stack.
    pub(crate) fn exclusive_all<N: Noun, R, const MOST: usize>(
        self,
        pointers: &[*mut N],
        body: impl FnOnce(&mut dyn Iterator<Item = &mut N::Inside>) -> Result<R>,
    ) -> Result<R> {
        let mut used: [Option<InUse<'_, N::Inside>>; MOST] = [const { None }; MOST];
        // One that is there twice is found in use.
        let taken = pointers.iter().zip(&mut used).try_for_each(|(&pointer, used)| {
            *used = Some(self.take(pointer)?);
            Ok(())
        });
        let result = taken.and_then(|()| body(&mut used.iter_mut().flatten().map(InUse::inside)));
        used.iter_mut().flatten().for_each(|used| used.state = FREE);
        result
    }

    /// Uses what is inside a handle that many threads may read at once.
    pub(crate) fn shared<'a, N: Noun>(self, pointer: *const N) -> Result<&'a N::Inside>
    where
        N::Inside: Sync,
    {
        let handle = self.handle(pointer)?;
        handle.head.check(N::NAME)?;
        // SAFETY: handles of this kind are never taken for one call alone but by free, and the caller promised that none is
        // freed while it is used.
        Ok(unsafe { &*handle.inside.get() })
    }

    /// Frees a handle; NULL is none.
    pub(crate) fn free<N: Noun>(self, pointer: *mut N) -> Result<()> {
        if pointer.is_null() {
            return Ok(());
        }
        let handle = self.handle(pointer)?;
        if handle.head.state.swap(IN_USE, Ordering::Acquire) == IN_USE {
            return Err(fail!(BANTAM_BUSY, "another call uses {}: it cannot be freed", N::NAME));
        }
        handle.head.magic.store(0, Ordering::Relaxed);
        // SAFETY: create made it from a box of one handle, and nobody else uses it: its state was free or poisoned.
        drop(unsafe { Box::from_raw(pointer.cast::<[Handle<N::Inside>; 1]>()) });
        Ok(())
    }
}

fn poisoned(name: &str) -> Failure {
    fail!(BANTAM_PANIC, "{name} is no longer usable, as a bug was caught in a call with it: free it")
}

/// A handle that is used by this call alone.
struct InUse<'a, T> {
    handle: &'a Handle<T>,
    /// What it is afterwards.
    state: u32,
}

impl<T> InUse<'_, T> {
    fn inside(&mut self) -> &mut T {
        // SAFETY: take turned the state from free to in use, and nobody else has the handle before drop turns it again.
        unsafe { &mut *self.handle.inside.get() }
    }
}

impl<T> Drop for InUse<'_, T> {
    fn drop(&mut self) {
        self.handle.head.state.store(self.state, Ordering::Release);
    }
}
