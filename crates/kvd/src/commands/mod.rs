//! The commands, one in each file.

pub mod batch;
pub mod bench;
pub mod checkpoint;
pub mod compact;
pub mod del;
pub mod diag;
pub mod dump_manifest;
pub mod dump_sstable;
pub mod dump_wal;
pub mod get;
pub mod metrics;
pub mod put;
pub mod repair;
pub mod scan;
pub mod stats;
pub mod verify;

use anyhow::Result;

use crate::arguments::Command;
use crate::session::Session;

pub fn run(session: &mut Session, command: Command) -> Result<()> {
    match command {
        Command::Put(put) => put.run(session),
        Command::Get(get) => get.run(session),
        Command::Del(del) => del.run(session),
        Command::Scan(scan) => scan.run(session),
        Command::Batch(batch) => batch.run(session),
        Command::Compact(compact) => compact.run(session),
        Command::Stats(stats) => stats.run(session),
        Command::Diag(diag) => diag.run(session),
        Command::DumpSstable(dump) => dump.run(session),
        Command::DumpWal(dump) => dump.run(session),
        Command::DumpManifest(dump) => dump.run(session),
        Command::Verify(verify) => verify.run(session),
        Command::Repair(repair) => repair.run(session),
        Command::Checkpoint(checkpoint) => checkpoint.run(session),
        Command::Metrics(metrics) => metrics.run(session),
        Command::Bench(bench) => bench.run(session),
    }
}
