//! Granite.

use std::path::Path;

use anyhow::{Context, Result};
use granite::{Codec, Db, KeyLayout, Keyspace, KeyspaceOptions, MIN_MEMORY_BUDGET, Options, WriteBatch};

use super::CountedDisk;
use crate::engine::{Direction, Durability, Engine, EngineCounters, EngineOptions, EngineSpec, Metered, Op, Role};

struct Granite {
    db: Db,
    keyspace: Keyspace,
    disk: CountedDisk,
}

impl Granite {
    fn open(dir: &Path, options: &EngineOptions) -> Result<Self> {
        let disk = CountedDisk::new();
        let memory = options.memory_bytes.max(MIN_MEMORY_BUDGET);
        let db = Db::open(dir, &Options::new().vfs(disk.vfs()).memory_budget(memory))?;
        let layout = match options.hash_keys_of {
            Some(width) => KeyLayout::Hash { width: u8::try_from(width).context("a key is too wide")? },
            None => KeyLayout::Plain,
        };
        let threshold =
            options.separate_values_from.map(u32::try_from).transpose().context("a threshold is too large")?;
        let keyspace_options =
            KeyspaceOptions::new().key_layout(layout).separation_threshold(threshold).codec(Codec::None);
        let keyspace = db.keyspace("default", keyspace_options)?;
        Ok(Self { db, keyspace, disk })
    }
}

impl Metered for Granite {
    fn counters(&self) -> Option<EngineCounters> {
        self.disk.counters()
    }
}

impl Engine for Granite {
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
        let mut batch = WriteBatch::new();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.put(&self.keyspace, key, value),
                Op::PutIfAbsent(key, value) => batch.put_if_absent(&self.keyspace, key, value),
            }
        }
        self.db.write(
            batch,
            match durability {
                Durability::Sync => granite::Durability::Sync,
                Durability::Buffered => granite::Durability::Buffered,
            },
        )?;
        Ok(())
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.keyspace.get(key)?;
        if let Some(value) = &value {
            seen(value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: usize,
        seen: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut walk = self.keyspace.scan::<&[u8], _>(..)?;
        match (direction, from) {
            (Direction::Forward, Some(key)) => walk.seek(key)?,
            (Direction::Forward, None) => walk.seek_to_first()?,
            (Direction::Reverse, Some(key)) => walk.seek_for_prev(key)?,
            (Direction::Reverse, None) => walk.seek_to_last()?,
        }
        let mut count = 0;
        while count < limit && walk.valid() {
            seen(walk.key(), &walk.value()?);
            count += 1;
            match direction {
                Direction::Forward => walk.next()?,
                Direction::Reverse => walk.prev()?,
            }
        }
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        self.db.flush()?;
        self.db.compact()?;
        Ok(self.db.wait_for_background()?)
    }

    fn trim(&self) -> Result<()> {
        Ok(self.db.trim()?)
    }
}

/// Its stable name.
pub const GRANITE: &str = "granite";

/// Granite, as its first client uses it.
#[must_use]
pub fn granite() -> EngineSpec {
    EngineSpec {
        name: GRANITE,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: Role::Subject,
        notes: "defaults, without compression: Bloom filters of 10 bits, 16 KiB blocks, half the memory as write buffers; values of the \
                client separated, its keys laid out as hashes",
        durable: true,
        allocates_in_rust: true,
        open: |dir, options| Ok(Box::new(Granite::open(dir, options)?)),
    }
}
