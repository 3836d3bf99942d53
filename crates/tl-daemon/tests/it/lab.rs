//! What the tests share: a project with a store, a daemon, and the questions that they ask.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tl_core::{EntryKind, Objects};
use tl_daemon::connection::Timeouts;
use tl_daemon::stores::{Form, Located, RuntimeDir, Stores};
use tl_daemon::wire::{Answer, Checkpoint, Flush, ObjectId, Provenance, Request, Status};
use tl_daemon::{Access, Client, Place, Session, client};
use vfs::DiskVfs;

use crate::process;

/// A project, protected, in a directory that goes away with it.
pub struct Lab {
    dir: TempDir,
    pub stores: Stores,
    pub root: PathBuf,
    pub place: Place,
}

/// The state of a tree: what stands at each path.
pub type Tree = BTreeMap<Vec<u8>, Node>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    File { mode: u32, content: Vec<u8> },
    Link { target: Vec<u8> },
    Directory { mode: u32 },
}

impl Lab {
    pub fn new() -> Self {
        Self::with_form(Form::Outside)
    }

    pub fn with_form(form: Form) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Self::at(dir, state, form)
    }

    /// With the state directory elsewhere than the project.
    pub fn with_state(state: PathBuf) -> Self {
        Self::at(tempfile::tempdir().unwrap(), state, Form::Outside)
    }

    fn at(dir: TempDir, state: PathBuf, form: Form) -> Self {
        let root = dir.path().join("project");
        fs::create_dir(&root).unwrap();
        let stores = Stores::new(state, Arc::new(DiskVfs::new()));
        stores.create(&root, form).unwrap().finish().unwrap();
        let place = place(&stores, &dir.path().join("run"), &root);
        let root = place.root.path.clone();
        Self { dir, stores, root, place }
    }

    pub fn outside(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn daemon_command(&self) -> Command {
        let root = self.stores.get(self.place.store.id()).unwrap().root().unwrap().path;
        process::command(self.stores.state(), &self.dir.path().join("run"), &root)
    }

    /// Starts a daemon whose process is ours to kill, and connects to it.
    pub fn start(&self) -> Daemon {
        let mut command = self.daemon_command();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match self.try_connect() {
                Ok(client) if client.pid() == child.id() => return Daemon { child, client },
                _ => {
                    assert!(Instant::now() < until, "no daemon listens");
                    let ended = child.try_wait().unwrap();
                    assert!(ended.is_none(), "the daemon ended: {ended:?}\n{}", self.log());
                    std::thread::yield_now();
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    pub fn try_connect(&self) -> tl_daemon::Result<Client> {
        Client::connect(&self.place.socket, self.place.store.id(), Timeouts::default())
    }

    pub fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    /// The session of a program that finds no daemon. It waits while another test's child, which was forked and runs no program of its own yet, still has
    /// the lock of a session that was closed.
    pub fn alone(&self, access: Access) -> Session {
        let session = Session::open(&self.place, access, None).unwrap();
        assert_eq!(session.daemon(), None);
        session
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.place.store.logs().join("daemon.log")).unwrap_or_default()
    }
}

pub fn place(stores: &Stores, runtime: &Path, root: &Path) -> Place {
    let Located { store, root, .. } = stores.locate(root).unwrap().unwrap();
    let socket = RuntimeDir::new(runtime.to_owned()).prepare_socket(store.id()).unwrap();
    let (excludes, version) = (Vec::new(), "0.0.0-test".to_owned());
    Place { stores: stores.clone(), store, root, socket, excludes, version, timeouts: Timeouts::default() }
}

/// A daemon that is killed when the test is over.
pub struct Daemon {
    pub child: Child,
    pub client: Client,
}

impl Daemon {
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a user would, and waits for its process.
    pub fn stop(mut self, lab: &Lab) {
        client::stop(&lab.place.socket, lab.place.store.id(), Timeouts::default()).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", lab.log());
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn ask(client: &mut Client, request: Request) -> Answer {
    client.call(request, &mut |_| {}).unwrap()
}

pub fn flush(client: &mut Client) -> Checkpoint {
    flushed(ask(client, Request::Flush(Flush::default()))).0
}

pub fn flush_with_message(client: &mut Client, message: &str) -> Checkpoint {
    let provenance = Provenance { message: Some(message.into()), ..Provenance::default() };
    flushed(ask(client, Request::Flush(Flush { scan: false, provenance }))).0
}

pub fn flushed(answer: Answer) -> (Checkpoint, bool) {
    match answer {
        Answer::Flushed { checkpoint, changed } => (*checkpoint, changed),
        other => panic!("{other:?}"),
    }
}

pub fn status(client: &mut Client) -> Status {
    match ask(client, Request::Status) {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// What a recorded tree holds.
pub fn recorded(objects: &Objects, root: ObjectId) -> Tree {
    let root = tl_core::ObjectId::from_bytes(root.0);
    let mut tree = Tree::new();
    for change in objects.diff(&tl_core::ObjectId::EMPTY_TREE, &root).unwrap() {
        let change = change.unwrap();
        let entry = change.after.unwrap();
        let content = || objects.get_blob(&entry.id, u64::MAX).unwrap();
        let node = match entry.kind {
            EntryKind::File => Node::File { mode: entry.mode.bits(), content: content() },
            EntryKind::Symlink => Node::Link { target: content() },
            EntryKind::Directory => Node::Directory { mode: entry.mode.bits() },
        };
        tree.insert(change.path.as_bytes().to_vec(), node);
    }
    tree
}

/// What stands on the disk.
pub fn on_disk(root: &Path) -> Tree {
    use std::os::unix::ffi::OsStrExt;

    let mut tree = Tree::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if [".tl", ".git", ".jj"].contains(&name.to_string_lossy().as_ref()) {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let node = if metadata.is_dir() {
                waiting.push(path.clone());
                Node::Directory { mode }
            } else if metadata.is_symlink() {
                Node::Link { target: fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec() }
            } else {
                assert_eq!(metadata.mode() & 0o170_000, 0o100_000, "{}", path.display());
                Node::File { mode, content: fs::read(&path).unwrap() }
            };
            tree.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), node);
        }
    }
    tree
}

/// Objects of a store, read through its daemon.
pub fn objects(lab: &Lab) -> Objects {
    Session::open(&lab.place, Access::Read, None).unwrap().objects().unwrap()
}

/// Fails with the first paths that differ.
pub fn assert_same(found: &Tree, expected: &Tree, context: &str) {
    if found == expected {
        return;
    }
    let mut differing: Vec<String> = Vec::new();
    for path in found.keys().chain(expected.keys()) {
        let (found, expected) = (found.get(path), expected.get(path));
        if found != expected && differing.len() < 10 {
            let short = |node: Option<&Node>| match node {
                Some(Node::File { mode, content }) => {
                    format!("file {mode:o}, {} bytes, begins {:?}", content.len(), content.get(..16.min(content.len())))
                }
                other => format!("{other:?}"),
            };
            differing.push(format!("{}: recorded {}, on disk {}", path.escape_ascii(), short(found), short(expected)));
        }
    }
    panic!("{context}:\n{}", differing.join("\n"));
}

pub fn seed_or(default: u64) -> u64 {
    std::env::var("TL_SEED").map_or(default, |seed| seed.parse().unwrap())
}

pub fn is_long() -> bool {
    std::env::var_os("TL_LONG").is_some()
}
