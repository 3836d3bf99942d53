//! One path at a time: the new content is complete before it gets the name, and what had the name is not removed before the store is known to have it.

use std::io::{Read, Write};

use parking_lot::Mutex;
use rustix::fs::Mode as RawMode;
use rustix::io::Errno;
use tl_core::{Entry, EntryKind, EntryName, Mode, RepoPathBuf, Store, WHOLE_BLOB_LEN_MAX};

use super::dir::{Swap, WriteDir};
use super::disk::{Found, is_same, look};
use super::late::Late;
use super::plan::Task;
use super::report::{Refusal, RestoreCounts, Step};
use crate::error::{Error, Result};

/// Attempts at a name that appears and disappears while it is to be taken.
const ATTEMPTS: usize = 16;

/// Why one path is not as it is to be.
#[derive(Debug)]
pub(super) enum Failed {
    /// It stays as it is; the others go on.
    Refused(Refusal),
    /// Nothing can go on.
    Fatal(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<tl_core::Error> for Failed {
    fn from(error: tl_core::Error) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What an error of the system means for one path: most are about that path alone, a full or broken disk is about all of them.
pub(super) fn failed(action: &'static str, path: &RepoPathBuf, errno: Errno) -> Failed {
    match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::NOENT => Failed::Refused(Refusal::Unreachable),
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => {
            Failed::Refused(Refusal::Denied)
        }
        Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY | Errno::BUSY | Errno::TXTBSY => {
            Failed::Refused(Refusal::InTheWay)
        }
        errno => {
            let path = std::path::PathBuf::from(path.to_string());
            Failed::Fatal(Error::io(action, &path, errno))
        }
    }
}

/// What of [`RestoreCounts`] several threads count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<RestoreCounts>,
}

impl Tally {
    pub(super) fn add(&self, add: impl FnOnce(&mut RestoreCounts)) {
        add(&mut self.counts.lock());
    }

    pub(super) fn counts(&self) -> RestoreCounts {
        *self.counts.lock()
    }
}

/// What it takes to change paths.
pub(super) struct Placer<'a> {
    pub(super) store: &'a Store,
    pub(super) nonce: u64,
    pub(super) swap: Swap,
    /// Some paths may be done already, and files of an attempt before may be left.
    pub(super) resumes: bool,
    /// Nothing that is there may be replaced or removed.
    pub(super) only_new: bool,
    pub(super) late: &'a Late<'a>,
    pub(super) tally: Tally,
    /// Told where the restore is; an error ends it there.
    pub(super) step: &'a (dyn Fn(Step<'_>) -> Result<()> + Sync),
}

/// The name under which the file of a task is prepared, and under which its former content waits to be looked at.
fn temporary_name(nonce: u64, number: u64) -> Vec<u8> {
    format!(".tl-restore-{nonce:016x}-{number}").into_bytes()
}

/// The same where old and new cannot change places in one step.
fn aside_name(nonce: u64, number: u64) -> Vec<u8> {
    format!(".tl-restore-{nonce:016x}-{number}-old").into_bytes()
}

