//! Tests of tl-daemon with real processes, sockets and directories.

mod barrier;
mod fixture;
mod full_disk;
mod golden;
mod handshake;
mod kill;
mod lab;
mod lives;
mod process;
mod reading;
mod restoring;
