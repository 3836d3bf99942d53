//! Copies to and from directories of the machine, for looking at an image with ordinary tools.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use vfs::{OpenMode, Vfs};

use crate::disk::SimDisk;
use crate::names::{Ino, Node, ROOT};
use crate::state::State;

impl SimDisk {
    /// Writes everything that programs see on this disk below `dir`, which is created if absent; hard links stay hard
    /// links. Works on a frozen disk too. To look at what a crash leaves, export the [crashed](Self::crash) disk.
    ///
    /// # Errors
    /// Any error of the real disk; [`io::ErrorKind::AlreadyExists`] if a file is in the way.
    pub fn export(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        fs::create_dir_all(dir.as_ref())?;
        export_dir(&mut self.state(), ROOT, dir.as_ref(), &mut BTreeMap::new())
    }

    /// A disk that holds a copy of everything below `dir`, durable.
    ///
    /// # Errors
    /// Any error of the real disk; [`io::ErrorKind::Unsupported`] for what is neither a file nor a directory.
    pub fn import(dir: impl AsRef<Path>) -> io::Result<Self> {
        let disk = Self::new();
        import_dir(&disk, dir.as_ref(), Path::new("/"), &mut BTreeMap::new())?;
        disk.settle();
        // The copy starts with a clean record: the calls above were not the program's.
        Ok(disk.kill())
    }
}

fn export_dir(state: &mut State, dir: Ino, into: &Path, done: &mut BTreeMap<Ino, PathBuf>) -> io::Result<()> {
    let entries: Vec<_> = state.names.entries(dir).map(|(name, node)| (into.join(name), node)).collect();
    for (path, node) in entries {
        match node {
            Node::Dir(child) => {
                fs::create_dir_all(&path)?;
                export_dir(state, child, &path, done)?;
            }
            Node::File(ino) => {
                if let Some(first) = done.get(&ino) {
                    fs::hard_link(first, &path)?;
                } else {
                    let mut file = fs::File::create_new(&path)?;
                    io::Write::write_all(&mut file, &state.file(ino)?.cached.to_vec())?;
                    done.insert(ino, path);
                }
            }
        }
    }
    Ok(())
}

fn import_dir(disk: &SimDisk, from: &Path, to: &Path, done: &mut BTreeMap<(u64, u64), PathBuf>) -> io::Result<()> {
    // Sorted, so that the same directory always gives the same disk.
    let mut entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = to.join(entry.file_name());
        let found = entry.metadata()?;
        let identity = (found.dev(), found.ino());
        if found.is_dir() {
            disk.create_dir_all(&path)?;
            import_dir(disk, &entry.path(), &path, done)?;
        } else if !found.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        } else if let Some(first) = done.get(&identity) {
            disk.hard_link(first, &path)?;
        } else {
            disk.open(&path, OpenMode::CreateNew)?.write_at(0, &fs::read(entry.path())?)?;
            done.insert(identity, path);
        }
    }
    Ok(())
}
