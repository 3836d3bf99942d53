//! One entry of the skiplist as it lies in the arena, and the only code that knows its layout.
//!
//! ```text
//! ... | next 2 | hint 2 | next 1 | hint 1 | next 0 | trailer | key len, value len | key | value
//!                                                  ^ the node's address
//! ```
//! The tower grows downwards from the node's address, so that the lowest link, which every search reads, shares a cache
//! line with the key's first bytes. Keys of fewer than 8 bytes are padded with zeros to 8: the first 8 bytes of every
//! key can be compared as one big-endian number.
//!
//! Links above the lowest carry a *hint*: a number that rises with the key of the node they lead to (see
//! [`super::skiplist`]). A search mostly decides by it and leaves the cache line of the rejected node alone.
//!
//! What is upheld here: a [`NodeRef`] always leads to a node that [`NodeRef::create`] has initialised in full and whose
//! arena outlives it; everything in a node but its links is immutable from its creation on; links are only touched as
//! atomics, and a node is published by a release store after everything in it was written.

use std::cmp::Ordering as Order;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::arena::Arena;
use crate::key::{MAX_KEY_LEN, MAX_VALUE_LEN, Trailer};

/// Enough for some million entries at the chances of [`super::skiplist`].
pub(super) const HEIGHT_MAX: usize = 20;

/// The hint of a link that leads nowhere: no target lies after it for certain.
pub(super) const HINT_END: u64 = u64::MAX;

const PREFIX_LEN: usize = 8;
const NEXT_LEN: usize = size_of::<AtomicPtr<Node>>();
/// Next and hint.
const LINK_LEN: usize = 16;

/// The fixed part of an entry.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Node {
    trailer: Trailer,
    key_len: u32,
    value_len: u32,
}

/// The first 8 bytes of `key` as a big-endian number, padded with zeros: it never falls while the key rises.
#[inline]
pub(super) fn prefix_of(key: &[u8]) -> u64 {
    match key.first_chunk::<PREFIX_LEN>() {
        Some(first) => u64::from_be_bytes(*first),
        None => key.iter().zip(0u32..).fold(0, |prefix, (&byte, at)| prefix | u64::from(byte) << (56 - 8 * at)),
    }
}

/// An internal key to look for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'k> {
    pub(super) key: &'k [u8],
    pub(super) trailer: Trailer,
    pub(super) prefix: u64,
    pub(super) hint: u64,
}

/// A node of an arena that lives for `'a`.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeRef<'a> {
    node: NonNull<Node>,
    arena: PhantomData<&'a Node>,
}

impl<'a> NodeRef<'a> {
    /// # Safety
    /// `node` came from [`NodeRef::as_ptr`] and its arena lives for `'a`.
    #[inline]
    pub(super) const unsafe fn from_ptr(node: NonNull<Node>) -> Self {
        Self { node, arena: PhantomData }
    }

    #[inline]
    pub(super) const fn as_ptr(self) -> NonNull<Node> {
        self.node
    }

