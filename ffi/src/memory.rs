//! Floor 7. Where the library's own memory comes from: the heap of the process, or one block of the caller's.
//!
//! Invariant: memory goes back to where it came from, as the block cannot be exchanged once it is set, and the reserve is told by its address.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::hint::spin_loop;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use linked_list_allocator::Heap;

use crate::boundary::Caller;
use crate::status::{BANTAM_ARGUMENT, BANTAM_STATE, Failure, bantam_error, bantam_status, fail};

/// Where all of the library's memory comes from.
struct Source {
    /// Whether the block is used; it stays so.
    is_set: AtomicBool,
    block: Locked,
    used: AtomicUsize,
    peak: AtomicUsize,
}

/// A heap that one thread at a time takes from.
struct Locked {
    /// Taken for the time of an allocation.
    lock: AtomicBool,
    heap: UnsafeCell<Heap>,
}

// SAFETY: the heap is only reached with the lock, in Locked::with.
unsafe impl Sync for Locked {}

#[global_allocator]
static SOURCE: Source = Source {
    is_set: AtomicBool::new(false),
    block: Locked::empty(),
    used: AtomicUsize::new(0),
    peak: AtomicUsize::new(0),
};

impl Locked {
    const fn empty() -> Locked {
        Locked { lock: AtomicBool::new(false), heap: UnsafeCell::new(Heap::empty()) }
    }

    fn with<R>(&self, body: impl FnOnce(&mut Heap) -> R) -> R {
        while self.lock.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        // SAFETY: whoever turned the lock is alone with the heap until it is turned back.
        let result = body(unsafe { &mut *self.heap.get() });
        self.lock.store(false, Ordering::Release);
        result
    }

    /// Memory of that layout, or NULL. There are two heaps, and this is compiled once.
    #[inline(never)]
    fn take(&self, layout: Layout) -> *mut u8 {
        self.with(|heap| heap.allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr))
    }

    /// # Safety
    /// [`Locked::take`] gave it, with that layout.
    #[inline(never)]
    unsafe fn give_back(&self, start: NonNull<u8>, layout: Layout) {
        // SAFETY: this function's contract.
        self.with(|heap| unsafe { heap.deallocate(start, layout) });
    }
}

impl Source {
    fn count(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

// SAFETY: memory comes from the system's allocator, or from a heap in a block that is there for good, with the layout that was asked
// for; which of them is fixed before the first allocation (bantam_set_memory).
unsafe impl GlobalAlloc for Source {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = if self.is_set.load(Ordering::Relaxed) {
            self.block.take(layout)
        } else {
            // SAFETY: the caller's contract.
            unsafe { system::alloc(layout) }
        };
        let start = if start.is_null() { reserve::alloc(layout) } else { start };
        if !start.is_null() {
            self.count(layout.size());
        }
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let start = if self.is_set.load(Ordering::Relaxed) {
            // SAFETY: the caller's contract.
            unsafe { self.alloc(layout) }
        } else {
            // SAFETY: the caller's contract. Fresh pages are zero, and cost nothing until they are used.
            let start = unsafe { system::alloc_zeroed(layout) };
            let fresh = !start.is_null();
            let start = if fresh { start } else { reserve::alloc(layout) };
            if !start.is_null() {
                self.count(layout.size());
            }
            if fresh {
                return start;
            }
            start
        };
        if !start.is_null() {
            // SAFETY: just given, with so many bytes.
            unsafe { start.write_bytes(0, layout.size()) };
        }
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Ordering::Relaxed);
        match NonNull::new(start) {
            // SAFETY: given by it with this layout, by the caller's contract, as no other memory has its addresses.
            Some(start) if reserve::has(start) => unsafe { reserve::dealloc(start, layout) },
            Some(start) if self.is_set.load(Ordering::Relaxed) => {
                // SAFETY: given by alloc with this layout, by the caller's contract.
                unsafe { self.block.give_back(start, layout) };
            }
            // SAFETY: given by alloc with this layout, by the caller's contract.
            _ => unsafe { system::dealloc(start, layout) },
        }
    }
}

/// What is left when memory is refused, for the few small things that the standard library takes without being able to be refused: a thread, a path,
/// an `Arc`. The runtime asks for as much before it does (`room`), and has an error where nothing is left.
#[cfg(feature = "std")]
mod reserve {
    use core::alloc::Layout;
    use core::cell::UnsafeCell;
    use core::ptr::{NonNull, null_mut};

    use super::Locked;

    const BYTES: usize = 16 << 10;
    /// The most bytes at once.
    const LARGEST: usize = 512;

