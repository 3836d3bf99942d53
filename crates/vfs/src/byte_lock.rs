//! Locks of single bytes that belong to an open file and not to the process, for which no safe wrapper is at hand. Each lock has an open file
//! of its own, so that two holders in one process exclude each other too. Calls pass a descriptor that stays open and a struct that
//! outlives them.

use std::fs::File;
use std::io;

#[cfg(target_os = "linux")]
fn control(file: &File, command: libc::c_int, offset: u64) -> io::Result<libc::flock> {
    use std::os::fd::AsRawFd;
    // SAFETY: all zeros is a valid `flock`.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_len = 1;
    // SAFETY: the descriptor is borrowed from an open file, and `lock` is alive during the call, which may write to it.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(lock) }
}

/// Takes the lock of a byte, exclusively and without waiting. It ends when the file is closed.
#[cfg(target_os = "linux")]
pub(crate) fn take(file: &File, offset: u64) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, offset).map(drop).map_err(|error| match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    })
}

/// Whether somebody has the lock of a byte.
#[cfg(target_os = "linux")]
pub(crate) fn is_taken(file: &File, offset: u64) -> io::Result<bool> {
    Ok(control(file, libc::F_OFD_GETLK, offset)?.l_type != libc::F_UNLCK as libc::c_short)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn take(_file: &File, _offset: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_taken(_file: &File, _offset: u64) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
