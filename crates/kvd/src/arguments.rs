//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    batch, bench, checkpoint, compact, del, diag, dump_manifest, dump_sstable, dump_wal, get, metrics, put, repair,
    scan, stats, verify,
};
use crate::form::Form;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the key is not there
  2  wrong usage or input
  3  the database is damaged, or a repair lost something
  4  try again later: the database is open elsewhere, or the disk is full
  5  the disk or the system failed";

/// Reads, writes and inspects granite databases.
#[derive(Debug, Parser)]
#[command(name = "kvd", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command. May stand before or after it.
#[derive(Debug, Args)]
pub struct Settings {
    /// Directory of the database.
    #[arg(long, global = true, value_name = "DIR")]
    pub db: Option<PathBuf>,
    /// Keyspace to work on.
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub keyspace: String,
    /// Print JSON: one object, or one per line where there are many.
    #[arg(long, global = true)]
    pub json: bool,
    /// Keys and values are hexadecimal, on the command line, in standard input and in the output.
    #[arg(long, global = true)]
    pub hex: bool,
    /// Keys and values are written as the bytes that they are, without escapes.
    #[arg(long, global = true)]
    pub raw: bool,
    /// Memory budget in bytes; K, M and G stand for their binary multiples.
    #[arg(long, global = true, default_value = "64M", value_name = "BYTES", value_parser = parse_bytes)]
    pub memory: usize,
    /// When a write is done: `sync` once it would survive a loss of power, `buffered` already before; the end of the command syncs
    /// then.
    #[arg(long, global = true, value_enum, default_value_t = DurabilityName::Sync, value_name = "WHEN")]
    pub durability: DurabilityName,
    /// What to do with a log that does not end cleanly: refuse it, drop a torn tail, or keep every batch that is intact.
    #[arg(long, global = true, value_enum, default_value_t = RecoveryName::Tail, value_name = "MODE")]
    pub recovery: RecoveryName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityName {
    Sync,
    Buffered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecoveryName {
    Strict,
    Tail,
    Salvage,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Put(put::Put),
    Get(get::Get),
    Del(del::Del),
    Scan(scan::Scan),
    Batch(batch::Batch),
    Compact(compact::Compact),
    Stats(stats::Stats),
    Diag(diag::Diag),
    DumpSstable(dump_sstable::DumpSstable),
    DumpWal(dump_wal::DumpWal),
    DumpManifest(dump_manifest::DumpManifest),
    Verify(verify::Verify),
    Repair(repair::Repair),
    Checkpoint(checkpoint::Checkpoint),
    Metrics(metrics::Metrics),
    Bench(bench::Bench),
}

/// A key on the command line.
#[derive(Debug, Args)]
pub struct KeyArgument {
    /// The key.
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    key: OsString,
}

impl KeyArgument {
    /// The key's bytes. An empty key is refused here already, before a database is created for it.
    pub fn bytes(&self, form: Form) -> Result<Vec<u8>> {
        let key = form.argument(&self.key)?;
        ensure!(!key.is_empty(), granite::Error::EmptyKey);
        Ok(key)
    }
}

fn parse_bytes(text: &str) -> std::result::Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1 << 20),
            None => match text.strip_suffix(['G', 'g']) {
                Some(digits) => (digits, 1 << 30),
                None => (text, 1_usize),
            },
        },
    };
    let number: usize = digits.parse().map_err(|_| "expected a number of bytes such as 1048576, 512K, 64M or 2G")?;
    number.checked_mul(unit).ok_or_else(|| "more bytes than this machine can count".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, the command line contradicts itself and kvd panics at start.
    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_are_binary_multiples_and_never_wrap() {
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
        assert_eq!(parse_bytes("64M"), Ok(64 << 20));
        assert_eq!(parse_bytes("3k"), Ok(3 << 10));
        assert!(parse_bytes("99999999999G").is_err());
        assert!(parse_bytes("M").is_err());
        assert!(parse_bytes("-1").is_err());
    }
}
