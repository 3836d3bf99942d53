//! Counts what the calling thread allocates in Rust. What C libraries allocate is not seen: a context of Zstandard, about 1 MB.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    calls: u64,
    /// Bytes allocated and not freed, by this thread.
    bytes: i64,
    peak: i64,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { calls: 0, bytes: 0, peak: 0 }) };
}

fn note(bytes: i64) {
    // A thread that is ending allocates without being counted.
    let _counted = COUNTS.try_with(|counts| {
        let mut now = counts.get();
        now.calls += u64::from(bytes > 0);
        now.bytes += bytes;
        now.peak = now.peak.max(now.bytes);
        counts.set(now);
    });
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator that `work` makes in this thread.
pub fn count_allocations(work: impl FnOnce()) -> u64 {
    let before = COUNTS.get().calls;
    work();
    COUNTS.get().calls - before
}

/// Most bytes that `work` holds at a time in this thread, beyond what was held before.
pub fn peak_bytes(work: impl FnOnce()) -> i64 {
    let mut counts = COUNTS.get();
    let before = counts.bytes;
    counts.peak = before;
    COUNTS.set(counts);
    work();
    COUNTS.get().peak - before
}
