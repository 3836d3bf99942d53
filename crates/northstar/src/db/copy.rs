//! A copy beside writers, and a file that shrinks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::OpenMode;

use super::Tree;
use super::database::Database;
use super::open::NewFile;
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::id::TxnId;
use crate::node::Node;
use crate::options::{Background, Durability, Options};
use crate::page::run_pages;
use crate::store::{Directory, LogPosition, Meta, read_newest};

/// Bytes of keys and values that one transaction of a copy takes.
const BATCH_LEN_MAX: usize = 4 << 20;
/// Leaves that one transaction of a compaction moves: others can write between two of them.
const MOVED_LEAVES_MAX: usize = 512;
/// Rounds of a compaction: each finds what the one before had to leave because somebody still looked at it.
const ROUNDS_MAX: usize = 3;

/// What a backup wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The state that was copied.
    pub txn: TxnId,
    /// Entries of all trees.
    pub entries: u64,
    /// Bytes of the file that was written.
    pub len: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Bytes of the file before.
    pub before_len: u64,
    /// Bytes of the file after.
    pub after_len: u64,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Database {
    /// Copies the newest state into a new file at `target`, while others read and write: one file, without gaps, that needs no log. It is a
    /// database of its own, whose transactions count from its first on; trees keep their numbers and names.
    ///
    /// The copy is written beside `target` and gets its name once all of it is durable.
    ///
    /// # Errors
    /// [`Error::TargetExists`], errors of reading, and errors of the disk.
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<Backup> {
        let target = target.as_ref();
        let vfs = &self.inner.vfs;
        if vfs::exists(&**vfs, target).map_err(|error| Error::io("look at", target, error))? {
            return Err(Error::TargetExists { path: target.to_owned() });
        }
        let partial = beside(target, ".partial");
        let remove = |path: &Path| match vfs.remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
            _ => Ok(()),
        };
        let leftovers = [partial.clone(), beside(&partial, ".log"), beside(&partial, "-shm")];
        leftovers.iter().try_for_each(|path| remove(path))?;
        let snapshot = self.snapshot();
        let mut directory = Directory { trees: Vec::new(), next_tree_id: snapshot.root.directory.next_tree_id };
        snapshot.root.directory.trees.iter().for_each(|tree| directory.create(tree.id, &tree.name));
        let new = NewFile {
            vfs: &**vfs,
            path: &partial,
            page_size: self.inner.store.page_size(),
            identity: [vfs.random_u64(), vfs.random_u64()],
        };
        new.write_state(&directory, LogPosition::default())?;
        let options = Options::new()
            .vfs(Arc::clone(vfs))
            .background(Background::Inline)
            .memory_budget(self.inner.options.memory_budget.min(16 << 20))
            .durability(Durability::Buffered);
        let copy = Database::open(&partial, options)?;
        let entries = copy.fill_from(&snapshot)?;
        copy.close()?;
        let len = finish_copy(&**vfs, &partial)?;
        leftovers.iter().skip(1).try_for_each(|path| {
            // The complete segments of a large copy's log went with its checkpoints.
            remove(path)
        })?;
        let files = crate::log::LogFiles::new(vfs, &partial);
        for number in files.sealed_numbers()? {
            files.remove_sealed(number)?;
        }
        vfs.rename(&partial, target).map_err(|error| Error::io("rename", &partial, error))?;
        let dir = files.dir();
        vfs.sync_dir(dir).map_err(|error| Error::sync(dir, error))?;
        Ok(Backup { txn: snapshot.txn(), entries, len })
    }

    fn fill_from(&self, snapshot: &Snapshot) -> Result<u64> {
        let mut entries = 0;
        for (tree, _) in snapshot.trees() {
            let mut cursor = snapshot.cursor(tree)?;
            let mut more = cursor.first()?;
            while more {
                let mut batch = Vec::new();
                let mut len = 0;
                while more && len < BATCH_LEN_MAX {
                    let key = cursor.key().to_vec();
                    let value = cursor.value()?.to_vec();
                    len += key.len() + value.len();
                    batch.push((key, value));
                    more = cursor.next()?;
                }
                entries += batch.len() as u64;
                self.write(|txn| txn.append(tree, batch))?;
            }
        }
        Ok(entries)
    }

    /// Moves pages to the front of the file and cuts its end off. Others can read and write meanwhile. Pages that a snapshot, a retained or a
    /// pinned state has stay where they are.
    ///
    /// # Errors
    /// Errors of reading, and errors of the disk. What was moved until then stays moved.
    pub fn compact(&self) -> Result<Compaction> {
        let before_len = self.file_len()?;
        self.inner.checkpoint()?;
        for _ in 0..ROUNDS_MAX {
            let (end, count) = {
                let mut writer = self.inner.writer.lock();
                let txn = writer.latest.txn.next();
                writer.space.load_all(&self.inner.store, txn)?;
                (writer.space.used_pages(), writer.space.page_count())
            };
            if end >= count {
                break;
            }
            self.move_from(end)?;
            self.settle()?;
            self.cut_end()?;
        }
        Ok(Compaction { before_len, after_len: self.file_len()? })
    }

    fn file_len(&self) -> Result<u64> {
        self.inner.store.file().len().map_err(|error| Error::io("measure", &self.inner.path, error))
    }

    /// Two checkpoints, after which nothing but what somebody wants kept is left of older states.
    fn settle(&self) -> Result<()> {
        for _ in 0..2 {
            self.inner.checkpoint_with(|writer| {
                writer.pins_changed = true;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Writes everything anew that stands at page `end` or behind it.
    fn move_from(&self, end: u32) -> Result<()> {
        for (tree, _) in self.snapshot().trees() {
            let mut next: Option<Vec<u8>> = Some(Vec::new());
            while let Some(from) = next.take() {
                let mut txn = self.begin()?;
                match txn.move_leaves(tree, &from, end, MOVED_LEAVES_MAX) {
                    Ok(after) => next = after,
                    // The tree was dropped meanwhile.
                    Err(Error::UnknownTree { .. }) => {}
                    Err(error) => return Err(error),
                }
                txn.commit_moved()?;
            }
        }
        Ok(())
    }

    fn cut_end(&self) -> Result<()> {
        let cut = {
            let mut writer = self.inner.writer.lock();
            writer.space.cut_free_end()
        };
        if cut == 0 {
            return Ok(());
        }
        // A meta that needs the shorter file only; then nobody writes while the rest is cut off.
        self.settle()?;
        let _no_checkpoint = self.inner.checkpointing.lock();
        let writer = self.inner.writer.lock();
        let pages = writer.space.page_count().max(writer.meta.page_count);
        let len = u64::from(pages) * self.inner.store.page_size() as u64;
        if len < self.file_len()? {
            self.inner.store.file().set_len(len).map_err(|error| Error::io("truncate", &self.inner.path, error))?;
        }
        Ok(())
    }
}

/// Makes the meta of a closed copy say that it needs no log.
fn finish_copy(vfs: &dyn vfs::Vfs, path: &Path) -> Result<u64> {
    let file = vfs.open(path, OpenMode::ReadWrite).map_err(|error| Error::io("open", path, error))?;
    let meta = read_newest(&*file, path)?;
    // Both metas: the older one would ask for a log that is not there.
    for number in 1..=2 {
        let mut meta = Meta { number: meta.number + number, ..meta };
        meta.root.log = LogPosition::default();
        file.write_at(meta.offset(), &meta.encode()).map_err(|error| Error::io("write", path, error))?;
        file.sync_data().map_err(|error| Error::sync(path, error))?;
    }
    file.len().map_err(|error| Error::io("measure", path, error))
}

impl super::WriteTxn<'_> {
    /// Copies the leaves from `from` on that stand at page `end` or behind it, or have a parent or a value there. Returns the key to go on
    /// from, if there is more.
    fn move_leaves(&mut self, tree: Tree, from: &[u8], end: u32, leaves_max: usize) -> Result<Option<Vec<u8>>> {
        let page_size = self.page_size();
        let mut moves: Vec<Vec<u8>> = Vec::new();
        let mut values: Vec<Vec<u8>> = Vec::new();
        let mut after = None;
        {
            let mut cursor = self.raw_cursor(tree)?;
            let mut more = cursor.seek(from)?;
            let mut leaves = 0;
            while more {
                if leaves == leaves_max {
                    after = Some(cursor.key().to_vec());
                    break;
                }
                leaves += 1;
                if cursor.path_ids().any(|id| id.0 >= end) {
                    moves.push(cursor.key().to_vec());
                }
                for (index, pointer) in Node::new(cursor.leaf()).overflow_pointers() {
                    let pages = run_pages(pointer.len as usize, page_size);
                    if pointer.page.0.saturating_add(pages) > end {
                        values.push(Node::new(cursor.leaf()).key(index));
                    }
                }
                more = cursor.skip_leaf()?;
            }
        }
        for key in moves {
            self.move_path(tree, &key)?;
        }
        for key in values {
            if let Some(value) = self.get(tree, &key)? {
                self.move_value(tree, &key, &value)?;
            }
        }
        Ok(after)
    }
}
