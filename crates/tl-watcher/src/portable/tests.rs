use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use notify::event::{CreateKind, EventKind, RemoveKind};
use tempfile::TempDir;

use super::*;
use crate::rules::IgnoreRules;

/// Longer than any machine needs: what has not come by then does not come.
const LONG: Duration = Duration::from_secs(20);

/// A walk without its thread, so that a test decides what it meets and when, and the events as `notify` gives them.
struct Fixture {
    scratch: TempDir,
    walk: Walk,
    changes: Arc<Changes>,
    events: Receiver<notify::Event>,
}

impl Fixture {
    fn new(directories: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir_all(scratch.path().join(directory)).unwrap();
        }
        let path = scratch.path().canonicalize().unwrap();
        let rules = Arc::new(IgnoreRules::open(&path, Vec::new()).unwrap());
        let changes = Arc::new(Changes::new(&WatchConfig::new(&path, rules)));
        let (sender, events) = channel();
        let deliver = move |event: notify::Result<notify::Event>| {
            // The test may have ended.
            sender.send(event.unwrap()).ok();
        };
        let watcher = RecommendedWatcher::new(deliver, Config::default().with_follow_symlinks(false)).unwrap();
        let root = Root::new(File::open(&path).unwrap().into(), path.clone()).unwrap();
        let walk = Walk {
            watcher,
            changes: Arc::clone(&changes),
            root,
            path,
            by_directory: true,
            registry: Registry::default(),
            in_doubt: false,
            cookies: 0,
        };
        Self { scratch, walk, changes, events }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.walk.path.join(path)
    }

    fn visit(&mut self, path: &str) {
        self.walk.scan(vec![path.as_bytes().into()]);
    }

    /// Waits until an event of this kind names `path`. False if none comes.
    fn comes(&self, path: &Path, kind: impl Fn(EventKind) -> bool) -> bool {
        let until = Instant::now() + LONG;
        loop {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) if kind(event.kind) && event.paths.iter().any(|found| found == path) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// True if a file that is made at `path` is told of under that path.
    fn is_told_of(&self, path: &str) -> bool {
        File::create(self.path(path)).unwrap();
        self.comes(&self.path(path), |kind| kind == EventKind::Create(CreateKind::File))
    }

    fn id(&self, path: &str) -> DirectoryId {
        DirectoryId::of(File::open(self.path(path)).unwrap().into()).unwrap().0
    }
}

/// If it fails, `notify` keeps the path that a directory had before, and when something of that name is removed there, the directory loses its watch.
#[test]
fn a_former_path_does_not_take_the_watch_of_a_directory_along() {
    let mut fixture = Fixture::new(&["from/moved", "to"]);
    fixture.visit("from/moved");
    // Nobody watches where it leaves from and where it arrives: only the walk tells `notify`.
    fs::rename(fixture.path("from/moved"), fixture.path("to/moved")).unwrap();
    fixture.visit("to/moved");
    fixture.visit("from");
    fs::create_dir(fixture.path("from/moved")).unwrap();
    fs::remove_dir(fixture.path("from/moved")).unwrap();
    let removed = EventKind::Remove(RemoveKind::Folder);
    assert!(fixture.comes(&fixture.path("from/moved"), |kind| kind == removed));
    // What `notify` does about a removal is done once it answers.
    fixture.visit("from");
    assert!(fixture.is_told_of("to/moved/file"));
}

/// If it fails, a link that comes into a directory's place while it is being watched makes `notify` tell of the link's target under the link's path,
/// which nobody looks at.
#[test]
fn a_link_in_the_place_of_a_directory_does_not_hide_what_it_leads_to() {
    let mut fixture = Fixture::new(&["real", "place"]);
    fixture.visit("");
    let id = fixture.id("place");
    fs::remove_dir(fixture.path("place")).unwrap();
    symlink("real", fixture.path("place")).unwrap();
    assert!(!fixture.walk.watch(b"place", id));
    fixture.walk.scan(Vec::new());
    assert!(fixture.is_told_of("real/file"));
}

/// If it fails, a directory that is gone before it is watched is scanned for ever.
#[test]
fn what_became_a_file_before_it_was_watched_is_not_scanned() {
    let mut fixture = Fixture::new(&["a/b"]);
    let id = fixture.id("a/b");
    fs::remove_dir_all(fixture.path("a")).unwrap();
    fs::write(fixture.path("a"), "x").unwrap();
    assert!(!fixture.walk.watch(b"a/b", id));
    assert_eq!(fixture.changes.scanned(), []);
    assert!(!fixture.walk.in_doubt, "nothing was watched");
}

/// If it fails, a directory that was refused once is scanned for ever.
#[test]
fn what_is_watched_at_last_is_scanned_no_more() {
    let mut fixture = Fixture::new(&["a"]);
    for path in ["a", "gone"] {
        fixture.changes.marks().scan(path.as_bytes(), ScanReason::WatchLimit);
        fixture.visit(path);
    }
    assert_eq!(fixture.changes.scanned(), []);
}

/// If it fails, a directory loses its watch when `notify` hears late of the removal of another one at its path, and nobody watches it again.
#[test]
fn where_something_was_removed_the_walker_looks_what_stands_there() {
    let fixture = Fixture::new(&["back"]);
    let root = File::open(fixture.scratch.path()).unwrap().into();
    let inbox = Inbox::new(Arc::clone(&fixture.changes), root, fixture.walk.path.clone(), Fidelity::Full, true);
    for kind in [RemoveKind::Folder, RemoveKind::File, RemoveKind::Other] {
        inbox.receive(Ok(notify::Event::new(EventKind::Remove(kind)).add_path(fixture.path("back"))));
        assert_eq!(inbox.directories(), [Box::from(&b"back"[..])], "{kind:?}");
    }
}
