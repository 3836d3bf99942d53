//! Who is let in, and what happens to peers that do not keep to the protocol.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use tl_daemon::connection::Timeouts;
use tl_daemon::wire::{
    FRAME_LEN_MAX, FailureKind, Flush, Greeting, HELLO_LEN, Hello, Message, ObjectId, Request, StoreId, VERSION,
    Verdict, WELCOME_LEN, Wish,
};
use tl_daemon::{Access, Client, Error, Session, client};

use crate::lab::{Lab, ask, flush, status};

fn greeted(lab: &Lab, hello: &[u8]) -> (UnixStream, Option<Greeting>) {
    let mut stream = UnixStream::connect(&lab.place.socket).unwrap();
    stream.write_all(hello).unwrap();
    let mut greeting = [0; WELCOME_LEN];
    let greeting = stream.read_exact(&mut greeting).ok().and_then(|()| Greeting::decode(&greeting));
    (stream, greeting)
}

fn hello(lab: &Lab) -> Hello {
    Hello { version: VERSION, wish: Wish::Talk, store: lab.place.store.id() }
}

/// Everything until the other side closes.
fn rest_of(mut stream: UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A connection that is cut with bytes unread ends in an error, which is an end too.
    drop(stream.read_to_end(&mut rest));
    rest
}

/// If it fails, the command right after the daemon was killed fails, though nothing is wrong with the store.
#[test]
fn a_daemon_that_goes_while_it_is_connected_to_is_taken_for_gone() {
    let lab = Lab::new();
    lab.write("a", "1");
    flush_alone(&lab);
    let listener = UnixListener::bind(&lab.place.socket).unwrap();
    let database = granite::Db::open(lab.place.store.db(), &granite::Options::default()).unwrap();
    let dying = std::thread::spawn(move || {
        // The kernel takes connections for a process until it has closed its sockets, and what else it has is closed after them.
        for _ in 0..3 {
            drop(listener.accept().unwrap());
        }
        drop(listener);
        std::thread::sleep(Duration::from_millis(50));
        drop(database);
    });
    match Client::connect(&lab.place.socket, lab.place.store.id(), Timeouts::default()) {
        Err(Error::DaemonEnding) => {}
        other => panic!("{other:?}"),
    }
    let mut session = Session::open(&lab.place, Access::Read, None).unwrap();
    assert_eq!(session.daemon(), None);
    session.call(Request::Resolve { name: "@".into(), zone: String::new() }, &mut |_| {}).unwrap();
    dying.join().unwrap();
}

fn flush_alone(lab: &Lab) {
    lab.alone(Access::Write).call(Request::Flush(Flush::default()), &mut |_| {}).unwrap();
}

/// If it fails, one broken program takes the daemon away from all others.
#[test]
fn peers_that_send_garbage_are_sent_away_and_harm_nobody() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    let pid = status(&mut daemon.client).pid;
    assert_eq!(greeted(&lab, &[b'x'; HELLO_LEN]).1, None);
    assert_eq!(greeted(&lab, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").1, None);
    let frames: [&[u8]; 6] = [
        &[255; 64],
        &[0, 0, 0, 0, 1],
        &[2, 0, 0, 0, 99, 0],
        &[2, 0, 0, 0, 1, 200],
        // An answer is none of a peer's business.
        &[2, 0, 0, 0, 4, 0],
        // Data that nobody asked for.
        &[3, 0, 0, 0, 3, 1, 2],
    ];
    for bytes in frames {
        let (mut stream, greeting) = greeted(&lab, &hello(&lab).encode());
        assert_eq!(greeting.unwrap().verdict, Verdict::Welcome);
        stream.write_all(bytes).unwrap();
        assert_eq!(rest_of(stream), b"", "{bytes:?}");
    }
    let mut over = (FRAME_LEN_MAX as u32 + 1).to_le_bytes().to_vec();
    over.push(1);
    let (mut stream, _) = greeted(&lab, &hello(&lab).encode());
    stream.write_all(&over).unwrap();
    assert_eq!(rest_of(stream), b"");
    // Those that leave in the middle of something.
    for cut in [1, 20, HELLO_LEN, HELLO_LEN + 3] {
        let mut all = hello(&lab).encode().to_vec();
        all.extend(Message::Request(Request::Status.into()).encode().unwrap());
        UnixStream::connect(&lab.place.socket).unwrap().write_all(&all[..cut]).unwrap();
    }
    assert_eq!(status(&mut lab.connect()).pid, pid);
    flush(&mut daemon.client);
}

#[test]
fn requests_over_a_limit_are_refused_and_the_connection_goes_on() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    let too_many = Request::Objects { ids: vec![ObjectId([0; 32]); 5000] };
    match daemon.client.call(too_many, &mut |_| {}) {
        Err(Error::Refused(failure)) => assert_eq!(failure.kind, FailureKind::Invalid),
        other => panic!("{other:?}"),
    }
    status(&mut daemon.client);
}

