//! Which pages of the file are free, and what the others wait for.
//!
//! A page that was made by transaction `birth` and replaced by transaction `freed` is part of the states from `birth` up to, and without,
//! `freed`. It is free once no state in that span can be looked at. States that stay are *persistent roots* (the last two metas, retained
//! ones, pinned ones) and *live roots* (snapshots in this process). Each freed page waits for the newest of them in its span:
//! in a bucket that is on disk for a persistent root, in memory for a live one. When that root goes, the page is asked again.

use std::collections::BTreeMap;

use super::free_list::{self, Chunk, Freed, Run};
use super::meta::META_PAGES;
use super::pages::PageStore;
use crate::error::{Error, Result};
use crate::id::{PageId, TxnId};
use crate::page::{Page, PageKind};

/// Runs of free pages that are kept in memory; what is beyond stays on disk until it is needed.
const LOADED_RUNS_MAX: usize = 4096;
/// Runs that are looked at for one that is long enough.
const PROBES_MAX: usize = 128;
/// Pages that a checkpoint may take for itself beside what it counts.
const CHECKPOINT_SLACK: usize = 32;

/// Freed pages that wait for one persistent root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    pub(crate) root: TxnId,
    /// The first of the chunks on disk, or none.
    pub(crate) head: PageId,
    /// Pages in all chunks.
    pub(crate) pages: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    head: PageId,
    pages: u64,
    /// Not in a chunk yet.
    fresh: Vec<Freed>,
}

/// A chunk page in the file.
#[derive(Debug, Clone, Copy)]
struct ChunkPage {
    id: PageId,
    birth: TxnId,
}

/// What a checkpoint has to know to write the free list down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SpaceRecord {
    pub(crate) free_head: PageId,
    pub(crate) free_pages: u64,
    pub(crate) buckets: Vec<BucketRecord>,
}

/// Counts for statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SpaceUse {
    pub(crate) file_pages: u64,
    pub(crate) free_pages: u64,
    pub(crate) waiting_pages: u64,
}

/// Pages by what they are for.
#[derive(Debug, Default)]
pub(crate) struct SpaceSurvey {
    /// Nobody has them.
    pub(crate) free: Vec<Run>,
    /// Older states may have them.
    pub(crate) waiting: Vec<Run>,
    /// The free list itself.
    pub(crate) lists: Vec<Run>,
}

#[derive(Debug)]
pub(crate) struct Space {
    page_count: u32,
    free: BTreeMap<u32, u32>,
    free_pages: u64,
    /// Chunks on disk with free runs that are not in `free`.
    chain: PageId,
    chain_pages: u64,
    /// The chunks in which the last checkpoint wrote what is in memory: the next one writes them anew.
    image: Vec<ChunkPage>,
    buckets: BTreeMap<TxnId, Bucket>,
    held: BTreeMap<TxnId, Vec<Freed>>,
    /// Free as soon as the meta is durable that a checkpoint is writing.
    quarantine: Vec<Run>,
    persistent: Vec<TxnId>,
    live: Vec<TxnId>,
}

/// A page of an older meta that a checkpoint at `txn`, or an allocation by it, replaces. Its own state counts into the span, so that a second
/// checkpoint of one state does not give away what the first one points to.
fn spent(id: PageId, birth: TxnId, txn: TxnId) -> Freed {
    Freed { run: Run { start: id, pages: 1 }, birth, freed: txn.max(birth.next()) }
}

/// The newest of `roots` in the span of a page.
fn blocker(roots: &[TxnId], freed: &Freed) -> Option<TxnId> {
    let end = roots.partition_point(|root| *root < freed.freed);
    roots.get(..end)?.last().copied().filter(|root| *root >= freed.birth)
}

