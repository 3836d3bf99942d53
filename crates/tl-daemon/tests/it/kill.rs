//! Daemons that are killed at random moments.

use std::io::Read;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_daemon::wire::{Checkpoint, Request};

use crate::lab::{Lab, ask, assert_same, flush, is_long, objects, on_disk, recorded, seed_or};

/// If it fails, a checkpoint that was acknowledged is lost or changed by a SIGKILL, or a restart does not find what changed meanwhile.
#[test]
fn nothing_acknowledged_is_lost_and_restarts_reconcile() {
    let seed = seed_or(77);
    let rounds = if is_long() { 500 } else { 12 };
    let lab = Lab::new();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut acknowledged: Vec<(Checkpoint, crate::lab::Tree)> = Vec::new();
    for round in 0..rounds {
        let context = format!("TL_SEED={seed}, round {round}");
        let mut daemon = lab.start();
        let found = flush(&mut daemon.client);
        let present = on_disk(&lab.root);
        assert_same(&recorded(&objects(&lab), found.root), &present, &context);
        acknowledged.push((found, present));
        for (checkpoint, tree) in acknowledged.iter().rev().take(20) {
            let known = ask(&mut daemon.client, Request::Checkpoint { id: checkpoint.id });
            assert_eq!(known, tl_daemon::wire::Answer::Checkpoint(checkpoint.clone().into()), "{context}");
            assert_same(&recorded(&objects(&lab), checkpoint.root), tree, &context);
        }
        // Killed by another thread while this one writes and flushes.
        let pid = rustix::process::Pid::from_child(&daemon.child);
        let delay = Duration::from_micros(rng.random_range(0..60_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        loop {
            for _ in 0..rng.random_range(1..20) {
                let name = format!("d{}/f{}", rng.random_range(0..5), rng.random_range(0..30));
                lab.write(&name, vec![rng.random_range(0..255_u8); rng.random_range(0..20_000)]);
            }
            let before = on_disk(&lab.root);
            match daemon.client.call(Request::Flush(tl_daemon::wire::Flush::default()), &mut |_| {}) {
                Ok(answer) => acknowledged.push((crate::lab::flushed(answer).0, before)),
                Err(_) => break,
            }
        }
        killer.join().unwrap();
        daemon.child.wait().unwrap();
        // What is written while nobody watches.
        lab.write(&format!("meanwhile{}", round % 3), format!("{round}"));
    }
}

/// If it fails, a client hangs when its daemon is killed under it.
#[test]
fn a_subscriber_learns_that_the_daemon_was_killed() {
    let lab = Lab::new();
    let daemon = lab.start();
    let mut events = lab.connect().subscribe(tl_daemon::wire::Subscribe::default()).unwrap();
    assert!(events.wait().unwrap().is_some());
    daemon.kill();
    loop {
        match events.wait() {
            Ok(None) | Err(_) => break,
            Ok(Some(_)) => {}
        }
    }
    let mut rest = Vec::new();
    // The end is the end.
    drop(events.stream().read_to_end(&mut rest));
    assert!(rest.is_empty());
}
