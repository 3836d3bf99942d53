//! A whole database of which one file is replaced.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use granite::{Background, Db, Durability, KeyspaceOptions, Options, RecoveryMode};
use vfs::{OpenMode, Vfs};
use vfs_sim::SimDisk;

fn options(disk: &SimDisk) -> Options {
    Options::new()
        .vfs(Arc::new(disk.clone()))
        .memory_budget(1 << 20)
        .segment_len(4096)
        .background(Background::Inline)
        .durability(Durability::Buffered)
}

/// A database with two tables, a segment of values and a tail of log, and its files.
fn build() -> granite::Result<(SimDisk, Vec<PathBuf>)> {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk))?;
    let keyspace = db.keyspace("k", KeyspaceOptions::new().block_len(256).separation_threshold(Some(100)))?;
    for round in 0..3u8 {
        for number in 0..20u8 {
            keyspace.put(&[b'k', number], &vec![round; usize::from(number) * 10])?;
        }
        keyspace.delete_range(b"k\x03", b"k\x06")?;
        if round < 2 {
            db.flush()?;
        }
    }
    db.sync()?;
    let left = disk.kill();
    let mut files = left.read_dir(Path::new("/db")).unwrap_or_default();
    files.retain(|path| !path.ends_with("LOCK"));
    files.sort();
    Ok((left, files))
}

/// The first byte says which file, the second whether the rest replaces it or changes single bytes of it, the third how to recover.
pub fn open_with_a_changed_file(bytes: &[u8]) {
    static BASE: LazyLock<granite::Result<(SimDisk, Vec<PathBuf>)>> = LazyLock::new(build);
    let Ok((disk, files)) = &*BASE else { return };
    let [file, how, mode, rest @ ..] = bytes else { return };
    let disk = disk.kill();
    let path = &files[usize::from(*file) % files.len()];
    let Ok(open) = disk.open(path, OpenMode::ReadWrite) else { return };
    if how % 2 == 0 {
        if open.set_len(0).and_then(|()| open.write_at(0, rest)).is_err() {
            return;
        }
    } else {
        let len = open.len().unwrap_or(0).max(1);
        for change in rest.chunks_exact(3) {
            let at = (u64::from(change[0]) << 8 | u64::from(change[1])) % len;
            if open.write_at(at, &change[2..]).is_err() {
                return;
            }
        }
    }
    let mode = [RecoveryMode::Strict, RecoveryMode::Tail, RecoveryMode::Salvage][usize::from(*mode) % 3];
    let Ok(db) = Db::open("/db", &options(&disk).recovery(mode)) else { return };
    for name in db.keyspace_names() {
        let Ok(keyspace) = db.existing_keyspace(&name) else { continue };
        for number in 0..20u8 {
            // An answer or an error: either will do.
            let _answer = keyspace.get(&[b'k', number]);
        }
        if let Ok(scan) = keyspace.scan::<&[u8], _>(..) {
            scan.take(10_000).for_each(drop);
        }
        let _compacted = keyspace.compact();
    }
}