impl Placer<'_> {
    /// Makes `path`, called `name` in `dir`, what the task says: a file, a link, or gone.
    pub(super) fn change(
        &self,
        dir: &WriteDir,
        path: &RepoPathBuf,
        name: &EntryName,
        task: &Task,
    ) -> Result<(), Failed> {
        if self.resumes {
            self.clear_leftovers(dir, path, task)?;
            let found = look(dir, name.as_bytes()).map_err(|errno| failed("look at", path, errno))?;
            if found.is(task.after.as_ref()) {
                return Ok(());
            }
        }
        match &task.after {
            None => self.remove(dir, path, name, task)?,
            Some(after) if task.is_mode_only() && self.change_mode(dir, path, name, task, after)? => {}
            Some(after) => self.write(dir, path, name, task, after)?,
        }
        (self.step)(Step::Done(path))?;
        Ok(())
    }

    /// Removes what an attempt that was cut short left beside `path`.
    pub(super) fn clear_leftovers(&self, dir: &WriteDir, path: &RepoPathBuf, task: &Task) -> Result<(), Failed> {
        let (new, old) = (temporary_name(self.nonce, task.number), aside_name(self.nonce, task.number));
        for name in [new, old] {
            let found = look(dir, &name).map_err(|errno| failed("look at", path, errno))?;
            if found == Found::Nothing {
                continue;
            }
            // Only a file whose content was not complete is the beginning of what was to be written; it was never anything else.
            let is_unfinished = match (&found, &task.after) {
                (Found::Entry(entry, _), Some(after)) => {
                    is_same(entry, after) || self.is_beginning(dir, &name, entry, after)?
                }
                _ => false,
            };
            if is_unfinished {
                dir.unlink(&name).map_err(|errno| failed("remove", path, errno))?;
            } else {
                self.settle(dir, path, &name, task, found)?;
            }
        }
        Ok(())
    }

    /// True if the file `name`, which is `found`, holds the first bytes of `whole`.
    fn is_beginning(&self, dir: &WriteDir, name: &[u8], found: &Entry, whole: &Entry) -> Result<bool, Failed> {
        if found.kind != EntryKind::File || whole.kind != EntryKind::File || found.size > whole.size {
            return Ok(false);
        }
        if found.id == whole.id {
            return Ok(true);
        }
        let Ok(file) = dir.open_file(name) else { return Ok(false) };
        let mut left = std::io::BufReader::new(file.take(found.size));
        let mut right = self.store.blob_reader(&whole.id)?.take(found.size);
        let (mut a, mut b) = ([0; 4096], [0; 4096]);
        loop {
            let Ok(count) = left.read(&mut a) else { return Ok(false) };
            if count == 0 {
                return Ok(true);
            }
            let (Some(a), Some(b)) = (a.get(..count), b.get_mut(..count)) else { return Ok(false) };
            if right.read_exact(b).is_err() || a != b {
                return Ok(false);
            }
        }
    }

    fn remove(&self, dir: &WriteDir, path: &RepoPathBuf, name: &EntryName, task: &Task) -> Result<(), Failed> {
        let aside = temporary_name(self.nonce, task.number);
        match dir.rename_to_free(name.as_bytes(), &aside) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed("move aside", path, errno)),
        }
        (self.step)(Step::Displaced(path))?;
        let found = look(dir, &aside).map_err(|errno| failed("look at", path, errno));
        let settled = found.and_then(|found| self.settle(dir, path, &aside, task, found));
        if let Err(Failed::Refused(why)) = settled {
            // What came there meanwhile is newer; then this stays where it is, and is told.
            dir.rename_to_free(&aside, name.as_bytes()).map_err(|errno| failed("move back", path, errno))?;
            return Err(why.into());
        }
        settled?;
        self.tally.add(|counts| counts.removed += 1);
        Ok(())
    }

    /// Removes the file `name`, in which the former content of `path` waits, once the store has it.
    fn settle(&self, dir: &WriteDir, path: &RepoPathBuf, name: &[u8], task: &Task, found: Found) -> Result<(), Failed> {
        match found {
            Found::Nothing => return Ok(()),
            Found::Special => return Err(Refusal::Special.into()),
            Found::Entry(entry, _) if entry.is_directory() => return Err(Refusal::InTheWay.into()),
            Found::Entry(entry, _) if task.known.iter().any(|known| is_same(known, &entry)) => {}
            Found::Entry(..) | Found::Unstable => {
                self.late.keep(dir, path, name)?;
                self.tally.add(|counts| counts.captured_late += 1);
            }
        }
        match dir.unlink(name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", path, errno)),
        }
    }

    /// Changes the mode of the file in place; false if the file has to be written anew instead.
    fn change_mode(
        &self,
        dir: &WriteDir,
        path: &RepoPathBuf,
        name: &EntryName,
        task: &Task,
        after: &Entry,
    ) -> Result<bool, Failed> {
        let is_known = match look(dir, name.as_bytes()) {
            Ok(Found::Entry(entry, stat)) => {
                // Another name of the same file, perhaps outside of the root, would change too.
                stat.links == 1 && task.known.iter().any(|known| is_same(known, &entry))
            }
            Ok(_) | Err(Errno::ACCESS) => false,
            Err(errno) => return Err(failed("look at", path, errno)),
        };
        if !is_known {
            return Ok(false);
        }
        let changed = dir.open_file(name.as_bytes()).and_then(|file| set_mode(&file, after.mode));
        match changed {
            Ok(()) => {
                self.tally.add(|counts| counts.modes_changed += 1);
                Ok(true)
            }
            Err(Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed("change the mode of", path, errno)),
        }
    }

    fn write(
        &self,
        dir: &WriteDir,
        path: &RepoPathBuf,
        name: &EntryName,
        task: &Task,
        after: &Entry,
    ) -> Result<(), Failed> {
        let staged = temporary_name(self.nonce, task.number);
        self.stage(dir, path, &staged, after).inspect_err(|_| self.discard(dir, &staged))?;
        (self.step)(Step::Staged(path))?;
        let old = self.swap_in(dir, path, name, task, &staged).inspect_err(|failed| {
            if matches!(failed, Failed::Refused(_)) {
                self.discard(dir, &staged);
            }
        })?;
        self.tally.add(|counts| {
            counts.written += 1;
            counts.bytes += after.size;
        });
        let Some(old) = old else { return Ok(()) };
        (self.step)(Step::Displaced(path))?;
        let found = look(dir, &old).map_err(|errno| failed("look at", path, errno));
        let settled = found.and_then(|found| self.settle(dir, path, &old, task, found));
        if let Err(Failed::Refused(why)) = settled {
            self.swap_back(dir, path, name, task, &old)?;
            self.tally.add(|counts| {
                counts.written -= 1;
                counts.bytes -= after.size;
            });
            return Err(why.into());
        }
        settled
    }

    /// Removes a file of ours that gets no name. If that fails, it is found by its name when the restore is carried on.
    fn discard(&self, dir: &WriteDir, name: &[u8]) {
        if let Err(errno) = dir.unlink(name) {
            tracing::warn!(%errno, name = %String::from_utf8_lossy(name), "a temporary file of a restore stays");
        }
    }

    /// Writes the content under another name. It has its own mode from when it is complete, and is nobody else's before.
    fn stage(&self, dir: &WriteDir, path: &RepoPathBuf, name: &[u8], after: &Entry) -> Result<(), Failed> {
        if after.kind == EntryKind::Symlink {
            let target = self.store.get_blob(&after.id, WHOLE_BLOB_LEN_MAX as u64)?;
            return dir.create_link(name, &target).map_err(|errno| failed("create", path, errno));
        }
        let mut file = dir.create_file(name).map_err(|errno| failed("create", path, errno))?;
        if after.size <= WHOLE_BLOB_LEN_MAX as u64 {
            let content = self.store.get_blob(&after.id, WHOLE_BLOB_LEN_MAX as u64)?;
            write_all(&mut file, path, &content)?;
        } else {
            let mut reader = self.store.blob_reader(&after.id)?;
            let mut buffer = vec![0; 256 << 10];
            loop {
                // An error of the store travels inside.
                let count = reader.read(&mut buffer).map_err(|error| match error.downcast::<tl_core::Error>() {
                    Ok(error) => Error::from(error),
                    Err(error) => Error::io("read", std::path::Path::new(&path.to_string()), error),
                })?;
                match buffer.get(..count) {
                    None | Some([]) => break,
                    Some(content) => write_all(&mut file, path, content)?,
                }
            }
        }
        set_mode(&file, after.mode).map_err(|errno| failed("change the mode of", path, errno))?;
        Ok(())
    }

    /// Gives the staged file its name. Returns the name that what was there has now.
    fn swap_in(
        &self,
        dir: &WriteDir,
        path: &RepoPathBuf,
        name: &EntryName,
        task: &Task,
        staged: &[u8],
    ) -> Result<Option<Vec<u8>>, Failed> {
        let mut expects_something = !task.known.is_empty() && !self.only_new;
        for _ in 0..ATTEMPTS {
            if !expects_something {
                match dir.rename_to_free(staged, name.as_bytes()) {
                    Ok(()) => return Ok(None),
                    Err(Errno::EXIST) if self.only_new => return Err(Refusal::InTheWay.into()),
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed("name", path, errno)),
                }
            }
            if self.swap == Swap::Exchange {
                match dir.exchange(staged, name.as_bytes()) {
                    Ok(Some(())) => return Ok(Some(staged.to_vec())),
                    Ok(None) => {}
                    Err(Errno::NOENT) => {
                        expects_something = false;
                        continue;
                    }
                    Err(errno) => return Err(failed("replace", path, errno)),
                }
            }
            let aside = aside_name(self.nonce, task.number);
            match dir.rename_to_free(name.as_bytes(), &aside) {
                Ok(()) => {}
                Err(Errno::NOENT) => {
                    expects_something = false;
                    continue;
                }
                Err(errno) => return Err(failed("move aside", path, errno)),
            }
            match dir.rename_to_free(staged, name.as_bytes()) {
                Ok(()) => return Ok(Some(aside)),
                // Something else took the name: what was moved aside is settled as if it had been replaced.
                Err(Errno::EXIST) => {
                    let found = look(dir, &aside).map_err(|errno| failed("look at", path, errno))?;
                    self.settle(dir, path, &aside, task, found)?;
                }
                Err(errno) => {
                    dir.rename_to_free(&aside, name.as_bytes()).map_err(|errno| failed("move back", path, errno))?;
                    return Err(failed("name", path, errno));
                }
            }
        }
        Err(Refusal::Changing.into())
    }

    /// Brings back what had the name, and removes what was to replace it.
    fn swap_back(
        &self,
        dir: &WriteDir,
        path: &RepoPathBuf,
        name: &EntryName,
        task: &Task,
        old: &[u8],
    ) -> Result<(), Failed> {
        let staged = temporary_name(self.nonce, task.number);
        if old == staged {
            match dir.exchange(old, name.as_bytes()) {
                Ok(_) => self.discard(dir, &staged),
                Err(Errno::NOENT) => {
                    dir.rename_to_free(old, name.as_bytes()).map_err(|errno| failed("move back", path, errno))?;
                }
                Err(errno) => return Err(failed("move back", path, errno)),
            }
            return Ok(());
        }
        dir.rename_to_free(name.as_bytes(), &staged).map_err(|errno| failed("move back", path, errno))?;
        dir.rename_to_free(old, name.as_bytes()).map_err(|errno| failed("move back", path, errno))?;
        self.discard(dir, &staged);
        Ok(())
    }
}

fn write_all(file: &mut std::fs::File, path: &RepoPathBuf, content: &[u8]) -> Result<(), Failed> {
    file.write_all(content)
        .map_err(|error| Failed::Fatal(Error::io("write", std::path::Path::new(&path.to_string()), error)))
}

fn set_mode(file: &std::fs::File, mode: Mode) -> Result<(), Errno> {
    rustix::fs::fchmod(file, RawMode::from_raw_mode(mode.bits()))
}
