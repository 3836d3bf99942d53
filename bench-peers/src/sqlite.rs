//! SQLite, by rusqlite.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use bench::engine::{Direction, Durability, Engine, EngineOptions, EngineSpec, Metered, Op, Role};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

const FILE: &str = "data.sqlite";
const BUSY_MILLISECONDS: u64 = 60_000;

/// One connection writes, as only one can; those that read are lent to one reader at a time.
struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    reader_bytes: usize,
}

impl Sqlite {
    fn open(dir: &Path, options: &EngineOptions) -> Result<Self> {
        let path = dir.join(FILE);
        // A writer and two readers, which is as many as any benchmark has, share the memory.
        let writer = connect(&path, options.memory_bytes / 2)?;
        writer.pragma_update(None, "journal_mode", "wal")?;
        // In WAL mode FULL syncs the log with each commit; NORMAL only with its checkpoints, and a kill loses nothing.
        writer.pragma_update(
            None,
            "synchronous",
            match options.durability {
                Durability::Sync => "full",
                Durability::Buffered => "normal",
            },
        )?;
        // Rows of large values do not belong into an index's own tree.
        let rowid = if options.separate_values_from.is_some() { "" } else { " without rowid" };
        writer.execute_batch(&format!(
            "create table if not exists data (key blob primary key, value blob not null){rowid}"
        ))?;
        Ok(Self { path, writer: Mutex::new(writer), readers: Mutex::default(), reader_bytes: options.memory_bytes / 4 })
    }

    /// Lends a connection that nobody else reads with.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let free = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = free.map_or_else(|| connect(&self.path, self.reader_bytes), Ok)?;
        let answer = read(&connection);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        answer
    }
}

fn connect(path: &Path, memory_bytes: usize) -> Result<Connection> {
    let connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_MILLISECONDS))?;
    // Negative: in KiB instead of pages.
    connection.pragma_update(None, "cache_size", -i64::try_from(memory_bytes >> 10)?)?;
    Ok(connection)
}

impl Metered for Sqlite {}

impl Engine for Sqlite {
    fn write(&self, ops: &[Op<'_>], _: Durability) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for op in ops {
            let (statement, key, value) = match op {
                Op::Put(key, value) => ("insert or replace into data values (?1, ?2)", key, value),
                Op::PutIfAbsent(key, value) => ("insert or ignore into data values (?1, ?2)", key, value),
            };
            transaction.prepare_cached(statement)?.execute(params![&**key, value])?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("select value from data where key = ?1")?;
            let found = statement.query_row([key], |row| {
                seen(row.get_ref(0)?.as_blob()?);
                Ok(())
            });
            Ok(found.optional()?.is_some())
        })
    }

    fn scan(
        &self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: usize,
        seen: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let sql = match (direction, from) {
            (Direction::Forward, Some(_)) => "select key, value from data where key >= ?1 order by key limit ?2",
            (Direction::Forward, None) => "select key, value from data where ?1 is null order by key limit ?2",
            (Direction::Reverse, Some(_)) => "select key, value from data where key <= ?1 order by key desc limit ?2",
            (Direction::Reverse, None) => "select key, value from data where ?1 is null order by key desc limit ?2",
        };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![from, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                seen(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
                count += 1;
            }
            Ok(count)
        })
    }

    fn settle(&self) -> Result<()> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writer.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?)
    }
}

pub fn spec() -> EngineSpec {
    EngineSpec {
        name: "sqlite",
        version: format!("{} (rusqlite {})", rusqlite::version(), crate::locked_version("rusqlite")),
        role: Role::Peer,
        notes: "WAL; sync is synchronous=FULL, buffered NORMAL; half the memory as cache of the connection that writes, a quarter for each that reads; \
                one table, without rowid but for the client's values; put-if-absent is `insert or ignore`; a B-tree: there is nothing to compact",
        allocates_in_rust: false,
        durable: true,
        open: |dir, options| Ok(Box::new(Sqlite::open(dir, options)?)),
    }
}
