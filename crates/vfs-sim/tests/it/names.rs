//! What a crash leaves of names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use vfs::{OpenMode, Vfs};
use vfs_sim::{Crash, CrashOptions, NameLoss, Sector, SimDisk, WriteLoss};

fn put(disk: &SimDisk, path: &str, data: &[u8]) {
    let file = disk.open(Path::new(path), OpenMode::OpenOrCreate).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, data).unwrap();
    file.sync_data().unwrap();
}

/// All files below `/`, `/d` and `/e`.
fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for dir in ["/", "/d", "/e"] {
        for path in disk.read_dir(Path::new(dir)).unwrap_or_default() {
            if !disk.metadata(&path).unwrap().is_dir {
                found.insert(path.to_str().unwrap().to_owned(), disk.contents(&path).unwrap());
            }
        }
    }
    found
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(name, data)| ((*name).to_owned(), data.as_bytes().to_vec())).collect()
}

/// Every outcome of many crashes.
fn outcomes(disk: &SimDisk) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
    let seeds = (0..300).map(Crash::Random);
    seeds.chain([Crash::Nothing, Crash::Everything]).map(|crash| files(&disk.crash(crash))).collect()
}

fn two_dirs() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.create_dir_all(Path::new("/e")).unwrap();
    disk
}

#[test]
fn a_synced_file_may_vanish_until_its_directory_is_synced() {
    let disk = SimDisk::new();
    put(&disk, "/a", b"1");
    assert_eq!(outcomes(&disk), BTreeSet::from([named(&[]), named(&[("/a", "1")])]));
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([named(&[("/a", "1")])]));
}

#[test]
fn a_directory_needs_its_own_name_synced_too() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    put(&disk, "/d/a", b"1");
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([named(&[]), named(&[("/d/a", "1")])]));
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([named(&[("/d/a", "1")])]));
}

#[test]
fn a_rename_leaves_the_old_state_or_the_new_and_never_neither() {
    let disk = SimDisk::new();
    put(&disk, "/a", b"old");
    put(&disk, "/tmp", b"new");
    disk.settle();
    disk.rename(Path::new("/tmp"), Path::new("/a")).unwrap();
    let old = named(&[("/a", "old"), ("/tmp", "new")]);
    let new = named(&[("/a", "new")]);
    assert_eq!(outcomes(&disk), BTreeSet::from([old, new.clone()]));
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([new]));
}

#[test]
fn a_rename_between_directories_needs_both_synced() {
    let disk = two_dirs();
    put(&disk, "/d/a", b"1");
    disk.settle();
    disk.rename(Path::new("/d/a"), Path::new("/e/b")).unwrap();
    let (old, new, both) = (named(&[("/d/a", "1")]), named(&[("/e/b", "1")]), named(&[("/d/a", "1"), ("/e/b", "1")]));
    assert_eq!(outcomes(&disk), BTreeSet::from([old.clone(), new.clone()]));

    let only_source = disk.kill();
    only_source.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(outcomes(&only_source), BTreeSet::from([old, new.clone()]));

    disk.sync_dir(Path::new("/e")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([both, new.clone()]));
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([new]));
}

#[test]
fn a_name_taken_again_keeps_the_file_that_was_renamed_away() {
    let disk = two_dirs();
    put(&disk, "/d/a", b"first");
    disk.settle();
    disk.rename(Path::new("/d/a"), Path::new("/e/b")).unwrap();
    put(&disk, "/d/a", b"second");
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([named(&[("/d/a", "second"), ("/e/b", "first")])]));
}

#[test]
fn a_removed_or_linked_name_is_either_there_or_not_until_synced() {
    let disk = SimDisk::new();
    put(&disk, "/a", b"1");
    disk.settle();
    disk.hard_link(Path::new("/a"), Path::new("/b")).unwrap();
    disk.remove_file(Path::new("/a")).unwrap();
    // No order between two names: the link may be lost and the removal not. Then the file is gone.
    let all = [named(&[("/a", "1")]), named(&[("/a", "1"), ("/b", "1")]), named(&[("/b", "1")]), named(&[])];
    assert_eq!(outcomes(&disk), BTreeSet::from(all));
}

