//! From paths that may have changed to a checkpoint: look, read, write the trees on the way to the root, commit once.

mod dirty;
mod findings;
mod links;
mod walker;
mod wave;

use granite::{Durability, WriteBatch};
use tl_core::{Capture, Entry, ObjectId, RepoPath, RepoPathBuf};

use self::findings::Findings;
use self::walker::Surroundings;
use crate::checkpoint::{ChangeStats, Checkpoint, Completeness, Draft, Gap, LISTED_MAX, Provenance, Reason, Touched};
use crate::error::{Error, Result};
use crate::index::IndexChanges;
use crate::repository::{Repository, WriterState};

pub use self::dirty::Dirty;
pub(crate) use self::findings::Gaps;
pub(crate) use self::links::Links;
pub use self::walker::Ignored;

/// How an update is made, and what its checkpoint will say of itself.
#[derive(Clone)]
pub struct UpdateRequest<'a> {
    /// Why.
    pub reason: Reason,
    /// By whom.
    pub provenance: Provenance,
    /// Whether the checkpoint is on the disk before the call returns. With `Sync` that holds for the newest checkpoint even if there is no new one.
    pub durability: Durability,
    /// Read files even if times and sizes say that they are as they were.
    pub rehash: bool,
    /// Make a checkpoint even if nothing changed.
    pub always: bool,
    /// Parents beside HEAD, such as the state that was restored.
    pub other_parents: Vec<crate::CheckpointId>,
    /// Says of a path that is not recorded, and whether it is a directory, that it is to stay unrecorded. What is recorded is not asked about.
    pub ignored: &'a Ignored<'a>,
}

impl<'a> UpdateRequest<'a> {
    /// A durable update that says nothing of itself and ignores nothing.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            provenance: Provenance::default(),
            durability: Durability::Sync,
            rehash: false,
            always: false,
            other_parents: Vec::new(),
            ignored: &|_, _| false,
        }
    }

    /// The same with these rules of what to ignore.
    #[must_use]
    pub fn ignoring(self, ignored: &'a Ignored<'a>) -> Self {
        Self { ignored, ..self }
    }
}

impl std::fmt::Debug for UpdateRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateRequest").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The new checkpoint; `None` if nothing changed.
    pub checkpoint: Option<Checkpoint>,
    /// Paths that changed while they were looked at: hand them in again.
    pub requeue: Vec<RepoPathBuf>,
    /// All paths whose state is not in HEAD's tree as far as is known, those of earlier updates included; special files too.
    pub gaps: Vec<Gap>,
    /// How much changed.
    pub stats: ChangeStats,
    /// Files and links that were read.
    pub files_read: u64,
    /// Bytes of their contents.
    pub bytes_read: u64,
    /// Objects that were not stored before.
    pub objects_new: u64,
    /// Bytes of these, as they are stored.
    pub bytes_new: u64,
}

impl Outcome {
    /// True if HEAD's tree has everything that was looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gaps.iter().all(|gap| !gap.cause.is_missing())
    }
}

/// What the caller of an update adds to its checkpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Additions {
    /// A tree beside the root; it is kept as long as the checkpoint.
    pub(crate) saved: Option<ObjectId>,
}

/// What an update starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The tree of HEAD.
    Head,
    /// The tree without entries.
    Nothing,
}

impl Repository {
    /// Looks at what `dirty` names and makes a checkpoint of what changed. Costs as much as what is looked at, whatever the size of the
    /// working directory.
    ///
    /// A file that cannot be read keeps its former entry and is in the outcome's gaps; it is never recorded as deleted.
    ///
    /// # Errors
    /// [`Error::RootGone`]; [`Error::RestoreCutShort`]; a failure of the store: then nothing is recorded, and the same call can be made again.
    pub fn update(&self, dirty: &Dirty, request: &UpdateRequest<'_>) -> Result<Outcome> {
        self.update_with(dirty, request, |_| Ok(Additions::default()))
    }

    /// Compares everything in the working directory with what is recorded: [`Repository::update`] with [`Dirty::everything`].
    ///
    /// # Errors
    /// As for [`Repository::update`].
    pub fn reconcile(&self, request: &UpdateRequest<'_>) -> Result<Outcome> {
        self.update(&Dirty::everything(), request)
    }

