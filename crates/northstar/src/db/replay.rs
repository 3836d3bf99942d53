//! Doing again what records of the log say, on top of a state that is on disk.

use std::path::Path;

use crate::error::{Error, Result};
use crate::id::{CommitTime, TxnId};
use crate::log::{Operation, Operations, Record, SegmentFile, Walk, WalkEnd};
use crate::store::{Directory, LogPosition, PageStore, RootRecord};
use crate::tree::{Allocator, Changes, Editor};

/// The state that a replay came to.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) changes: Changes,
    pub(super) directory: Directory,
    pub(super) txn: TxnId,
    pub(super) time: CommitTime,
    pub(super) end: WalkEnd,
}

/// Where a replay ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// At the end of the log.
    End,
    /// After this transaction.
    Txn(TxnId),
    /// Before the first transaction that is younger.
    Time(CommitTime),
}

fn walk_from<'a>(segments: &'a [SegmentFile], root: &RootRecord, path: &Path) -> Result<Walk<'a>> {
    // A backup says that it needs no log; then the log begins after it.
    let position = match root.log.segment {
        0 => segments.first().map_or(root.log, |first| LogPosition { segment: first.header.number, offset: 0 }),
        _ => root.log,
    };
    Walk::new(segments, position, root.txn.next()).ok_or_else(|| {
        let what = format!("the segment {} of the commit log is missing", root.log.segment);
        Error::corrupt(path, 0, what)
    })
}

/// Applies what comes after `root`. All of it becomes one set of changes: states in between are not kept.
pub(super) fn replay<'a>(
    store: &'a PageStore,
    space: Allocator<'a>,
    segments: &[SegmentFile],
    root: &RootRecord,
    mut directory: Directory,
    until: Until,
) -> Result<Replayed> {
    let mut walk = walk_from(segments, root, store.path())?;
    // The pages belong to the last transaction that is replayed. Its number is not known yet, and any that is greater than the root's
    // will do: nobody else has seen these pages.
    let mut changes = Changes::new(root.txn.next());
    let (mut txn, mut time) = (root.txn, root.time);
    let mut end = walk.end();
    let mut editor = Editor { store, space, changes: &mut changes };
    while until != Until::Txn(txn) {
        let Some(record) = walk.next_record()? else {
            if until == Until::End {
                walk.check_end()?;
            }
            break;
        };
        if matches!(until, Until::Time(time) if record.time > time) {
            break;
        }
        apply(&mut editor, &mut directory, &record)?;
        (txn, time) = (record.txn, record.time);
        end = WalkEnd { last: txn, position: record.end };
    }
    changes.txn = changes.txn.max(txn);
    Ok(Replayed { changes, directory, txn, time, end })
}

fn apply(editor: &mut Editor<'_>, directory: &mut Directory, record: &Record) -> Result<()> {
    editor.changes.txn = record.txn;
    let path = editor.store.path().to_owned();
    let malformed = |what: &str| {
        let what = format!("the log's record of transaction {} {what}", record.txn);
        Error::corrupt(&path, record.at.offset, what)
    };
    for operation in Operations::new(&record.payload) {
        match operation.map_err(|_| malformed("is not well-formed"))? {
            Operation::Create { tree, name } => {
                if directory.get(tree).is_some() || directory.named(name).is_some() {
                    return Err(malformed("creates a tree that is there"));
                }
                directory.create(tree, name);
            }
            Operation::Put { tree, key, value } => {
                crate::tree::check_key(key, editor.store.page_size())
                    .map_err(|_| malformed("has a key over the limit"))?;
                let state = directory.get_mut(tree).ok_or_else(|| malformed("writes to a tree that is not there"))?;
                editor.put(state, key, value)?;
            }
            Operation::Delete { tree, key } => {
                let state = directory.get_mut(tree).ok_or_else(|| malformed("writes to a tree that is not there"))?;
                editor.delete(state, key)?;
            }
            Operation::Clear { tree } | Operation::Drop { tree } => {
                let state = directory.get_mut(tree).ok_or_else(|| malformed("writes to a tree that is not there"))?;
                editor.clear(state)?;
                if matches!(operation, Ok(Operation::Drop { .. })) {
                    directory.remove(tree);
                }
            }
        }
    }
    Ok(())
}
