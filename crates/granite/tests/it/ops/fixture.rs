//! Databases that earlier versions wrote, and those that later ones will.

use std::fs;
use std::path::{Path, PathBuf};

use granite::{Db, Error};

mod content;

fn copy_of_v1() -> tempfile::TempDir {
    let fixture = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../fixtures/v1");
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn holds_what_it_should(db: &Db) {
    let (plain, hashes) = content::expected().unwrap();
    for (name, wanted) in [("plain", plain), ("hashes", hashes)] {
        let keyspace = db.existing_keyspace(name).unwrap();
        let found = keyspace.scan::<&[u8], _>(..).unwrap().collect::<Result<content::Content, _>>().unwrap();
        assert!(found == wanted, "{name} holds {} entries, {} are expected", found.len(), wanted.len());
        for (key, value) in &wanted {
            assert_eq!(keyspace.get(key).unwrap().as_ref(), Some(value));
        }
    }
    assert!(matches!(db.existing_keyspace("dropped"), Err(Error::UnknownKeyspace { .. })));
}

/// If it fails, databases of format version 1 cannot be opened any more.
#[test]
fn a_database_of_version_1_opens_and_can_be_written_to() {
    let dir = copy_of_v1();
    let report = granite::verify(dir.path(), &content::options()).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert!(report.tables > 3 && report.value_bytes > 0 && report.log_records > 0, "{report:?}");
    holds_what_it_should(&Db::open_read_only(dir.path(), &content::options()).unwrap());
    let db = Db::open(dir.path(), &content::options()).unwrap();
    assert!(db.recovery().batches > 0, "the fixture has no log tail");
    holds_what_it_should(&db);
    db.compact().unwrap();
    holds_what_it_should(&db);
}

/// The files of one kind, with where in them the version stands and its checksum: each covers all before it.
fn versions(dir: &Path) -> Vec<(PathBuf, usize, usize)> {
    let mut found = vec![(dir.join("MANIFEST"), 8, 12)];
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => found.push((path, 8, 60)),
            Some("sst") => {
                let footer = fs::metadata(&path).unwrap().len() as usize - 64;
                found.push((path, footer + 48, footer + 52));
            }
            _ => {}
        }
    }
    found
}

/// If it fails, this version reads what it does not understand.
#[test]
fn files_of_a_newer_version_are_refused() {
    let (mut manifests, mut segments, mut tables) = (0, 0, 0);
    for at in 0..versions(copy_of_v1().path()).len() {
        let dir = copy_of_v1();
        let (path, version_at, crc_at) = versions(dir.path()).swap_remove(at);
        let mut bytes = fs::read(&path).unwrap();
        bytes[version_at..version_at + 4].copy_from_slice(&2u32.to_le_bytes());
        let covered = if path.extension().is_some_and(|extension| extension == "sst") { crc_at - 52 } else { 0 };
        let crc = crc32c::crc32c(&bytes[covered..crc_at]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let newer = |error: &Error| matches!(error, Error::NewerFormat { found: 2, supported: 1, path: named } if *named == path);
        let refused = granite::verify(dir.path(), &content::options()).unwrap_err();
        assert!(newer(&refused), "verify: {refused}");
        let refused = granite::repair(dir.path(), &content::options()).unwrap_err();
        assert!(newer(&refused), "repair: {refused}");
        match path.extension().and_then(|extension| extension.to_str()) {
            // Tables are opened when they are needed; sealed segments are only read through pointers.
            Some("sst") => {
                let db = Db::open(dir.path(), &content::options()).unwrap();
                let read =
                    |name: &str| db.existing_keyspace(name)?.scan::<&[u8], _>(..)?.collect::<Result<Vec<_>, _>>();
                let refused = [read("plain"), read("hashes")].into_iter().find_map(Result::err).unwrap();
                assert!(newer(&refused), "read: {refused}");
                tables += 1;
            }
            Some("seg") => segments += 1,
            _ => {
                assert!(newer(&Db::open(dir.path(), &content::options()).unwrap_err()));
                manifests += 1;
            }
        }
    }
    assert!(manifests == 1 && segments > 1 && tables > 1, "{manifests} {segments} {tables}");
}
