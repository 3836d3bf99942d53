//! LMDB, by heed.

use std::path::Path;

use anyhow::Result;
use bench::engine::{Direction, Durability, Engine, EngineOptions, EngineSpec, Metered, Op, Role};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use crate::scan;

const MAP_BYTES: usize = 64 << 30;

struct Lmdb {
    env: Env,
    db: Database<'static, Bytes, Bytes>,
}

impl Lmdb {
    fn open(dir: &Path, options: &EngineOptions) -> Result<Self> {
        let mut open = EnvOpenOptions::new();
        open.map_size(MAP_BYTES);
        if options.durability == Durability::Buffered {
            // SAFETY: without syncs a power cut can damage the database; the harness never cuts the power, and throws it away.
            unsafe { open.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: the directory belongs to this measurement alone; nobody else changes the mapped file.
        let env = unsafe { open.open(dir)? };
        let opened = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
            opener.create_database::<Bytes, Bytes>(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
        })?;
        let db = opened.unwrap_commit();
        Ok(Self { env, db })
    }
}

impl Metered for Lmdb {}

impl Engine for Lmdb {
    fn write(&self, ops: &[Op<'_>], _: Durability) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for op in ops {
            match op {
                Op::Put(key, value) => self.db.put(&mut transaction, key, value)?,
                Op::PutIfAbsent(key, value) => {
                    self.db.get_or_put(&mut transaction, key, value)?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let transaction = self.env.read_txn()?;
        let value = self.db.get(&transaction, key)?;
        if let Some(value) = value {
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
        let transaction = self.env.read_txn()?;
        let bounds = scan::bounds(from, direction);
        let one = |entry: heed::Result<(&[u8], &[u8])>| {
            let (key, value) = entry?;
            seen(key, value);
            Ok(())
        };
        match direction {
            Direction::Forward => scan::show(self.db.range(&transaction, &bounds)?, limit, one),
            Direction::Reverse => scan::show(self.db.rev_range(&transaction, &bounds)?, limit, one),
        }
    }

    fn settle(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }
}

pub fn spec() -> EngineSpec {
    EngineSpec {
        name: "lmdb",
        version: crate::locked_version("heed"),
        role: Role::Peer,
        notes: "maps its file, so the page cache is its memory and no budget holds; durability is one for the whole environment: \
                MDB_NOSYNC where the benchmark is buffered; put-if-absent is native; there is nothing to compact",
        allocates_in_rust: false,
        durable: true,
        open: |dir, options| Ok(Box::new(Lmdb::open(dir, options)?)),
    }
}