fn options(seed: u64, names: NameLoss) -> Crash {
    let (writes, sector) = (WriteLoss::Subset, Sector::B512);
    Crash::With(CrashOptions { seed, writes, names, sector, survival: 0.5, tearing: 0.0 })
}

#[test]
fn each_model_of_name_loss_leaves_what_it_says_and_no_more() {
    let disk = two_dirs();
    disk.settle();
    for path in ["/d/1", "/e/1", "/d/2"] {
        put(&disk, path, b"");
    }
    let outcomes = |names| -> BTreeSet<String> {
        let left = (0..200).map(|seed| files(&disk.crash(options(seed, names))));
        left.map(|files| files.keys().map(|name| name.replace('/', "")).collect::<Vec<_>>().join(" ")).collect()
    };
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(outcomes(NameLoss::Journal), set(&["", "d1", "d1 e1", "d1 d2 e1"]));
    assert_eq!(outcomes(NameLoss::PerDirectory), set(&["", "d1", "d1 d2", "e1", "d1 e1", "d1 d2 e1"]));
    let all = set(&["", "d1", "d2", "e1", "d1 d2", "d1 e1", "d2 e1", "d1 d2 e1"]);
    assert_eq!(outcomes(NameLoss::PerName), all);
}

#[test]
fn with_a_journal_like_that_of_ext4_the_sync_of_any_file_saves_all_names() {
    let disk = SimDisk::new();
    disk.set_file_sync_commits_names(true);
    put(&disk, "/a", b"1");
    assert_eq!(outcomes(&disk), BTreeSet::from([named(&[("/a", "1")])]));
}

#[derive(Debug, Clone)]
enum Step {
    Move { from: usize, to: usize },
    Create { at: usize },
    Sync { dir: usize },
}

const PLACES: [&str; 6] = ["/a", "/b", "/d/a", "/d/b", "/e/a", "/e/b"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PLACES.len(), 0..PLACES.len()).prop_map(|(from, to)| Step::Move { from, to }),
        1 => (0..PLACES.len()).prop_map(|at| Step::Create { at }),
        2 => (0..3usize).prop_map(|dir| Step::Sync { dir }),
    ]
}

proptest! {
    /// Renames that replace nothing lose no file, whatever is synced in between and whatever survives.
    #[test]
    fn no_file_is_lost_by_moving_it_about(steps in prop::collection::vec(step(), 1..25), seed in any::<u64>()) {
        let disk = two_dirs();
        put(&disk, "/a", b"A");
        put(&disk, "/d/b", b"B");
        disk.settle();
        for step in &steps {
            match step {
                Step::Move { from, to } => {
                    if vfs::exists(&disk, Path::new(PLACES[*from])).unwrap()
                        && !vfs::exists(&disk, Path::new(PLACES[*to])).unwrap()
                    {
                        disk.rename(Path::new(PLACES[*from]), Path::new(PLACES[*to])).unwrap();
                    }
                }
                Step::Create { at } => {
                    disk.open(Path::new(PLACES[*at]), OpenMode::OpenOrCreate).unwrap();
                }
                Step::Sync { dir } => disk.sync_dir(Path::new(["/", "/d", "/e"][*dir])).unwrap(),
            }
        }
        let losses = [NameLoss::Journal, NameLoss::PerDirectory, NameLoss::PerName];
        let crashes = losses.iter().flat_map(|loss| (0..8).map(|n| options(seed.wrapping_add(n), *loss)));
        for crash in crashes.chain([Crash::Nothing, Crash::Everything]) {
            let left = files(&disk.crash(crash));
            for data in [b"A", b"B"] {
                prop_assert!(left.values().any(|content| content == data), "{crash:?} lost a file: {left:?}");
            }
        }
        // After all directories are synced, there is only one outcome.
        for dir in ["/e", "/d", "/"] {
            disk.sync_dir(Path::new(dir)).unwrap();
        }
        prop_assert_eq!(files(&disk.crash(Crash::Nothing)), files(&disk));
        prop_assert_eq!(files(&disk.crash(Crash::Random(seed))), files(&disk));
    }
}