    #[repr(align(16))]
    struct Memory(UnsafeCell<[u8; BYTES]>);

    // SAFETY: only the heap uses it, which is behind a lock.
    unsafe impl Sync for Memory {}

    static MEMORY: Memory = Memory(UnsafeCell::new([0; BYTES]));
    static HEAP: Locked = Locked::empty();

    #[inline(never)]
    pub(super) fn alloc(layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST {
            return null_mut();
        }
        HEAP.with(|heap| {
            if heap.size() == 0 {
                // SAFETY: nothing else uses the memory, which stays.
                unsafe { heap.init(MEMORY.0.get().cast(), BYTES) };
            }
        });
        HEAP.take(layout)
    }

    /// Whether that comes from here.
    pub(super) fn has(start: NonNull<u8>) -> bool {
        start.addr().get().wrapping_sub(MEMORY.0.get().addr()) < BYTES
    }

    /// # Safety
    /// [`alloc`] gave it, with that layout.
    pub(super) unsafe fn dealloc(start: NonNull<u8>, layout: Layout) {
        // SAFETY: this function's contract.
        unsafe { HEAP.give_back(start, layout) };
    }
}

/// Without an operating system there are no threads and no paths, and memory is dear.
#[cfg(not(feature = "std"))]
mod reserve {
    use core::alloc::Layout;
    use core::ptr::{NonNull, null_mut};

    pub(super) fn alloc(_layout: Layout) -> *mut u8 {
        null_mut()
    }

    pub(super) fn has(_start: NonNull<u8>) -> bool {
        false
    }

    pub(super) unsafe fn dealloc(_start: NonNull<u8>, _layout: Layout) {}
}

/// The allocator of the process.
#[cfg(feature = "std")]
mod system {
    use core::alloc::{GlobalAlloc, Layout};
    use std::alloc::System;

    pub(super) unsafe fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    pub(super) unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    pub(super) unsafe fn dealloc(start: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(start, layout) }
    }
}

/// Without an operating system there is none.
#[cfg(not(feature = "std"))]
mod system {
    use core::alloc::Layout;
    use core::ptr::null_mut;

    pub(super) unsafe fn alloc(_layout: Layout) -> *mut u8 {
        null_mut()
    }

    pub(super) unsafe fn alloc_zeroed(_layout: Layout) -> *mut u8 {
        null_mut()
    }

    pub(super) unsafe fn dealloc(_start: *mut u8, _layout: Layout) {}
}

/// Has all of the library's memory come from one block: no malloc, ever. A library without an operating system has no other memory, and needs
/// this before anything else.
///
/// With an operating system, the system itself may take memory to start threads: use sessions of 1 thread, or an executor. Calls for which the
/// block is too small return BANTAM_MEMORY; only templates and grammars are compiled by code that cannot be refused memory, and end the process
/// then: leave room for them, as bantam_memory_peak tells.
///
/// Ownership: the block is the library's until the process ends. Threads: before all others call the library.
/// Errors: BANTAM_ARGUMENT for NULL or less than 64 bytes, BANTAM_STATE if the library has taken memory already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bantam_set_memory(
    memory: *mut c_void,
    bytes: usize,
    error: *mut bantam_error,
) -> bantam_status {
    let body = |caller: Caller| {
        let block = caller.slice_mut(memory.cast::<u8>(), bytes, "the memory")?;
        if block.len() < 64 {
            return Err(fail!(BANTAM_ARGUMENT, "{bytes} bytes are too few to be the library's memory"));
        }
        let taken = || -> Failure {
            fail!(BANTAM_STATE, "the library has taken memory already: set it before any other call")
        };
        if SOURCE.used.load(Ordering::Relaxed) != 0 || SOURCE.is_set.load(Ordering::Relaxed) {
            return Err(taken());
        }
        // SAFETY: the caller promised the block for good.
        SOURCE.block.with(|heap| unsafe { heap.init(block.as_mut_ptr(), block.len()) });
        SOURCE.is_set.store(true, Ordering::Release);
        Ok(())
    };
    // SAFETY: the caller keeps to what the header says of the pointers.
    unsafe { crate::boundary::call_first(error, body) }
}

/// The most bytes that the library had of its own at once, sessions included that are in no memory of the caller's: what a block for
/// bantam_set_memory needs, and a little more, as allocations lie apart.
///
/// Ownership: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_memory_peak() -> usize {
    SOURCE.peak.load(Ordering::Relaxed)
}

/// The bytes that the library has of its own at the moment.
///
/// Ownership: none. Threads: any. Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn bantam_memory_used() -> usize {
    SOURCE.used.load(Ordering::Relaxed)
}