    /// Like [`Repository::update`]; `add` puts further objects into the capture that the checkpoint is committed with.
    pub(crate) fn update_with(
        &self,
        dirty: &Dirty,
        request: &UpdateRequest<'_>,
        add: impl FnOnce(&Capture) -> Result<Additions>,
    ) -> Result<Outcome> {
        let mut writer = self.lock_writer()?;
        if self.restore_is_cut_short()? {
            return Err(Error::RestoreCutShort);
        }
        self.settle_index(&mut writer)?;
        let updated = self.update_locked(&mut writer, dirty, request, Base::Head, add);
        if updated.is_err() {
            // Whatever went ahead is found by its mark, which the next update looks at.
            writer.index_unsettled = true;
        }
        updated
    }

    /// Captures everything as if nothing were recorded, so that every object of the present state is stored whatever was lost of it. Only then it is
    /// compared with HEAD: a checkpoint is made if the two differ.
    pub(crate) fn recapture(&self, ignored: &Ignored<'_>) -> Result<()> {
        let mut writer = self.lock_writer()?;
        // What is recorded is asked of the index, since HEAD's tree cannot be read.
        let ignored =
            |path: &RepoPath, is_dir: bool| !matches!(self.index().get(path), Ok(Some(_))) && ignored(path, is_dir);
        let request = UpdateRequest { rehash: true, ..UpdateRequest::new(Reason::Startup).ignoring(&ignored) };
        self.update_locked(&mut writer, &Dirty::everything(), &request, Base::Nothing, |_| Ok(Additions::default()))?;
        // The walk did not see what the index has beyond the working directory.
        let mut changes = IndexChanges::new(self.index());
        let root = self.head_root();
        self.index().align(self.store(), &root, &mut changes)?;
        let mut batch = WriteBatch::new();
        changes.stage(&root, &mut batch);
        self.db().write(batch, Durability::Sync)?;
        Ok(())
    }

    fn update_locked(
        &self,
        writer: &mut WriterState,
        dirty: &Dirty,
        request: &UpdateRequest<'_>,
        base: Base,
        add: impl FnOnce(&Capture) -> Result<Additions>,
    ) -> Result<Outcome> {
        let head = self.journal().head();
        let head_root = self.head_root();
        let recorded = match base {
            Base::Head => head_root,
            Base::Nothing => ObjectId::EMPTY_TREE,
        };
        let working = self.working_directory()?;
        let capture = self.store().capture()?;
        let clock = self.clock();
        let now = || clock.now();
        let around = Surroundings {
            root: &working.dir,
            root_path: &working.path,
            capture: &capture,
            index: self.index(),
            ignored: request.ignored,
            rehash: request.rehash,
            threads: self.threads(),
            now: &now,
        };
        let mut follow_links = true;
        let mut findings = loop {
            // An update that failed, or a look that does not count, may have left what it came by.
            drop(writer.links.take_others());
            let findings =
                self.look(&around, &recorded, dirty, writer.gaps.clone(), &mut writer.links, follow_links)?;
            if !is_torn(&findings.edits) {
                break findings;
            }
            // One walk alone comes by each place once.
            follow_links = false;
        };
        let edits = std::mem::take(&mut findings.edits);
        let touched = touched(&edits);
        let root = capture.edit_tree(&recorded, edits)?;
        let additions = add(&capture)?;
        let mut outcome = Outcome {
            checkpoint: None,
            requeue: std::mem::take(&mut findings.requeue),
            gaps: findings.gap_list(),
            stats: findings.stats,
            files_read: findings.files_read,
            bytes_read: findings.bytes_read,
            objects_new: 0,
            bytes_new: 0,
        };
        let index = &mut findings.index;
        let unchanged = head.is_some() && root == head_root;
        if unchanged && !request.always && additions.saved.is_none() {
            if request.durability == Durability::Sync && !writer.head_is_durable {
                self.db().sync()?;
                writer.head_is_durable = true;
            }
            if base == Base::Nothing {
                capture.commit(|batch| index.stage(&root, batch), Durability::Sync)?;
            } else if !index.is_empty() {
                let mut batch = WriteBatch::new();
                index.stage(&root, &mut batch);
                self.db().write(batch, Durability::Buffered)?;
            }
            writer.gaps = findings.gaps;
            return Ok(outcome);
        }
        let mut parents: Vec<_> = head.iter().map(|head| head.id).collect();
        parents
            .extend(request.other_parents.iter().filter(|&&other| head.as_ref().is_none_or(|head| head.id != other)));
        let draft = Draft {
            reason: request.reason,
            parents,
            root,
            saved: additions.saved,
            stats: findings.stats,
            touched,
            completeness: Completeness::of(&outcome.gaps),
            provenance: request.provenance.clone(),
        };
        let mut append = self.journal().begin_append();
        let checkpoint = append.prepare(draft, clock)?;
        let committed = capture.commit(
            |batch| {
                append.stage(&checkpoint, batch);
                index.stage(&root, batch);
            },
            request.durability,
        )?;
        append.committed();
        writer.head_is_durable = request.durability == Durability::Sync;
        writer.gaps = findings.gaps;
        outcome.checkpoint = Some(checkpoint);
        outcome.objects_new = committed.objects_new;
        outcome.bytes_new = committed.bytes_new;
        Ok(outcome)
    }
}

