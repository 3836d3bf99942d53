//! New roots come, and those go that nobody looks at any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::root::Root;
use super::{Inner, Writer};
use crate::id::{CommitTime, TxnId};
use crate::options::LongReader;
use crate::store::Directory;
use crate::tree::{Allocator, Changes};

impl Inner {
    /// Makes the pages of a transaction known, whose record is in the log. Returns what its commit waits for.
    pub(super) fn install(
        &self,
        writer: &mut Writer,
        changes: Changes,
        directory: Directory,
        time: CommitTime,
        durable: bool,
    ) -> TxnId {
        let txn = changes.txn;
        let mut space = Allocator::File { space: &mut writer.space, page_size: self.store.page_size() };
        let (pages, freed) = changes.finish(&mut space);
        self.store.insert_unwritten(pages);
        let root = Arc::new(Root { txn, time, directory: Arc::new(directory), _past: None });
        writer.latest = Arc::clone(&root);
        writer.live.push(Arc::clone(&root));
        let mut gone = Vec::new();
        freed.into_iter().for_each(|freed| writer.space.place(freed, &mut gone));
        writer.space.add_live(txn);
        self.store.forget(gone.into_iter());
        self.group.enqueue(txn, root, durable)
    }

    /// Lets go of states that nobody looks at any more.
    pub(super) fn reclaim(&self, writer: &mut Writer) {
        let mut gone = Vec::new();
        let newest = writer.live.len().saturating_sub(1);
        let mut place = 0;
        let space = &mut writer.space;
        writer.live.retain_mut(|root| {
            // Whoever else has it holds a reference: readers, the visible pointer, the queue of commits. `get_mut` also makes what they
            // did with it happen before its pages are given out again.
            let keep = place == newest || Arc::get_mut(root).is_none();
            place += 1;
            if !keep {
                space.remove_live(root.txn, &mut gone);
            }
            keep
        });
        if !gone.is_empty() {
            self.store.forget(gone.into_iter());
        }
    }

    /// The oldest snapshot, if too much waits for it and nobody was told yet.
    pub(super) fn long_reader(&self, writer: &Writer) -> Option<LongReader> {
        self.options.on_long_reader.as_ref()?;
        let oldest = writer.live.first().filter(|_| writer.live.len() > 2)?;
        let held_len = writer.space.held_pages(oldest.txn) * self.store.page_size() as u64;
        if held_len <= self.options.long_reader_len {
            self.long_reader_told.store(false, Ordering::Relaxed);
            return None;
        }
        if self.long_reader_told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let age = self.vfs.now().saturating_sub(oldest.time.since_epoch());
        Some(LongReader { txn: oldest.txn, age, held_len })
    }
}
