//! Checkpoints: the newest root becomes one that a start finds, so that the log before it is not needed any more.
//!
//! The order is what makes it safe: the log is synced; pages are written; a barrier; the meta is written; a barrier. Pages and meta never
//! share a sync. Pages of the last two metas, of retained and pinned roots and of snapshots are not given out again before the next meta is
//! durable that does not need them. Commits go on meanwhile; the writer's lock is held only to collect what is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inner, Retained, Writer};
use crate::error::{Error, Result};
use crate::id::{CommitTime, PageId, TxnId};
use crate::log::AppendError;
use crate::options::Background;
use crate::page::{Page, PageKind, run_pages};
use crate::store::{Catalog, Meta, RootRecord, Run, content_run};

/// Retained roots beside the newest and the pinned ones. Between two of them the log is replayed.
const RETAINED_MAX: usize = 64;
/// Beyond this multiple of what makes a checkpoint due, a committer waits for it.
const OVERDUE_FACTOR: u64 = 4;

/// How urgent a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    No,
    Soon,
    Now,
}

impl Inner {
    pub(super) fn checkpoint_due(&self, writer: &Writer) -> Due {
        let log_len = writer.appended_len - writer.checkpointed_at;
        let (log_max, pages_max) = (self.options.checkpoint_log_len, self.options.memory_budget as u64 / 4);
        let unwritten = self.store.unwritten_len() as u64;
        if log_len >= log_max.saturating_mul(OVERDUE_FACTOR) || unwritten >= pages_max * 3 {
            Due::Now
        } else if log_len >= log_max || unwritten >= pages_max {
            Due::Soon
        } else {
            Due::No
        }
    }

    /// What a commit does beside committing. A full disk is no failure of the commit, which is in the log.
    pub(super) fn after_commit(&self, due: Due) -> Result<()> {
        if due == Due::No {
            return Ok(());
        }
        let has_worker = self.options.background == Background::Thread && self.bell.ring();
        if !has_worker || due == Due::Now {
            return match self.checkpoint() {
                // The commit is acknowledged; who wants to know asks for a checkpoint. What went wrong with a sync, all will know.
                Err(Error::StorageFull { .. }) => Ok(()),
                other => other,
            };
        }
        Ok(())
    }

    /// Writes a checkpoint if there is anything that the newest lacks.
    pub(super) fn checkpoint(&self) -> Result<()> {
        self.checkpoint_with(|_| Ok(()))
    }

    /// As [`checkpoint`](Self::checkpoint), after a change of what it writes beside the newest state.
    pub(super) fn checkpoint_with(&self, change: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        let _one_at_a_time = self.checkpointing.lock();
        let mut writer = self.writer.lock();
        self.group.check()?;
        change(&mut writer)?;
        if writer.latest.txn == writer.meta.root.txn && !writer.pins_changed {
            return Ok(());
        }
        let latest = writer.latest.txn;
        if writer.log.position().offset >= self.options.segment_len {
            self.rotate_log(&mut writer)?;
        }
        self.reclaim(&mut writer);
        let meta = self.collect(&mut writer)?;
        writer.pins_changed = false;
        let reached = writer.appended_len;
        drop(writer);

        let written = self.write_meta(latest, &meta);
        let mut writer = self.writer.lock();
        if let Err(error) = written {
            writer.pins_changed = true;
            return Err(error);
        }
        match writer.roots.last_mut().filter(|root| root.record.txn == meta.root.txn) {
            Some(same) => same.record = meta.root,
            None => writer.roots.push(Retained { record: meta.root, lease: Arc::default() }),
        }
        writer.meta = meta;
        writer.checkpointed_at = reached;
        let mut gone = Vec::new();
        writer.space.checkpoint_done(&mut gone);
        self.store.forget(gone.into_iter());
        drop(writer);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.remove_old_segments()
    }

    fn rotate_log(&self, writer: &mut Writer) -> Result<()> {
        self.group.sync_all()?;
        let first = writer.latest.txn.next();
        match writer.log.rotate(self.vfs.random_u64(), first) {
            Ok(()) => {
                self.group.switch_file(Arc::clone(writer.log.file()));
                Ok(())
            }
            Err(AppendError::Refused(error) | AppendError::Cut(error)) => Err(error),
            Err(AppendError::Broken(error)) => {
                self.group.poison(&error);
                Err(error)
            }
        }
    }

    /// Persistent roots that stay beside the one that is about to be written.
    fn kept(&self, writer: &Writer, pinned: &[TxnId]) -> Vec<TxnId> {
        let now = CommitTime::from_clock(self.vfs.now());
        let retention = &self.options.retention;
        let cutoff_time =
            CommitTime(now.0.saturating_sub(u64::try_from(retention.time.as_micros()).unwrap_or(u64::MAX)));
        let cutoff_txn = TxnId(writer.latest.txn.0.saturating_sub(retention.transactions));
        // The newest root that is old enough is where the oldest state in the window is replayed from.
        let old_enough = |root: &&Retained| root.record.time <= cutoff_time && root.record.txn <= cutoff_txn;
        let base = writer.roots.iter().rev().find(old_enough).map_or(TxnId::ZERO, |root| root.record.txn);
        let mut window: Vec<TxnId> =
            writer.roots.iter().map(|root| root.record.txn).filter(|txn| *txn >= base).collect();
        while window.len() > RETAINED_MAX {
            let newest = window.len() - 1;
            let mut place = 0..;
            // Every second one, but never the newest: between two of them the log is replayed.
            window.retain(|_| place.next().is_none_or(|place| place % 2 == 0 || place == newest));
        }
        let leased = writer.roots.iter().filter(|root| Arc::strong_count(&root.lease) > 1).map(|root| root.record.txn);
        window.extend(leased);
        window.extend(pinned);
        window.push(writer.meta.root.txn);
        // Readers of other processes, who need the log from there on too.
        window.extend(self.shared.readers());
        window
    }

