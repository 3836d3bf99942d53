//! Open files and held locks.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use vfs::{File, Lock, LockKind};

use crate::crash::Unsynced;
use crate::disk::Shared;
use crate::fault::Effect;
use crate::names::Ino;
use crate::operation::OpKind;
use crate::state::{Call, Manner, State};

/// The largest offset of a file, as on Linux.
const OFFSET_MAX: u64 = i64::MAX as u64;

fn end_of(offset: u64, len: u64) -> io::Result<u64> {
    match offset.checked_add(len).filter(|end| *end <= OFFSET_MAX) {
        Some(end) => Ok(end),
        None => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

#[derive(Debug)]
pub(crate) struct SimFile {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ino: Ino,
    pub(crate) path: Arc<Path>,
    pub(crate) writable: bool,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        release(&self.shared, self.ino, |_| {});
    }
}

fn release(shared: &Shared, ino: Ino, unlock: impl FnOnce(&mut crate::state::FileNode)) {
    let mut state = shared.lock();
    if let Ok(file) = state.file(ino) {
        file.holders = file.holders.saturating_sub(1);
        unlock(file);
    }
    state.let_go(ino);
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }

    fn sync(&self, kind: OpKind) -> io::Result<()> {
        let mut state = self.shared.lock();
        self.shared.count(&state, |counters| counters.count_file_sync());
        state.call(&Call::new(kind, &self.path), |state, manner| {
            match manner {
                Manner::Ignored => {}
                Manner::Faulty(Effect::LostSync(loss)) => {
                    state.file(self.ino)?.lose_unsynced(loss);
                    return Err(Errno::IO.into());
                }
                Manner::Plain | Manner::Faulty(_) => {
                    state.file(self.ino)?.sync();
                    if state.file_sync_commits_names {
                        state.names.sync_all();
                        state.collect();
                    }
                }
            }
            Ok(())
        })
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let count = state.call(&Call::new(OpKind::Read, &self.path), |state, manner| {
            let wanted = match manner {
                Manner::Faulty(Effect::ShortRead { bytes_max }) => buf.len().min(bytes_max),
                _ => buf.len(),
            };
            Ok(state.file(self.ino)?.cached.read(offset, buf.get_mut(..wanted).unwrap_or_default()))
        })?;
        self.shared.counters.count_read(count);
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.shared.lock();
        self.shared.count(&state, |counters| counters.count_write(data.len()));
        let len = data.len() as u64;
        let call = Call { offset, len, ..Call::new(OpKind::Write, &self.path) };
        state.call(&call, |state, manner| {
            self.check_writable()?;
            end_of(offset, len)?;
            let (wanted, error) = match manner {
                Manner::Faulty(Effect::ShortWrite { bytes, error }) => (len.min(bytes as u64), Some(error.to_io())),
                _ => (len, None),
            };
            let room = state.room_for(self.ino, offset, wanted);
            if let Some(data) = data.get(..room as usize).filter(|data| !data.is_empty()) {
                state.file(self.ino)?.record(Unsynced::Write { offset, data: Arc::from(data) });
            }
            if room < wanted {
                return Err(State::no_space());
            }
            error.map_or(Ok(()), Err)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(OpKind::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(OpKind::SyncAll)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let call = Call { len, ..Call::new(OpKind::SetLen, &self.path) };
        self.shared.lock().call(&call, |state, _| {
            if !self.writable {
                // Linux has another error here than for a write.
                return Err(io::ErrorKind::InvalidInput.into());
            }
            end_of(0, len)?;
            state.file(self.ino)?.record(Unsynced::SetLen(len));
            Ok(())
        })
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let call = Call { offset, len, ..Call::new(OpKind::Allocate, &self.path) };
        self.shared.lock().call(&call, |state, _| {
            if len == 0 {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.check_writable()?;
            let range = offset..end_of(offset, len)?;
            if state.room_for(self.ino, offset, len) < len {
                return Err(State::no_space());
            }
            state.file(self.ino)?.record(Unsynced::Allocate(range));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        let call = Call::new(OpKind::Len, &self.path);
        self.shared.lock().call(&call, |state, _| Ok(state.file(self.ino)?.cached.len()))
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.shared.lock().call(&Call::new(OpKind::DropCache, &self.path), |state, _| {
            state.file(self.ino)?.drop_cache();
            Ok(())
        })
    }

    fn prefetch(&self, _offset: u64, _len: u64) {
        // All of it is in memory already.
    }
}

#[derive(Debug)]
pub(crate) struct SimLock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ino: Ino,
    pub(crate) kind: LockKind,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        release(&self.shared, self.ino, |file| match self.kind {
            LockKind::Shared => file.locks.shared = file.locks.shared.saturating_sub(1),
            LockKind::Exclusive => file.locks.exclusive = false,
        });
    }
}

#[derive(Debug)]
pub(crate) struct SimByteLock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ino: Ino,
    pub(crate) offset: u64,
}

impl Lock for SimByteLock {}

impl Drop for SimByteLock {
    fn drop(&mut self) {
        release(&self.shared, self.ino, |file| {
            file.locked_bytes.remove(&self.offset);
        });
    }
}
