//! Memory for the nodes of one skiplist: handed out upwards, never moved, given back all at once.
//!
//! What is upheld here: every pointer that [`Arena::allocate`] returns is aligned to 8 bytes, is valid for reads and
//! writes of the requested size until the arena is dropped, and overlaps no other allocation of the arena.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

const ALIGN: usize = 8;
/// The first chunk is small because a process holds many memtables that stay empty.
const CHUNK_LEN_MIN: usize = 4 << 10;
/// Bounds the unused rest of the last chunk.
const CHUNK_LEN_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
}

/// A growing list of chunks.
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The first free byte of the chunk that is being filled.
    free: NonNull<u8>,
    free_len: usize,
    chunk_bytes: usize,
}

// SAFETY: the arena owns its chunks alone and has no interior mutability; nothing in it is bound to a thread.
unsafe impl Send for Arena {}

impl Arena {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: NonNull::dangling(), free_len: 0, chunk_bytes: 0 }
    }

    /// What the arena takes from the heap, unused rests included.
    pub(super) const fn allocated_bytes(&self) -> usize {
        self.chunk_bytes + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Uninitialised memory of `len` bytes (at least one), aligned to 8.
    pub(super) fn allocate(&mut self, len: usize) -> NonNull<u8> {
        let len = len.next_multiple_of(ALIGN);
        if len > self.free_len {
            // Chunks grow with what is already in use, so that the unused rest stays a bounded share of it.
            let chunk_len = (self.chunk_bytes / 2).next_multiple_of(CHUNK_LEN_MIN).clamp(CHUNK_LEN_MIN, CHUNK_LEN_MAX);
            if len > chunk_len / 8 {
                // Dropping the rest of the current chunk for something so large would waste too much of it.
                return self.add_chunk(len);
            }
            self.free = self.add_chunk(chunk_len);
            self.free_len = chunk_len;
        }
        let allocation = self.free;
        // SAFETY: `len <= free_len`, and the `free_len` bytes from `free` on belong to one chunk.
        self.free = unsafe { self.free.add(len) };
        self.free_len -= len;
        allocation
    }

    fn add_chunk(&mut self, len: usize) -> NonNull<u8> {
        // SAFETY: `ALIGN` is a power of two, and `len` is a multiple of it far below `isize::MAX` (the largest entry
        // is `MAX_KEY_LEN + MAX_VALUE_LEN` and a tower).
        let layout = unsafe { Layout::from_size_align_unchecked(len, ALIGN) };
        // SAFETY: the layout's size is not zero: both callers pass at least `ALIGN`.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        self.chunks.push(Chunk { start, layout });
        self.chunk_bytes += len;
        start
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            // SAFETY: the chunk was allocated with this layout and is freed only here.
            unsafe { dealloc(chunk.start.as_ptr(), chunk.layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_aligned_apart_and_keep_what_is_written_to_them() {
        let mut arena = Arena::new();
        let lens = [1, 8, 9, 600, 3, 5_000, 17, 70_000, 1, 255];
        let blocks: Vec<_> = (0..if cfg!(miri) { 40 } else { 2_000 })
            .map(|index| {
                let len = lens[index % lens.len()];
                let block = arena.allocate(len);
                assert_eq!(block.as_ptr().addr() % ALIGN, 0);
                // SAFETY: the arena gave `len` bytes at `block`.
                unsafe { block.write_bytes(index as u8, len) }
                (block, len, index as u8)
            })
            .collect();
        for (block, len, fill) in blocks {
            // SAFETY: the bytes were written above and the arena still lives.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), len) };
            assert!(bytes.iter().all(|&byte| byte == fill), "an allocation overlaps another");
        }
    }

    #[test]
    fn a_large_entry_takes_its_own_size_and_small_ones_do_not_waste_chunks() {
        let mut arena = Arena::new();
        arena.allocate(16);
        let before = arena.allocated_bytes();
        assert!(before < 5 << 10, "an empty memtable must stay small: {before}");
        arena.allocate(3 << 20);
        assert!(arena.allocated_bytes() - before < (3 << 20) + 256);

        let mut arena = Arena::new();
        let entries = if cfg!(miri) { 1_000 } else { 100_000 };
        for _ in 0..entries {
            arena.allocate(152);
        }
        let wanted = entries * 152;
        assert!(arena.allocated_bytes() < wanted + (wanted / 2).min(CHUNK_LEN_MAX) + (CHUNK_LEN_MIN * 2));
    }
}
