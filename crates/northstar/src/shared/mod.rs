//! `DB-shm`, where the writing process and readers in other processes meet: which transaction is visible, and which states readers stand
//! on. `docs/format/northstar.md`, "Shared memory".
//!
//! It is read and written like any file, through `vfs`: the page cache is the memory that is shared. Numbers stand beside their inverse, so that
//! one that is met half written is read again. Nothing in it outlives the writer: without one, readers ignore it.
//!
//! A slot belongs to the holder of the lock of its byte. The system gives the lock back when the holder dies, whatever way that was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{File, Lock, OpenMode, Vfs};

use crate::coding::Reader;
use crate::error::{Error, Result};
use crate::id::TxnId;

/// Readers of other processes that there can be at a time, counting each state that one of them holds.
pub(crate) const SLOTS_MAX: usize = 128;
const MAGIC: &[u8; 8] = b"NRTHSHM\n";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const VISIBLE: u64 = 64;
const SLOTS: u64 = 128;
const SLOT_LEN: usize = 16;
/// Bytes that are locked and hold nothing: far behind the slots.
const WRITER_BYTE: u64 = 1 << 20;
const FIRST_SLOT_BYTE: u64 = WRITER_BYTE + 1;
/// How often a number is read again that was met half written.
const LOOKS_MAX: usize = 1000;

fn number(txn: TxnId) -> [u8; SLOT_LEN] {
    (u128::from(txn.0) | u128::from(!txn.0) << 64).to_le_bytes()
}

fn parse(bytes: &[u8]) -> Option<TxnId> {
    let mut fields = Reader::new(bytes);
    let (txn, inverse) = (fields.u64()?, fields.u64()?);
    (txn == !inverse).then_some(TxnId(txn))
}

/// The writer's side.
#[derive(Debug)]
pub(crate) struct SharedState {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    file: Arc<dyn File>,
    /// Says to readers that there is a writer. `None` where the system has no such locks: then there are no readers either.
    _alive: Option<Box<dyn Lock>>,
}

impl SharedState {
    /// Takes the file over, under the database's lock.
    pub(crate) fn take_over(vfs: &Arc<dyn Vfs>, path: &Path, identity: u64, visible: TxnId) -> Result<Self> {
        let io = |action: &'static str| move |error| Error::io(action, path, error);
        let file = vfs.open(path, OpenMode::OpenOrCreate).map_err(io("open"))?;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(SLOTS_MAX as u32).to_le_bytes());
        header.extend_from_slice(&identity.to_le_bytes());
        header.resize(HEADER_LEN, 0);
        header.extend_from_slice(&number(visible));
        // Slots stay: readers that have them outlive writers.
        file.write_at(0, &header).map_err(io("write"))?;
        let alive = match vfs.lock_byte(path, WRITER_BYTE) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => None,
            Err(error) => return Err(Error::io("lock", path, error)),
        };
        Ok(Self { vfs: Arc::clone(vfs), path: path.to_owned(), file, _alive: alive })
    }

    /// Tells readers of other processes how far they may look.
    pub(crate) fn publish(&self, txn: TxnId) {
        // If it fails they see an older state, and the next commit tells them again.
        let _stale_until_the_next = self.file.write_at(VISIBLE, &number(txn));
    }

    /// The states that living readers stand on.
    pub(crate) fn readers(&self) -> Vec<TxnId> {
        let mut bytes = vec![0; SLOTS_MAX * SLOT_LEN];
        let mut len = 0;
        while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(SLOTS + len as u64, rest) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // What cannot be read now was read before it was written by nobody: only a broken disk gets here, and the caller's next
                // write meets it too.
                Err(_broken) => break,
            }
        }
        let slots = bytes.chunks_exact(SLOT_LEN).enumerate().filter(|(_, slot)| slot.iter().any(|byte| *byte != 0));
        let living = slots.filter(|(index, _)| {
            let lock = self.vfs.is_byte_locked(&self.path, FIRST_SLOT_BYTE + *index as u64);
            // In doubt somebody is there.
            lock.unwrap_or(true)
        });
        living.filter_map(|(_, slot)| parse(slot)).collect()
    }
}

/// A reader's side.
#[derive(Debug)]
pub(crate) struct SharedView {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    file: Arc<dyn File>,
}

impl SharedView {
    /// Opens what the writer made, or makes an empty one, which says nothing.
    pub(crate) fn open(vfs: &Arc<dyn Vfs>, path: &Path) -> Result<Self> {
        let file = vfs.open(path, OpenMode::OpenOrCreate).map_err(|error| Error::io("open", path, error))?;
        Ok(Self { vfs: Arc::clone(vfs), path: path.to_owned(), file })
    }

    /// How far the writer lets readers look; `None` if there is no writer.
    pub(crate) fn visible(&self) -> Result<Option<TxnId>> {
        for _ in 0..LOOKS_MAX {
            let alive = self.vfs.is_byte_locked(&self.path, WRITER_BYTE);
            if !alive.map_err(|error| Error::io("look at the locks of", &self.path, error))? {
                return Ok(None);
            }
            let mut bytes = [0; SLOT_LEN];
            self.file.read_exact_at(VISIBLE, &mut bytes).map_err(|error| Error::io("read", &self.path, error))?;
            if let Some(txn) = parse(&bytes) {
                return Ok(Some(txn));
            }
        }
        Err(Error::corrupt(&self.path, VISIBLE, "the visible transaction cannot be read"))
    }

    /// A slot of its own, which names no state yet.
    pub(crate) fn slot(&self) -> Result<ReaderSlot> {
        for index in 0..SLOTS_MAX {
            match self.vfs.lock_byte(&self.path, FIRST_SLOT_BYTE + index as u64) {
                Ok(lock) => {
                    let offset = SLOTS + (index * SLOT_LEN) as u64;
                    return Ok(ReaderSlot {
                        file: Arc::clone(&self.file),
                        path: self.path.clone(),
                        offset,
                        _lock: lock,
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::io("lock a slot of", &self.path, error)),
            }
        }
        Err(Error::TooManyReaders { max: SLOTS_MAX })
    }
}

/// Keeps one state, for as long as it is held and its process lives.
#[derive(Debug)]
pub(crate) struct ReaderSlot {
    file: Arc<dyn File>,
    path: PathBuf,
    offset: u64,
    _lock: Box<dyn Lock>,
}

impl ReaderSlot {
    /// Names the state. It is kept if it is still the newest durable one afterwards.
    pub(crate) fn stand_on(&self, txn: TxnId) -> Result<()> {
        self.file.write_at(self.offset, &number(txn)).map_err(|error| Error::io("write", &self.path, error))
    }
}

impl Drop for ReaderSlot {
    fn drop(&mut self) {
        // If it fails, the lock that goes with this says the same.
        let _the_lock_goes_too = self.file.write_at(self.offset, &[0; SLOT_LEN]);
    }
}
