//! Repair: what of a damaged store is lost, and what can be had again.
//!
//! It works on a store that cannot be opened: first the engine's own repair where the database needs it, then the journal from its records, then the
//! objects, last the index. What a working file still holds is stored again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use granite::{Db, Durability, WriteBatch};
use tl_core::{Capture, ObjectId, RepoPath, RepoPathBuf, Store, StoreOptions, VerifyOptions};

use crate::checkpoint::{Checkpoint, CheckpointId, Reason};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::repository::{DB_DIR, OBJECTS, Repository, RepositoryConfig, engine_options};
use crate::update::Ignored;
use crate::workdir::{Dir, StatKind, read_file, read_link};

/// What docs/format/objects.md has under the key of zeros.
const OBJECTS_HEADER: &[u8] = b"TLOBJECT\x01\0\0\0";

/// An object that is damaged or missing, and who needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostObject {
    /// The object; of a chunked file whose chunk is lost, the file's.
    pub id: ObjectId,
    /// The newest checkpoint that has it.
    pub checkpoint: CheckpointId,
    /// Its path there; of a directory, nothing below it can be reached.
    pub path: RepoPathBuf,
    /// What is wrong.
    pub reason: String,
    /// It was found in the working directory and is stored again.
    pub recovered: bool,
}

/// What a repair found and did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RepairReport {
    /// What the engine had to repair, if anything.
    pub engine: Option<granite::RepairReport>,
    /// Checkpoints whose records could not be read, and why. They are removed.
    pub lost_checkpoints: Vec<(CheckpointId, String)>,
    /// Pins, publish marks and labels of checkpoints that are not there. They are removed.
    pub dangling_refs: Vec<String>,
    /// HEAD had to be set to another checkpoint.
    pub head_moved: bool,
    /// Checkpoints that are left.
    pub checkpoints: u64,
    /// Objects that are damaged or missing.
    pub lost_objects: Vec<LostObject>,
    /// Damaged objects that no checkpoint needs. They are removed.
    pub damaged_and_unused: u64,
    /// Entries of the index that were not of HEAD's tree.
    pub index_entries_replaced: u64,
}

impl RepairReport {
    /// True if everything that checkpoints need is there, or is there again.
    #[must_use]
    pub fn nothing_is_lost(&self) -> bool {
        self.lost_checkpoints.is_empty() && self.lost_objects.iter().all(|lost| lost.recovered)
    }
}

impl Repository {
    /// Repairs the store of `config` as far as that can be done, and says what is lost. Nobody may have it open. With a working directory, what it still has
    /// of what is lost is stored again; `ignored` says what in it was never to be recorded.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store is open elsewhere, of a newer version, or its disk fails.
    pub fn repair(config: &RepositoryConfig, ignored: &Ignored<'_>) -> Result<RepairReport> {
        let mut report = RepairReport::default();
        let db = open_database(config, &mut report)?;
        let journal = Journal::without_tail(&db)?;
        let left = rebuild_journal(&journal, &mut report)?;
        let store = Store::open(&db, &StoreOptions { tree_cache_bytes: config.tree_cache_bytes })?;
        let mut lost = Lost::survey(&store, &left)?;
        report.damaged_and_unused = lost.unused();
        lost.remove_damaged(&db)?;
        let root = config.root.as_deref().map(Dir::open_root);
        if let Some(Ok(root)) = &root {
            lost.refetch(&store, root, config)?;
        }
        drop((store, journal));
        db.close()?;
        let repository = Self::open(config.clone())?;
        report.index_entries_replaced = repository.start_report().index_entries_replaced;
        if lost.has_trees() && matches!(root, Some(Ok(_))) {
            // Directories that look as they did have the trees that they had; the others get new ones, so that updates work again.
            repository.recapture(ignored)?;
            lost.look_again(repository.store())?;
        }
        report.lost_objects = lost.needed.into_values().collect();
        Ok(report)
    }
}

fn open_database(config: &RepositoryConfig, report: &mut RepairReport) -> Result<Db> {
    let dir = config.store_dir.join(DB_DIR);
    let options = engine_options(config).create_if_missing(false);
    if !granite::verify(&dir, &options)?.is_intact() {
        report.engine = Some(granite::repair(&dir, &options)?);
    }
    let db = Db::open(&dir, &options)?;
    if report.engine.is_some() {
        // The header of the objects was in a damaged block too: without it nobody knows them for what they are.
        let mut batch = WriteBatch::new();
        batch.put_if_absent(&db.existing_keyspace(OBJECTS)?, &[0; ObjectId::LEN], OBJECTS_HEADER);
        db.write(batch, Durability::Sync)?;
    }
    Ok(db)
}

/// Makes records, numbers, counters, HEAD and marks of one piece again. Returns the checkpoints that are left, oldest first.
fn rebuild_journal(journal: &Journal, report: &mut RepairReport) -> Result<Vec<Checkpoint>> {
    let mut left = Vec::new();
    for found in journal.records()? {
        match found? {
            (_, Ok(checkpoint)) => left.push(checkpoint),
            (id, Err(Error::Damaged { reason, .. })) => report.lost_checkpoints.push((id, reason)),
            (_, Err(error)) => return Err(error),
        }
    }
    let mut batch = WriteBatch::new();
    let lost: Vec<CheckpointId> = report.lost_checkpoints.iter().map(|(id, _)| *id).collect();
    let head_before = journal.stage_rebuild(&left, &lost, &mut batch)?;
    let ids: Vec<CheckpointId> = left.iter().map(|checkpoint| checkpoint.id).collect();
    report.dangling_refs = journal.stage_removal_of_dangling(&ids, &mut batch)?;
    journal.db().write(batch, Durability::Sync)?;
    let head = left.iter().rev().find(|checkpoint| checkpoint.reason != Reason::Import);
    report.head_moved = head.map(|head| head.id) != head_before;
    report.checkpoints = left.len() as u64;
    Ok(left)
}

