//! The cartridges of a directory: what there is, what state it is in, and building it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{Vfs, exists};

use super::build::{BUILD_MEMORY_BYTES, Builder, Places};
use super::error::{Error, Result};
use super::header::{Header, Kind, Position, SectionKind, StreamId, is_name};
use super::projection::Projection;
use super::reader::{Access, Cartridge};
use super::scan::Order;
use super::verify::Verified;

const ENDING: &str = ".cartridge";

/// The cartridges of a directory, which is there already.
#[derive(Debug, Clone)]
pub struct Catalog {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    access: Access,
    memory_bytes: usize,
}

/// A cartridge of a [`Catalog`].
#[derive(Debug)]
pub struct Listed {
    /// The name of its kind, as its file is called.
    pub name: String,
    /// What its header says, or why it cannot be used.
    pub header: Result<Header>,
}

/// A cartridge, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What its header says.
    pub header: Header,
    /// Its data sections, without the index.
    pub data_sections: u64,
    /// Bytes of these.
    pub data_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// The least and the greatest key, unless it is empty.
    pub keys: Option<(Vec<u8>, Vec<u8>)>,
}

impl Catalog {
    /// The cartridges in `dir`.
    #[must_use]
    pub fn new(vfs: Arc<dyn Vfs>, dir: impl Into<PathBuf>) -> Self {
        Self { vfs, dir: dir.into(), access: Access::Mapped, memory_bytes: BUILD_MEMORY_BYTES }
    }

    /// The same, with cartridges opened in this way.
    #[must_use]
    pub const fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The same, with builds that sort within this many bytes of memory.
    #[must_use]
    pub const fn with_build_memory(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Where they are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All of them, by name, those too that cannot be used.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let paths = self.vfs.read_dir(&self.dir).map_err(|error| Error::io("list", &self.dir, error))?;
        let name_of = |path: &Path| {
            let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
            is_name(name.as_bytes()).then(|| name.to_owned())
        };
        let mut names: Vec<String> = paths.iter().filter_map(|path| name_of(path)).collect();
        names.sort_unstable();
        Ok(names
            .into_iter()
            .map(|name| Listed { header: self.open(&name).map(|found| found.header().clone()), name })
            .collect())
    }

    /// Opens the one of this name, whatever it is of.
    ///
    /// # Errors
    /// As for [`Cartridge::open`]; [`Error::InvalidName`].
    pub fn open(&self, name: &str) -> Result<Cartridge> {
        Cartridge::open(&*self.vfs, &self.place(name)?, self.access)
    }

    /// Opens the cartridge of a kind, if it is one of this stream. Whether the stream ever stood at a position, `stood_at` tells: its owner knows.
    ///
    /// # Errors
    /// As for [`Cartridge::open`]; [`Error::OtherKind`], [`Error::OtherStream`]. All of them but [`Error::Io`] mean that it has to be built again.
    pub fn open_for<P: Projection>(
        &self,
        stream: StreamId,
        stood_at: impl FnOnce(&Position) -> bool,
    ) -> Result<Cartridge> {
        let kind = P::kind();
        let cartridge = self.open(kind.name())?;
        cartridge.expect_kind(&kind)?;
        let header = cartridge.header();
        let is_start = header.position == Position::START;
        if header.stream != stream || !(is_start || stood_at(&header.position)) {
            return Err(Error::OtherStream { path: cartridge.path().to_owned() });
        }
        Ok(cartridge)
    }

    /// Looks at the one of this name without reading all of it.
    ///
    /// # Errors
    /// As for [`Cartridge::open`].
    pub fn inspect(&self, name: &str) -> Result<Inspected> {
        let cartridge = self.open(name)?;
        let mut inspected = Inspected {
            header: cartridge.header().clone(),
            data_sections: 0,
            data_bytes: 0,
            index_bytes: 0,
            keys: None,
        };
        for number in 0..cartridge.sections() {
            let entry = cartridge.section_entry(number)?;
            match entry.kind {
                SectionKind::Data => {
                    inspected.data_sections += 1;
                    inspected.data_bytes = inspected.data_bytes.saturating_add(entry.len);
                }
                SectionKind::Index => inspected.index_bytes = entry.len,
            }
        }
        let end = |order| {
            let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
            cartridge.scan(everything, order).next().transpose().map(|entry| entry.map(|entry| entry.key))
        };
        inspected.keys = end(Order::Forward)?.zip(end(Order::Backward)?);
        Ok(inspected)
    }

    /// Looks at every byte of the one of this name.
    ///
    /// # Errors
    /// As for [`Cartridge::open`] and [`Cartridge::verify`].
    pub fn verify(&self, name: &str) -> Result<Verified> {
        self.open(name)?.verify()
    }

    /// Begins to build the cartridge of a kind, which replaces the one that may be there.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else does; [`Error::Io`].
    pub fn build<P: Projection>(&self, stream: StreamId) -> Result<Builder<P>> {
        Builder::begin(&self.vfs, &self.dir, stream, self.memory_bytes, self.access)
    }

    /// Removes the one of this name. True if there was one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidName`].
    pub fn remove(&self, name: &str) -> Result<bool> {
        let path = self.place(name)?;
        if !exists(&*self.vfs, &path).map_err(|error| Error::io("look at", &path, error))? {
            return Ok(false);
        }
        self.vfs.remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        self.vfs.sync_dir(&self.dir).map_err(|error| Error::io("sync", &self.dir, error))?;
        Ok(true)
    }

    fn place(&self, name: &str) -> Result<PathBuf> {
        match Kind::new(name, 0) {
            Some(kind) => Ok(Places::of(&self.dir, kind.name()).cartridge),
            None => Err(Error::InvalidName { name: name.to_owned() }),
        }
    }
}
