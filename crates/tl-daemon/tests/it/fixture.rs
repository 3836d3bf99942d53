//! Stores of version 1 as programs use them: `fixtures/timelapse/v1/store`, whose database `crates/tl-journal/tests/it/fixture` makes and reads in full, and whose
//! other files were written by hand after `docs/format/store.md`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tl_daemon::connection::Timeouts;
use tl_daemon::settings::Settings;
use tl_daemon::stores::{Root, RootIdentity, RuntimeDir, Stores, Whereabouts};
use tl_daemon::wire::{
    Answer, Direction, FailureKind, Item, LogQuery, PathBytes, Provenance, Reason, Request, Restore, StoreId, Verify,
};
use tl_daemon::{Access, Error, ErrorKind, Place, Session, StoreReader};
use vfs::DiskVfs;

use crate::lab::recorded;

const ID: StoreId = StoreId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10");

fn private(dir: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
}

/// The fixture as the store [`ID`] of a user, with the modes that version control does not keep.
fn state_of_v1() -> (TempDir, Stores) {
    let from = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../fixtures/timelapse/v1/store");
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("state/stores").join(ID.to_string());
    for name in ["db", "state", "locks", "logs", "tmp"] {
        private(&store.join(name));
    }
    for below in ["", "db"] {
        for entry in fs::read_dir(from.join(below)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let to = store.join(below).join(entry.file_name());
                fs::copy(entry.path(), &to).unwrap();
                fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    let stores = Stores::new(dir.path().join("state"), Arc::new(DiskVfs::new()));
    (dir, stores)
}

fn place(dir: &TempDir, stores: &Stores) -> Place {
    let store = stores.get(ID).unwrap();
    let root = store.root().unwrap();
    let socket = RuntimeDir::new(dir.path().join("run")).prepare_socket(ID).unwrap();
    let (excludes, version) = (Vec::new(), "0.0.0-test".to_owned());
    Place { stores: stores.clone(), store, root, socket, excludes, version, timeouts: Timeouts::default() }
}

/// Every file below a directory.
fn files(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// If it fails, the files beside the database of a store that version 1 made are not understood any more.
#[test]
fn the_files_of_a_store_of_version_1_are_understood() {
    let (_dir, stores) = state_of_v1();
    let store = stores.get(ID).unwrap();
    let root = Root {
        path: PathBuf::from(OsStr::from_bytes(b"/home/nobody/my\nproject\xff")),
        identity: RootIdentity { device: 66306, inode: 131_074, born: Some(Duration::new(1_763_640_000, 123_456_789)) },
    };
    assert_eq!(store.root().unwrap(), root);
    let listed = stores.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].id == ID && listed[0].store.is_ok() && listed[0].whereabouts == Whereabouts::Gone);
    let settings = Settings::load(&store).unwrap();
    let values: Vec<_> =
        settings.list().into_iter().map(|setting| (setting.key, setting.value, setting.is_default)).collect();
    let expected = [
        ("capture.window_ms", "250"),
        ("watch.backend", "\"scan\""),
        ("watch.scan_interval_s", "60"),
        ("watch.directories_max", "5000"),
        ("retention.newest", "7"),
        ("retention.dense_hours", "48"),
        ("retention.hourly_days", "3"),
        ("retention.daily_days", "365"),
        ("retention.keep_imported", "false"),
        ("retention.budget_mb", "50"),
        ("gc.idle_minutes", "0"),
        ("log.level", "'debug'"),
    ];
    assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value.to_owned(), false)));
    assert_eq!(settings.retention().newest, 7);
    assert_eq!(settings.log_level(), tracing::Level::DEBUG);
}

