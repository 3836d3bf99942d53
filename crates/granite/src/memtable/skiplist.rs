//! The memtable's list: one writer at a time, any number of readers that never wait.
//!
//! A skiplist (W. Pugh, 1990) in the manner of LevelDB: nothing is removed or moved until the whole list goes, so readers
//! need no more than acquire loads. Three things differ from the textbook:
//!
//! * **Hints.** A link above the lowest level carries a number that never falls while keys rise: the 8 bytes of the key
//!   after the prefix that the list's keys are expected to share. A smaller or larger hint decides a step without
//!   touching the next node. Hint and link are two loads; the writer stores the link first and readers load the hint
//!   first, so what the link leads to is never after what the hint promised. A hint that is out of date can only make
//!   a search go down early, which the lowest level, that has no hints, puts right.
//! * **Two chances.** One node in four has more than the lowest link (memory), every second one of those goes on by a
//!   level (few steps per level, as steps are what costs).
//! * **Finger.** The writer keeps the path to its last insert and climbs from there when the next key is greater: rising
//!   keys cost the logarithm of their distance.
//!
//! What is upheld here: a link of level `l` leads only to nodes with more than `l` links, as a node is linked at exactly
//! the levels below its height; a search only goes down, so a node reached at `l` has every link that is read of it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::arena::Arena;
use super::node::{HEIGHT_MAX, HINT_END, Node, NodeRef, Target, prefix_of};
use crate::key::Trailer;

/// Rises with the key; [`HINT_END`] and 0 for keys outside of the shared prefix.
fn hint_of(shared: &[u8], key: &[u8]) -> u64 {
    match key.strip_prefix(shared) {
        Some(rest) => prefix_of(rest),
        None if key < shared => 0,
        None => HINT_END,
    }
}

#[derive(Debug)]
struct WriteState {
    arena: Arena,
    /// The last node before the next insert's likely place, per level.
    finger: [NonNull<Node>; HEIGHT_MAX],
    random: u64,
}

// SAFETY: the pointers in `finger` lead into `arena`, which goes along, and nothing in either is bound to a thread.
unsafe impl Send for WriteState {}

impl WriteState {
    /// Xorshift64* (S. Vigna, 2016). One in four is higher than 1, half of those higher than 2, and so on.
    fn random_height(&mut self) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        if bits & 3 != 0 { 1 } else { (2 + (bits >> 2).trailing_zeros() as usize).min(HEIGHT_MAX) }
    }
}

/// A sorted list of entries that only grows.
#[derive(Debug)]
pub(super) struct Skiplist {
    head: NonNull<Node>,
    /// The highest level in use, plus one. Readers may see it late, which costs them steps only.
    height: AtomicUsize,
    shared: Box<[u8]>,
    write: Mutex<WriteState>,
}

// SAFETY: `head` leads into the arena that the list owns. Through a shared reference, nodes are only read and links only
// loaded, as atomics; everything that changes is behind the mutex.
unsafe impl Send for Skiplist {}
// SAFETY: as above.
unsafe impl Sync for Skiplist {}

impl Skiplist {
    /// `shared` is what most keys are expected to begin with; others are welcome, only slower.
    pub(super) fn new(seed: u64, shared: &[u8]) -> Self {
        let mut arena = Arena::new();
        // SAFETY: the arena moves into the list; the pointer is only used while the list lives.
        let head = unsafe { NodeRef::create(&mut arena, HEIGHT_MAX, &[], Trailer::NEWEST, &[]) }.as_ptr();
        // Xorshift stays at 0 for ever; any other start will do.
        let random = (seed ^ 0x9e37_79b9_7f4a_7c15).max(1);
        let write = Mutex::new(WriteState { arena, finger: [head; HEIGHT_MAX], random });
        Self { head, height: AtomicUsize::new(1), shared: shared.into(), write }
    }

    /// What the keys are expected to begin with.
    pub(super) fn shared(&self) -> &[u8] {
        &self.shared
    }