    /// Lays out everything that belongs to the meta of the newest root, as pages that are not in the file yet.
    fn collect(&self, writer: &mut Writer) -> Result<Meta> {
        let (store, page_size) = (&*self.store, self.store.page_size());
        let latest = Arc::clone(&writer.latest);
        let txn = latest.txn;
        let is_new = txn != writer.meta.root.txn;
        let pinned: Vec<TxnId> = writer.pins.iter().map(|(_, txn)| *txn).collect();
        let kept = self.kept(writer, &pinned);
        let old_directory =
            (Run { start: writer.meta.root.directory, pages: writer.meta.root.directory_pages }, writer.meta.root.txn);
        let mut replaced = std::mem::take(&mut writer.meta_runs);
        if !is_new {
            // The state is the same, and with it its directory.
            replaced.retain(|run| *run != old_directory);
            writer.meta_runs.push(old_directory);
        }
        // From here on nobody can take a lease on what is dropped.
        writer.roots.retain(|root| kept.contains(&root.record.txn));
        writer.space.begin_checkpoint(store, txn, &kept, &replaced)?;
        let mut pages: Vec<(PageId, Page)> = Vec::new();
        let mut add = |writer: &mut Writer, kind, id, content: &[u8], run_len: usize| {
            let mut content = content.to_vec();
            content.resize(run_len.max(content.len()), 0);
            let page = content_run(kind, id, txn, &content, page_size);
            writer.meta_runs.push((Run { start: id, pages: (page.len() / page_size) as u32 }, txn));
            pages.push((id, page));
        };
        let mut root = RootRecord { log: writer.log.position(), txn, time: latest.time, ..writer.meta.root };
        if is_new {
            let content = latest.directory.encode();
            root.directory_pages = run_pages(content.len(), page_size);
            root.directory = writer.space.allocate_for_checkpoint(store, root.directory_pages)?;
            add(writer, PageKind::Directory, root.directory, &content, 0);
        }
        let roots: Vec<RootRecord> =
            writer.roots.iter().map(|root| root.record).filter(|record| record.txn != txn).collect();
        let names_len: usize = writer.pins.iter().map(|(name, _)| name.len()).sum();
        // Taking pages may add a bucket.
        let buckets = writer.space.bucket_count() + 2;
        let catalog_len = Catalog::len_max(roots.len(), writer.pins.len(), buckets) + names_len;
        let catalog_pages = run_pages(catalog_len, page_size);
        let catalog_id = writer.space.allocate_for_checkpoint(store, catalog_pages)?;
        let mut lists = Vec::new();
        let space = writer.space.finish_checkpoint(store, txn, &mut lists)?;
        let catalog = Catalog { roots, pins: writer.pins.clone(), space };
        add(writer, PageKind::Catalog, catalog_id, &catalog.encode(), catalog_len);
        store.insert_unwritten(pages.into_iter().chain(lists));
        Ok(Meta {
            page_size,
            page_count: writer.space.page_count(),
            number: writer.meta.number + 1,
            identity: self.identity,
            root,
            catalog: catalog_id,
            catalog_pages,
        })
    }

    fn write_meta(&self, latest: TxnId, meta: &Meta) -> Result<()> {
        self.group.wait(latest)?;
        // A full disk at this point harms nothing: what was written is not part of any meta, and is written again.
        self.store.write_out()?;
        let poisoning = |result: Result<()>| result.inspect_err(|error| self.group.poison(error));
        poisoning(self.store.sync())?;
        let written = self.store.file().write_at(meta.offset(), &meta.encode());
        poisoning(written.map_err(|error| Error::Io {
            action: "write",
            path: self.path.clone(),
            source: Arc::new(error),
        }))?;
        poisoning(self.store.sync())
    }

    /// Removes segments of the log that no state in the window needs.
    pub(super) fn remove_old_segments(&self) -> Result<()> {
        let oldest = {
            let writer = self.writer.lock();
            // A pinned root stays without its log.
            let pinned = |txn: TxnId| writer.pins.iter().any(|(_, pin)| *pin == txn);
            let mut readers = self.shared.readers();
            readers.push(writer.meta.root.txn);
            let has_reader = |txn: TxnId| readers.contains(&txn);
            let needed = writer.roots.iter().filter(|root| has_reader(root.record.txn) || !pinned(root.record.txn));
            needed.map(|root| root.record.log.segment).min().unwrap_or(0)
        };
        for number in self.files.sealed_numbers()?.into_iter().take_while(|number| *number < oldest) {
            self.files.remove_sealed(number)?;
        }
        Ok(())
    }
}
