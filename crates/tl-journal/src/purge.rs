//! Purge: what must never have been recorded leaves the store for good, and the history stays readable around it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use tl_core::{Entry, ObjectId, RepoPath, RepoPathBuf, WHOLE_BLOB_LEN_MAX};
use vfs::{OpenMode, Vfs};

use crate::error::{Error, Result};
use crate::journal::Order;
use crate::repository::Repository;

/// Bytes of a file that are searched at a time.
const SEARCH_LEN: usize = 1 << 20;
/// Fewer bytes than this stand in many files by chance: they are not searched for.
const EVIDENCE_LEN_MIN: usize = 12;

/// A content that a path had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedContent {
    /// A path that had it: the first in the order of checkpoints.
    pub path: RepoPathBuf,
    /// The blob.
    pub id: ObjectId,
    /// Its length in bytes.
    pub len: u64,
}

/// A content, or a part of one, that stays because another path has it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedContent {
    /// A purged path that had it.
    pub path: RepoPathBuf,
    /// The blob, or the chunk of one.
    pub id: ObjectId,
    /// A path that keeps it.
    pub with: RepoPathBuf,
}

/// What a purge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Contents that are gone; their ids stay in the history.
    pub purged: Vec<PurgedContent>,
    /// What stays, and why.
    pub shared: Vec<SharedContent>,
    /// Bytes that were taken out of the store, as they were stored.
    pub bytes: u64,
    /// Purged paths that the newest checkpoint records. If they still stand in the working directory and change, they are recorded again.
    pub still_recorded: Vec<RepoPathBuf>,
    /// Contents of which bytes were searched for in every file of the store. Those that are shorter than a dozen bytes are not.
    pub searched_for: u64,
    /// Files of the store in which some of these bytes were found nevertheless.
    pub found_in: Vec<PathBuf>,
    /// Somebody was reading the store: what they may see was kept. Purge again once they are done.
    pub kept_for_readers: bool,
    /// Checkpoints with such a content that were published elsewhere, which no purge here reaches.
    pub published: Vec<crate::Publication>,
}

impl PurgeReport {
    /// True if nothing of what was to go is left in the store, as far as was searched.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found_in.is_empty() && !self.kept_for_readers
    }
}

/// What the history says of purged paths.
#[derive(Default)]
struct Named {
    contents: BTreeMap<ObjectId, PurgedContent>,
    /// Chunks of these, each with a blob that has it.
    chunks: HashMap<ObjectId, ObjectId>,
    checkpoints: BTreeSet<crate::CheckpointId>,
}

impl Repository {
    /// Takes every content that `paths`, or anything below them, ever had out of the store: of all checkpoints, and of what restores saved. The history keeps
    /// their names, modes, lengths and ids; reading one says that it was purged. What another path has too stays, and is named. Every file of the
    /// store that held the bytes is rewritten, and afterwards all files are searched for them.
    ///
    /// That can take as long as a copy of the store, and as much space for a while. Writers wait.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no checkpoint ever had one of the paths; [`Error::RestoreCutShort`]; a failure of the store or the disk: the same call made
    /// again goes on.
    pub fn purge(&self, paths: &[RepoPathBuf]) -> Result<PurgeReport> {
        // Nothing is captured meanwhile, so nobody puts again what goes.
        let _writer = self.lock_writer()?;
        if self.restore_is_cut_short()? {
            return Err(Error::RestoreCutShort);
        }
        let (named, mut report) = self.contents_of(paths)?;
        let mut going: HashSet<ObjectId> = named.contents.keys().chain(named.chunks.keys()).copied().collect();
        for shared in self.kept_by_others(paths, &named)? {
            going.remove(&shared.id);
            report.shared.push(shared);
        }
        let head = self.head_root();
        for path in paths {
            if crate::restore::entry_at(self.store(), &head, path)?.is_some() {
                report.still_recorded.push(path.clone());
            }
        }
        for publication in self.journal().publications()? {
            if named.checkpoints.contains(&publication.id) {
                report.published.push(publication);
            }
        }
        let purged = self.store().purge(going)?;
        report.bytes = purged.bytes;
        report.kept_for_readers = purged.kept_for_snapshots;
        let kept: HashSet<ObjectId> = report.shared.iter().map(|shared| shared.id).collect();
        report.purged = named.contents.into_values().filter(|content| !kept.contains(&content.id)).collect();
        let evidence: Vec<Vec<u8>> =
            purged.evidence.into_iter().filter(|bytes| bytes.len() >= EVIDENCE_LEN_MIN).collect();
        report.searched_for = evidence.len() as u64;
        report.found_in = search(self.clock(), &self.config().store_dir, &evidence)?;
        Ok(report)
    }

