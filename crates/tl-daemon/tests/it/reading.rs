//! The same answers whoever has the store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tl_daemon::wire::{
    Answer, CheckpointId, Direction, FailureKind, Flush, Item, LogQuery, PathBytes, Provenance, Request,
};
use tl_daemon::{Access, Error, Session, StoreReader};
use tl_journal::{Repository, RepositoryConfig};

use crate::lab::{Lab, ask, flush_with_message, flushed, objects, recorded};

/// Makes a few checkpoints of which one removes a file, by the flushes that `call` has carried out. A daemon may record a save before the flush that follows it; a
/// session without one records nothing else, so only there does each of them hold its save.
fn history(lab: &Lab, mut call: impl FnMut(Request) -> Answer) -> Vec<CheckpointId> {
    let mut ids = Vec::new();
    for (number, (path, content)) in
        [("a", Some("1")), ("dir/b", Some("2")), ("a", Some("3")), ("dir/b", None), ("c", Some("4"))].iter().enumerate()
    {
        match content {
            Some(content) => lab.write(path, content),
            None => std::fs::remove_file(lab.path(path)).unwrap(),
        }
        let session = Some(format!("s{}", number % 2));
        let provenance = Provenance { session, message: Some(format!("{number}")), ..Provenance::default() };
        ids.push(flushed(call(Request::Flush(Flush { scan: false, provenance }))).0.id);
    }
    ids
}

/// The same history, by this program alone: the checkpoints are exactly the returned ones.
fn history_without_a_daemon(lab: &Lab) -> Vec<CheckpointId> {
    let mut session = lab.alone(Access::Write);
    history(lab, |request| session.call(request, &mut |_| {}).unwrap())
}

fn numbers(reader: &mut StoreReader, query: &LogQuery) -> Vec<String> {
    let mut found = Vec::new();
    reader
        .log(query, &mut |checkpoint| {
            found.extend(checkpoint.provenance.message);
            true
        })
        .unwrap();
    found
}