impl Space {
    pub(crate) fn new(page_count: u32, record: &SpaceRecord, persistent: Vec<TxnId>) -> Self {
        let bucket =
            |bucket: &BucketRecord| (bucket.root, Bucket { head: bucket.head, pages: bucket.pages, fresh: Vec::new() });
        Self {
            page_count,
            free: BTreeMap::new(),
            free_pages: 0,
            chain: record.free_head,
            chain_pages: record.free_pages,
            image: Vec::new(),
            buckets: record.buckets.iter().map(bucket).collect(),
            held: BTreeMap::new(),
            quarantine: Vec::new(),
            persistent,
            live: Vec::new(),
        }
    }

    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    pub(crate) fn usage(&self) -> SpaceUse {
        let fresh =
            |bucket: &Bucket| bucket.pages + bucket.fresh.iter().map(|freed| u64::from(freed.run.pages)).sum::<u64>();
        let held: u64 = self.held.values().flatten().map(|freed| u64::from(freed.run.pages)).sum();
        let quarantine: u64 = self.quarantine.iter().map(|run| u64::from(run.pages)).sum();
        SpaceUse {
            file_pages: u64::from(self.page_count),
            free_pages: self.free_pages + self.chain_pages,
            waiting_pages: self.buckets.values().map(fresh).sum::<u64>() + held + quarantine,
        }
    }

    /// Pages that wait for the live root `txn` or an older one.
    pub(crate) fn held_pages(&self, txn: TxnId) -> u64 {
        self.held.range(..=txn).flat_map(|(_, held)| held).map(|freed| u64::from(freed.run.pages)).sum()
    }

    /// Takes a run of pages.
    pub(crate) fn allocate(&mut self, store: &PageStore, pages: u32, txn: TxnId) -> Result<PageId> {
        if self.free.is_empty() && !self.chain.is_none() {
            self.load_chunk(store, txn)?;
        }
        self.allocate_loaded(store, pages)
    }

    /// Takes a run of pages out of what is in memory, or at the end of the file.
    fn allocate_loaded(&mut self, store: &PageStore, pages: u32) -> Result<PageId> {
        let found =
            self.free.iter().take(PROBES_MAX).find(|(_, len)| **len >= pages).map(|(start, len)| (*start, *len));
        if let Some((start, len)) = found {
            self.free.remove(&start);
            if len > pages {
                self.free.insert(start + pages, len - pages);
            }
            self.free_pages -= u64::from(pages);
            return Ok(PageId(start));
        }
        let start = self.page_count;
        match start.checked_add(pages) {
            Some(end) if end < PageId::VIRTUAL => {
                self.page_count = end;
                Ok(PageId(start))
            }
            _ => Err(Error::StorageFull { action: "number the pages of", path: store.path().to_owned() }),
        }
    }

    /// Gives pages back that no state has.
    pub(crate) fn release(&mut self, run: Run) {
        self.free_pages += u64::from(run.pages);
        let (mut start, mut len) = (run.start.0, run.pages);
        if let Some((before, before_len)) = self.free.range(..start).next_back().map(|(start, len)| (*start, *len))
            && before + before_len == start
        {
            self.free.remove(&before);
            (start, len) = (before, before_len + len);
        }
        if let Some(after_len) = self.free.remove(&(start + len)) {
            len += after_len;
        }
        self.free.insert(start, len);
    }

    /// Notes pages that a transaction has replaced. The ids that are free at once are added to `gone`.
    pub(crate) fn place(&mut self, freed: Freed, gone: &mut Vec<PageId>) {
        if let Some(root) = blocker(&self.persistent, &freed) {
            self.buckets.entry(root).or_default().fresh.push(freed);
        } else if let Some(root) = blocker(&self.live, &freed) {
            self.held.entry(root).or_default().push(freed);
        } else {
            gone.push(freed.run.start);
            self.release(freed.run);
        }
    }

    /// A state that is looked at from now on: it is newer than all others.
    pub(crate) fn add_live(&mut self, txn: TxnId) {
        self.live.push(txn);
    }

    /// A state that nobody looks at any more.
    pub(crate) fn remove_live(&mut self, txn: TxnId, gone: &mut Vec<PageId>) {
        self.live.retain(|live| *live != txn);
        for freed in self.held.remove(&txn).unwrap_or_default() {
            self.place(freed, gone);
        }
    }

