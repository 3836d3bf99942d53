//! RocksDB.

use std::path::Path;

use anyhow::Result;
use bench::engine::{Direction, Durability, Engine, EngineOptions, EngineSpec, Metered, Op, Role};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, FlushOptions, Options, WaitForCompactOptions, WriteBatch,
    WriteOptions,
};

const BLOOM_BITS_PER_KEY: f64 = 10.0;

struct Rocks {
    db: DB,
}

impl Rocks {
    fn open(dir: &Path, options: &EngineOptions, blobs: bool) -> Result<Self> {
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        table.set_block_cache(&Cache::new_hyper_clock_cache(options.memory_bytes / 2, 0));
        // Otherwise indexes and filters would be memory on top of the budget.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);

        let mut db = Options::default();
        db.create_if_missing(true);
        db.set_compression_type(DBCompressionType::None);
        db.set_block_based_table_factory(&table);
        // Two memtables of a quarter each.
        db.set_write_buffer_size(options.memory_bytes / 4);
        if let (true, Some(bytes)) = (blobs, options.separate_values_from) {
            db.set_enable_blob_files(true);
            db.set_min_blob_size(bytes as u64);
            db.set_enable_blob_gc(true);
        }
        Ok(Self { db: DB::open(&db, dir)? })
    }
}

impl Metered for Rocks {}

impl Engine for Rocks {
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
        let mut batch = WriteBatch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.put(&**key, value),
                Op::PutIfAbsent(key, value) => {
                    if self.db.get_pinned(&**key)?.is_none() {
                        batch.put(&**key, value);
                    }
                }
            }
        }
        if batch.is_empty() {
            // Every key was present, and all earlier writes of the benchmark are synced: there is nothing to wait for.
            return Ok(());
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Sync);
        Ok(self.db.write_opt(batch, &options)?)
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.db.get_pinned(key)?;
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
        let mut iterator = self.db.raw_iterator();
        match (direction, from) {
            (Direction::Forward, Some(key)) => iterator.seek(key),
            (Direction::Forward, None) => iterator.seek_to_first(),
            (Direction::Reverse, Some(key)) => iterator.seek_for_prev(key),
            (Direction::Reverse, None) => iterator.seek_to_last(),
        }
        let mut count = 0;
        while count < limit {
            let Some((key, value)) = iterator.item() else { break };
            seen(key, value);
            count += 1;
            match direction {
                Direction::Forward => iterator.next(),
                Direction::Reverse => iterator.prev(),
            }
        }
        iterator.status()?;
        Ok(count)
    }

    fn settle(&self) -> Result<()> {
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        self.db.flush_opt(&flush)?;
        self.db.compact_range::<&[u8], &[u8]>(None, None);
        self.db.wait_for_compact(&WaitForCompactOptions::default())?;
        Ok(())
    }
}

pub fn specs() -> Vec<EngineSpec> {
    let spec = |name, role, notes, open| EngineSpec {
        name,
        version: crate::locked_version("rocksdb") + " (" + &crate::locked_version("librocksdb-sys") + ")",
        role,
        notes,
        allocates_in_rust: false,
        durable: true,
        open,
    };
    vec![
        spec(
            "rocksdb",
            Role::Peer,
            "Bloom filters of 10 bits, 4 KiB blocks (its default), half the memory as block cache with indexes and filters in it, half as memtables; \
             values of the client in blob files; put-if-absent is a get before the batch",
            |dir: &Path, options: &EngineOptions| Ok(Box::new(Rocks::open(dir, options, true)?)),
        ),
        spec("rocksdb-inline", Role::Alternate, "the same without blob files", |dir, options| {
            Ok(Box::new(Rocks::open(dir, options, false)?))
        }),
    ]
}