fn check(reader: &mut StoreReader, ids: &[CheckpointId]) {
    let paths = |path: &str| LogQuery { paths: vec![PathBytes(path.into())], ..LogQuery::default() };
    assert_eq!(numbers(reader, &LogQuery::default()), ["4", "3", "2", "1", "0"]);
    let oldest = LogQuery { direction: Direction::OldestFirst, limit: 3, ..LogQuery::default() };
    assert_eq!(numbers(reader, &oldest), ["0", "1", "2"]);
    let next = LogQuery { from: Some(ids[2]), ..oldest };
    assert_eq!(numbers(reader, &next), ["2", "3", "4"]);
    assert_eq!(numbers(reader, &paths("a")), ["2", "0"]);
    assert_eq!(numbers(reader, &paths("dir")), ["3", "1"]);
    assert_eq!(numbers(reader, &paths("dir/b")), ["3", "1"]);
    assert_eq!(numbers(reader, &paths("nothing")), [""; 0]);
    assert_eq!(numbers(reader, &LogQuery { deleted: true, ..LogQuery::default() }), ["3"]);
    assert_eq!(numbers(reader, &LogQuery { deleted: true, ..paths("a") }), [""; 0]);
    assert_eq!(numbers(reader, &LogQuery { session: Some("s1".into()), ..LogQuery::default() }), ["3", "1"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(1);
    let now_us = now.as_micros() as u64;
    assert_eq!(numbers(reader, &LogQuery { since_us: Some(now_us), ..LogQuery::default() }), [""; 0]);
    assert_eq!(numbers(reader, &LogQuery { until_us: Some(now_us), ..LogQuery::default() }).len(), 5);
    assert_eq!(reader.resolve("@-1", "").unwrap().id, ids[3]);
    assert_eq!(reader.resolve("s1", "Europe/Berlin").unwrap().id, ids[3]);
    for (name, kind) in [("@-99", FailureKind::NotFound), ("nothing-like-it", FailureKind::NotFound)] {
        match reader.resolve(name, "") {
            Err(Error::Refused(failure)) => assert_eq!(failure.kind, kind, "{failure}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reader.parents(ids[3]).unwrap()[0].id, ids[2]);
    assert_eq!(reader.common_ancestor(ids[1], ids[4]).unwrap().unwrap().id, ids[1]);
    let before_removal = reader.checkpoint(ids[2]).unwrap();
    let tree = recorded(reader.objects(), before_removal.root);
    assert_eq!(tree.keys().map(|path| String::from_utf8_lossy(path)).collect::<Vec<_>>(), ["a", "dir", "dir/b"]);
    reader.lease(ids.to_vec(), vec![before_removal.root]).unwrap();
}

/// If it fails, a command answers differently with and without a daemon.
#[test]
fn reading_over_the_socket_and_directly_is_the_same() {
    let lab = Lab::new();
    let ids = history_without_a_daemon(&lab);
    let daemon = lab.start();
    check(&mut StoreReader::open(&lab.place).unwrap(), &ids);
    daemon.stop(&lab);
    check(&mut StoreReader::open(&lab.place).unwrap(), &ids);
}

#[test]
fn large_files_come_through_in_pieces() {
    let lab = Lab::new();
    let large: Vec<u8> = (0..6 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    lab.write("large", &large);
    let mut daemon = lab.start();
    let checkpoint = crate::lab::flush(&mut daemon.client);
    let tree = recorded(&objects(&lab), checkpoint.root);
    assert!(matches!(&tree[&b"large"[..]], crate::lab::Node::File { content, .. } if *content == large));
}

#[test]
fn pins_and_labels() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    let checkpoint = flush_with_message(&mut daemon.client, "x");
    ask(&mut daemon.client, Request::Pin { name: "release".into(), id: checkpoint.id });
    ask(&mut daemon.client, Request::Label { id: checkpoint.id, label: "green".into() });
    let mut reader = StoreReader::open(&lab.place).unwrap();
    assert_eq!(reader.pins().unwrap()[0].name, "release");
    assert_eq!(reader.resolve("release", "").unwrap().provenance.label.as_deref(), Some("green"));
    ask(&mut daemon.client, Request::Unpin { name: "release".into() });
    match daemon.client.call(Request::Unpin { name: "release".into() }, &mut |_| {}) {
        Err(Error::Refused(failure)) => assert_eq!(failure.kind, FailureKind::NotFound),
        other => panic!("{other:?}"),
    }
}

#[test]
fn care_works_beside_captures() {
    let lab = Lab::new();
    let ids = history_without_a_daemon(&lab);
    let mut daemon = lab.start();
    let mut damage = Vec::new();
    let mut on_item = |item: Item| {
        if let Item::Damage(found) = item {
            damage.push(found);
        }
    };
    let verified = daemon.client.call(Request::Verify(tl_daemon::wire::Verify::default()), &mut on_item).unwrap();
    let Answer::Verified(verified) = verified else { panic!() };
    assert_eq!((verified.checkpoints, verified.damaged), (ids.len() as u64, 0));
    assert!(damage.is_empty() && verified.objects >= 5);
    let Answer::Collected(collected) = ask(&mut daemon.client, Request::Gc { dry_run: false }) else { panic!() };
    assert_eq!(collected.checkpoints_removed, 0);
    let Answer::Text(metrics) = ask(&mut daemon.client, Request::Metrics) else { panic!() };
    assert!(metrics.contains("timelapse_collections_total 1"), "{metrics}");
    assert!(matches!(
        daemon.client.call(Request::Set { key: "retention.newest".into(), value: Some("0".into()) }, &mut |_| {}),
        Err(Error::Refused(_))
    ));
    ask(&mut daemon.client, Request::Set { key: "retention.newest".into(), value: Some("9".into()) });
    assert!(std::fs::read_to_string(lab.place.store.config()).unwrap().contains("newest = 9"));
}

/// If it fails, a copy of a project loses the history that it was copied with, or writes into that of the original.
#[test]
fn a_fork_has_the_history_and_goes_its_own_way() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    let ids = history(&lab, |request| ask(&mut daemon.client, request));
    let copy = lab.outside().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(lab.path(".tl"), copy.join(".tl")).unwrap();
    let staged = lab.stores.fork(&copy, &lab.place.store).unwrap();
    let to = PathBytes(std::os::unix::ffi::OsStrExt::as_bytes(staged.store().db().as_os_str()).to_vec());
    ask(&mut daemon.client, Request::Fork { to });
    staged.finish().unwrap();
    let place = crate::lab::place(&lab.stores, &lab.outside().join("run"), &copy);
    let mut session = Session::open_directly(&place, Access::Write).unwrap();
    let (forked, _) = flushed(session.call(Request::Flush(Flush::default()), &mut |_| {}).unwrap());
    assert_eq!(forked.parents, [*ids.last().unwrap()]);
    assert_eq!(forked.stats.files_removed, 2);
    let elsewhere = Request::Fork { to: PathBytes(b"/tmp/anywhere".to_vec()) };
    assert!(matches!(daemon.client.call(elsewhere, &mut |_| {}), Err(Error::Refused(_))));
    let Answer::Checkpoint(head) = ask(&mut daemon.client, Request::Resolve { name: "@".into(), zone: String::new() })
    else {
        panic!()
    };
    assert_eq!(head.id, *ids.last().unwrap());
}

/// If it fails, the log of a path leaves out the state that first shows a change after the one that made it was thinned, shows one that is gone, or depends on whether its history was built.
#[test]
fn the_log_of_a_path_is_right_after_thinning_with_and_without_its_history() {
    let lab = Lab::new();
    let ids = history_without_a_daemon(&lab);
    let store = lab.place.store.path();
    let open = || Repository::open(RepositoryConfig::new(store, None)).unwrap();
    let log = |path: &str| {
        let mut reader = StoreReader::open(&lab.place).unwrap();
        let query = LogQuery { paths: vec![PathBytes(path.into())], ..LogQuery::default() };
        let newest_first = numbers(&mut reader, &query);
        let mut oldest_first = numbers(&mut reader, &LogQuery { direction: Direction::OldestFirst, ..query });
        oldest_first.reverse();
        assert_eq!(newest_first, oldest_first);
        newest_first
    };
    let (file, kept) = (store.join("state/path_history.cartridge"), lab.outside().join("kept"));
    assert_eq!((log("a"), file.exists()), (vec!["2".to_owned(), "0".to_owned()], false));
    open().build_path_history().unwrap();
    check(&mut StoreReader::open(&lab.place).unwrap(), &ids);
    std::fs::copy(&file, &kept).unwrap();

    // The next one that is left shows what the one that is gone changed.
    open().journal().delete([tl_journal::CheckpointId::from_bytes(ids[2].0)]).unwrap();
    assert_eq!(log("a"), ["3", "0"], "with the history of before");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(log("a"), ["3", "0"], "without one");
    std::fs::rename(&kept, &file).unwrap();
    open().build_path_history().unwrap();
    assert_eq!(log("a"), ["3", "0"], "with one of after");
    assert_eq!(log("dir"), ["3", "1"]);
}