impl Repository {
    /// Walks over what is dirty, and then over the other names of the files that this came by. Without `follow_links` those are left to the next update. The
    /// edits are in order, one for each path.
    fn look<'f>(
        &'f self,
        around: &Surroundings<'_>,
        recorded: &ObjectId,
        dirty: &Dirty,
        gaps: Gaps,
        links: &'f mut Links,
        follow_links: bool,
    ) -> Result<Findings<'f>> {
        let findings = Findings::new(self.store(), IndexChanges::new(self.index()), gaps, links);
        let mut findings = walker::walk(around, recorded, dirty.scope(), findings)?;
        let others = self.other_names(&mut findings)?;
        if !follow_links {
            findings.requeue.extend(others.paths().map(RepoPath::to_owned));
        } else if !others.is_empty() {
            findings = walker::walk(around, recorded, others.scope(), findings)?;
            // What these came by is known already.
            drop(findings.links.take_others());
        }
        let edits = &mut findings.edits;
        edits.sort_by(|a, b| a.0.cmp(&b.0));
        // The second walk came by the directories above once more. What it saw is what the index has.
        edits.reverse();
        edits.dedup_by(|earlier, later| earlier.0 == later.0);
        edits.reverse();
        Ok(findings)
    }

    /// The names that the walk did not come by, of the files that it came by and that have several.
    fn other_names(&self, findings: &mut Findings<'_>) -> Result<Dirty> {
        let unknown = findings.links.take_unknown();
        if !unknown.is_empty() {
            for found in self.index().scan()? {
                let (path, entry) = found?;
                let file = entry.map(|entry| (entry.inode, entry.device));
                if let Some(file) = file.filter(|file| unknown.contains(file)) {
                    findings.links.note(&path, file);
                }
            }
        }
        let mut others = Dirty::new();
        for path in findings.links.take_others() {
            others.add_path(path);
        }
        Ok(others)
    }
}

/// True if something is to be put below what is to go, or to be no directory: it was there in the first walk, and gone in the second.
fn is_torn(edits: &[(RepoPathBuf, Option<Entry>)]) -> bool {
    let mut closed: Option<&RepoPathBuf> = None;
    for (path, entry) in edits {
        let below = closed.is_some_and(|closed| path.starts_with(closed));
        match entry {
            Some(_) if below => return true,
            Some(entry) if entry.is_directory() => closed = None,
            None if below => {}
            _ => closed = Some(path),
        }
    }
    false
}

fn touched(edits: &[(RepoPathBuf, Option<Entry>)]) -> Touched {
    let listed = edits.iter().take(LISTED_MAX).map(|(path, _)| path.clone()).collect();
    Touched { listed, more: edits.len() > LISTED_MAX }
}
