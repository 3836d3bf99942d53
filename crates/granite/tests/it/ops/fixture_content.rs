//! What the database in `fixtures/v1` holds: made by `examples/make_fixture.rs`, checked by `fixture.rs`.

use std::collections::BTreeMap;

use granite::{Background, Codec, CompactionPolicy, Db, FilterPolicy, KeyLayout, KeyspaceOptions, Options, Result};

/// Sorted content of one keyspace.
pub(crate) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn options() -> Options {
    Options::new()
        .memory_budget(1 << 20)
        .write_buffer(64 << 10)
        .segment_len(8 << 10)
        .table_len(8 << 10)
        .background(Background::Inline)
        .recycle_segments(false)
}

fn plain_key(number: u32) -> Vec<u8> {
    format!("path/{:02}/name-{number:04}", number % 7).into_bytes()
}

fn hash_key(number: u32) -> Vec<u8> {
    (0..16).map(|at| (number.wrapping_mul(2_654_435_761).rotate_left(at * 5) >> 24) as u8 ^ at as u8).collect()
}

/// Of 3 to about 650 bytes: some are separated, some not.
fn value(number: u32, version: u32) -> Vec<u8> {
    format!("{number}.{version} ").repeat(1 + (number % 8) as usize * (number % 13) as usize).into_bytes()
}

/// Writes the database, step by step, and notes what is in it.
fn history(db: Option<&Db>) -> Result<(Content, Content)> {
    let (mut plain, mut hashes) = (Content::new(), Content::new());
    let spaces = match db {
        None => None,
        Some(db) => {
            let options = KeyspaceOptions::new().separation_threshold(Some(200)).block_len(1024);
            let hashed = KeyspaceOptions::new()
                .key_layout(KeyLayout::Hash { width: 16 })
                .separation_threshold(None)
                .codec(Codec::Zstd { level: 3 })
                .filter(FilterPolicy::Bloom { bits_per_key: 14 })
                .compaction(CompactionPolicy::Tiered);
            db.keyspace("dropped", KeyspaceOptions::new())?.put(b"gone", b"gone")?;
            let spaces = (db.keyspace("plain", options)?, db.keyspace("hashes", hashed)?);
            db.drop_keyspace("dropped")?;
            Some(spaces)
        }
    };
    for version in 0..4u32 {
        for number in (version..120).step_by(1 + version as usize) {
            if let Some((in_plain, in_hashes)) = &spaces {
                in_plain.put(&plain_key(number), &value(number, version))?;
                in_hashes.put(&hash_key(number), &value(number, version))?;
            }
            plain.insert(plain_key(number), value(number, version));
            hashes.insert(hash_key(number), value(number, version));
        }
        for number in (0..120).filter(|number| number % 11 == version) {
            if let Some((in_plain, _)) = &spaces {
                in_plain.delete(&plain_key(number))?;
            }
            plain.remove(&plain_key(number));
        }
        match (&spaces, db) {
            (Some(_), Some(db)) if version == 0 => db.compact()?,
            (Some(_), Some(db)) if version < 3 => db.flush()?,
            // The last version stays in the log.
            _ => {}
        }
        if version == 1 {
            let load: Content =
                (0..30).map(|number| (format!("load/{number:03}").into_bytes(), value(number, 9))).collect();
            if let Some((in_plain, _)) = &spaces {
                in_plain.ingest(load.iter())?;
            }
            plain.extend(load);
        }
    }
    let (start, end) = (b"path/03/".to_vec(), b"path/04/".to_vec());
    if let Some((in_plain, _)) = &spaces {
        in_plain.delete_range(&start, &end)?;
    }
    plain.retain(|key, _| *key < start || *key >= end);
    Ok((plain, hashes))
}

/// Fills an empty database.
#[allow(dead_code, reason = "the example uses it, the test does not")]
pub(crate) fn make(db: &Db) -> Result<()> {
    history(Some(db)).map(|_| ())
}

/// What must be in it: in the keyspaces `plain` and `hashes`.
#[allow(dead_code, reason = "the test uses it, the example does not")]
pub(crate) fn expected() -> Result<(Content, Content)> {
    history(None)
}
