//! A store of settings that remembers: the present value of each, everything that it ever was, and readers that see one moment.
//!
//! `cargo run -p granite --example config_store`

use granite::{Db, Durability, Keyspace, KeyspaceOptions, Options, Result, Seq, WriteBatch};

struct Config {
    db: Db,
    /// Name to value.
    current: Keyspace,
    /// Name, a zero byte, revision (eight bytes, most significant first) to value.
    history: Keyspace,
}

impl Config {
    fn open(dir: &std::path::Path) -> Result<Self> {
        let db = Db::open(dir, &Options::new())?;
        // Settings are small and read often: keep them in the tables, not in the log.
        let small = KeyspaceOptions::new().separation_threshold(None);
        let current = db.keyspace("current", small.clone())?;
        let history = db.keyspace("history", small)?;
        Ok(Self { db, current, history })
    }

    /// Sets a value and enters it into the history: both or neither.
    fn set(&self, name: &str, value: &str) -> Result<Seq> {
        let revision = self.revisions(name)?.len() as u64;
        let key = [name.as_bytes(), &[0], &revision.to_be_bytes()].concat();
        let mut batch = WriteBatch::new();
        batch.put(&self.current, name.as_bytes(), value.as_bytes());
        batch.put(&self.history, &key, value.as_bytes());
        Ok(self.db.write(batch, Durability::Sync)?.seq)
    }

    /// Every value that `name` ever had, oldest first.
    fn revisions(&self, name: &str) -> Result<Vec<String>> {
        let prefix = [name.as_bytes(), &[0]].concat();
        self.history.scan_prefix(&prefix)?.map(|entry| entry.map(|(_, value)| text(&value))).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let config = Config::open(dir.path())?;

    config.set("listen", "127.0.0.1:80")?;
    config.set("workers", "2")?;

    // A reader that needs several settings of one moment takes a snapshot.
    let moment = config.db.snapshot();
    let later = config.set("listen", "0.0.0.0:443")?;
    config.set("workers", "16")?;
    assert!(moment.seq() < later);
    assert_eq!(moment.get(&config.current, b"listen")?.as_deref(), Some(&b"127.0.0.1:80"[..]));
    let seen: Vec<String> = moment
        .scan::<&[u8], _>(&config.current, ..)?
        .map(|entry| entry.map(|(name, value)| format!("{}={}", text(&name), text(&value))))
        .collect::<Result<_>>()?;
    assert_eq!(seen, ["listen=127.0.0.1:80", "workers=2"]);

    // Compaction drops old versions, but none that a snapshot can see.
    config.db.compact()?;
    assert_eq!(moment.get(&config.current, b"workers")?.as_deref(), Some(&b"2"[..]));
    assert_eq!(config.current.get(b"workers")?.as_deref(), Some(&b"16"[..]));
    drop(moment);

    let revisions = config.revisions("listen")?;
    println!("listen was {}", revisions.join(", then "));
    assert_eq!(revisions, ["127.0.0.1:80", "0.0.0.0:443"]);
    Ok(())
}

#[test]
fn the_example_holds() -> std::result::Result<(), Box<dyn std::error::Error>> {
    main()
}