#[test]
fn other_versions_and_other_stores_are_told() {
    let lab = Lab::new();
    let daemon = lab.start();
    let newer = Hello { version: VERSION + 1, ..hello(&lab) };
    let (stream, greeting) = greeted(&lab, &newer.encode());
    assert_eq!(greeting.unwrap().verdict, Verdict::OtherVersion);
    assert_eq!(greeting.unwrap().version, VERSION);
    assert_eq!(rest_of(stream), b"");
    let elsewhere = Client::connect(&lab.place.socket, StoreId([9; 16]), Timeouts::default());
    assert!(matches!(elsewhere, Err(Error::NoDaemon { .. })));
    drop(daemon);
}

/// If it fails, a newer program cannot replace an older daemon.
#[test]
fn a_program_of_another_version_can_end_the_daemon() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    let wish = Hello { version: VERSION + 7, wish: Wish::Stop, ..hello(&lab) };
    let (stream, greeting) = greeted(&lab, &wish.encode());
    assert_eq!(greeting.unwrap().verdict, Verdict::Ending);
    assert_eq!(rest_of(stream), b"", "the end says that the store is free");
    let next = lab.start();
    assert!(daemon.child.wait().unwrap().success());
    drop(next);
}

#[test]
fn too_many_peers_are_told_so_and_let_in_when_others_leave() {
    let lab = Lab::new();
    let daemon = lab.start();
    let mut peers: Vec<Client> = Vec::new();
    let refused = loop {
        match lab.try_connect() {
            Ok(client) => peers.push(client),
            Err(error) => break error,
        }
        assert!(peers.len() < 1000);
    };
    assert!(matches!(refused, Error::DaemonBusy), "{refused}");
    assert_eq!(peers.len() + 1, 32, "with the one of the daemon's own");
    ask(&mut peers[0], Request::Pins);
    peers.clear();
    // The threads of those that left may need a moment.
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while lab.try_connect().is_err() {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    drop(daemon);
}

#[test]
fn without_a_daemon_that_is_what_is_said() {
    let lab = Lab::new();
    assert!(matches!(lab.try_connect(), Err(Error::NoDaemon { .. })));
    assert_eq!(client::stop(&lab.place.socket, lab.place.store.id(), Timeouts::default()).unwrap(), None);
    // A socket that a daemon left behind when it was killed.
    lab.start().kill();
    assert!(lab.place.socket.exists());
    assert!(matches!(lab.try_connect(), Err(Error::NoDaemon { .. })));
    lab.start();
}

/// If it fails, another user of the machine reads and changes what is protected, or passes for the daemon. Only the superuser can be another user for a test.
#[test]
fn other_users_are_refused_at_both_ends() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let daemon = lab.start();
    // As if the directories were open: what keeps others out then is the daemon itself.
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    for path in [lab.outside(), lab.place.socket.parent().unwrap(), &lab.place.socket] {
        open(path);
    }
    let other = crate::process::as_other_user(&lab.place.socket, lab.place.store.id());
    assert_eq!(other, "closed", "the daemon let another user in");
    drop(daemon);
    let own = lab.outside().join("own.sock");
    let listener = UnixListener::bind(&own).unwrap();
    open(&own);
    let other = crate::process::as_other_user(&own, lab.place.store.id());
    assert_eq!(other, "foreign", "a program talked to another user's daemon");
    drop(listener);
}
