//! Beginnings and ends of daemons.

use std::fs;

use rustix::process::Signal;
use tl_daemon::connection::Timeouts;
use tl_daemon::stores::Form;
use tl_daemon::wire::{Answer, Event, Health, Reason, Request, Subscribe};
use tl_daemon::{Access, Error, Removal, Session, StoreReader, client};

use crate::lab::{Lab, ask, assert_same, flush, flushed, objects, on_disk, recorded, status};

/// Waits for a daemon to say that it is healthy.
fn wait_until_healthy(lab: &Lab) {
    let mut events = lab.connect().subscribe(Subscribe::default()).unwrap();
    while let Some(event) = events.wait().unwrap() {
        if matches!(event, Event::Health(Health::Healthy | Health::Degraded { .. })) {
            return;
        }
    }
    panic!("the daemon ended:\n{}", lab.log());
}

#[test]
fn what_was_there_before_is_the_first_checkpoint() {
    for form in [Form::Outside, Form::InTree] {
        let lab = Lab::with_form(form);
        lab.write("a/b", "before");
        let mut daemon = lab.start();
        let first = flush(&mut daemon.client);
        assert_eq!(first.reason, Reason::Startup);
        assert_same(&recorded(&objects(&lab), first.root), &on_disk(&lab.root), "after the start");
        wait_until_healthy(&lab);
        let status = status(&mut daemon.client);
        assert_eq!((status.entries, status.checkpoints), (1, 1));
        assert_eq!(status.head.unwrap().id, first.id);
        assert_eq!(status.pid, Some(daemon.child.id()));
        assert!(status.watch.unwrap().directories >= 2);
    }
}

/// If it fails, saves are not captured unless somebody asks.
#[test]
fn a_save_becomes_a_checkpoint_by_itself_and_subscribers_are_told() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    let before = flush(&mut daemon.client);
    let mut events = lab.connect().subscribe(Subscribe { after_sequence: Some(0) }).unwrap();
    lab.write("saved", "content");
    let mut told = Vec::new();
    while let Some(event) = events.wait().unwrap() {
        if let Event::Checkpoint(checkpoint) = event {
            told.push(*checkpoint);
            if told.last().unwrap().touched.iter().any(|path| path.0 == b"saved") {
                break;
            }
        }
    }
    let sequences: Vec<u64> = told.iter().map(|checkpoint| checkpoint.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "each once, from the first on");
    assert_eq!(told[0].id, before.id);
    assert_eq!(told.last().unwrap().reason, Reason::FsBatch);
}

#[test]
fn a_second_daemon_is_refused_and_starting_twice_finds_the_first() {
    let lab = Lab::new();
    let daemon = lab.start();
    let output = lab.daemon_command().output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("has a daemon already"));
    let found = client::start(&mut lab.daemon_command(), &lab.place.socket, lab.place.store.id(), Timeouts::default());
    assert_eq!(found.unwrap().pid(), daemon.child.id());
    let alone = Session::open_directly(&lab.place, Access::Write);
    assert!(matches!(alone, Err(Error::AlreadyRunning { .. })));
}

/// If it fails, a command fails that runs just after the daemon was killed: the socket of the dead takes one more connection.
#[test]
fn a_daemon_that_dies_in_the_handshake_is_replaced() {
    let lab = Lab::new();
    lab.write("a", "1");
    let dying = std::os::unix::net::UnixListener::bind(&lab.place.socket).unwrap();
    let death = std::thread::spawn(move || {
        // With what was sent unread in it, as in the queue of a process that was killed.
        let (mut connection, _) = dying.accept().unwrap();
        std::io::Read::read_exact(&mut connection, &mut [0]).unwrap();
        drop((connection, dying));
    });
    let mut session = Session::open(&lab.place, Access::Write, Some(&mut lab.daemon_command())).unwrap();
    death.join().unwrap();
    let (first, _) = flushed(session.call(Request::Flush(tl_daemon::wire::Flush::default()), &mut |_| {}).unwrap());
    assert_same(&recorded(&objects(&lab), first.root), &on_disk(&lab.root), "after the start");
    let pid = session.daemon();
    assert_eq!(client::stop(&lab.place.socket, lab.place.store.id(), Timeouts::default()).unwrap(), pid);
}

/// If it fails, commands that are started at the same moment fail each other.
#[test]
fn many_that_start_a_daemon_at_once_all_get_the_same() {
    let lab = Lab::new();
    let pids: Vec<u32> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut session =
                        Session::open(&lab.place, Access::Write, Some(&mut lab.daemon_command())).unwrap();
                    session.call(Request::Pins, &mut |_| {}).unwrap();
                    session.daemon().unwrap()
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    assert_eq!(client::stop(&lab.place.socket, lab.place.store.id(), Timeouts::default()).unwrap(), Some(pids[0]));
    assert!(matches!(lab.try_connect(), Err(Error::NoDaemon { .. })), "the end means that it is gone");
}

