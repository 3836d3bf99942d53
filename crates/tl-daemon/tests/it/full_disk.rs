//! A store whose disk has no room left.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tl_daemon::Error;
use tl_daemon::wire::{Answer, FailureKind, Flush, Health, Request};

use crate::lab::{Lab, ask, assert_same, flush, flushed, objects, on_disk, recorded, status};

/// A filesystem of a few megabytes in memory; none where the system does not let this user mount one.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self { path: path.to_owned() })
    }

    /// Takes all room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        for len in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; len]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whatever still holds a file there lets go of it when it ends.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

/// If it fails, a full disk costs what was recorded, ends the daemon, or goes unnoticed, or the daemon does not go on by itself once there is room.
#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk")) else { return };
    let lab = Lab::with_state(disk.path.join("state"));
    lab.write("a", "before");
    let mut daemon = lab.start();
    let before = flush(&mut daemon.client);
    let tree_before = on_disk(&lab.root);
    let filler = disk.fill();
    // More than any space that was set aside.
    let mut rng = StdRng::seed_from_u64(8);
    for number in 0..8 {
        let mut noise = vec![0; 3 << 20];
        rng.fill_bytes(&mut noise);
        lab.write(&format!("large{number}"), noise);
    }
    match daemon.client.call(Request::Flush(Flush::default()), &mut |_| {}) {
        Err(Error::Refused(failure)) => {
            assert!(
                matches!(failure.kind, FailureKind::Full | FailureKind::Retry | FailureKind::Stopping),
                "{failure:?}"
            );
            assert!(failure.hint.is_some(), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    // Reading goes on.
    let mut client = reconnect(&lab);
    assert_eq!(ask(&mut client, Request::Checkpoint { id: before.id }), Answer::Checkpoint(before.clone().into()));
    assert_same(&recorded(&objects(&lab), before.root), &tree_before, "on a full disk");
    assert!(matches!(
        status(&mut client).health,
        Health::Failed { .. } | Health::Healthy | Health::Degraded { .. } | Health::Starting
    ));
    fs::remove_file(filler).unwrap();
    for number in 2..8 {
        fs::remove_file(lab.path(&format!("large{number}"))).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(60);
    let after = loop {
        match reconnect(&lab).call(Request::Flush(Flush::default()), &mut |_| {}) {
            Ok(answer) => break flushed(answer).0,
            Err(error) => assert!(Instant::now() < until, "{error}\n{}", lab.log()),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_same(&recorded(&objects(&lab), after.root), &on_disk(&lab.root), "with room again");
    assert!(daemon.child.try_wait().unwrap().is_none(), "the daemon lived through it");
}

/// The daemon may be opening its store anew.
fn reconnect(lab: &Lab) -> tl_daemon::Client {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match lab.try_connect() {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < until, "{error}\n{}", lab.log()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