    /// Writes a node with `height` links (1 to [`HEIGHT_MAX`]) that all lead nowhere.
    ///
    /// # Safety
    /// The arena lives for `'a`.
    pub(super) unsafe fn create(arena: &mut Arena, height: usize, key: &[u8], trailer: Trailer, value: &[u8]) -> Self {
        assert!(key.len() <= MAX_KEY_LEN && value.len() <= MAX_VALUE_LEN, "the lengths were checked by the batch");
        assert!((1..=HEIGHT_MAX).contains(&height));
        let tower_len = NEXT_LEN + (height - 1) * LINK_LEN;
        let key_area = key.len().max(PREFIX_LEN);
        let start = arena.allocate(tower_len + size_of::<Node>() + key_area + value.len());
        // SAFETY: the allocation holds the tower, the node, the key's area and the value one after the other, and nobody
        // else knows of it yet. The tower's length is a multiple of 8, so the node is aligned.
        unsafe {
            let node = start.add(tower_len).cast::<Node>();
            node.write(Node { trailer, key_len: key.len() as u32, value_len: value.len() as u32 });
            let key_start = node.add(1).cast::<u8>().as_ptr();
            if key.len() < PREFIX_LEN {
                key_start.write_bytes(0, PREFIX_LEN);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), key_start, key.len());
            ptr::copy_nonoverlapping(value.as_ptr(), key_start.add(key_area), value.len());
            let created = Self::from_ptr(node);
            for level in 0..height {
                created.next_address(level).write(AtomicPtr::new(ptr::null_mut()));
                if level > 0 {
                    created.hint_address(level).write(AtomicU64::new(HINT_END));
                }
            }
            created
        }
    }

    /// # Safety
    /// The node has a link at `level`.
    #[inline]
    const unsafe fn next_address(self, level: usize) -> NonNull<AtomicPtr<Node>> {
        // SAFETY: by the layout that `create` allocates, for a level that the node has.
        unsafe { self.node.byte_sub(NEXT_LEN + level * LINK_LEN).cast() }
    }

    /// # Safety
    /// The node has a link at `level`, and `level` is not 0.
    #[inline]
    const unsafe fn hint_address(self, level: usize) -> NonNull<AtomicU64> {
        // SAFETY: by the layout that `create` allocates, for a level that the node has.
        unsafe { self.node.byte_sub(level * LINK_LEN).cast() }
    }

    /// The node after this one at `level`.
    ///
    /// # Safety
    /// The node has a link at `level`.
    #[inline]
    pub(super) unsafe fn next(self, level: usize) -> Option<Self> {
        // SAFETY: the link exists by the caller's word, is initialised and lives for `'a`. What it leads to was published
        // by `link` in the same arena.
        unsafe {
            let next = self.next_address(level).as_ref().load(Ordering::Acquire);
            NonNull::new(next).map(|node| Self::from_ptr(node))
        }
    }

    /// At least the hint of the node that a later [`NodeRef::next`] gives; [`HINT_END`] where there is none.
    ///
    /// # Safety
    /// The node has a link at `level`, and `level` is not 0.
    #[inline]
    pub(super) unsafe fn hint(self, level: usize) -> u64 {
        // SAFETY: the link exists by the caller's word, is initialised and lives for `'a`.
        unsafe { self.hint_address(level).as_ref().load(Ordering::Acquire) }
    }

    /// Puts `new` between this node and the one after it at `level`; readers see it from now on.
    ///
    /// # Safety
    /// Both have a link at `level`, both are in the same arena, `new` is not yet linked at `level`, and no other thread
    /// changes links.
    #[inline]
    pub(super) unsafe fn link(self, level: usize, new: Self, new_hint: u64) {
        // SAFETY: the links exist by the caller's word, are initialised and live for `'a`.
        unsafe {
            let next = self.next_address(level).as_ref();
            new.next_address(level).as_ref().store(next.load(Ordering::Relaxed), Ordering::Relaxed);
            if level > 0 {
                let hint = self.hint_address(level).as_ref();
                new.hint_address(level).as_ref().store(hint.load(Ordering::Relaxed), Ordering::Relaxed);
                next.store(new.node.as_ptr(), Ordering::Release);
                // After the link: who sees this hint then loads this link or a later one, which leads no further.
                hint.store(new_hint, Ordering::Release);
            } else {
                next.store(new.node.as_ptr(), Ordering::Release);
            }
        }
    }

    #[inline]
    fn fixed(self) -> &'a Node {
        // SAFETY: the node is initialised and never changes while its arena lives.
        unsafe { self.node.as_ref() }
    }

    #[inline]
    fn key_start(self) -> *const u8 {
        // SAFETY: the key's area of at least 8 bytes follows the fixed part in the same allocation.
        unsafe { self.node.add(1).cast::<u8>().as_ptr() }
    }

    #[inline]
    fn prefix(self) -> u64 {
        // SAFETY: the key's area has at least 8 initialised bytes, aligned to 8 as the node is.
        u64::from_be(unsafe { self.key_start().cast::<u64>().read() })
    }

    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        // SAFETY: `create` wrote `key_len` bytes there; they never change while the arena lives.
        unsafe { std::slice::from_raw_parts(self.key_start(), self.fixed().key_len as usize) }
    }

    #[inline]
    pub(super) fn trailer(self) -> Trailer {
        self.fixed().trailer
    }

    #[inline]
    pub(super) fn value(self) -> &'a [u8] {
        let fixed = self.fixed();
        let key_area = (fixed.key_len as usize).max(PREFIX_LEN);
        // SAFETY: `create` wrote `value_len` bytes after the key's area; they never change while the arena lives.
        unsafe { std::slice::from_raw_parts(self.key_start().add(key_area), fixed.value_len as usize) }
    }

    /// True if the node stands strictly before the target.
    #[inline]
    pub(super) fn is_before(self, target: &Target<'_>) -> bool {
        let prefix = self.prefix();
        if prefix != target.prefix {
            return prefix < target.prefix;
        }
        match self.key().cmp(target.key) {
            Order::Less => true,
            Order::Equal => self.trailer() > target.trailer,
            Order::Greater => false,
        }
    }
}
