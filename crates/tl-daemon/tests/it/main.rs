//! Tests of tl-daemon with real processes, sockets and directories.

mod barrier;
mod full_disk;
mod handshake;
mod kill;
mod lab;
mod lives;
mod process;
mod reading;
mod restoring;
