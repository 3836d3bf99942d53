//! redb.

use std::path::Path;

use anyhow::Result;
use bench::engine::{Direction, Durability, Engine, EngineOptions, EngineSpec, Metered, Op, Role};
use redb::{AccessGuard, Builder, Database, ReadableDatabase, ReadableTable, StorageError, TableDefinition};

use crate::scan;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("default");

struct Redb {
    db: Database,
}

impl Redb {
    fn open(dir: &Path, options: &EngineOptions) -> Result<Self> {
        let db = Builder::new().set_cache_size(options.memory_bytes).create(dir.join("data.redb"))?;
        let transaction = db.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self { db })
    }
}

impl Metered for Redb {}

impl Engine for Redb {
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(match durability {
            Durability::Sync => redb::Durability::Immediate,
            Durability::Buffered => redb::Durability::None,
        })?;
        let mut changed = false;
        {
            let mut table = transaction.open_table(TABLE)?;
            for op in ops {
                match op {
                    Op::Put(key, value) => {
                        table.insert(&**key, *value)?;
                        changed = true;
                    }
                    Op::PutIfAbsent(key, value) => {
                        let absent = table.get(&**key)?.is_none();
                        if absent {
                            table.insert(&**key, *value)?;
                            changed = true;
                        }
                    }
                }
            }
        }
        if !changed {
            // Every key was present, and all earlier writes of the benchmark are synced: there is nothing to wait for.
            return Ok(transaction.abort()?);
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let transaction = self.db.begin_read()?;
        let value = transaction.open_table(TABLE)?.get(key)?;
        if let Some(value) = &value {
            seen(value.value());
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
        let transaction = self.db.begin_read()?;
        let range = transaction.open_table(TABLE)?.range::<&[u8]>(scan::bounds(from, direction))?;
        let one = |entry: Result<(AccessGuard<'_, &[u8]>, AccessGuard<'_, &[u8]>), StorageError>| {
            let (key, value) = entry?;
            seen(key.value(), value.value());
            Ok(())
        };
        match direction {
            Direction::Forward => scan::show(range, limit, one),
            Direction::Reverse => scan::show(range.rev(), limit, one),
        }
    }

    fn settle(&self) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(redb::Durability::Immediate)?;
        Ok(transaction.commit()?)
    }
}

pub fn spec() -> EngineSpec {
    EngineSpec {
        name: "redb",
        version: crate::locked_version("redb"),
        role: Role::Peer,
        notes: "all the memory as cache; sync is Durability::Immediate, buffered is Durability::None, which a kill loses; a B-tree: \
                there is nothing to compact",
        allocates_in_rust: true,
        durable: true,
        open: |dir, options| Ok(Box::new(Redb::open(dir, options)?)),
    }
}
