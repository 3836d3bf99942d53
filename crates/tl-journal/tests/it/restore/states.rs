//! Random states, restored in random order, by every way of writing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tl_journal::{RestoreRequest, unwatched};

use super::{disk, ways};
use crate::lab::Lab;

/// One random change of the working directory.
fn change(lab: &Lab, random: &mut StdRng) {
    let names = ["a", "b", "c", "d e", "\u{e9}"];
    let depth = random.random_range(1..4);
    let path: PathBuf = (0..depth).map(|_| names[random.random_range(0..names.len())]).collect();
    let path = lab.root().join(path);
    if fs::create_dir_all(path.parent().unwrap()).is_err() {
        // A file or a link is in the way: that is what goes.
        let top = path.strip_prefix(lab.root()).unwrap().components().next().unwrap();
        let top = lab.root().join(top);
        if top.symlink_metadata().is_ok_and(|stat| stat.is_dir()) {
            fs::remove_dir_all(top).unwrap();
        } else {
            fs::remove_file(top).unwrap();
        }
        return;
    }
    if path.components().count() != path.canonicalize().unwrap_or_else(|_| path.clone()).components().count() {
        return;
    }
    let there = path.symlink_metadata();
    let remove = || match &there {
        Ok(stat) if stat.is_dir() => fs::remove_dir_all(&path).unwrap(),
        Ok(_) => fs::remove_file(&path).unwrap(),
        Err(_) => {}
    };
    match random.random_range(0..10) {
        0 => remove(),
        1 => {
            remove();
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode([0o755, 0o700, 0o500][random.random_range(0..3)]))
                .unwrap();
        }
        2 => {
            remove();
            symlink(names[random.random_range(0..names.len())], &path).unwrap();
        }
        3 if there.as_ref().is_ok_and(|stat| stat.is_file()) => {
            fs::set_permissions(
                &path,
                fs::Permissions::from_mode([0o644, 0o755, 0o600, 0o4755, 0o444][random.random_range(0..5)]),
            )
            .unwrap();
        }
        _ => {
            remove();
            let len = [0, 10, 5000, 1_300_000][if random.random_bool(0.05) { 3 } else { random.random_range(0..3) }];
            let mut content = vec![0; len];
            random.fill_bytes(&mut content);
            fs::write(&path, content).unwrap();
        }
    }
}

/// If it fails, a state does not come back as it was: bytes, modes, links, empty directories, changes of kind.
#[test]
fn every_state_comes_back_as_it_was() {
    let seed: u64 = std::env::var("TL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    for (number, options) in ways().into_iter().enumerate() {
        let seed = seed + number as u64;
        println!("TL_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let lab = Lab::new();
        let mut states = Vec::new();
        for _ in 0..10 {
            for _ in 0..random.random_range(1..30) {
                change(&lab, &mut random);
            }
            states.push((lab.save(), lab.disk()));
        }
        for _ in 0..14 {
            let (id, expected) = &states[random.random_range(0..states.len())];
            let report = lab.try_restore(&RestoreRequest::new(*id), options, &unwatched).unwrap();
            assert_eq!(&lab.disk(), expected, "seed {seed}, {options:?}");
            assert!(report.receipt.is_exact() && report.refused.is_empty(), "seed {seed}: {report:?}");
            assert!(lab.reconcile().checkpoint.is_none(), "seed {seed}: the index is not of what is on disk");
            let elsewhere = lab.dir.path().join("elsewhere");
            let report = lab.repository.restore_to(&elsewhere, &RestoreRequest::new(*id), options, &unwatched).unwrap();
            assert!(report.receipt.is_exact(), "seed {seed}: {:?}", report.receipt);
            assert_eq!(&disk(&elsewhere), expected);
            fs::remove_dir_all(elsewhere).unwrap();
        }
    }
}
