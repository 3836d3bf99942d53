//! Copies of an open database that share its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{OpenMode, Vfs};

use crate::db::{Db, DbCore};
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::log::segment::{remove_obsolete, segment_path};
use crate::manifest::{ManifestFile, ManifestState};
use crate::tree::Version;
use crate::tree::table_handle::table_path;

/// Bytes copied at a time where files cannot be linked.
const COPY_LEN: usize = 1 << 20;

/// What a checkpoint consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Every write up to this one is in the checkpoint, and none after it.
    pub seq: Seq,
    /// Files that the checkpoint shares with the database.
    pub files_linked: u64,
    /// Files that had to be copied, because the directory is on another filesystem.
    pub files_copied: u64,
    /// Bytes of the copied files.
    pub bytes_copied: u64,
}

impl Db {
    /// Makes `dir` a database of its own with everything committed up to now, durable on return. Files are shared by hard links where
    /// the filesystem allows it, so that it takes little time and space. Commits go on meanwhile.
    ///
    /// The two databases never disturb each other: shared files are not changed, and each removes only its own names of them. Where
    /// files must be copied, flushes wait while the log is copied.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use granite::{Db, KeyspaceOptions, Options};
    /// let db = Db::open(dir.path().join("db"), &Options::new())?;
    /// db.keyspace("fruit", KeyspaceOptions::new())?.put(b"apple", b"green")?;
    /// db.checkpoint(dir.path().join("backup"))?;
    /// let backup = Db::open(dir.path().join("backup"), &Options::new())?;
    /// assert_eq!(backup.existing_keyspace("fruit")?.get(b"apple")?.as_deref(), Some(&b"green"[..]));
    /// # Ok::<(), granite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TargetNotEmpty`], [`Error::StorageFull`], or another failure of the disk. What was made in `dir` is removed again; the
    /// directory itself stays.
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<CheckpointReport> {
        let dir = dir.as_ref();
        self.core.check_writable()?;
        let span = tracing::info_span!("checkpoint", path = %dir.display());
        let _entered = span.enter();
        let vfs = &self.core.context.vfs;
        prepare_target(&**vfs, dir)?;
        let mut copy =
            Copy { vfs: &**vfs, source: &self.core.context.dir, target: dir, report: CheckpointReport::default() };
        let made = self.core.fill_checkpoint(vfs, &mut copy);
        if made.is_err() {
            copy.remove();
        }
        made.map(|()| copy.report)
    }
}

impl DbCore {
    fn fill_checkpoint(&self, vfs: &Arc<dyn Vfs>, copy: &mut Copy<'_>) -> Result<()> {
        // While the manifest is held, no log segment is given up to be written over.
        let manifest = self.manifest.lock();
        let mut state: ManifestState = manifest.state().clone();
        let segments: Vec<(u64, u64)> = {
            let mut log = self.log.lock();
            self.seal_log(&mut log)?;
            copy.report.seq = Seq::new(log.next_seq.get() - 1);
            let needed = log.segments.iter().filter(|closed| closed.segment.number >= state.log_start);
            needed.map(|closed| (closed.segment.number, closed.len)).collect()
        };
        state.next_file = self.next_file_number();
        state.durable = self.durable();
        for &(number, len) in &segments {
            copy.file(&segment_path(copy.source, number), len)?;
        }
        // Tables and the segments they point into stay as long as somebody holds a version with them.
        let pinned: Vec<Arc<Version>> =
            self.all_keyspaces().iter().map(|keyspace| Arc::clone(&keyspace.view().version)).collect();
        drop(manifest);
        for (&number, &len) in &state.segments {
            copy.file(&segment_path(copy.source, number), len)?;
        }
        for (_, table) in state.keyspaces.values().flat_map(|keyspace| keyspace.tables.values()) {
            copy.file(&table_path(copy.source, table.number), table.file_len)?;
        }
        drop(pinned);
        // The names first: a manifest makes it a database.
        vfs.sync_dir(copy.target).map_err(|error| Error::io("sync", copy.target, error))?;
        ManifestFile::create(vfs, copy.target, state)?;
        Ok(())
    }
}

/// Makes sure that `dir` is an empty directory whose name is durable.
fn prepare_target(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    match vfs.metadata(dir) {
        Ok(found) if found.is_dir => {
            let entries = vfs.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
            if entries.is_empty() {
                crate::directory::create(vfs, dir)
            } else {
                Err(Error::TargetNotEmpty { path: dir.to_owned() })
            }
        }
        Ok(_) => Err(Error::TargetNotEmpty { path: dir.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => crate::directory::create(vfs, dir),
        Err(error) => Err(Error::io("look at", dir, error)),
    }
}

struct Copy<'a> {
    vfs: &'a dyn Vfs,
    source: &'a Path,
    target: &'a Path,
    report: CheckpointReport,
}

impl Copy<'_> {
    /// Gives a sealed file a name in the target, or copies its first `len` bytes, which are all that count.
    fn file(&mut self, path: &Path, len: u64) -> Result<()> {
        use std::io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
        let Some(name) = path.file_name() else { return Ok(()) };
        let to = self.target.join(name);
        match self.vfs.hard_link(path, &to) {
            Ok(()) => {
                self.report.files_linked += 1;
                Ok(())
            }
            // The last three are what filesystems without links, and links of a file that has too many, come to.
            Err(error) if matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported) => {
                self.copy(path, &to, len)
            }
            Err(error) => Err(Error::io("link", &to, error)),
        }
    }

    fn copy(&mut self, from: &Path, to: &Path, len: u64) -> Result<()> {
        let source = self.vfs.open(from, OpenMode::Read).map_err(|error| Error::io("open", from, error))?;
        let copy = self.vfs.open(to, OpenMode::CreateNew).map_err(|error| Error::io("create", to, error))?;
        let mut buffer = vec![0; COPY_LEN];
        let mut at = 0;
        while at < len {
            let count = usize::try_from(len - at).unwrap_or(COPY_LEN).min(COPY_LEN);
            let piece = buffer.get_mut(..count).unwrap_or_default();
            source.read_exact_at(at, piece).map_err(|error| Error::io("read", from, error))?;
            copy.write_at(at, piece).map_err(|error| Error::io("write", to, error))?;
            at += count as u64;
        }
        copy.sync_data().map_err(|error| Error::io("sync", to, error))?;
        self.report.files_copied += 1;
        self.report.bytes_copied += len;
        Ok(())
    }

    /// Removes everything from the target, which was empty before.
    fn remove(&self) {
        let left: Vec<PathBuf> = match self.vfs.read_dir(self.target) {
            Ok(paths) => paths,
            Err(error) => {
                tracing::warn!(path = %self.target.display(), %error, "an unfinished checkpoint could not be removed");
                return;
            }
        };
        for path in left {
            remove_obsolete(self.vfs, &path);
        }
    }
}
