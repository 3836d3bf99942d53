//! Checks everything that is on disk: pages, trees of all states that stay, which pages are used and which are free, the log.

use hashbrown::HashMap;
use vfs::OpenMode;

use super::database::Database;
use super::open::load_directory;
use crate::error::{Error, Result};
use crate::id::{PageId, TxnId};
use crate::log::{Operations, Walk};
use crate::store::{META_PAGES, Run, TreeState};
use crate::tree::{View, survey};

/// Pages that may have been given out and neither written nor used, as by a transaction that was given up.
const UNWRITTEN_MAX: u64 = 1 << 20;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The page, if it is one.
    pub page: Option<u64>,
    /// The tree, if it is in one.
    pub tree: Option<String>,
    /// What is wrong.
    pub what: String,
}

/// What a check went over and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// States that were checked: the newest, retained and pinned ones.
    pub states: u64,
    /// Entries of all trees in the newest state.
    pub entries: u64,
    /// Pages that states have.
    pub used_pages: u64,
    /// Pages that are free or wait.
    pub unused_pages: u64,
    /// Records of the log.
    pub records: u64,
    /// What is wrong; empty if all is well.
    pub faults: Vec<Fault>,
}

impl Verification {
    fn fault(&mut self, page: Option<PageId>, tree: Option<&str>, what: impl Into<String>) {
        let page = page.map(|page| u64::from(page.0));
        self.faults.push(Fault { page, tree: tree.map(str::to_owned), what: what.into() });
    }
}

/// Which pages are taken, by what.
struct Uses {
    pages: HashMap<u32, bool>,
    /// Pages of the file: what is said to be behind them is not counted one by one.
    page_count: u32,
    outside: Option<PageId>,
}

impl Uses {
    fn of_file(page_count: u32) -> Self {
        Self { pages: HashMap::new(), page_count, outside: None }
    }

    fn ids(&mut self, run: Run) -> std::ops::Range<u32> {
        match run.start.0.checked_add(run.pages) {
            Some(end) if end <= self.page_count => run.start.0..end,
            _ => {
                self.outside.get_or_insert(run.start);
                0..0
            }
        }
    }

    /// Notes pages of a state. Several states may have one page.
    fn of_state(&mut self, run: Run) {
        let ids = self.ids(run);
        self.pages.extend(ids.map(|id| (id, true)));
    }

    /// Notes pages that nobody has. Returns the first that somebody has, or that was noted before.
    fn unused(&mut self, run: Run) -> Option<PageId> {
        let ids = self.ids(run);
        ids.filter(|id| self.pages.insert(*id, false).is_some()).map(PageId).next()
    }
}

impl Database {
    /// Checks everything, from the disk as far as it is there. Writes wait meanwhile; reads go on. The cost is that of the whole file, once
    /// for each state that stays.
    ///
    /// # Errors
    /// Only what keeps it from checking. What is wrong is in [`Verification::faults`].
    pub fn verify(&self) -> Result<Verification> {
        let inner = &*self.inner;
        let _no_checkpoint = inner.checkpointing.lock();
        let writer = inner.writer.lock();
        let mut found = Verification::default();
        let mut uses = Uses::of_file(writer.space.page_count());
        let view = View::of(&inner.store);
        let mut check = |found: &mut Verification, tree: &TreeState, newest: TxnId| {
            let survey = survey(view, tree, newest, true);
            survey.runs.iter().filter(|run| !run.start.is_virtual()).for_each(|run| uses.of_state(*run));
            for (page, what) in survey.faults {
                found.fault(Some(page), Some(&tree.name), what);
            }
        };
        found.states += 1;
        for tree in &writer.latest.directory.trees {
            check(&mut found, tree, writer.latest.txn);
            found.entries += tree.len;
        }
        let roots: Vec<_> =
            writer.roots.iter().map(|root| root.record).filter(|root| root.txn != writer.latest.txn).collect();
        for root in &roots {
            found.states += 1;
            match load_directory(&inner.store, root) {
                Ok(directory) => directory.trees.iter().for_each(|tree| check(&mut found, tree, root.txn)),
                Err(error) => found.fault(Some(root.directory), None, error.to_string()),
            }
        }
        for record in roots.iter().chain([&writer.meta.root]) {
            uses.of_state(Run { start: record.directory, pages: record.directory_pages });
        }
        for (run, _) in &writer.meta_runs {
            uses.of_state(*run);
        }
        let live: Vec<_> = writer.live.iter().map(|root| (root.txn, std::sync::Arc::clone(&root.directory))).collect();
        for (txn, directory) in live {
            for tree in &directory.trees {
                let survey = survey(view, tree, txn, false);
                survey.runs.iter().filter(|run| !run.start.is_virtual()).for_each(|run| uses.of_state(*run));
            }
        }
        found.used_pages = uses.pages.len() as u64;
        match writer.space.survey(&inner.store) {
            Err(error) => found.fault(None, None, format!("the free list cannot be read: {error}")),
            Ok(space) => {
                for run in space.free.iter().chain(&space.lists) {
                    found.unused_pages += u64::from(run.pages);
                    if let Some(page) = uses.unused(*run) {
                        found.fault(Some(page), None, "it is free and in use");
                    }
                }
                // What waits for a state is still part of it.
                for run in space.waiting {
                    found.unused_pages += u64::from(run.pages);
                    uses.of_state(run);
                }
            }
        }
        let page_count = writer.space.page_count();
        let file_len = inner.store.file().len().map_err(|error| Error::io("measure", &inner.path, error))?;
        // What was given out and not written yet can be behind the end of the file, but that is in memory.
        let written = file_len.div_ceil(inner.store.page_size() as u64) + inner.store.unwritten_len() as u64;
        if u64::from(page_count) > written + UNWRITTEN_MAX {
            found.fault(None, None, format!("the file should have {page_count} pages, which is more than it can have"));
        } else {
            let mut lost = (META_PAGES..page_count).filter(|id| !uses.pages.contains_key(id));
            if let Some(first) = lost.next() {
                let what = format!("{} pages are neither free nor in use, this one the first", lost.count() + 1);
                found.fault(Some(PageId(first)), None, what);
            }
        }
        if let Some(page) = uses.outside {
            found.fault(Some(page), None, "something points to pages that the file has not");
        }
        let position = writer.meta.root.log;
        drop(writer);
        self.verify_log(&mut found, position, inner.group.usage().appended)?;
        Ok(found)
    }

    fn verify_log(&self, found: &mut Verification, position: crate::store::LogPosition, last: TxnId) -> Result<()> {
        let inner = &*self.inner;
        let segments = match inner.files.list(inner.identity[0], OpenMode::Read) {
            Ok(segments) => segments,
            Err(error) => {
                found.fault(None, None, error.to_string());
                return Ok(());
            }
        };
        let Some(first) = segments.first() else {
            if position.segment != 0 {
                found.fault(None, None, "the commit log is missing");
            }
            return Ok(());
        };
        let start = crate::store::LogPosition { segment: first.header.number, offset: 0 };
        let Some(mut walk) = Walk::new(&segments, start, first.header.first) else { return Ok(()) };
        while let Some(record) = walk.next_record()? {
            found.records += 1;
            if Operations::new(&record.payload).any(|operation| operation.is_err()) {
                found.fault(None, None, format!("the log's record of transaction {} is not well-formed", record.txn));
            }
        }
        if walk.end().last < last {
            found.fault(
                None,
                None,
                format!("the log ends with transaction {} and should reach {last}", walk.end().last),
            );
        }
        Ok(())
    }
}