/// Objects that checkpoints need and the store does not have.
#[derive(Default)]
struct Lost {
    /// What the store has and cannot use, with what is wrong.
    damaged: BTreeMap<ObjectId, String>,
    needed: BTreeMap<ObjectId, LostObject>,
    trees: BTreeSet<ObjectId>,
}

impl Lost {
    /// Reads everything that is stored, then asks of every checkpoint what it needs. Each object is looked at once, so this costs as much as the store holds.
    fn survey(store: &Store, checkpoints: &[Checkpoint]) -> Result<Self> {
        let mut lost = Self::default();
        for found in store.verify(&VerifyOptions::default())?.damaged {
            lost.damaged.insert(found.id, found.damage.to_string());
        }
        let mut seen = HashSet::new();
        for checkpoint in checkpoints.iter().rev() {
            for root in [Some(checkpoint.root), checkpoint.saved].into_iter().flatten() {
                lost.survey_tree(store, checkpoint.id, root, &mut seen)?;
            }
        }
        Ok(lost)
    }

    fn survey_tree(
        &mut self,
        store: &Store,
        checkpoint: CheckpointId,
        root: ObjectId,
        seen: &mut HashSet<ObjectId>,
    ) -> Result<()> {
        let mut waiting = vec![(RepoPathBuf::root(), root)];
        while let Some((path, id)) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            let intact = self.survey_object(store, checkpoint, &path, id)?;
            let Some(tree) = intact.then(|| store.get_tree(&id)).transpose()? else {
                self.trees.insert(id);
                continue;
            };
            for found in tree.iter() {
                let below = path.join(found.name).map_err(tl_core::Error::from)?;
                if found.entry.is_directory() {
                    waiting.push((below, found.entry.id));
                } else if seen.insert(found.entry.id) {
                    self.survey_object(store, checkpoint, &below, found.entry.id)?;
                }
            }
        }
        Ok(())
    }

    /// False if the object is lost.
    fn survey_object(
        &mut self,
        store: &Store,
        checkpoint: CheckpointId,
        path: &RepoPath,
        id: ObjectId,
    ) -> Result<bool> {
        let reason = match self.damaged.get(&id) {
            Some(reason) => reason.clone(),
            None if is_there(store, &id)? => return Ok(true),
            None => "it is missing".to_owned(),
        };
        self.needed.insert(id, LostObject { id, checkpoint, path: path.to_owned(), reason, recovered: false });
        Ok(false)
    }

    fn unused(&self) -> u64 {
        self.damaged.keys().filter(|id| !self.needed.contains_key(id)).count() as u64
    }

    fn has_trees(&self) -> bool {
        !self.trees.is_empty()
    }

    /// Takes damaged objects out of the store: what is there would not be written again.
    fn remove_damaged(&self, db: &Db) -> Result<()> {
        let objects = db.existing_keyspace(OBJECTS)?;
        let mut batch = WriteBatch::new();
        for id in self.damaged.keys() {
            batch.delete(&objects, id.as_bytes());
        }
        db.write(batch, Durability::Sync)?;
        Ok(())
    }

    fn look_again(&mut self, store: &Store) -> Result<()> {
        for lost in self.needed.values_mut() {
            lost.recovered = is_there(store, &lost.id)?;
        }
        Ok(())
    }

    /// Stores what files of the working directory still have: each is read at the path where its content is missing.
    fn refetch(&mut self, store: &Store, root: &Dir, config: &RepositoryConfig) -> Result<()> {
        let capture = store.capture()?;
        for lost in self.needed.values().filter(|lost| !self.trees.contains(&lost.id)) {
            put_file_at(root, &lost.path, &capture, config)?;
        }
        capture.commit(|_| {}, Durability::Sync)?;
        self.look_again(store)
    }
}

/// True if the object is stored, or was purged as somebody wanted.
fn is_there(store: &Store, id: &ObjectId) -> Result<bool> {
    Ok(store.contains(id)? || matches!(store.blob_len(id), Err(tl_core::Error::Purged { .. })))
}

/// Puts the content that the working directory has at `path` into `capture`, if it has any.
fn put_file_at(root: &Dir, path: &RepoPath, capture: &Capture, config: &RepositoryConfig) -> Result<()> {
    let Some((parent, name)) = path.split_last() else { return Ok(()) };
    let Ok(dir) = root.open_beneath(parent) else { return Ok(()) };
    let Ok(stat) = dir.stat_of(name) else { return Ok(()) };
    let now = || config.vfs.now();
    // Whatever came of it, the store is asked for the object afterwards.
    let _read = match stat.kind {
        StatKind::File => read_file(&dir, name, capture, &now)?,
        StatKind::Symlink => read_link(&dir, name, capture, now())?,
        StatKind::Directory | StatKind::Special => return Ok(()),
    };
    Ok(())
}