/// If it fails, an end of the session or of the machine loses the last saves.
#[test]
fn signals_record_what_is_left() {
    for signal in [Signal::TERM, Signal::INT] {
        let lab = Lab::new();
        let mut daemon = lab.start();
        flush(&mut daemon.client);
        lab.write("last", "moment");
        daemon.signal(signal);
        assert!(daemon.child.wait().unwrap().success(), "{}", lab.log());
        assert!(!lab.place.socket.exists());
        let mut reader = StoreReader::open(&lab.place).unwrap();
        let head = reader.resolve("@", "").unwrap();
        assert_same(&recorded(reader.objects(), head.root), &on_disk(&lab.root), "after the end");
        assert!(fs::read_to_string(lab.place.store.state().join("metrics")).unwrap().contains("timelapse_checkpoints"));
    }
}

#[test]
fn a_hangup_takes_settings_and_log_anew() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    flush(&mut daemon.client);
    let log = lab.place.store.logs().join("daemon.log");
    fs::rename(&log, lab.outside().join("taken")).unwrap();
    fs::write(lab.place.store.config(), "[retention]\nnewest = 7\n").unwrap();
    daemon.signal(Signal::HUP);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let Answer::Settings(settings) = ask(&mut daemon.client, Request::Settings) else { panic!() };
        if settings.iter().any(|setting| setting.key == "retention.newest" && setting.value == "7") {
            break;
        }
        assert!(std::time::Instant::now() < until);
    }
    lab.write("a", "b");
    flush(&mut daemon.client);
    // A checkpoint is logged once whoever asked for it has it.
    while !lab.log().contains("checkpoint") {
        assert!(std::time::Instant::now() < until, "the log was not begun anew");
        std::thread::yield_now();
    }
}

/// If it fails, removing a project is recorded as a project that became empty.
#[test]
fn a_root_that_is_removed_is_noted_and_not_recorded_as_empty() {
    let lab = Lab::new();
    for number in 0..50 {
        lab.write(&format!("dir{}/file{number}", number % 5), "content");
    }
    let mut daemon = lab.start();
    let before = flush(&mut daemon.client);
    fs::remove_dir_all(&lab.root).unwrap();
    assert!(daemon.child.wait().unwrap().success(), "{}", lab.log());
    let removal = Removal::load(&lab.place.store).unwrap().expect("a note");
    assert_eq!(removal.before.unwrap().to_bytes(), before.id.0);
    let mut reader = StoreReader::open(&lab.place).unwrap();
    let head = reader.resolve("@", "").unwrap();
    let objects = reader.objects().clone();
    assert!(!recorded(&objects, head.root).is_empty() || head.stats.files_removed > 0);
    assert_eq!(recorded(&objects, before.root).len(), 55);
    assert_eq!(reader.status().unwrap().health, Health::RootGone);
}

#[test]
fn a_root_that_is_moved_goes_on_under_its_new_path() {
    let lab = Lab::new();
    lab.write("a", "1");
    let mut daemon = lab.start();
    flush(&mut daemon.client);
    let moved = lab.outside().join("moved");
    fs::rename(&lab.root, &moved).unwrap();
    fs::write(moved.join("b"), "2").unwrap();
    let after = flush(&mut daemon.client);
    assert_eq!(recorded(&objects(&lab), after.root).len(), 2);
}

#[test]
fn a_lost_marker_comes_back() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    flush(&mut daemon.client);
    fs::remove_file(lab.path(".tl")).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !lab.path(".tl").exists() {
        assert!(std::time::Instant::now() < until, "{}", lab.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(fs::read_to_string(lab.path(".tl")).unwrap(), format!("{}\n", lab.place.store.id()));
}

/// If it fails, nothing works where no daemon can run.
#[test]
fn without_a_daemon_a_program_does_it_alone() {
    let lab = Lab::new();
    lab.write("a", "1");
    let (first, changed) = {
        let mut session = lab.alone(Access::Write);
        flushed(session.call(Request::Flush(tl_daemon::wire::Flush::default()), &mut |_| {}).unwrap())
    };
    assert!(changed);
    lab.write("a", "2");
    let mut session = lab.alone(Access::Write);
    let (second, _) = flushed(session.call(Request::Flush(tl_daemon::wire::Flush::default()), &mut |_| {}).unwrap());
    assert_eq!(second.parents, [first.id]);
    drop(session);
    let mut reading = lab.alone(Access::Read);
    match reading.call(Request::Flush(tl_daemon::wire::Flush::default()), &mut |_| {}) {
        Err(Error::Refused(failure)) => assert_eq!(failure.kind, tl_daemon::wire::FailureKind::Unsupported),
        other => panic!("{other:?}"),
    }
    let mut reader = StoreReader::of(reading).unwrap();
    assert_eq!(reader.checkpoint(second.id).unwrap(), second);
    assert_same(&recorded(reader.objects(), second.root), &on_disk(&lab.root), "read directly");
}
