//! A daemon as a process of its own: this test program, run again.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tl_daemon::Place;
use tl_daemon::connection::Timeouts;
use tl_daemon::daemon::{self, DaemonLog};
use tl_daemon::logs::{LogFiles, subscriber};
use tl_daemon::stores::{RuntimeDir, Stores};
use vfs::DiskVfs;

const STATE: &str = "TL_TEST_DAEMON_STATE";
const RUNTIME: &str = "TL_TEST_DAEMON_RUNTIME";
const ROOT: &str = "TL_TEST_DAEMON_ROOT";

/// How to start the daemon of the store that `root` has.
pub fn command(state: &Path, runtime: &Path, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["process::daemon_child", "--exact", "--nocapture", "--test-threads=1", "-q"])
        .env(STATE, state)
        .env(RUNTIME, runtime)
        .env(ROOT, root);
    command
}

/// Not a test by itself: it is what [`command`] starts.
#[test]
fn daemon_child() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let value = |name| std::env::var_os(name).unwrap();
    let stores = Stores::new(state.into(), Arc::new(DiskVfs::new()));
    let located = stores.locate(Path::new(&value(ROOT))).unwrap().unwrap();
    let socket = RuntimeDir::new(value(RUNTIME).into()).prepare_socket(located.store.id()).unwrap();
    let files = LogFiles::open(&located.store.logs()).unwrap();
    let (lines, level) = subscriber(&files, tracing::Level::DEBUG);
    tracing::subscriber::set_global_default(lines).unwrap();
    let config = Place {
        stores,
        store: located.store,
        root: located.root,
        socket,
        excludes: Vec::new(),
        version: "0.0.0-test".into(),
        timeouts: Timeouts::default(),
    };
    let ready = || {
        // The harness has written a line of its own before.
        let mut output = std::io::stdout();
        output.write_all(b"ready\n").unwrap();
        output.flush().unwrap();
    };
    let log = DaemonLog { files, level };
    if let Err(error) = daemon::run(&config, Some(&log), ready) {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

const OTHER_SOCKET: &str = "TL_TEST_OTHER_SOCKET";
const OTHER_STORE: &str = "TL_TEST_OTHER_STORE";

/// What a program of another user gets when it connects to `socket`: `welcome`, `closed` or `foreign`.
pub fn as_other_user(socket: &Path, store: tl_daemon::wire::StoreId) -> String {
    use std::os::unix::process::CommandExt;

    // Another user may not be allowed to read where this program is.
    let copy = socket.parent().unwrap().join("other-user");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command
        .args(["process::other_user_child", "--exact", "--nocapture", "--test-threads=1", "-q"])
        .env(OTHER_SOCKET, socket)
        .env(OTHER_STORE, store.to_string())
        .current_dir("/")
        .uid(12345)
        .gid(12345);
    let output = loop {
        match command.output() {
            // A process that another test is just starting has the copy open for writing until it runs its own program.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = output.lines().find_map(|line| line.split_once("GOT ").map(|(_, word)| word.to_owned()));
    word.unwrap_or(output)
}

/// Not a test by itself: it is what [`as_other_user`] starts. It connects without the client's own check first, as a program with bad intentions would.
#[test]
fn other_user_child() {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use tl_daemon::wire::{Hello, VERSION, WELCOME_LEN, Wish};

    let Some(socket) = std::env::var_os(OTHER_SOCKET) else { return };
    let socket = Path::new(&socket);
    let store = std::env::var(OTHER_STORE).unwrap().parse().unwrap();
    if let Err(tl_daemon::Error::ForeignDaemon { .. }) = tl_daemon::Client::connect(
        socket,
        store,
        Timeouts { handshake: std::time::Duration::from_secs(5), ..Timeouts::default() },
    ) && socket.ends_with("own.sock")
    {
        println!("GOT foreign");
        return;
    }
    let mut stream = UnixStream::connect(socket).unwrap();
    // A daemon that refuses may be faster than this.
    drop(stream.write_all(&Hello { version: VERSION, wish: Wish::Talk, store }.encode()));
    let mut greeting = [0; WELCOME_LEN];
    match stream.read_exact(&mut greeting) {
        Ok(()) => println!("GOT welcome"),
        Err(_) => println!("GOT closed"),
    }
}
