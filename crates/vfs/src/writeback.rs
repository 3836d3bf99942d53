//! `sync_file_range`, for which no safe wrapper is at hand. Everything here passes a descriptor that stays open during the call, and
//! integers; no memory is handed to the system.

use std::fs::File;

/// Begins to write dirty pages of the range out, without waiting for them. A refusal costs nothing: the sync that follows does the work.
#[cfg(target_os = "linux")]
pub(crate) fn start(file: &File, offset: u64, len: u64) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return };
    // SAFETY: the descriptor is borrowed from an open file, and the call takes no pointer.
    let _hint = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Other systems begin when they are told to sync.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start(_file: &File, _offset: u64, _len: u64) {}