    fn load_chunk(&mut self, store: &PageStore, txn: TxnId) -> Result<()> {
        let (page, chunk) = read_chunk(store, self.chain, self.page_count)?;
        let Chunk::Free { next, runs } = chunk else { return Err(store.damaged(self.chain, "no list of free pages")) };
        for run in runs {
            self.chain_pages = self.chain_pages.saturating_sub(u64::from(run.pages));
            self.release(run);
        }
        let spent = spent(self.chain, birth_of(&page), txn);
        self.chain = next;
        // A chunk is part of a meta, which a persistent root stands for: it is never free at once.
        self.place(spent, &mut Vec::new());
        Ok(())
    }

    /// Loads everything, for a compaction, which may cost as much as there is.
    pub(crate) fn load_all(&mut self, store: &PageStore, txn: TxnId) -> Result<()> {
        let mut links = Links(self.page_count);
        while !self.chain.is_none() {
            links.follow(store, self.chain)?;
            self.load_chunk(store, txn)?;
        }
        Ok(())
    }

    /// Lets go of a persistent root. What it kept is free when the meta is durable that does not name it any more.
    fn drop_persistent(&mut self, store: &PageStore, root: TxnId, txn: TxnId) -> Result<()> {
        let Some(bucket) = self.buckets.get(&root) else {
            self.persistent.retain(|persistent| *persistent != root);
            return Ok(());
        };
        // Read before anything changes, so that an error leaves everything as it was.
        let mut waiting = Vec::new();
        let mut links = Links(self.page_count);
        let mut next = bucket.head;
        while !next.is_none() {
            links.follow(store, next)?;
            let (page, chunk) = read_chunk(store, next, self.page_count)?;
            let Chunk::Waiting { next: after, freed } = chunk else {
                return Err(store.damaged(next, "no list of freed pages"));
            };
            waiting.extend(freed);
            waiting.push(spent(next, birth_of(&page), txn));
            next = after;
        }
        self.persistent.retain(|persistent| *persistent != root);
        waiting.extend(self.buckets.remove(&root).unwrap_or_default().fresh);
        for freed in waiting {
            if let Some(root) = blocker(&self.persistent, &freed) {
                self.buckets.entry(root).or_default().fresh.push(freed);
            } else if let Some(root) = blocker(&self.live, &freed) {
                self.held.entry(root).or_default().push(freed);
            } else {
                self.quarantine.push(freed.run);
            }
        }
        Ok(())
    }

    /// First part of a checkpoint: lets go of the roots that are not among `kept`, and of runs (with their birth) that only older metas have.
    pub(crate) fn begin_checkpoint(
        &mut self,
        store: &PageStore,
        txn: TxnId,
        kept: &[TxnId],
        replaced: &[(Run, TxnId)],
    ) -> Result<()> {
        let dropped: Vec<TxnId> = self.persistent.iter().copied().filter(|root| !kept.contains(root)).collect();
        for root in dropped {
            self.drop_persistent(store, root, txn)?;
        }
        let replaced =
            replaced.iter().map(|(run, birth)| Freed { run: *run, birth: *birth, freed: txn.max(birth.next()) });
        let mut gone = Vec::new();
        let image = std::mem::take(&mut self.image);
        let image = image.iter().map(|chunk| spent(chunk.id, chunk.birth, txn));
        for freed in image.chain(replaced) {
            self.place(freed, &mut gone);
        }
        store.forget(gone.into_iter());
        let chunk_len = free_list::capacity(store.page_size(), false).max(1);
        let waiting = free_list::capacity(store.page_size(), true).max(1);
        let chunks = self.buckets.values().map(|bucket| bucket.fresh.len().div_ceil(waiting)).sum::<usize>();
        let needed = chunks + self.free.len().min(LOADED_RUNS_MAX) / chunk_len + CHECKPOINT_SLACK;
        let mut links = Links(self.page_count);
        while self.free_pages < needed as u64 && !self.chain.is_none() {
            links.follow(store, self.chain)?;
            self.load_chunk(store, txn)?;
        }
        Ok(())
    }

