//! Floor 2. One block of memory, planned first and then carved into slices.
//!
//! The same code plans and carves: it asks an [`Arena`] for one [`Slab`] after the other. An arena that only counts
//! hands out empty slabs and tells afterwards how many bytes a real one needs, so a plan cannot disagree with its use.
//!
//! Invariant: slabs of one arena never overlap, start at multiples of 64 bytes, start out as zeros, and keep the block
//! alive.

mod shared;

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use bantam_kernels::f16;

use crate::error::{Error, Result, text};
pub(crate) use shared::Shared;

/// Where every slab starts: a cache line, and the widest vector register.
const ALIGN: usize = 64;

/// A type whose zero bytes are a value, and which needs no drop.
///
/// # Safety
/// All-zero bytes must be a valid value, and the alignment at most 64.
pub(crate) unsafe trait Zeroable: Copy {}

// SAFETY: zero bytes are the number 0 of every one of these.
unsafe impl Zeroable for f32 {}
// SAFETY: as above.
unsafe impl Zeroable for f64 {}
// SAFETY: as above.
unsafe impl Zeroable for f16 {}
// SAFETY: as above.
unsafe impl Zeroable for i8 {}
// SAFETY: as above.
unsafe impl Zeroable for u8 {}
// SAFETY: as above.
unsafe impl Zeroable for u32 {}
// SAFETY: zero bytes are a value of both parts, and padding may hold anything.
unsafe impl<A: Zeroable, B: Zeroable> Zeroable for (A, B) {}

/// Memory of the caller's that a session may live in: see [`Session::open_in`](crate::Session::open_in).
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    len: usize,
}

impl Buffer {
    /// Where a buffer has to start: at a multiple of so many bytes.
    pub const ALIGN: usize = ALIGN;

    /// The `len` bytes from `start` on.
    ///
    /// # Safety
    /// They have to be there, and nobody else may use them, until whatever is opened in them is dropped.
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Buffer {
        Buffer { start, len }
    }

    /// The `len` bytes behind the first `skipped`, as far as there are so many.
    #[must_use]
    pub fn skip(self, skipped: usize, len: usize) -> Buffer {
        let skipped = skipped.min(self.len);
        // SAFETY: inside of the buffer, or at its end.
        Buffer { start: unsafe { self.start.add(skipped) }, len: len.min(self.len - skipped) }
    }

    /// The bytes of a vector, which are never freed.
    pub fn leak(bytes: alloc::vec::Vec<u8>) -> Buffer {
        let bytes = bytes.leak();
        Buffer { start: NonNull::from(&mut *bytes).cast(), len: bytes.len() }
    }
}

// SAFETY: a buffer is the only way to its bytes, by the contract of new.
unsafe impl Send for Buffer {}

struct Block {
    /// What the system gave, and how it was asked for; `None` if it is the caller's.
    memory: Option<(NonNull<u8>, Layout)>,
    /// The first multiple of 64 in it.
    start: NonNull<u8>,
    len: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some((memory, layout)) = self.memory {
            // SAFETY: the block was allocated with this layout in Arena::allocate, and the last slab is gone.
            unsafe { dealloc(memory.as_ptr(), layout) }
        }
    }
}

// SAFETY: the block itself is only freed; its bytes are reached through slabs, each of which has its own part.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

/// A block being carved, or the count of what would be.
pub(crate) struct Arena {
    block: Option<Shared<Block>>,
    used: usize,
    /// What the memory is for, in an error.
    what: &'static str,
}

impl Arena {
    /// An arena that only counts.
    pub(crate) fn counting(what: &'static str) -> Arena {
        Arena { block: None, used: 0, what }
    }

    /// Bytes handed out so far.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used
    }

    /// An arena of as many bytes as `counted` has counted.
    pub(crate) fn allocate(counted: &Arena) -> Result<Arena> {
        let refused = Error::Memory { what: counted.what, bytes: counted.used as u64 };
        if memory_of_machine().is_some_and(|memory| counted.used as u64 > memory) {
            return Err(refused);
        }
        let len = counted.used;
        // Asked for without an alignment, large memory comes as fresh pages, which are zero and cost nothing until they
        // are used; with one, all of it would be written first.
        let size = len.checked_add(ALIGN).ok_or(refused)?;
        let layout = Layout::from_size_align(size, 1).map_err(|_| refused)?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(refused)?;
        let skipped = memory.addr().get().wrapping_neg() % ALIGN;
        // SAFETY: less than ALIGN bytes are skipped, so that len of the len + ALIGN are left.
        let start = unsafe { memory.add(skipped) };
        let block = Shared::new(Block { memory: Some((memory, layout)), start, len }, counted.what)?;
        Ok(Arena { block: Some(block), used: 0, what: counted.what })
    }

    /// An arena of as many bytes as `counted` has counted, from the start of the caller's memory; what is left of that.
    pub(crate) fn lend(counted: &Arena, buffer: Buffer) -> Result<(Arena, Buffer)> {
        let Buffer { start, len } = buffer;
        if !start.addr().get().is_multiple_of(ALIGN) {
            return Err(Error::Argument(text!("the buffer does not start at a multiple of {ALIGN} bytes")));
        }
        let Some(left) = len.checked_sub(counted.used) else {
            return Err(Error::Memory { what: counted.what, bytes: counted.used as u64 });
        };
        // SAFETY: so many bytes are there, and nobody else's, by the contract of Buffer::new.
        unsafe { start.write_bytes(0, counted.used) };
        let block = Shared::new(Block { memory: None, start, len: counted.used }, counted.what)?;
        // SAFETY: as above; at most the end of the buffer.
        let rest = Buffer { start: unsafe { start.add(counted.used) }, len: left };
        Ok((Arena { block: Some(block), used: 0, what: counted.what }, rest))
    }

    /// The next `len` values, all zero; none if this arena only counts.
    pub(crate) fn slab<T: Zeroable>(&mut self, len: usize) -> Result<Slab<T>> {
        const { assert!(align_of::<T>() <= ALIGN) };
        Ok(match self.take(len.checked_mul(size_of::<T>()))? {
            Some((start, block)) => Slab { start: start.cast(), len, block: Some(block) },
            None => Slab { start: NonNull::dangling(), len: 0, block: None },
        })
    }

    /// The next bytes, `None` being more than there can be; where they start, unless this arena only counts.
    fn take(&mut self, bytes: Option<usize>) -> Result<Option<(NonNull<u8>, Shared<Block>)>> {
        let start = self.used;
        let end = bytes
            .and_then(|bytes| bytes.checked_next_multiple_of(ALIGN))
            .and_then(|bytes| bytes.checked_add(start))
            .filter(|&end| end <= isize::MAX as usize)
            .ok_or(Error::Memory { what: self.what, bytes: u64::MAX })?;
        self.used = end;
        let Some(block) = &self.block else { return Ok(None) };
        if end > block.len {
            return Err(Error::Memory { what: self.what, bytes: end as u64 });
        }
        // SAFETY: start..end was just checked to lie inside the block.
        let start = unsafe { block.start.add(start) };
        Ok(Some((start, block.clone())))
    }
}

