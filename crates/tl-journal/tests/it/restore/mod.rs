//! Restore, each of its rules for itself: docs/design/0006-restore.md.

mod attacks;
mod crash;
mod named_failures;
mod power;
mod rules;
mod states;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tl_journal::{
    CheckpointId, Dirty, Folding, Present, Provenance, Resolve, RestoreOptions, RestoreReport, RestoreRequest, Result,
    Step, Swap, unwatched,
};

use crate::lab::Lab;

/// What stands at a path: mode, and content or target.
#[derive(Clone, PartialEq, Eq)]
pub enum Thing {
    File(u32, Vec<u8>),
    Link(Vec<u8>),
    Directory(u32),
    Special,
}

impl std::fmt::Debug for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(mode, content) => {
                let start = String::from_utf8_lossy(&content[..content.len().min(24)]);
                write!(f, "file {mode:o} {} bytes {start:?}", content.len())
            }
            Self::Link(target) => write!(f, "link {:?}", String::from_utf8_lossy(target)),
            Self::Directory(mode) => write!(f, "directory {mode:o}"),
            Self::Special => f.write_str("special"),
        }
    }
}

pub type Disk = BTreeMap<String, Thing>;

/// Everything below `root` as it is on disk.
pub fn disk(root: &Path) -> Disk {
    let mut found = Disk::new();
    add(root, "", &mut found);
    found
}

fn add(dir: &Path, prefix: &str, found: &mut Disk) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().display());
        let stat = entry.path().symlink_metadata().unwrap();
        let mode = stat.mode() & 0o7777;
        let thing = if stat.is_dir() {
            add(&entry.path(), &format!("{path}/"), found);
            Thing::Directory(mode)
        } else if stat.is_symlink() {
            Thing::Link(fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().to_vec())
        } else if stat.is_file() {
            Thing::File(mode, fs::read(entry.path()).unwrap())
        } else {
            Thing::Special
        };
        found.insert(path, thing);
    }
}

/// The ways to write that every test of what comes out goes through.
pub fn ways() -> [RestoreOptions; 4] {
    let way = |resolve, swap, threads| RestoreOptions { threads, resolve, swap, folding: Folding::Probe };
    [
        way(Resolve::Kernel, Swap::Exchange, 4),
        way(Resolve::Walk, Swap::Exchange, 1),
        way(Resolve::Kernel, Swap::Aside, 1),
        way(Resolve::Walk, Swap::Aside, 4),
    ]
}

/// One thread, so that steps come in one order.
pub fn in_order() -> RestoreOptions {
    RestoreOptions { threads: 1, ..RestoreOptions::default() }
}

/// Files that a simple rule ignores: by the lines of the `.gitignore` in the root, each a name's end.
pub fn ignored_in(root: &Path) -> impl Fn(&tl_core::RepoPath, bool) -> bool + Sync + use<> {
    // No file, no rules.
    let rules = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let ends: Vec<String> = rules.lines().map(ToOwned::to_owned).collect();
    move |path, _| ends.iter().any(|end| path.to_string().ends_with(end))
}

impl Lab {
    /// Records what is there, under the rules of `.gitignore`; the id of that state.
    pub fn save(&self) -> CheckpointId {
        let ignored = ignored_in(&self.root());
        let request = crate::lab::request().ignoring(&ignored);
        self.repository.reconcile(&request).unwrap();
        self.head().id
    }

    pub fn disk(&self) -> Disk {
        disk(&self.root())
    }

    pub fn try_restore(
        &self,
        request: &RestoreRequest,
        options: RestoreOptions,
        watch: &(dyn Fn(Step<'_>) -> bool + Sync),
    ) -> Result<RestoreReport> {
        let ignored = ignored_in(&self.root());
        let present = Present { dirty: &Dirty::everything(), ignored: &ignored };
        self.repository.restore(request, present, options, watch)
    }

    pub fn restore(&self, target: CheckpointId) -> RestoreReport {
        self.try_restore(&RestoreRequest::new(target), in_order(), &unwatched).unwrap()
    }

    pub fn undo(&self) -> RestoreReport {
        let ignored = ignored_in(&self.root());
        let present = Present { dirty: &Dirty::everything(), ignored: &ignored };
        self.repository.undo(Provenance::default(), present, in_order(), &unwatched).unwrap()
    }

    pub fn redo(&self) -> RestoreReport {
        let ignored = ignored_in(&self.root());
        let present = Present { dirty: &Dirty::everything(), ignored: &ignored };
        self.repository.redo(Provenance::default(), present, in_order(), &unwatched).unwrap()
    }

    /// The tree `saved` of the last safety checkpoint, as paths and contents.
    pub fn saved(&self, report: &RestoreReport) -> BTreeMap<String, Vec<u8>> {
        let Some(saved) = report.safety.as_ref().unwrap().saved else { return BTreeMap::new() };
        let files = self.tree(&saved).into_iter().filter(|(_, entry)| !entry.is_directory());
        files
            .map(|(path, entry)| (path.to_string(), self.repository.store().get_blob(&entry.id, 1 << 30).unwrap()))
            .collect()
    }
}