    /// A run for what belongs to the meta of a checkpoint.
    pub(crate) fn allocate_for_checkpoint(&mut self, store: &PageStore, pages: u32) -> Result<PageId> {
        self.allocate_loaded(store, pages)
    }

    /// How many buckets the record will have.
    pub(crate) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// Last part of a checkpoint: the pages with the free list, and what the catalog has to say of them.
    pub(crate) fn finish_checkpoint(
        &mut self,
        store: &PageStore,
        txn: TxnId,
        pages: &mut Vec<(PageId, Page)>,
    ) -> Result<SpaceRecord> {
        let page_size = store.page_size();
        let capacity = free_list::capacity(page_size, true).max(1);
        let roots: Vec<TxnId> = self.buckets.keys().copied().collect();
        for root in &roots {
            while let Some(bucket) = self.buckets.get(root).filter(|bucket| !bucket.fresh.is_empty()) {
                let rest = bucket.fresh.len().saturating_sub(capacity);
                let id = self.allocate_loaded(store, 1)?;
                let Some(bucket) = self.buckets.get_mut(root) else { break };
                let freed = bucket.fresh.split_off(rest);
                bucket.pages += freed.iter().map(|freed| u64::from(freed.run.pages)).sum::<u64>();
                let chunk = Chunk::Waiting { next: bucket.head, freed };
                pages.push((id, chunk.encode(id, txn, page_size)));
                bucket.head = id;
            }
        }
        let free_pages = self.write_free(store, txn, pages)?;
        let record =
            |(root, bucket): (&TxnId, &Bucket)| BucketRecord { root: *root, head: bucket.head, pages: bucket.pages };
        let free_head = self.image.first().map_or(self.chain, |chunk| chunk.id);
        // From here on its pages are written: nothing of it may be given out, although its meta is not durable yet.
        if self.persistent.last() != Some(&txn) {
            self.persistent.push(txn);
        }
        Ok(SpaceRecord { free_head, free_pages, buckets: self.buckets.iter().map(record).collect() })
    }

    /// Writes what is free, or will be after a restart, and returns how many pages that are.
    fn write_free(&mut self, store: &PageStore, txn: TxnId, pages: &mut Vec<(PageId, Page)>) -> Result<u64> {
        let page_size = store.page_size();
        let capacity = free_list::capacity(page_size, false).max(1);
        let soon: Vec<Run> =
            self.held.values().flatten().map(|freed| freed.run).chain(self.quarantine.iter().copied()).collect();
        let ids = (0..self.free.len().div_ceil(capacity) + soon.len().div_ceil(capacity))
            .map(|_| self.allocate_loaded(store, 1))
            .collect::<Result<Vec<_>>>()?;
        let free: Vec<Run> = self.free.iter().map(|(start, len)| Run { start: PageId(*start), pages: *len }).collect();
        // In the list those come first that stay in memory, from low to high: what is left on disk is high.
        let mut parts: Vec<&[Run]> = soon.chunks(capacity).collect();
        // Taking pages for the chunks may have used up whole runs. Every page taken is written, so that none is lost.
        parts.resize(ids.len() - free.len().div_ceil(capacity), &[]);
        let soon_parts = parts.len();
        parts.extend(free.chunks(capacity));
        let loaded = soon_parts + LOADED_RUNS_MAX.div_ceil(capacity);
        let mut next = self.chain;
        for (place, (part, id)) in parts.iter().zip(&ids).enumerate().rev() {
            let chunk = Chunk::Free { next, runs: part.to_vec() };
            pages.push((*id, chunk.encode(*id, txn, page_size)));
            next = *id;
            if place >= loaded {
                let count: u64 = part.iter().map(|run| u64::from(run.pages)).sum();
                for run in *part {
                    self.free.remove(&run.start.0);
                }
                self.free_pages -= count;
                self.chain_pages += count;
                self.chain = *id;
            } else {
                self.image.insert(0, ChunkPage { id: *id, birth: txn });
            }
        }
        Ok(self.free_pages + self.chain_pages + soon.iter().map(|run| u64::from(run.pages)).sum::<u64>())
    }

