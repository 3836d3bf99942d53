//! One state of the database.

use std::sync::Arc;

use super::reader::Base;
use crate::id::{CommitTime, PageId, TxnId};
use crate::store::{Directory, PageStore};
use crate::tree::VirtualPages;

/// A committed state. Whoever holds it keeps its pages.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) txn: TxnId,
    pub(super) time: CommitTime,
    pub(super) directory: Arc<Directory>,
    /// Of a state of the past: what keeps the pages that it stands on.
    pub(super) _past: Option<Past>,
}

/// What a state of the past was made from.
#[derive(Debug)]
pub(super) struct Past {
    /// Keeps the persistent root.
    pub(super) _lease: Lease,
    /// Keeps the pages that the log had to add to it.
    pub(super) _added: Option<Arc<AddedPages>>,
}

/// What keeps a persistent root.
#[derive(Debug)]
pub(super) enum Lease {
    /// This process writes: a count.
    Own { _count: Arc<()> },
    /// Another process may write: a slot.
    Base(#[expect(dead_code, reason = "it is held, not read")] Arc<Base>),
}

/// Pages in memory that belong to one state only, and go with it.
#[derive(Debug)]
pub(super) struct AddedPages {
    pub(super) store: Arc<PageStore>,
    pub(super) virtuals: Arc<VirtualPages>,
    /// First page, and how many.
    pub(super) runs: Vec<(PageId, u32)>,
    /// Those that this state has in common with one before it.
    pub(super) _below: Option<Arc<AddedPages>>,
}

impl Drop for AddedPages {
    fn drop(&mut self) {
        // First out of the table: an id that was given back may be given out at once.
        self.store.forget(self.runs.iter().map(|(id, _)| *id));
        self.runs.iter().for_each(|(id, pages)| self.virtuals.release(*id, *pages));
    }
}
