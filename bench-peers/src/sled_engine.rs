//! sled.

use std::path::Path;

use anyhow::{Result, bail};
use bench::engine::{Direction, Durability, Engine, EngineOptions, EngineSpec, Metered, Op, Role};
use sled::{Batch, Config, Db, IVec};

use crate::scan;

struct Sled {
    db: Db,
}

impl Sled {
    fn open(dir: &Path, options: &EngineOptions) -> Result<Self> {
        // It flushes in the background, twice a second, as it comes.
        let db = Config::new().path(dir.join("data")).cache_capacity(options.memory_bytes as u64).open()?;
        Ok(Self { db })
    }
}

impl Metered for Sled {}

impl Engine for Sled {
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
        if durability != Durability::Buffered {
            bail!("sled is only measured without durability");
        }
        let mut batch = Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(&**key, *value),
                Op::PutIfAbsent(key, value) => {
                    if !self.db.contains_key(&**key)? {
                        batch.insert(&**key, *value);
                    }
                }
            }
        }
        Ok(self.db.apply_batch(batch)?)
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.db.get(key)?;
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
        let range = self.db.range::<&[u8], _>(scan::bounds(from, direction));
        let one = |entry: sled::Result<(IVec, IVec)>| {
            let (key, value) = entry?;
            seen(&key, &value);
            Ok(())
        };
        match direction {
            Direction::Forward => scan::show(range, limit, one),
            Direction::Reverse => scan::show(range.rev(), limit, one),
        }
    }

    fn settle(&self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }
}

pub fn spec() -> EngineSpec {
    EngineSpec {
        name: "sled",
        version: crate::locked_version("sled"),
        role: Role::Peer,
        notes: "all the memory as cache; only measured where nothing is promised: it writes back twice a second, and a kill loses what came since; \
                put-if-absent is contains_key before the batch; there is nothing to compact",
        allocates_in_rust: true,
        durable: false,
        open: |dir, options| Ok(Box::new(Sled::open(dir, options)?)),
    }
}
