use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;
use vfs::{DiskVfs, LockKind};

use super::*;
use crate::error::{Error, ErrorKind};

struct World {
    dir: TempDir,
    stores: Stores,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::new(dir.path().join("state/timelapse"), Arc::new(DiskVfs::new()));
        Self { dir, stores }
    }

    fn project(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::canonicalize(path).unwrap()
    }

    fn protect(&self, root: &Path, form: Form) -> StoreDir {
        let staged = self.stores.create(root, form).unwrap();
        staged.finish().unwrap().0
    }

    fn located(&self, start: &Path) -> Located {
        self.stores.locate(start).unwrap().unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_new_store_is_the_users_alone_and_found_from_below() {
    let world = World::new();
    let root = world.project("project");
    fs::create_dir_all(root.join("a/b")).unwrap();
    let store = world.protect(&root, Form::Outside);
    assert_eq!(fs::read_to_string(root.join(".tl")).unwrap(), format!("{}\n", store.id()));
    assert!(store.path().starts_with(world.stores.state().join("stores")));
    for dir in [store.path(), &store.logs(), &store.tmp(), world.stores.state()] {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
    assert_eq!(mode(&store.path().join("ROOT")), 0o600);
    let located = world.located(&root.join("a/b"));
    assert_eq!((located.store, located.root.path, located.marker), (store, root, MarkerState::InPlace));
    assert_eq!(world.stores.locate(world.dir.path()).unwrap(), None);
}

#[test]
fn a_second_store_for_a_root_is_refused() {
    let world = World::new();
    let root = world.project("project");
    let store = world.protect(&root, Form::Outside);
    let again = world.stores.create(&root, Form::Outside);
    assert!(matches!(again, Err(Error::AlreadyProtected { id, .. }) if id == store.id()));
    fs::remove_file(root.join(".tl")).unwrap();
    assert!(matches!(world.stores.create(&root, Form::InTree), Err(Error::AlreadyProtected { .. })));
}

/// If it fails, `git clean -fdx` parts a project from its history.
#[test]
fn a_lost_marker_is_no_lost_history() {
    let world = World::new();
    let root = world.project("project");
    let store = world.protect(&root, Form::Outside);
    for damage in [None, Some(""), Some("0123"), Some("not an id\n")] {
        match damage {
            None => fs::remove_file(root.join(".tl")).unwrap(),
            Some(text) => fs::write(root.join(".tl"), text).unwrap(),
        }
        let located = world.located(&root);
        assert_eq!((&located.store, located.marker), (&store, MarkerState::Lost));
        world.stores.restore_marker(&located.store, &located.root).unwrap();
        assert_eq!(world.located(&root).marker, MarkerState::InPlace);
    }
}

/// If it fails, a repository that was cloned can have its user's daemon open a store of its choice.
#[test]
fn a_planted_id_is_refused() {
    let world = World::new();
    let root = world.project("clone");
    fs::write(root.join(".tl"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let error = world.stores.locate(&root).unwrap_err();
    assert!(matches!(&error, Error::UnknownStore { marker: Some(_), .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(matches!(world.stores.create(&root, Form::Outside), Err(Error::UnknownStore { .. })));
    // Also inside of a project that is protected: what the inner one brings along does not pass for the outer one.
    let outer = world.project("outer");
    world.protect(&outer, Form::Outside);
    fs::create_dir(outer.join("inner")).unwrap();
    fs::write(outer.join("inner/.tl"), "0123456789abcdef0123456789abcdef\n").unwrap();
    assert!(matches!(world.stores.locate(&outer.join("inner")), Err(Error::UnknownStore { .. })));
}

#[test]
fn what_is_no_marker_is_refused_unread() {
    let world = World::new();
    for name in ["link", "fifo", "long"] {
        let root = world.project(name);
        let marker = root.join(".tl");
        match name {
            "link" => symlink("/dev/zero", &marker).unwrap(),
            "fifo" => {
                rustix::fs::mknodat(rustix::fs::CWD, &marker, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
                    .unwrap();
            }
            _ => fs::write(&marker, vec![b'0'; 1000]).unwrap(),
        }
        assert!(matches!(world.stores.locate(&root), Err(Error::BadMarker { .. })), "{name}");
    }
}

#[test]
fn a_moved_project_needs_nothing() {
    let world = World::new();
    let root = world.project("before");
    let store = world.protect(&root, Form::Outside);
    let after = world.dir.path().join("after");
    fs::rename(&root, &after).unwrap();
    let located = world.located(&after);
    assert_eq!(located.store, store);
    world.stores.remember_root(&located.store, &located.root).unwrap();
    assert_eq!(store.root().unwrap().path, fs::canonicalize(&after).unwrap());
    // Even without the marker.
    fs::remove_file(after.join(".tl")).unwrap();
    assert_eq!(world.located(&after).store, store);
}

/// If it fails, two directories write into one history.
#[test]
fn a_copy_is_told_apart_and_gets_a_store_of_its_own() {
    let world = World::new();
    let root = world.project("original");
    let store = world.protect(&root, Form::Outside);
    fs::write(store.config(), "# mine\n").unwrap();
    let copy = world.project("copy");
    fs::copy(root.join(".tl"), copy.join(".tl")).unwrap();
    let error = world.stores.locate(&copy).unwrap_err();
    assert!(matches!(&error, Error::OtherRoot { in_place: true, .. }), "{error}");
    assert!(error.to_string().contains("tl init --adopt"), "{error}");

    let staged = world.stores.fork(&copy, &store).unwrap();
    fs::create_dir(staged.store().db()).unwrap();
    let (fork, _) = staged.finish().unwrap();
    assert_ne!(fork.id(), store.id());
    assert_eq!(fs::read_to_string(fork.config()).unwrap(), "# mine\n");
    assert_eq!(world.located(&copy).store, fork);
    assert_eq!(world.located(&root).store, store);
}

#[test]
fn a_store_whose_root_is_gone_can_be_given_another() {
    let world = World::new();
    let root = world.project("project");
    let store = world.protect(&root, Form::Outside);
    let other = world.project("again");
    assert!(matches!(world.stores.reattach(&store, &other), Err(Error::OtherRoot { .. })), "its root is still there");
    fs::remove_dir_all(&root).unwrap();
    world.stores.reattach(&store, &other).unwrap();
    assert_eq!(world.located(&other).store, store);
    // A directory that comes to stand at the old path is not the old one.
    let again = world.project("project");
    assert_eq!(world.stores.locate(&again).unwrap(), None);
}

#[test]
fn a_creation_that_is_given_up_leaves_nothing() {
    let world = World::new();
    let root = world.project("project");
    drop(world.stores.create(&root, Form::Outside).unwrap());
    drop(world.stores.create(&root, Form::InTree).unwrap());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.stores.state().join("stores")).unwrap().count(), 0);
    assert!(world.stores.list().unwrap().is_empty());
}

#[test]
fn the_list_says_where_roots_are() {
    let world = World::new();
    let names = ["here", "gone", "replaced"];
    for name in names {
        world.protect(&world.project(name), Form::Outside);
    }
    fs::remove_dir_all(world.project("gone")).unwrap();
    fs::rename(world.project("replaced"), world.dir.path().join("moved")).unwrap();
    world.project("replaced");
    let listed = world.stores.list().unwrap();
    let whereabouts = |name| {
        let found = listed.iter().find(|listed| listed.root.as_ref().unwrap().path.ends_with(name)).unwrap();
        assert!(found.store.is_ok() && found.disk_bytes > 0);
        found.whereabouts
    };
    assert_eq!(names.map(whereabouts), [Whereabouts::InPlace, Whereabouts::Gone, Whereabouts::Replaced]);
}

#[test]
fn a_removal_takes_the_store_and_its_marker_and_nothing_else() {
    let world = World::new();
    let (root, other) = (world.project("project"), world.project("other"));
    let (store, kept) = (world.protect(&root, Form::Outside), world.protect(&other, Form::Outside));
    fs::write(root.join("precious"), "x").unwrap();
    let lock = DiskVfs::new().lock(&store.daemon_lock(), LockKind::Exclusive).unwrap();
    assert!(matches!(world.stores.remove(store.id()), Err(Error::InUse { .. })));
    drop(lock);
    world.stores.remove(store.id()).unwrap();
    assert!(!store.path().exists() && !root.join(".tl").exists() && root.join("precious").exists());
    assert!(matches!(world.stores.remove(store.id()), Err(Error::UnknownStore { .. })));
    assert_eq!(world.located(&other).store, kept);
    let left: Vec<_> = fs::read_dir(world.stores.state().join("stores")).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn a_store_that_is_newer_damaged_or_open_to_others_is_refused() {
    let world = World::new();
    let root = world.project("project");
    let store = world.protect(&root, Form::Outside);
    let format = store.path().join("FORMAT");
    let good = fs::read(&format).unwrap();
    fs::write(&format, "timelapse store 2\n").unwrap();
    let error = world.stores.locate(&root).unwrap_err();
    assert!(matches!(error, Error::NewerStore { found: 2, supported: 1, .. }), "{error}");
    for bad in ["", "timelapse store x\n", "something else\n"] {
        fs::write(&format, bad).unwrap();
        assert_eq!(world.stores.locate(&root).unwrap_err().kind(), ErrorKind::Repair);
    }
    fs::write(&format, good).unwrap();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(world.stores.locate(&root), Err(Error::OpenToOthers { mode: 0o750, .. })));
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // Another user's store: only the superuser can make one to test with.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(store.path(), Some(12345), None).unwrap();
        assert!(matches!(world.stores.locate(&root), Err(Error::ForeignStore { owner: 12345, .. })));
    }
}

#[test]
fn a_store_in_the_tree_moves_with_it() {
    let world = World::new();
    let root = world.project("disk/project");
    let store = world.protect(&root, Form::InTree);
    assert_eq!(store.path(), root.join(".tl"));
    assert_eq!(mode(store.path()), 0o700);
    assert_eq!(world.located(&root).store, store);
    fs::rename(world.dir.path().join("disk"), world.dir.path().join("plugged-in-elsewhere")).unwrap();
    assert!(matches!(world.stores.get(store.id()), Err(Error::Unplugged { .. })));
    let located = world.located(&world.dir.path().join("plugged-in-elsewhere/project"));
    assert_eq!(located.store.id(), store.id());
    world.stores.remember_root(&located.store, &located.root).unwrap();
    assert_eq!(world.stores.get(store.id()).unwrap(), located.store);
}

/// If it fails, an archive can bring a store along that is opened unasked.
#[test]
fn a_store_in_a_tree_that_came_from_elsewhere_must_be_adopted() {
    let world = World::new();
    let root = world.project("project");
    let store = world.protect(&root, Form::InTree);
    let elsewhere = Stores::new(world.dir.path().join("state/of-another-machine"), Arc::new(DiskVfs::new()));
    assert!(matches!(elsewhere.locate(&root), Err(Error::Unregistered { .. })));

    let planted = store.path().join("db");
    symlink("/etc", &planted).unwrap();
    assert!(elsewhere.adopt_in_tree(&root, |_| Ok(())).is_err(), "a link leads out of it");
    fs::remove_file(&planted).unwrap();
    let refuse = |_: &StoreDir| Err(Error::not_a_store(Path::new("db"), "damaged"));
    assert!(elsewhere.adopt_in_tree(&root, refuse).is_err());
    assert!(matches!(elsewhere.locate(&root), Err(Error::Unregistered { .. })), "a store that was refused stays so");

    elsewhere.adopt_in_tree(&root, |_| Ok(())).unwrap();
    assert_eq!(elsewhere.locate(&root).unwrap().unwrap().store.id(), store.id());
}

#[test]
fn a_copied_tree_with_its_store_gets_an_id_of_its_own() {
    let world = World::new();
    let root = world.project("project");
    let store = world.protect(&root, Form::InTree);
    let copy = world.project("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(store.path()).arg(&copy).status().unwrap();
    assert!(copied.success());
    assert!(matches!(world.stores.locate(&copy), Err(Error::OtherRoot { .. })));
    let (adopted, _) = world.stores.adopt_in_tree(&copy, |_| Ok(())).unwrap();
    assert_ne!(adopted.id(), store.id());
    assert_eq!(world.located(&copy).store.id(), adopted.id());
    assert_eq!(world.located(&root).store.id(), store.id());
}

#[test]
fn sockets_stand_in_a_directory_of_the_users_alone() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::new(dir.path().join("run"));
    let id = StoreId([7; 16]);
    let socket = runtime.prepare_socket(id).unwrap();
    assert_eq!(mode(runtime.path()), 0o700);
    assert!(socket.starts_with(runtime.path()));
    fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(runtime.socket(id), Err(Error::OpenToOthers { .. })));
    let long = RuntimeDir::new(dir.path().join("x".repeat(100)));
    assert!(matches!(long.socket(id), Err(Error::SocketPath { .. })));
}
