//! Cartridges that version 1 wrote.

use std::path::PathBuf;

use northstar::cartridge::kinds::path_history::{PathHistory, TouchedPath, touched};
use northstar::cartridge::kinds::pending_tasks::{PendingTasks, TaskChange, TaskRow, TaskState, pending};
use northstar::cartridge::{Catalog, Order, Position, StreamId};

use super::stream::catalog;

const GOLDEN_STREAM: StreamId = StreamId(*b"northstar golden");

fn golden(name: &str) -> (PathBuf, Vec<u8>) {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let dir = PathBuf::from(crate_dir).join("../../fixtures/northstar/v1");
    let content = std::fs::read(dir.join(name)).unwrap_or_default();
    (dir, content)
}

fn at(sequence: u64) -> Position {
    Position { sequence, anchor: [sequence as u8; 32] }
}

/// 600 tasks of three types, of which every third was claimed.
fn build_tasks(catalog: &Catalog) {
    let mut builder = catalog.build::<PendingTasks>(GOLDEN_STREAM).unwrap();
    for number in 0..600u64 {
        let id = format!("task {number:04}");
        let task_type: &[u8] = [&b"mail"[..], b"build", b"index"][number as usize % 3];
        let row = TaskRow {
            task_type,
            priority: (number % 5) as i32 - 2,
            run_at_us: 1_700_000_000_000_000 + number * 1000,
            id: id.as_bytes(),
            state: TaskState::Pending,
        };
        builder.push(at(2 * number + 1), [TaskChange { before: None, after: Some(row) }]).unwrap();
        if number % 9 == 0 {
            let after = Some(TaskRow { state: TaskState::Leased, ..row });
            builder.push(at(2 * number + 2), [TaskChange { before: Some(row), after }]).unwrap();
        }
    }
    builder.finish().unwrap();
}

/// 8,000 positions, so that there are several sections.
fn build_paths(catalog: &Catalog) {
    let mut builder = catalog.build::<PathHistory>(GOLDEN_STREAM).unwrap();
    for number in 1..=8_000u64 {
        let path = format!("src/module {}/file {}.rs", number % 7, number % 91);
        builder.push(at(number), [TouchedPath(path.as_bytes())]).unwrap();
    }
    builder.finish().unwrap();
}

/// Both cartridges, byte by byte as version 1 wrote them. With `NORTHSTAR_BLESS=1` they are written.
fn check(name: &str, build: impl Fn(&Catalog)) -> Catalog {
    let (disk, catalog) = catalog();
    build(&catalog);
    let built = disk.contents(format!("/{name}")).unwrap();
    let (dir, golden) = golden(name);
    if std::env::var_os("NORTHSTAR_BLESS").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), &built).unwrap();
        return catalog;
    }
    assert!(built == golden, "{name} is not built as version 1 built it: raise the version and keep the old file");
    let catalog = Catalog::new(std::sync::Arc::new(vfs::DiskVfs::new()), dir);
    catalog.verify(name.strip_suffix(".cartridge").unwrap()).unwrap();
    catalog
}

/// If it fails, a cartridge of version 1 cannot be read any more, or the same stream gives other bytes.
#[test]
fn the_tasks_of_version_1_are_read_and_built_byte_by_byte() {
    let catalog = check("pending_tasks_by_type.cartridge", build_tasks);
    let cartridge = catalog.open_for::<PendingTasks>(GOLDEN_STREAM, |at| at.sequence == 1199).unwrap();
    let first = pending(&cartridge, b"build").next().unwrap().unwrap();
    assert_eq!((first.priority, first.id.as_slice()), (2, &b"task 0004"[..]));
    assert_eq!(pending(&cartridge, b"mail").count(), 200 - 67);
    assert_eq!(pending(&cartridge, b"index").count(), 200);
}

/// The same of the other kind.
#[test]
fn the_paths_of_version_1_are_read_and_built_byte_by_byte() {
    let catalog = check("path_history.cartridge", build_paths);
    let cartridge = catalog.open_for::<PathHistory>(GOLDEN_STREAM, |at| at.sequence == 8_000).unwrap();
    let found: Vec<u64> =
        touched(&cartridge, b"src/module 3/file 3.rs", 0..=2000, Order::Backward).map(Result::unwrap).collect();
    // Every 91st, since 7 divides 91.
    assert_eq!(found, (0..=21).rev().map(|number| 3 + 91 * number).collect::<Vec<_>>());
    assert_eq!(touched(&cartridge, b"src", 0..=u64::MAX, Order::Forward).count(), 8_000);
}
