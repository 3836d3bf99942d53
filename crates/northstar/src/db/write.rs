//! A write transaction: read your writes, take steps back, commit or give up.

use std::ops::RangeBounds;

use parking_lot::MutexGuard;

use super::scan::{Cursor, Scan};
use super::snapshot::{prefix_range, state_of};
use super::{Inner, Tree, Writer};
use crate::error::{Error, Result};
use crate::id::{CommitTime, TxnId};
use crate::log::{AppendError, Operation, Payload, RecordHeader};
use crate::options::Durability;
use crate::store::{Directory, NAME_LEN_MAX, TREES_MAX};
use crate::tree::{self, Allocator, Appender, Changes, Editor, Mark, Value, View, check_key};

/// Longest value, in bytes: a transaction cannot put more either.
const VALUE_LEN_MAX: usize = 256 << 20;

/// A transaction that writes. There is one at a time; others wait or are told [`Error::WriteBusy`]. It sees its own writes, and nobody
/// else does before the commit. Dropped without [`commit`](Self::commit), it leaves no trace.
///
/// From [`Database::begin`](crate::Database::begin) or [`Database::try_begin`](crate::Database::try_begin);
/// [`Database::write`](crate::Database::write) wraps it around a closure.
///
/// After an error in the middle of a change ([`Error::Corrupt`], [`Error::Io`], [`Error::StorageFull`]) the transaction cannot be committed any
/// more. Errors of kind `FixInput` change nothing.
#[derive(Debug)]
pub struct WriteTxn<'db> {
    inner: &'db Inner,
    /// `None` once it is over.
    open: Option<Open<'db>>,
}

#[derive(Debug)]
struct Open<'db> {
    writer: MutexGuard<'db, Writer>,
    changes: Changes,
    directory: Directory,
    payload: Payload,
    appender: Option<(u32, Appender)>,
    /// What went wrong in the middle of a change: it may be half done, and must not be committed.
    broken: Option<Error>,
    /// How many savepoints were made: what an older count says of a savepoint's age.
    savepoints: Vec<u64>,
    next_savepoint: u64,
}

/// A place in a transaction to come back to with [`WriteTxn::roll_back_to`].
#[derive(Debug, Clone)]
pub struct Savepoint {
    number: u64,
    mark: Mark,
    directory: Directory,
    payload_len: usize,
    payload_count: u32,
}

impl<'db> WriteTxn<'db> {
    pub(super) fn new(inner: &'db Inner, mut writer: MutexGuard<'db, Writer>) -> Result<Self> {
        inner.group.check()?;
        if writer.closed {
            return Err(Error::Closed);
        }
        inner.reclaim(&mut writer);
        let directory = (*writer.latest.directory).clone();
        let changes = Changes::new(writer.latest.txn.next());
        let open = Open {
            writer,
            changes,
            directory,
            payload: Payload::default(),
            appender: None,
            broken: None,
            savepoints: Vec::new(),
            next_savepoint: 0,
        };
        Ok(Self { inner, open: Some(open) })
    }

