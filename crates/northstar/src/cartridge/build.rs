//! From a stream of changes to a cartridge under its name.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{Lock, Vfs};

use super::error::{Error, Result};
use super::header::{Position, StreamId};
use super::projection::{Edits, Projection, check, check_order};
use super::reader::{Access, Cartridge};
use super::scan::Entry;
use super::sort::{Edit, Sorter, leftovers};
use super::writer::Writer;

/// Memory that a build may take, if nothing else is said.
pub const BUILD_MEMORY_BYTES: usize = 32 << 20;

/// What stands where while a cartridge is built.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) cartridge: PathBuf,
    pub(crate) temporary: PathBuf,
    pub(crate) runs: PathBuf,
    pub(crate) lock: PathBuf,
}

impl Places {
    pub(crate) fn of(dir: &Path, name: &str) -> Self {
        let place = |ending: &str| dir.join(format!("{name}.cartridge{ending}"));
        Self { cartridge: place(""), temporary: place(".tmp"), runs: place(".run-"), lock: place(".lock") }
    }
}

/// Builds one cartridge: fed with changes in the order of their stream, it sorts them within its memory, and replaces the old cartridge in the end. Dropped
/// before that, it leaves the old one alone. One at a time builds a cartridge.
///
/// Made by [`Catalog::build`](super::Catalog::build).
#[derive(Debug)]
pub struct Builder<P> {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    places: Places,
    stream: StreamId,
    position: Position,
    sorter: Sorter,
    access: Access,
    _lock: Box<dyn Lock>,
    projection: PhantomData<fn() -> P>,
}

impl<P: Projection> Builder<P> {
    pub(crate) fn begin(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        stream: StreamId,
        memory_bytes: usize,
        access: Access,
    ) -> Result<Self> {
        let places = Places::of(dir, P::kind().name());
        let lock = vfs.lock(&places.lock, vfs::LockKind::Exclusive).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::Busy { path: places.cartridge.clone() },
            _ => Error::io("lock", &places.lock, error),
        })?;
        // Whoever left these is gone: the lock is ours.
        let mut left = leftovers(&**vfs, &places.runs)?;
        left.push(places.temporary.clone());
        for path in left {
            match vfs.remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", &path, error)),
            }
        }
        let sorter = Sorter::new(Arc::clone(vfs), places.runs.clone(), memory_bytes);
        Ok(Self {
            vfs: Arc::clone(vfs),
            dir: dir.to_owned(),
            places,
            stream,
            position: Position::START,
            sorter,
            access,
            _lock: lock,
            projection: PhantomData,
        })
    }

    /// Takes the changes up to `position`, or a part of them. Positions rise; one may come several times, with pieces of its changes, and without any.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], those of the projection and of the disk. Nothing more can be built with this builder then.
    pub fn push<'c>(&mut self, position: Position, changes: impl IntoIterator<Item = P::Change<'c>>) -> Result<()> {
        check_order(&self.position, &position)?;
        self.position = position;
        let sorter = &mut self.sorter;
        let mut sink = |key: &[u8], value: Option<&[u8]>| sorter.add(key, value);
        let mut edits = Edits::new(&mut sink);
        changes.into_iter().try_for_each(|change| P::project(position.sequence, &change, &mut edits))
    }

    /// Takes edits that were projected before, up to `position`.
    pub(crate) fn push_edits<'c>(
        &mut self,
        position: Position,
        edits: impl IntoIterator<Item = (&'c Vec<u8>, &'c Option<Vec<u8>>)>,
    ) -> Result<()> {
        check_order(&self.position, &position)?;
        self.position = position;
        edits.into_iter().try_for_each(|(key, value)| self.sorter.add(key, value.as_deref()))
    }

    /// Writes the cartridge of the changes that were taken, from the first of the stream on.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::TooLarge`]: the old cartridge is still there, or, if the directory could not be synced, one of both.
    pub fn finish(self) -> Result<Cartridge> {
        self.finish_onto(std::iter::empty())
    }

    /// Writes the cartridge of a base, and of the changes that were taken, which follow it: a [`Scan`](super::Scan) over the cartridge that is replaced, or what a snapshot holds. Its keys rise.
    ///
    /// # Errors
    /// As for [`Builder::finish`]; [`Error::OutOfOrder`] and the error of the base itself.
    pub fn finish_onto(mut self, base: impl IntoIterator<Item = Result<Entry>>) -> Result<Cartridge> {
        let memory = std::mem::replace(&mut self.sorter, Sorter::new(Arc::clone(&self.vfs), PathBuf::new(), 0));
        let mut writer = Writer::create(&*self.vfs, &self.places.temporary)?;
        let mut edits = memory.finish()?;
        let mut edit = edits.next()?;
        let mut last: Option<Vec<u8>> = None;
        for (number, entry) in base.into_iter().enumerate() {
            let entry = entry?;
            check(&entry.key, &entry.value)?;
            if last.as_ref().is_some_and(|last| *last >= entry.key) {
                return Err(Error::OutOfOrder { last: number as u64 - 1, given: number as u64 });
            }
            while let Some(Edit { key, value }) = edit.take_if(|edit| edit.key < entry.key) {
                if let Some(value) = value {
                    writer.add(&key, &value)?;
                }
                edit = edits.next()?;
            }
            match edit.take_if(|edit| edit.key == entry.key) {
                None => writer.add(&entry.key, &entry.value)?,
                Some(Edit { key, value }) => {
                    if let Some(value) = value {
                        writer.add(&key, &value)?;
                    }
                    edit = edits.next()?;
                }
            }
            last = Some(entry.key);
        }
        while let Some(Edit { key, value }) = edit {
            if let Some(value) = value {
                writer.add(&key, &value)?;
            }
            edit = edits.next()?;
        }
        // The runs go before the name is synced.
        drop(edits);
        writer.finish(&P::kind(), self.stream, self.position)?;
        let Places { cartridge, temporary, .. } = &self.places;
        self.vfs.rename(temporary, cartridge).map_err(|error| Error::io("rename", temporary, error))?;
        self.vfs.sync_dir(&self.dir).map_err(|error| Error::io("sync", &self.dir, error))?;
        Cartridge::open(&*self.vfs, cartridge, self.access)
    }
}

impl<P> Drop for Builder<P> {
    fn drop(&mut self) {
        // After a rename there is none; what is left otherwise, the next builder removes.
        let _left_over = self.vfs.remove_file(&self.places.temporary);
    }
}
