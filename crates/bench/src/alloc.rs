//! A global allocator that counts what each thread allocates.
//!
//! Counts are kept per thread: an operation is charged with what its own thread allocated, so that background work
//! of an engine does not make the figure depend on timing. Engines in C or C++ do not allocate through it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Constant and without a destructor: reading it never allocates, not even while a thread starts or ends.
    static COUNTS: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0 }) };
}

/// What a thread has allocated so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Calls of `alloc` and `realloc`.
    pub count: u64,
    /// Bytes asked for by them.
    pub bytes: u64,
}

impl Allocations {
    /// What was allocated between `earlier` and this reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { count: self.count - earlier.count, bytes: self.bytes - earlier.bytes }
    }
}

/// The calling thread's counts. All zero in a program that does not use [`CountingAllocator`].
#[must_use]
pub fn thread_allocations() -> Allocations {
    COUNTS.get()
}

fn count(bytes: usize) {
    let counts = COUNTS.get();
    COUNTS.set(Allocations { count: counts.count + 1, bytes: counts.bytes + bytes as u64 });
}

/// The system's allocator, counted. A program installs it with `#[global_allocator]`.
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingAllocator;

// SAFETY: every call is passed on unchanged to `System`, which upholds the contract; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn counts_the_allocations_of_the_calling_thread_alone() {
        let before = thread_allocations();
        let kept = std::hint::black_box(vec![0_u8; 1000]);
        let own = thread_allocations().since(before);
        assert_eq!((own.count, own.bytes), (1, 1000));
        drop(kept);

        let (ready, wait) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            wait.recv().expect("the main thread sends");
            drop(std::hint::black_box(vec![0_u8; 1 << 20]));
        });
        let before = thread_allocations();
        ready.send(()).expect("the thread waits");
        other.join().expect("the thread ends well");
        assert!(thread_allocations().since(before).bytes < 1 << 20, "another thread's allocation was charged here");
    }
}
