//! Reading back what was written: each path is found anew from the root, so a directory that was exchanged meanwhile shows.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rustix::io::Errno;
use tl_core::{Entry, ObjectId, RepoPathBuf};

use super::chunks::for_each_chunk;
use super::dir::Root;
use super::disk::{Found, look};
use super::plan::{Plan, Task};
use crate::error::{Error, Result};

/// What each path of a plan is now.
pub(super) type Observed = BTreeMap<RepoPathBuf, Found>;

/// Reads every path of `plan`.
pub(super) fn read_back(root: &Root, plan: &Plan, threads: usize) -> Result<Observed> {
    let paths: Vec<(&RepoPathBuf, &Task)> = plan.tasks.iter().collect();
    let observed: Mutex<Observed> = Mutex::default();
    for_each_chunk(&paths, threads, |chunk, _| {
        let mut found = Vec::new();
        let dir = match root.dir(chunk.directory()) {
            Ok(dir) => Some(dir),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => None,
            Err(errno) => return Err(io_error(chunk.directory(), errno)),
        };
        for (path, _) in chunk.paths() {
            let name = path.file_name().map(tl_core::EntryName::as_bytes).unwrap_or_default();
            let is = match dir.as_ref().map_or(Ok(Found::Nothing), |dir| look(dir, name)) {
                Ok(is) => is,
                // It is there, and nobody knows what it holds.
                Err(Errno::ACCESS | Errno::PERM) => Found::Unstable,
                Err(errno) => return Err(io_error(path, errno)),
            };
            found.push((path.clone(), is));
        }
        observed.lock().extend(found);
        Ok(())
    })?;
    Ok(observed.into_inner())
}

fn io_error(path: &tl_core::RepoPath, errno: Errno) -> Error {
    Error::io("read back", std::path::Path::new(&path.to_string()), errno)
}

/// The paths of `plan` that are not as they are to be, with what they are instead, as an edit of the wanted tree.
pub(super) fn differing(plan: &Plan, observed: &Observed) -> BTreeMap<RepoPathBuf, Option<Entry>> {
    let mut differing = BTreeMap::new();
    for (path, task) in &plan.tasks {
        let found = observed.get(path).copied().unwrap_or(Found::Nothing);
        if !found.is(task.after.as_ref()) {
            let is = match found {
                Found::Entry(entry, _) if entry.is_directory() => {
                    Some(Entry::directory(ObjectId::EMPTY_TREE, entry.mode))
                }
                Found::Entry(entry, _) => Some(entry),
                _ => None,
            };
            differing.insert(path.clone(), is);
        }
    }
    differing
}
