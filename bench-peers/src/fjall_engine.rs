//! fjall.

use std::path::Path;

use anyhow::{Result, anyhow};
use bench::engine::{Direction, Durability, Engine, EngineOptions, EngineSpec, Metered, Op, Role};
use fjall::config::{BlockSizePolicy, BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use crate::scan;

const BLOOM_BITS_PER_KEY: f32 = 10.0;
/// The least that fjall accepts.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;
const MEMTABLE_BYTES_MIN: u64 = 256 << 10;

struct Fjall {
    db: Database,
    keyspace: Keyspace,
}

impl Fjall {
    fn open(dir: &Path, options: &EngineOptions, separate: bool) -> Result<Self> {
        let memory = options.memory_bytes as u64;
        let db =
            Database::builder(dir).cache_size(memory / 2).max_journaling_size(JOURNAL_BYTES_MIN.max(memory)).open()?;
        let keyspace = db.keyspace("default", || {
            let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(BLOOM_BITS_PER_KEY));
            let mut keyspace = KeyspaceCreateOptions::default()
                .filter_policy(FilterPolicy::all(filter))
                .data_block_size_policy(BlockSizePolicy::all(4 << 10))
                .max_memtable_size((memory / 4).max(MEMTABLE_BYTES_MIN));
            if let (true, Some(bytes)) = (separate, options.separate_values_from) {
                let threshold = u32::try_from(bytes).unwrap_or(u32::MAX);
                let separation = KvSeparationOptions::default().separation_threshold(threshold);
                keyspace = keyspace.with_kv_separation(Some(separation));
            }
            keyspace
        })?;
        Ok(Self { db, keyspace })
    }
}

impl Metered for Fjall {}

impl Engine for Fjall {
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
        let mode = (durability == Durability::Sync).then_some(PersistMode::SyncData);
        let mut batch = self.db.batch().durability(mode);
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(&self.keyspace, &**key, *value),
                Op::PutIfAbsent(key, value) => {
                    if !self.keyspace.contains_key(&**key)? {
                        batch.insert(&self.keyspace, &**key, *value);
                    }
                }
            }
        }
        Ok(batch.commit()?)
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
        let range = self.keyspace.range::<&[u8], _>(scan::bounds(from, direction));
        let one = |entry: Guard| {
            let (key, value) = entry.into_inner()?;
            seen(&key, &value);
            Ok(())
        };
        match direction {
            Direction::Forward => scan::show(range, limit, one),
            Direction::Reverse => scan::show(range.rev(), limit, one),
        }
    }

    fn settle(&self) -> Result<()> {
        self.keyspace.rotate_memtable_and_wait()?;
        self.keyspace.major_compact()?;
        self.db.persist(PersistMode::SyncAll).map_err(|error| anyhow!(error))
    }
}

pub fn specs() -> Vec<EngineSpec> {
    let spec = |name, role, notes, open| EngineSpec {
        name,
        version: crate::locked_version("fjall"),
        role,
        notes,
        allocates_in_rust: true,
        durable: true,
        open,
    };
    vec![
        spec(
            "fjall",
            Role::Peer,
            "Bloom filters of 10 bits, 4 KiB blocks (its default), half the memory as cache, memtables of a quarter; values of the client \
             separated; sync is PersistMode::SyncData; put-if-absent is contains_key before the batch",
            |dir: &Path, options: &EngineOptions| Ok(Box::new(Fjall::open(dir, options, true)?)),
        ),
        spec("fjall-inline", Role::Alternate, "the same without separated values", |dir, options| {
            Ok(Box::new(Fjall::open(dir, options, false)?))
        }),
    ]
}