/// If it fails, a command answers otherwise about a history of version 1 than it did then.
#[test]
fn questions_about_a_store_of_version_1_are_answered() {
    let (dir, stores) = state_of_v1();
    let mut reader = StoreReader::open(&place(&dir, &stores)).unwrap();
    let mut log = |query: &LogQuery| {
        let mut found = Vec::new();
        reader
            .log(query, &mut |checkpoint| {
                found.push(checkpoint);
                true
            })
            .unwrap();
        found
    };
    let oldest = LogQuery { direction: Direction::OldestFirst, ..LogQuery::default() };
    let all = log(&oldest);
    let reasons: Vec<_> = all.iter().map(|checkpoint| checkpoint.reason).collect();
    use Reason::{BeforeRestore, FsBatch, GcCompact, Import, Manual, Publish, Startup};
    let restored = [BeforeRestore, Reason::Restore];
    let mut expected = vec![Startup, FsBatch, FsBatch, Manual, Publish, Import, GcCompact];
    expected.extend([restored, restored, restored].concat());
    expected.push(BeforeRestore);
    assert_eq!(reasons, expected);
    let sequences = |found: Vec<tl_daemon::wire::Checkpoint>| found.iter().map(|one| one.sequence).collect::<Vec<_>>();
    let paths = |path: &str| LogQuery { paths: vec![PathBytes(path.into())], ..oldest.clone() };
    assert_eq!(sequences(log(&LogQuery { session: Some("s-1".into()), ..oldest.clone() })), [3]);
    assert_eq!(sequences(log(&LogQuery { actor: Some("somebody".into()), ..oldest.clone() })), [6]);
    assert_eq!(sequences(log(&paths("added"))), [3]);
    assert_eq!(sequences(log(&paths("dir/sub/deep"))), [1, 4, 9, 11, 13]);
    assert_eq!(reader.resolve("release", "").unwrap().id, all[2].id);
    assert_eq!(reader.checkpoint(all[3].id).unwrap().provenance.label.as_deref(), Some("green later"));
    assert_eq!(reader.parents(all[6].id).unwrap().iter().map(|parent| parent.sequence).collect::<Vec<_>>(), [5, 3]);
    assert_eq!(reader.common_ancestor(all[4].id, all[2].id).unwrap().unwrap().sequence, 3);
    assert_eq!(reader.pins().unwrap().len(), 2);
    let tree = recorded(reader.objects(), all[2].root);
    assert!(
        matches!(&tree[&b"odd\xff\xfe"[..]], crate::lab::Node::File { mode: 0o644, content } if content == b"raw bytes")
    );
    let status = reader.status().unwrap();
    assert_eq!((status.checkpoints, status.store_id, status.head.unwrap().sequence), (14, ID, 14));
    let mut damage = Vec::new();
    let verified = reader
        .session()
        .call(Request::Verify(Verify::default()), &mut |item| {
            if let Item::Damage(found) = item {
                damage.push(found);
            }
        })
        .unwrap();
    assert!(
        matches!(verified, Answer::Verified(verified) if verified.checkpoints == 14 && verified.damaged == 0),
        "{damage:?}"
    );
}

/// If it fails, a project whose directory is gone does not come back from a store of version 1.
#[test]
fn a_state_of_version_1_is_written_elsewhere() {
    let (dir, stores) = state_of_v1();
    let mut session = Session::open_directly(&place(&dir, &stores), Access::Write).unwrap();
    let Answer::Checkpoint(named) =
        session.call(Request::Resolve { name: "release".into(), zone: String::new() }, &mut |_| {}).unwrap()
    else {
        panic!()
    };
    let to = dir.path().join("back");
    let restore = Restore {
        state: named.id,
        paths: Vec::new(),
        picked: Vec::new(),
        to: Some(PathBytes(to.as_os_str().as_bytes().to_vec())),
        exact: false,
        dry_run: false,
        provenance: Provenance::default(),
    };
    let Answer::Restored(restored) = session.call(Request::Restore(restore), &mut |_| {}).unwrap() else { panic!() };
    assert_eq!((restored.verified, restored.refused), (Some(true), 0), "{restored:?}");
    assert_eq!(fs::read_to_string(to.join("a.txt")).unwrap(), "two\n");
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a.txt"));
    let unknown = session.call(Request::Resolve { name: "nothing-like-it".into(), zone: String::new() }, &mut |_| {});
    assert!(matches!(unknown, Err(Error::Refused(failure)) if failure.kind == FailureKind::NotFound));
}

/// If it fails, this version opens a store whose layout it does not know, and may damage it.
#[test]
fn a_store_of_a_newer_version_is_refused_and_untouched() {
    let (dir, stores) = state_of_v1();
    let known = place(&dir, &stores);
    fs::write(known.store.path().join("FORMAT"), "timelapse store 2\n").unwrap();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(dir.path(), &mut before);
    let error = stores.get(ID).unwrap_err();
    assert!(matches!(error, Error::NewerStore { found: 2, supported: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput);
    let said = error.to_string();
    assert!(said.contains("version 2") && said.contains("up to 1") && said.contains("newer program"), "{said}");
    let listed = stores.list().unwrap();
    assert!(matches!(&listed[0].store, Err(Error::NewerStore { found: 2, .. })));
    assert!(matches!(stores.remove(ID), Err(Error::NewerStore { .. })), "it is not known what a removal would remove");
    files(dir.path(), &mut after);
    assert!(before == after, "{:?}", after.keys());
}