    /// Every entry that is no directory of every recorded state, with its path, at least once. Checkpoints are told to `visit` with it.
    fn for_each_recorded(
        &self,
        mut visit: impl FnMut(RepoPathBuf, Entry, crate::CheckpointId) -> Result<()>,
    ) -> Result<()> {
        // What did not change since the checkpoint before was visited with it.
        let mut before = ObjectId::EMPTY_TREE;
        let mut saved_trees = HashSet::new();
        for checkpoint in self.journal().walk(.., Order::OldestFirst)? {
            let checkpoint = checkpoint?;
            let saved = checkpoint.saved.filter(|saved| saved_trees.insert(*saved));
            let states = [Some((before, checkpoint.root)), saved.map(|saved| (ObjectId::EMPTY_TREE, saved))];
            for (from, to) in states.into_iter().flatten() {
                for change in self.store().diff(&from, &to)? {
                    let change = change?;
                    if let Some(entry) = change.after.filter(|entry| !entry.is_directory()) {
                        visit(change.path, entry, checkpoint.id)?;
                    }
                }
            }
            before = checkpoint.root;
        }
        Ok(())
    }

    fn contents_of(&self, paths: &[RepoPathBuf]) -> Result<(Named, PurgeReport)> {
        let mut named = Named::default();
        let mut missing: Vec<&RepoPathBuf> = paths.iter().collect();
        self.for_each_recorded(|path, entry, checkpoint| {
            if !is_purged(&path, paths) {
                return Ok(());
            }
            missing.retain(|asked| !path.starts_with(asked));
            named.checkpoints.insert(checkpoint);
            named.contents.entry(entry.id).or_insert(PurgedContent { path, id: entry.id, len: entry.size });
            Ok(())
        })?;
        if let Some(path) = missing.first() {
            let reason = format!("no checkpoint has a file at or below {path}");
            return Err(Error::Invalid { what: "path", reason });
        }
        let chunked = named.contents.values().filter(|content| content.len > WHOLE_BLOB_LEN_MAX as u64);
        for content in chunked {
            let chunks = &mut named.chunks;
            self.chunks_of(&content.id, |chunk| {
                chunks.insert(chunk, content.id);
            })?;
        }
        Ok((named, PurgeReport::default()))
    }

    fn chunks_of(&self, blob: &ObjectId, mut visit: impl FnMut(ObjectId)) -> Result<()> {
        match self.store().for_each_chunk(blob, |chunk| visit(*chunk)) {
            // It was purged before, or is lost: it keeps no chunk.
            Ok(()) | Err(tl_core::Error::Missing { .. } | tl_core::Error::Purged { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What of the purged contents other paths have too.
    fn kept_by_others(&self, paths: &[RepoPathBuf], named: &Named) -> Result<Vec<SharedContent>> {
        let mut shared: BTreeMap<ObjectId, SharedContent> = BTreeMap::new();
        let mut seen = HashSet::new();
        let owner = |id: &ObjectId| {
            let blob = named.contents.get(id).or_else(|| named.contents.get(named.chunks.get(id)?));
            blob.map(|content| content.path.clone())
        };
        self.for_each_recorded(|path, entry, _| {
            if is_purged(&path, paths) || !seen.insert(entry.id) {
                return Ok(());
            }
            let mut keep = |id: ObjectId| {
                if let Some(purged) = owner(&id) {
                    shared.entry(id).or_insert(SharedContent { path: purged, id, with: path.clone() });
                }
            };
            keep(entry.id);
            if entry.size > WHOLE_BLOB_LEN_MAX as u64 && !named.chunks.is_empty() {
                self.chunks_of(&entry.id, keep)?;
            }
            Ok(())
        })?;
        Ok(shared.into_values().collect())
    }
}

fn is_purged(path: &RepoPath, paths: &[RepoPathBuf]) -> bool {
    paths.iter().any(|purged| path.starts_with(purged))
}

/// The files below `dir` in which one of `evidence` stands.
fn search(vfs: &dyn Vfs, dir: &Path, evidence: &[Vec<u8>]) -> Result<Vec<PathBuf>> {
    if evidence.is_empty() {
        return Ok(Vec::new());
    }
    let unfit = |error: aho_corasick::BuildError| Error::Invalid { what: "purge", reason: error.to_string() };
    let finder = AhoCorasick::new(evidence).map_err(unfit)?;
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for path in vfs.read_dir(&dir).map_err(|error| Error::io("list", &dir, error))? {
            let looked = match vfs.metadata(&path) {
                Ok(metadata) if metadata.is_dir => {
                    pending.push(path);
                    continue;
                }
                Ok(_) => holds(vfs, &path, &finder),
                Err(error) => Err(error),
            };
            match looked {
                Ok(true) => found.push(path),
                Ok(false) => {}
                // The engine removes files while it works.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("search", &path, error)),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn holds(vfs: &dyn Vfs, path: &Path, finder: &AhoCorasick) -> io::Result<bool> {
    let file = vfs.open(path, OpenMode::Read)?;
    let overlap = finder.max_pattern_len().saturating_sub(1);
    let mut window: Vec<u8> = Vec::new();
    let mut buffer = vec![0; SEARCH_LEN];
    let mut offset = 0;
    loop {
        let count = file.read_at(offset, &mut buffer)?;
        if count == 0 {
            return Ok(false);
        }
        offset += count as u64;
        window.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if finder.is_match(&window) {
            return Ok(true);
        }
        // What is searched for may begin in this piece and end in the next.
        let done = window.len().saturating_sub(overlap);
        window.drain(..done);
    }
}