    /// The meta of a checkpoint is durable: what only dropped roots kept is free.
    pub(crate) fn checkpoint_done(&mut self, gone: &mut Vec<PageId>) {
        for run in std::mem::take(&mut self.quarantine) {
            gone.push(run.start);
            self.release(run);
        }
    }

    /// How many pages at the end of the file are free: a compaction cuts them off.
    pub(crate) fn cut_free_end(&mut self) -> u32 {
        let Some((start, len)) = self.free.last_key_value().map(|(start, len)| (*start, *len)) else { return 0 };
        if start + len != self.page_count {
            return 0;
        }
        self.free.remove(&start);
        self.free_pages -= u64::from(len);
        self.page_count = start;
        len
    }

    /// All pages that no newest state has, for the check that none is lost or used twice.
    pub(crate) fn survey(&self, store: &PageStore) -> Result<SpaceSurvey> {
        let free = self.free.iter().map(|(start, len)| Run { start: PageId(*start), pages: *len });
        let mut found = SpaceSurvey { free: free.collect(), ..SpaceSurvey::default() };
        found.waiting.extend(self.held.values().flatten().map(|freed| freed.run));
        found.waiting.extend(&self.quarantine);
        found.lists.extend(self.image.iter().map(|chunk| Run { start: chunk.id, pages: 1 }));
        let mut links = Links(self.page_count);
        let mut next = self.chain;
        while !next.is_none() {
            links.follow(store, next)?;
            let (_, chunk) = read_chunk(store, next, self.page_count)?;
            let Chunk::Free { next: after, runs } = chunk else {
                return Err(store.damaged(next, "no list of free pages"));
            };
            found.lists.push(Run { start: next, pages: 1 });
            found.free.extend(runs);
            next = after;
        }
        for bucket in self.buckets.values() {
            found.waiting.extend(bucket.fresh.iter().map(|freed| freed.run));
            let mut next = bucket.head;
            while !next.is_none() {
                links.follow(store, next)?;
                let (_, chunk) = read_chunk(store, next, self.page_count)?;
                let Chunk::Waiting { next: after, freed } = chunk else {
                    return Err(store.damaged(next, "no list of freed pages"));
                };
                found.lists.push(Run { start: next, pages: 1 });
                found.waiting.extend(freed.iter().map(|freed| freed.run));
                next = after;
            }
        }
        Ok(found)
    }

    /// How many pages states and lists take, when all that is free were cut away.
    pub(crate) fn used_pages(&self) -> u32 {
        u32::try_from(u64::from(self.page_count).saturating_sub(self.free_pages + self.chain_pages)).unwrap_or(u32::MAX)
    }
}

/// A chunk whose runs are all in a file of so many pages.
fn read_chunk(store: &PageStore, id: PageId, page_count: u32) -> Result<(Page, Chunk)> {
    let page = store.run(id, 1, PageKind::FreeList)?;
    let chunk = Chunk::decode(&page).ok_or_else(|| store.damaged(id, "its list of pages is not well-formed"))?;
    let inside = |run: &Run| {
        let end = run.start.0.checked_add(run.pages);
        run.start.0 >= META_PAGES && run.pages > 0 && end.is_some_and(|end| end <= page_count)
    };
    let all_inside = match &chunk {
        Chunk::Free { runs, .. } => runs.iter().all(inside),
        Chunk::Waiting { freed, .. } => freed.iter().all(|freed| inside(&freed.run)),
    };
    if !all_inside {
        return Err(store.damaged(id, "its list has pages that the file has not"));
    }
    Ok((page, chunk))
}

/// Lists are as long as the file has pages at most; a longer one leads around in circles.
#[derive(Debug)]
struct Links(u32);

impl Links {
    fn follow(&mut self, store: &PageStore, id: PageId) -> Result<()> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| store.damaged(id, "its list has no end"))?;
        Ok(())
    }
}

fn birth_of(page: &Page) -> TxnId {
    crate::page::PageHeader::read(page).map_or(TxnId::ZERO, |header| header.txn)
}