    fn open(&self) -> Result<&Open<'db>> {
        self.open.as_ref().ok_or(Error::Closed)
    }

    /// The number that the transaction will have once it is committed.
    #[must_use]
    pub fn txn(&self) -> TxnId {
        self.open.as_ref().map_or(TxnId::ZERO, |open| open.changes.txn)
    }

    /// The tree of this name.
    ///
    /// # Errors
    /// [`Error::UnknownTree`].
    pub fn tree(&self, name: &str) -> Result<Tree> {
        let found = self.open()?.directory.named(name);
        found.map(|tree| Tree(tree.id)).ok_or_else(|| Error::UnknownTree { name: name.to_owned() })
    }

    /// The tree of this name, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an empty or long name, or more trees than there can be (1024).
    pub fn create_tree(&mut self, name: &str) -> Result<Tree> {
        let open = self.open.as_mut().ok_or(Error::Closed)?;
        if let Some(tree) = open.directory.named(name) {
            return Ok(Tree(tree.id));
        }
        check_name("tree name", name)?;
        if open.directory.trees.len() >= TREES_MAX {
            let reason = format!("there are {TREES_MAX} trees already, and no more can be");
            return Err(Error::InvalidOption { what: "tree", reason });
        }
        let id = open.directory.next_tree_id;
        open.directory.create(id, name);
        open.payload.push(&Operation::Create { tree: id, name });
        Ok(Tree(id))
    }

    /// Removes a tree with all that is in it. Its number is never used again.
    ///
    /// # Errors
    /// [`Error::UnknownTree`], [`Error::InvalidOption`] for the default tree; a damaged page or an error of the disk.
    pub fn drop_tree(&mut self, tree: Tree) -> Result<()> {
        if tree == Tree::DEFAULT {
            return Err(Error::InvalidOption { what: "tree", reason: "the default tree stays: clear it".to_owned() });
        }
        self.clear_pages(tree)?;
        let open = self.open.as_mut().ok_or(Error::Closed)?;
        open.directory.remove(tree.0);
        open.payload.push(&Operation::Drop { tree: tree.0 });
        Ok(())
    }

    /// Removes all entries of a tree.
    ///
    /// # Errors
    /// [`Error::UnknownTree`]; a damaged page or an error of the disk.
    pub fn clear_tree(&mut self, tree: Tree) -> Result<()> {
        self.clear_pages(tree)?;
        let open = self.open.as_mut().ok_or(Error::Closed)?;
        open.payload.push(&Operation::Clear { tree: tree.0 });
        Ok(())
    }

    fn clear_pages(&mut self, tree: Tree) -> Result<()> {
        self.edit(tree, |editor, state, _| editor.clear(state))
    }

    fn edit<T>(
        &mut self,
        tree: Tree,
        change: impl FnOnce(&mut Editor<'_>, &mut crate::store::TreeState, &mut Payload) -> Result<T>,
    ) -> Result<T> {
        let store = &*self.inner.store;
        let open = self.open.as_mut().ok_or(Error::Closed)?;
        state_of(&open.directory, tree)?;
        open.appender = None;
        let space = Allocator::File { space: &mut open.writer.space, page_size: store.page_size() };
        let mut editor = Editor { store, space, changes: &mut open.changes };
        let Some(state) = open.directory.get_mut(tree.0) else {
            return Err(Error::UnknownTree { name: format!("number {}", tree.0) });
        };
        let done = change(&mut editor, state, &mut open.payload);
        if let Err(error) = &done {
            open.broken = Some(error.clone());
        }
        done
    }

    fn check_entry(&self, key: &[u8], value: &[u8]) -> Result<()> {
        check_key(key, self.inner.store.page_size())?;
        if value.len() > VALUE_LEN_MAX {
            return Err(Error::ValueTooLarge { len: value.len(), max: VALUE_LEN_MAX });
        }
        let (len, max) =
            (self.open()?.payload.bytes.len() + key.len() + value.len(), self.inner.options.transaction_len_max);
        if len > max {
            return Err(Error::TransactionTooLarge { len, max });
        }
        Ok(())
    }

    /// Sets the value of a key. Says whether there was one before.
    ///
    /// # Errors
    /// [`Error::UnknownTree`]; [`Error::KeyTooLarge`], [`Error::ValueTooLarge`], [`Error::TransactionTooLarge`]; a damaged page or an
    /// error of the disk.
    pub fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<bool> {
        self.check_entry(key, value)?;
        self.edit(tree, |editor, state, payload| {
            let was_there = editor.put(state, key, value)?;
            payload.push(&Operation::Put { tree: tree.0, key, value });
            Ok(was_there)
        })
    }

    /// Removes a key. Says whether it was there; one that was not costs nothing.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<bool> {
        self.edit(tree, |editor, state, payload| {
            let was_there = editor.delete(state, key)?;
            if was_there {
                payload.push(&Operation::Delete { tree: tree.0, key });
            }
            Ok(was_there)
        })
    }

    /// Removes all keys in a range. Says how many there were.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, tree: Tree, range: impl RangeBounds<K>) -> Result<u64> {
        let mut removed = 0;
        let bounds =
            (range.start_bound().map(|key| key.as_ref().to_vec()), range.end_bound().map(|key| key.as_ref().to_vec()));
        loop {
            // In parts: what is removed must not be walked over.
            let keys: Vec<Vec<u8>> = {
                let scan = self.range::<Vec<u8>>(tree, bounds.clone())?;
                scan.take(1024).map(|entry| entry.map(|entry| entry.key)).collect::<Result<_>>()?
            };
            if keys.is_empty() {
                return Ok(removed);
            }
            let before = removed;
            for key in &keys {
                removed += u64::from(self.delete(tree, key)?);
            }
            if removed == before {
                return Err(self
                    .inner
                    .store
                    .damaged(crate::id::PageId::NONE, "a tree has keys that cannot be found in it"));
            }
        }
    }

    /// Adds entries whose keys rise and are greater than all keys of the tree: faster than [`put`](Self::put), and it leaves full pages.
    /// Says how many there were.
    ///
    /// # Errors
    /// [`Error::UnsortedKeys`] with the position of the first key that is not greater; those before it were added. Else as for
    /// [`put`](Self::put).
    pub fn append<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        tree: Tree,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        let mut last = {
            let mut cursor = self.cursor(tree)?;
            if cursor.last()? { Some(cursor.key().to_vec()) } else { None }
        };
        let mut appender = match self.open.as_mut().ok_or(Error::Closed)?.appender.take() {
            Some((id, appender)) if id == tree.0 => appender,
            _ => Appender::default(),
        };
        let mut count = 0;
        for (key, value) in entries {
            let (key, value) = (key.as_ref(), value.as_ref());
            if last.as_deref().is_some_and(|last| last >= key) {
                return Err(Error::UnsortedKeys { position: count });
            }
            self.check_entry(key, value)?;
            self.edit(tree, |editor, state, payload| {
                editor.append(state, key, value, &mut appender)?;
                payload.push(&Operation::Put { tree: tree.0, key, value });
                Ok(())
            })?;
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
            count += 1;
        }
        if let Some(open) = &mut self.open {
            open.appender = Some((tree.0, appender));
        }
        Ok(count)
    }

    fn view(&self) -> Result<View<'_>> {
        Ok(View { store: &self.inner.store, changes: Some(&self.open()?.changes) })
    }

    /// The value of a key, as this transaction has it.
    ///
    /// # Errors
    /// [`Error::UnknownTree`], a damaged page, or an error of the disk.
    pub fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Value>> {
        tree::get(&self.view()?, state_of(&self.open()?.directory, tree)?.root, key)
    }

    /// Whether a key is there, as this transaction has it.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn contains(&self, tree: Tree, key: &[u8]) -> Result<bool> {
        tree::contains(&self.view()?, state_of(&self.open()?.directory, tree)?.root, key)
    }

    /// The number of entries, as this transaction has them.
    ///
    /// # Errors
    /// [`Error::UnknownTree`].
    pub fn len(&self, tree: Tree) -> Result<u64> {
        Ok(state_of(&self.open()?.directory, tree)?.len)
    }

    /// A cursor over what this transaction has. It borrows the transaction: nothing can be written while it is there.
    ///
    /// # Errors
    /// [`Error::UnknownTree`].
    pub fn cursor(&self, tree: Tree) -> Result<Cursor<'_>> {
        Ok(Cursor::new(self.view()?, state_of(&self.open()?.directory, tree)?.root))
    }

    /// The entries in a range of keys, as this transaction has them, from either end.
    ///
    /// # Errors
    /// [`Error::UnknownTree`]. The items carry errors of reading.
    pub fn range<K: AsRef<[u8]>>(&self, tree: Tree, range: impl RangeBounds<K>) -> Result<Scan<'_>> {
        Ok(Scan::new(self.view()?, state_of(&self.open()?.directory, tree)?.root, &range))
    }

    /// The entries whose keys begin with `prefix`, as this transaction has them.
    ///
    /// # Errors
    /// As for [`range`](Self::range).
    pub fn prefix(&self, tree: Tree, prefix: &[u8]) -> Result<Scan<'_>> {
        let (low, high) = prefix_range(prefix);
        Ok(Scan::new(self.view()?, state_of(&self.open()?.directory, tree)?.root, &(low, high)))
    }

    /// A place to come back to. Each costs a copy of the pages that are changed after it and were changed before it.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the transaction.
    pub fn savepoint(&mut self) -> Result<Savepoint> {
        let open = self.open.as_mut().ok_or(Error::Closed)?;
        open.appender = None;
        let number = open.next_savepoint;
        open.next_savepoint += 1;
        open.savepoints.push(number);
        Ok(Savepoint {
            number,
            mark: open.changes.mark(),
            directory: open.directory.clone(),
            payload_len: open.payload.bytes.len(),
            payload_count: open.payload.count,
        })
    }

    /// Takes back all that was done since `savepoint`, which can be used again. Savepoints made after it are void.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a savepoint that is void or of another transaction.
    pub fn roll_back_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        let page_size = self.inner.store.page_size();
        let open = self.open.as_mut().ok_or(Error::Closed)?;
        let Ok(place) = open.savepoints.binary_search(&savepoint.number) else {
            let reason = "it was rolled back over, or is of another transaction".to_owned();
            return Err(Error::InvalidOption { what: "savepoint", reason });
        };
        open.savepoints.truncate(place + 1);
        let mut space = Allocator::File { space: &mut open.writer.space, page_size };
        open.changes.back_to(savepoint.mark, &mut space);
        open.directory = savepoint.directory.clone();
        open.payload.back_to(savepoint.payload_len, savepoint.payload_count);
        open.appender = None;
        Ok(())
    }

    /// Commits with the database's durability. Returns the transaction's number, or that of the newest state if nothing was changed.
    ///
    /// # Errors
    /// [`Error::StorageFull`] if the log cannot grow: nothing was committed, and the same can succeed later. [`Error::Poisoned`] and
    /// [`Error::Io`]: the commit may or may not survive.
    pub fn commit(self) -> Result<TxnId> {
        let durability = self.inner.options.durability;
        self.commit_with(durability)
    }

    /// Commits with a durability of its own.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn commit_with(self, durability: Durability) -> Result<TxnId> {
        self.finish(durability, false)
    }

    /// Commits what changed no entry and moved pages.
    pub(super) fn commit_moved(self) -> Result<TxnId> {
        self.finish(Durability::Buffered, true)
    }

    pub(super) fn page_size(&self) -> usize {
        self.inner.store.page_size()
    }

    pub(super) fn raw_cursor(&self, tree: Tree) -> Result<tree::Cursor<'_>> {
        Ok(tree::Cursor::new(self.view()?, state_of(&self.open()?.directory, tree)?.root))
    }

    /// Copies the pages on the way to a key.
    pub(super) fn move_path(&mut self, tree: Tree, key: &[u8]) -> Result<()> {
        self.edit(tree, |editor, state, _| editor.move_path(state, key))
    }

    /// Copies the pages of a large value. No entry changes, so the log need not know.
    pub(super) fn move_value(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<()> {
        self.edit(tree, |editor, state, _| editor.put(state, key, value).map(drop))
    }

    fn finish(mut self, durability: Durability, has_moved: bool) -> Result<TxnId> {
        let inner = self.inner;
        let Some(open) = self.open.take() else { return Err(Error::Closed) };
        let page_size = inner.store.page_size();
        let Open { mut writer, changes, directory, payload, broken, .. } = open;
        let abandon = |writer: &mut Writer, changes: Changes| {
            changes.abandon(&mut Allocator::File { space: &mut writer.space, page_size });
        };
        if payload.count == 0 && broken.is_none() && !(has_moved && changes.page_count() > 0) {
            let latest = writer.latest.txn;
            abandon(&mut writer, changes);
            // What it has read was committed, but maybe is not visible yet.
            return Ok(latest);
        }
        if let Err(error) = broken.map_or(Ok(()), Err).and_then(|()| inner.group.check()) {
            abandon(&mut writer, changes);
            return Err(error);
        }
        let txn = changes.txn;
        let time = CommitTime::from_clock(inner.vfs.now()).max(writer.latest.time);
        let durable = durability == Durability::Sync;
        let record = RecordHeader {
            txn,
            time,
            durable: inner.group.durable(),
            payload_len: payload.bytes.len() as u32,
            operations: payload.count,
        };
        match writer.log.append(&record, &payload.bytes, durable) {
            Ok(()) => {}
            Err(AppendError::Refused(error)) => {
                abandon(&mut writer, changes);
                return Err(error);
            }
            Err(AppendError::Cut(error)) => {
                abandon(&mut writer, changes);
                inner.group.sync_cut()?;
                return Err(error);
            }
            Err(AppendError::Broken(error)) => {
                abandon(&mut writer, changes);
                inner.group.poison(&error);
                return Err(error);
            }
        }
        writer.appended_len += record.record_len();
        let barrier = inner.install(&mut writer, changes, directory, time, durable);
        let due = inner.checkpoint_due(&writer);
        let long_reader = inner.long_reader(&writer);
        drop(writer);
        inner.group.wait(barrier)?;
        if let (Some(reader), Some(callback)) = (long_reader, &inner.options.on_long_reader) {
            callback(reader);
        }
        inner.after_commit(due)?;
        Ok(txn)
    }

    /// Gives the transaction up. The same as dropping it, but visible.
    pub fn abort(self) {
        drop(self);
    }
}

impl Drop for WriteTxn<'_> {
    fn drop(&mut self) {
        if let Some(Open { mut writer, changes, .. }) = self.open.take() {
            let page_size = self.inner.store.page_size();
            changes.abandon(&mut Allocator::File { space: &mut writer.space, page_size });
        }
    }
}

pub(super) fn check_name(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        let reason = format!("it has {} bytes and must have 1 to {NAME_LEN_MAX}", name.len());
        return Err(Error::InvalidOption { what, reason });
    }
    Ok(())
}
