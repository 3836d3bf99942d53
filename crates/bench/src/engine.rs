//! What the harness asks of a storage engine. Granite, its peers and the floors stand behind the same few calls.

use std::fmt::Debug;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::data::Key;

/// What has survived a power cut once a write has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The write and everything before it.
    Sync,
    /// Nothing is promised; the process may be killed without loss.
    Buffered,
}

/// One change of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Op<'a> {
    /// Sets a key.
    Put(Key, &'a [u8]),
    /// Sets a key unless it has a value.
    PutIfAbsent(Key, &'a [u8]),
}

impl Op<'_> {
    /// Bytes of key and value.
    #[must_use]
    pub fn user_bytes(&self) -> u64 {
        let (Self::Put(key, value) | Self::PutIfAbsent(key, value)) = self;
        (key.len() + value.len()) as u64
    }
}

/// The way a scan walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards larger keys.
    Forward,
    /// Towards smaller keys.
    Reverse,
}

/// What an engine counted itself since it was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineCounters {
    /// Syncs of files and directories.
    pub syncs: u64,
    /// Bytes handed to write calls.
    pub bytes_written: u64,
}

/// What a workload needs of the database that it opens. Every engine gets the same.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Whether writes will ask for [`Durability::Sync`]. Engines that only choose for a whole database choose by this.
    pub durability: Durability,
    /// Memory for caches and memtables together. Engines that map their file have no such bound.
    pub memory_bytes: usize,
    /// Values of at least this many bytes are stored apart from keys by engines that can.
    pub separate_values_from: Option<usize>,
    /// Keys are random and all of this width.
    pub hash_keys_of: Option<usize>,
}

/// Something that counts what it does to the disk, or does not.
pub trait Metered: Send + Sync {
    /// What was counted, if it is.
    fn counters(&self) -> Option<EngineCounters> {
        None
    }
}

/// An open database with one keyspace.
pub trait Engine: Metered {
    /// Applies `ops` atomically and returns once `durability` holds.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()>;

    /// Shows the value of `key` to `seen` in the form in which the engine lends or returns it. False if there is none.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// Shows up to `limit` entries from `from` on (`None`: from the end where the walk begins), on a fresh iterator.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn scan(
        &self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: usize,
        seen: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize>;

    /// Moves everything out of memory and log, and compacts it fully. Durable afterwards.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn settle(&self) -> Result<()>;

    /// Gives back the memory that an idle database does not need.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn trim(&self) -> Result<()> {
        Ok(())
    }
}

/// Which side of a comparison an engine is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What this project builds.
    Subject,
    /// What it is compared with.
    Peer,
    /// The same configuration question answered differently; runs only when it is named.
    Alternate,
    /// The least that a durable commit costs on the machine: no store can beat it.
    Floor,
    /// The machine itself, for benchmarks that use no store.
    Machine,
}

/// Opens or creates a database in a directory that exists.
pub type Open = fn(&Path, &EngineOptions) -> Result<Box<dyn Engine>>;

/// The version of a tool that is not installed.
pub const ABSENT: &str = "absent";

/// An engine that a program of the harness registers.
#[derive(Clone)]
pub struct EngineSpec {
    /// Stable name.
    pub name: &'static str,
    /// Version that is linked.
    pub version: String,
    /// Its side of the comparison.
    pub role: Role,
    /// How it is configured, and what it cannot do as asked.
    pub notes: &'static str,
    /// False for an engine that takes part only where nothing is promised.
    pub durable: bool,
    /// True if all its allocations go through Rust's allocator and can be counted.
    pub allocates_in_rust: bool,
    /// Opens a database.
    pub open: Open,
}

impl EngineSpec {
    /// False for a tool that is not on this machine.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.version != ABSENT
    }
}

impl Debug for EngineSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineSpec").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}