    #[inline]
    fn head(&self) -> NodeRef<'_> {
        // SAFETY: the head was created in the arena that the list owns.
        unsafe { NodeRef::from_ptr(self.head) }
    }

    fn target<'k>(&self, key: &'k [u8], trailer: Trailer) -> Target<'k> {
        Target { key, trailer, prefix: prefix_of(key), hint: hint_of(&self.shared, key) }
    }

    /// The last node before the target and the one that stood after it, searched from `node` at `level` downwards; `visit`
    /// gets the last one before the target of each level.
    ///
    /// # Safety
    /// `node` is the head or before the target, and has a link at `level`.
    #[inline]
    unsafe fn descend<'a>(
        mut node: NodeRef<'a>,
        level: usize,
        target: &Target<'_>,
        mut visit: impl FnMut(usize, NodeRef<'a>),
    ) -> (NodeRef<'a>, Option<NodeRef<'a>>) {
        for level in (1..=level).rev() {
            loop {
                // SAFETY: the caller's word for the first node; every other was reached at this level or a higher one.
                let hint = unsafe { node.hint(level) };
                if hint > target.hint {
                    break;
                }
                // SAFETY: as above.
                let Some(next) = (unsafe { node.next(level) }) else { break };
                if hint == target.hint && !next.is_before(target) {
                    break;
                }
                node = next;
            }
            visit(level, node);
        }
        loop {
            // SAFETY: every node has the lowest link.
            let next = unsafe { node.next(0) };
            match next {
                Some(before) if before.is_before(target) => node = before,
                _ => {
                    visit(0, node);
                    return (node, next);
                }
            }
        }
    }

    fn search(&self, key: &[u8], trailer: Trailer) -> (NodeRef<'_>, Option<NodeRef<'_>>) {
        let top = self.height.load(Ordering::Relaxed) - 1;
        // SAFETY: the head has every link.
        unsafe { Self::descend(self.head(), top, &self.target(key, trailer), |_, _| ()) }
    }

    #[inline]
    pub(super) fn first(&self) -> Option<NodeRef<'_>> {
        self.after(self.head())
    }

    pub(super) fn last(&self) -> Option<NodeRef<'_>> {
        let mut node = self.head();
        for level in (0..self.height.load(Ordering::Relaxed)).rev() {
            // SAFETY: the head has every link; every other node was reached at this level or a higher one.
            while let Some(next) = unsafe { node.next(level) } {
                node = next;
            }
        }
        self.unless_head(node)
    }

    /// The first node at or after the internal key.
    #[inline]
    pub(super) fn at_or_after(&self, key: &[u8], trailer: Trailer) -> Option<NodeRef<'_>> {
        self.search(key, trailer).1
    }

    /// The last node before the internal key.
    pub(super) fn before(&self, key: &[u8], trailer: Trailer) -> Option<NodeRef<'_>> {
        self.unless_head(self.search(key, trailer).0)
    }

    fn unless_head<'a>(&self, node: NodeRef<'a>) -> Option<NodeRef<'a>> {
        (node.as_ptr() != self.head).then_some(node)
    }

    #[inline]
    pub(super) fn after<'a>(&'a self, node: NodeRef<'a>) -> Option<NodeRef<'a>> {
        // SAFETY: every node has the lowest link.
        unsafe { node.next(0) }
    }

    /// Waits until no other writer is left.
    pub(super) fn writer(&self) -> ListWriter<'_> {
        ListWriter { list: self, state: self.write.lock() }
    }
}

/// The right to insert.
#[derive(Debug)]
pub(super) struct ListWriter<'a> {
    list: &'a Skiplist,
    state: MutexGuard<'a, WriteState>,
}

impl<'a> ListWriter<'a> {
    /// What nodes take from the heap, unused rests included.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.state.arena.allocated_bytes()
    }

    /// Readers see the entry when this returns. No two entries may have the same key and trailer.
    pub(super) fn insert(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        let target = self.list.target(key, trailer);
        let list = self.list;
        let finger = &mut self.state.finger;
        let (from, level) = Self::start_of_search(list, finger, &target);
        // SAFETY: `start_of_search` gives a node before the target and a level that it was reached at.
        unsafe {
            Skiplist::descend(from, level, &target, |level, node| {
                if let Some(slot) = finger.get_mut(level) {
                    *slot = node.as_ptr();
                }
            });
        }

        let height = self.state.random_height();
        if height > list.height.load(Ordering::Relaxed) {
            // The finger stands on the head at levels that were not in use.
            list.height.store(height, Ordering::Relaxed);
        }
        // SAFETY: the list owns the arena and outlives this borrow of it.
        let new = unsafe { NodeRef::create(&mut self.state.arena, height, key, trailer, value) };
        for (level, slot) in self.state.finger.iter_mut().enumerate().take(height) {
            // SAFETY: the slot's node is the last one before the key among those with a link at this level, in the same
            // arena, and the mutex keeps other writers out.
            unsafe { NodeRef::from_ptr(*slot).link(level, new, target.hint) };
            *slot = new.as_ptr();
        }
    }

    /// Where to look for the target's place: from the finger if it is before the target, at the lowest level whose next
    /// node is not. The levels above it need no search: their next nodes are further away still.
    fn start_of_search(
        list: &'a Skiplist,
        finger: &[NonNull<Node>; HEIGHT_MAX],
        target: &Target<'_>,
    ) -> (NodeRef<'a>, usize) {
        let top = list.height.load(Ordering::Relaxed) - 1;
        // SAFETY: the finger leads to nodes of the list.
        let mut fingers = finger.iter().map(|&node| unsafe { NodeRef::from_ptr(node) }).enumerate();
        let is_before = |node: NodeRef<'_>| node.as_ptr() == list.head || node.is_before(target);
        match fingers.next() {
            // SAFETY: every node has the lowest link.
            Some((_, lowest)) if is_before(lowest) => match unsafe { lowest.next(0) } {
                Some(next) if next.is_before(target) => {}
                _ => return (lowest, 0),
            },
            _ => return (list.head(), top),
        }
        for (level, node) in fingers.take(top) {
            // SAFETY: the finger of a level stands on nodes with a link at that level. Only this thread changes hints.
            let hint = unsafe { node.hint(level) };
            // Where the hint alone does not decide, climb on: a search from further up finds the same place.
            if hint > target.hint {
                return (node, level);
            }
        }
        (list.head(), top)
    }
}
