//! `granite::inspect`: what tools show of single files.

use std::path::{Path, PathBuf};

use granite::Db;
use granite::inspect::{self, Content, SegmentItem, SegmentKind};

use super::{Model, key, put, separating, small, value};

fn filled() -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &small()).unwrap();
    let keyspace = db.keyspace("k", separating()).unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..200, 1);
    db.flush().unwrap();
    keyspace.delete_range(&key(190), &key(195)).unwrap();
    db.flush().unwrap();
    put(&keyspace, &mut Model::new(), 0..20, 2);
    (dir, model)
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

fn spoil(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}

/// If it fails, what a tool shows of a table is not what is in it.
#[test]
fn a_table_shows_its_entries_and_blocks_with_and_without_damage() {
    let (dir, model) = filled();
    let path = files(dir.path(), "sst").into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let dump = inspect::table(&path).unwrap();
    let properties = dump.properties.clone().unwrap();
    assert!(dump.damage.is_empty());
    let range_deletes = files(dir.path(), "sst")
        .iter()
        .flat_map(|path| inspect::table(path).unwrap().range_deletes)
        .collect::<Vec<_>>();
    assert_eq!((range_deletes.len(), range_deletes[0].start.clone()), (1, key(190)));
    let entries: Vec<_> = dump.entries().collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.len() as u64, properties.entries);
    assert!(entries.is_sorted_by(|a, b| a.key < b.key || (a.key == b.key && a.seq > b.seq)));
    for entry in &entries {
        match &entry.content {
            Content::Inline(value) => assert_eq!(model[&entry.key], *value),
            Content::Separated { len, .. } => assert_eq!(model[&entry.key].len(), *len as usize),
            other => panic!("{other:?}"),
        }
    }
    let end = dump.blocks.iter().fold(0, |end, block| {
        assert_eq!(block.offset, end, "blocks leave a gap");
        block.offset + block.len + 9
    });
    assert_eq!(end + 64, dump.file_len);
    // A data block, then an index: its blocks are found all the same.
    let second = dump.blocks.iter().filter(|block| block.kind == "data").nth(1).unwrap().offset as usize;
    let index = dump.blocks.iter().find(|block| block.kind == "index").unwrap().offset as usize;
    spoil(&path, index + 5);
    let damaged = inspect::table(&path).unwrap();
    assert_eq!(damaged.damage.len(), 1);
    assert_eq!(damaged.entries().collect::<Result<Vec<_>, _>>().unwrap(), entries, "the search misses a block");
    spoil(&path, second + 5);
    let damaged = inspect::table(&path).unwrap();
    assert!(damaged.damage.iter().any(|damage| damage.offset == second as u64), "{:?}", damaged.damage);
    let left = damaged.entries().filter_map(Result::ok).count();
    assert!(left < entries.len() && left > entries.len() / 2, "{left} of {}", entries.len());
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    spoil(&path, length - 20);
    let left_without_footer = inspect::table(&path).unwrap().entries().filter_map(Result::ok).count();
    assert_eq!(left_without_footer, left);
}

/// If it fails, what a tool shows of the log is not what was committed.
#[test]
fn segments_show_every_operation_and_where_the_damage_is() {
    let (dir, _) = filled();
    let segments = files(dir.path(), "seg");
    let records = |path: &Path| -> Vec<SegmentItem> {
        let dump = inspect::segment(path).unwrap();
        assert_eq!(dump.kind, Some(SegmentKind::Log));
        dump.into_records().collect::<Result<_, _>>().unwrap()
    };
    let mut operations = 0;
    for item in segments.iter().flat_map(|path| records(path)) {
        if let SegmentItem::Record(record) = item {
            for operation in record.operations.unwrap() {
                let number: u32 = std::str::from_utf8(&operation.key[3..]).unwrap().parse().unwrap();
                match operation.content {
                    Content::Inline(found) => assert!(found == value(number, 1) || found == value(number, 2)),
                    Content::Separated { offset, len, segment, crc } => {
                        let path = segments.iter().find(|path| path.ends_with(format!("{segment:010}.seg"))).unwrap();
                        let bytes = std::fs::read(path).unwrap();
                        assert_eq!(crc32c::crc32c(&bytes[offset as usize..][..len as usize]), crc);
                    }
                    Content::DeleteRange { end } => assert_eq!(end, key(195)),
                    other => panic!("{other:?}"),
                }
                operations += 1;
            }
        }
    }
    assert!(operations >= 20);
    let path = segments.last().unwrap();
    let before = records(path);
    spoil(path, 64 + 10);
    let after = records(path);
    assert!(matches!(after[0], SegmentItem::Gap { offset: 64, followed: true, .. }), "{:?}", after[0]);
    assert_eq!(after[1..], before[1..]);
    spoil(path, 20);
    assert!(inspect::segment(path).unwrap().damage.is_some());
}

/// If it fails, what a tool shows of the manifest is not what the database goes by.
#[test]
fn the_manifest_shows_tables_and_stops_at_damage_without_losing_later_records() {
    let (dir, _) = filled();
    let path = dir.path().join("MANIFEST");
    let whole = inspect::manifest(&path).unwrap();
    assert!(whole.damage.is_empty() && whole.records.len() > 2);
    assert_eq!((whole.keyspaces.len(), whole.keyspaces[0].name.as_str()), (1, "k"));
    assert_eq!(whole.keyspaces[0].tables.len(), files(dir.path(), "sst").len());
    spoil(&path, whole.records[1].offset as usize + 9);
    let damaged = inspect::manifest(&path).unwrap();
    assert_eq!((damaged.records.len(), damaged.damage.len()), (whole.records.len() - 1, 1));
    assert!(matches!(inspect::manifest(dir.path().join("none")), Err(granite::Error::Io { .. })));
}
