//! Flush as a barrier: what was written before it is in the checkpoint that it returns, whatever else goes on.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_daemon::wire::{Answer, Flush, Provenance, Reason, Request};

use crate::lab::{
    Lab, ask, assert_same, flush, flush_with_message, flushed, is_long, objects, on_disk, recorded, seed_or,
};

/// If it fails, a program that flushes after a write cannot rely on having it.
#[test]
fn a_flush_holds_what_its_caller_wrote_while_others_write() {
    let lab = Arc::new(Lab::new());
    let daemon = lab.start();
    let rounds = if is_long() { 400 } else { 25 };
    let stop = Arc::new(AtomicBool::new(false));
    let noise = {
        let (lab, stop) = (Arc::clone(&lab), Arc::clone(&stop));
        std::thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                lab.write(&format!("noise/{}", number % 50), format!("{number}"));
            }
        })
    };
    let begin = Arc::new(Barrier::new(4));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (lab, begin) = (Arc::clone(&lab), Arc::clone(&begin));
            std::thread::spawn(move || {
                let mut client = lab.connect();
                let objects = objects(&lab);
                begin.wait();
                for round in 0..rounds {
                    // A new directory each time: events from it begin only once it is watched.
                    let name = format!("writer{writer}/{round}/deep/file");
                    lab.write(&name, format!("{writer} {round}"));
                    if round > 0 {
                        fs::remove_dir_all(lab.path(&format!("writer{writer}/{}", round - 1))).unwrap();
                    }
                    let checkpoint = flush(&mut client);
                    let prefix = format!("writer{writer}/").into_bytes();
                    let mut found: Vec<_> = recorded(&objects, checkpoint.root)
                        .into_iter()
                        .filter(|(path, _)| path.starts_with(&prefix))
                        .map(|(path, _)| String::from_utf8(path).unwrap())
                        .collect();
                    found.sort();
                    let own = format!("writer{writer}/{round}");
                    assert_eq!(
                        found,
                        [own.clone(), format!("{own}/deep"), format!("{own}/deep/file")],
                        "round {round}"
                    );
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    noise.join().unwrap();
    drop(daemon);
}

#[test]
fn a_flush_without_changes_returns_what_is_there() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    lab.write("a", "1");
    let (first, _) = flushed(ask(&mut daemon.client, Request::Flush(Flush::default())));
    let (again, changed) = flushed(ask(&mut daemon.client, Request::Flush(Flush::default())));
    assert_eq!((again.id, changed), (first.id, false));
    let named = flush_with_message(&mut daemon.client, "as it is");
    assert_eq!((named.reason, named.root), (Reason::Manual, first.root));
    assert_eq!(named.provenance.message.as_deref(), Some("as it is"));
    assert_ne!(named.id, first.id);
}

/// If it fails, what no event tells of is lost to those who ask for it.
#[test]
fn a_scan_finds_what_times_hide() {
    let lab = Lab::new();
    lab.write("a", "before");
    let outside = lab.outside().join("other-name");
    fs::hard_link(lab.path("a"), &outside).unwrap();
    let mut daemon = lab.start();
    let before = flush(&mut daemon.client);
    let times = fs::metadata(&outside).unwrap();
    // The same length and the same time of modification, through a name that nobody watches.
    fs::write(&outside, "behind").unwrap();
    let file = fs::File::options().write(true).open(&outside).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    let scan = Request::Flush(Flush { scan: true, provenance: Provenance::default() });
    let (after, changed) = flushed(ask(&mut daemon.client, scan));
    assert!(changed && after.root != before.root);
    assert_same(&recorded(&objects(&lab), after.root), &on_disk(&lab.root), "after the scan");
}

#[test]
fn changes_are_attributed_to_the_command_that_runs() {
    let lab = Lab::new();
    let mut daemon = lab.start();
    lab.write("before", "1");
    let provenance = Provenance { session: Some("run-1".into()), actor: Some("make".into()), ..Provenance::default() };
    let (start, _) = flushed(ask(&mut daemon.client, Request::BeginRun { provenance: provenance.clone() }));
    assert_eq!(start.provenance, Provenance::default(), "what was before is not the command's");
    lab.write("during", "2");
    let (end, changed) = flushed(ask(&mut daemon.client, Request::EndRun { exit_code: Some(0) }));
    assert!(changed);
    assert_eq!(end.provenance, provenance);
    assert_eq!(end.parents, [start.id]);
    lab.write("after", "3");
    assert_eq!(flush(&mut daemon.client).provenance, Provenance::default());
    let Answer::Checkpoint(found) =
        ask(&mut daemon.client, Request::Resolve { name: "run-1".into(), zone: String::new() })
    else {
        panic!()
    };
    assert_eq!(found.id, end.id);
    // A command whose program is gone attributes nothing more.
    {
        let mut gone = lab.connect();
        ask(&mut gone, Request::BeginRun { provenance });
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        lab.write("later", format!("{:?}", std::time::Instant::now()));
        if flush(&mut daemon.client).provenance.session.is_none() {
            break;
        }
        assert!(std::time::Instant::now() < until);
    }
}

/// One random operation on a tree.
fn disturb(root: &Path, rng: &mut StdRng) -> std::io::Result<()> {
    let names: [&[u8]; 9] =
        [b"a", b"b", b"c.txt", b"with space", b"new\nline", b"\xff\xfe", b".hidden", b"d~", b"x.tmp"];
    let depth = rng.random_range(1..4);
    let pick = |rng: &mut StdRng| {
        let mut path = PathBuf::from(root);
        for _ in 0..depth {
            path.push(std::ffi::OsStr::from_bytes(names[rng.random_range(0..names.len())]));
        }
        path
    };
    let path = pick(rng);
    let other = pick(rng);
    match rng.random_range(0..12) {
        0..=3 => {
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(&path, vec![rng.random_range(0..255_u8); rng.random_range(0..5000)])
        }
        4 => fs::OpenOptions::new().append(true).open(&path).and_then(|mut file| {
            use std::io::Write;
            file.write_all(b"more")
        }),
        5 => fs::File::options().write(true).open(&path).and_then(|file| file.set_len(rng.random_range(0..100))),
        6 => fs::rename(&path, &other),
        7 => fs::create_dir_all(&path),
        8 => fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)),
        9 => {
            fs::set_permissions(&path, fs::Permissions::from_mode([0o644, 0o755, 0o600, 0o700][rng.random_range(0..4)]))
        }
        10 => symlink("target/of a link", &path),
        _ => fs::rename(path.parent().unwrap(), &other),
    }
}

/// If it fails, some sequence of operations leads to a checkpoint that is not what is on the disk.
#[test]
fn hostile_trees_are_recorded_as_they_are() {
    let seed = seed_or(41);
    let rounds = if is_long() { 2000 } else { 40 };
    let lab = Lab::new();
    let mut daemon = lab.start();
    let objects = objects(&lab);
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..rounds {
        for _ in 0..rng.random_range(1..60) {
            // Many operations meet nothing that they could be done to.
            drop(disturb(&lab.root, &mut rng));
        }
        let checkpoint = flush(&mut daemon.client);
        let context = format!("TL_SEED={seed}, round {round}");
        assert_same(&recorded(&objects, checkpoint.root), &on_disk(&lab.root), &context);
        assert_eq!(checkpoint.completeness.missing, 0, "{context}");
    }
}