/// Bytes of memory that the machine has, where that can be asked: systems that promise memory they do not have would
/// otherwise kill the process when it is used.
#[cfg(all(feature = "std", unix))]
fn memory_of_machine() -> Option<u64> {
    // SAFETY: sysconf only reads its argument.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).ok()?.checked_mul(u64::try_from(size).ok()?)
}

#[cfg(not(all(feature = "std", unix)))]
fn memory_of_machine() -> Option<u64> {
    None
}

/// Gives whole pages of memory back to the system; they are zero, or as they were, when they are used again.
///
/// # Safety
/// The bytes have to be there, of memory that is private to the process, and nobody else's.
#[cfg(all(feature = "std", unix))]
unsafe fn release(start: NonNull<u8>, len: usize) -> usize {
    // SAFETY: sysconf only reads its argument.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    let skipped = start.addr().get().wrapping_neg() % page;
    let whole = len.saturating_sub(skipped) / page * page;
    if whole == 0 {
        return 0;
    }
    // Apple's systems only take pages back at once if they are told that their contents do not matter.
    let advice = if cfg!(target_vendor = "apple") { libc::MADV_FREE } else { libc::MADV_DONTNEED };
    // SAFETY: whole pages inside of the bytes that the caller vouches for.
    let released = unsafe { libc::madvise(start.add(skipped).as_ptr().cast(), whole, advice) };
    if released == 0 { whole } else { 0 }
}

#[cfg(not(all(feature = "std", unix)))]
unsafe fn release(_start: NonNull<u8>, _len: usize) -> usize {
    0
}

/// A slice carved from an arena.
pub(crate) struct Slab<T> {
    start: NonNull<T>,
    len: usize,
    block: Option<Shared<Block>>,
}

// SAFETY: a slab is the only way to its part of the block, like a Vec, and T is plain data.
unsafe impl<T: Zeroable + Send> Send for Slab<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroable + Sync> Sync for Slab<T> {}

impl<T: Zeroable> Slab<T> {
    /// Gives the memory of the slab's whole pages back to the system, as far as the system gave it; its values are zeros, or
    /// what they were, from then on. How many bytes that were.
    pub(crate) fn release(&mut self) -> usize {
        if self.block.as_ref().is_none_or(|block| block.memory.is_none()) {
            return 0;
        }
        // SAFETY: Arena::slab gave this slab these bytes of a block that Arena::allocate had from the allocator; zeros are
        // values (Zeroable).
        unsafe { release(self.start.cast(), self.len * size_of::<T>()) }
    }
}

impl<T> Deref for Slab<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: Arena::slab gave this slab len values of its own inside the block it keeps alive, zeroed at first.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Slab<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in deref; no other slab has a value of this one.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carve(arena: &mut Arena) -> Result<(Slab<f32>, Slab<i8>)> {
        Ok((arena.slab(5)?, arena.slab(65)?))
    }

    #[test]
    fn a_plan_is_what_is_carved() {
        let mut counting = Arena::counting("test");
        carve(&mut counting).unwrap();
        assert_eq!(counting.used_bytes(), 64 + 128);
        let mut arena = Arena::allocate(&counting).unwrap();
        let (mut floats, bytes) = carve(&mut arena).unwrap();
        assert_eq!((floats.len(), bytes.len()), (5, 65));
        floats.fill(f32::NAN);
        assert!(bytes.iter().all(|&b| b == 0));
        assert!(bytes.as_ptr().addr().is_multiple_of(64));
        assert!(matches!(arena.slab::<u8>(1), Err(Error::Memory { .. })));
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error_with_its_size() {
        let mut counting = Arena::counting("test");
        counting.slab::<u8>(1 << 60).map(drop).unwrap();
        assert_eq!(Arena::allocate(&counting).err(), Some(Error::Memory { what: "test", bytes: 1 << 60 }));
        assert!(counting.slab::<f32>(usize::MAX / 2).is_err());
    }
}
