//! Which checkpoints touched a path: with and without its index, whatever happens to journal and index.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Bound;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_core::{Entry, ObjectId, RepoPath, RepoPathBuf};
use tl_journal::{Checkpoint, CheckpointId, Draft, Order, PathHistory, Reason, Repository};

use crate::lab::{Lab, path};

fn entry_at(repository: &Repository, root: &ObjectId, path: &RepoPath) -> Option<Entry> {
    let mut tree = Some(*root);
    let mut found = None;
    for name in path.components() {
        found = repository.store().get_tree(&tree?).unwrap().get(name);
        tree = found.filter(Entry::is_directory).map(|entry| entry.id);
    }
    found
}

fn touches(repository: &Repository, checkpoint: &Checkpoint, paths: &[RepoPathBuf]) -> bool {
    let parents = repository.journal().parents(checkpoint).unwrap();
    let before = parents.first().map_or(ObjectId::EMPTY_TREE, |parent| parent.root);
    paths.iter().any(|path| entry_at(repository, &before, path) != entry_at(repository, &checkpoint.root, path))
}

type Ids = (Bound<CheckpointId>, Bound<CheckpointId>);
const ALL: Ids = (Bound::Unbounded, Bound::Unbounded);

/// By looking at everything.
fn by_walking(repository: &Repository, paths: &[RepoPathBuf], range: Ids, order: Order) -> Vec<u64> {
    let walk = repository.journal().walk(range, order).unwrap().map(Result::unwrap);
    walk.filter(|checkpoint| touches(repository, checkpoint, paths)).map(|checkpoint| checkpoint.sequence).collect()
}

/// By the history, and how many it named.
fn by_history(
    repository: &Repository,
    history: &PathHistory,
    paths: &[RepoPathBuf],
    range: Ids,
    order: Order,
) -> (Vec<u64>, usize) {
    let candidates = history.candidates(repository.journal(), paths, range, order).unwrap();
    let candidates: Vec<Checkpoint> = candidates.map(Result::unwrap).collect();
    let named = candidates.len();
    let left = candidates.into_iter().filter(|checkpoint| touches(repository, checkpoint, paths));
    (left.map(|checkpoint| checkpoint.sequence).collect(), named)
}

/// Compares both for every path that ever was, for directories, for pairs, and for parts of the journal.
fn check(repository: &Repository, paths: &BTreeSet<RepoPathBuf>) {
    let history = repository.path_history();
    let ids: Vec<CheckpointId> =
        repository.journal().ids(.., Order::OldestFirst).unwrap().map(Result::unwrap).collect();
    let mut asked: Vec<Vec<RepoPathBuf>> = paths.iter().map(|path| vec![path.clone()]).collect();
    asked.push(vec![path("never/there")]);
    asked.extend(paths.iter().zip(paths.iter().rev()).take(4).map(|(a, b)| vec![a.clone(), b.clone()]));
    for (number, paths) in asked.iter().enumerate() {
        let (low, high) = (ids[number % ids.len()], ids[(number * 7 + 3) % ids.len()]);
        let part = (Bound::Included(low.min(high)), Bound::Included(low.max(high)));
        let open = (Bound::Excluded(low), Bound::Unbounded);
        let ended = (Bound::Unbounded, Bound::Excluded(high));
        for range in [ALL, part, open, ended] {
            for order in [Order::NewestFirst, Order::OldestFirst] {
                let expected = by_walking(repository, paths, range, order);
                let (found, _) = by_history(repository, &history, paths, range, order);
                assert_eq!(found, expected, "{paths:?} in {range:?} {order:?}, covered {:?}", history.covered());
            }
        }
    }
}

fn delete_some(lab: &Lab, random: &mut StdRng, share: f64) {
    let head = lab.head().id;
    let ids: Vec<CheckpointId> =
        lab.repository.journal().ids(.., Order::OldestFirst).unwrap().map(Result::unwrap).collect();
    let gone: Vec<_> = ids.into_iter().filter(|id| *id != head && random.random_bool(share)).collect();
    lab.repository.journal().delete(gone).unwrap();
}

/// Some saves: files, whole directories that come and go, files in the place of directories.
fn save_some(lab: &Lab, random: &mut StdRng, count: usize, paths: &mut BTreeSet<RepoPathBuf>) {
    for number in 0..count {
        let dir = format!("d{}", random.random_range(0..3));
        let file = format!("{dir}/s{}/f{}", random.random_range(0..2), random.random_range(0..4));
        let touched = match random.random_range(0..12) {
            0 if lab.at(&dir).is_dir() => {
                fs::remove_dir_all(lab.at(&dir)).unwrap();
                vec![dir]
            }
            1 => {
                // More than a record lists.
                let files: Vec<String> = (0..20).map(|file| format!("{dir}/many/f{file}")).collect();
                if lab.at(&dir).is_file() {
                    fs::remove_file(lab.at(&dir)).unwrap();
                }
                files.iter().for_each(|file| lab.write(file, number.to_string()));
                files
            }
            2 => {
                if lab.at(&dir).is_dir() {
                    fs::remove_dir_all(lab.at(&dir)).unwrap();
                }
                lab.write(&dir, number.to_string());
                vec![dir]
            }
            _ => {
                if lab.at(&dir).is_file() {
                    fs::remove_file(lab.at(&dir)).unwrap();
                }
                lab.write(&file, format!("{number} {}", random.random_range(0..3)));
                vec![file]
            }
        };
        for text in &touched {
            let mut at = Some(path(text));
            while let Some(found) = at.filter(|found| !found.is_root()) {
                at = found.parent().map(RepoPath::to_owned);
                paths.insert(found);
            }
        }
        lab.update(&touched);
    }
}

fn file(lab: &Lab) -> PathBuf {
    lab.repository.config().store_dir.join("state/path_history.cartridge")
}

/// If it fails, `tl log PATH` leaves a state out, or shows one that is gone.
#[test]
fn the_history_of_every_path_is_what_a_walk_over_everything_finds() {
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let lab = Lab::new();
        let mut paths = BTreeSet::new();
        for round in 0..6 {
            save_some(&lab, &mut random, 25, &mut paths);
            if round != 3 {
                let report = lab.repository.build_path_history().unwrap();
                assert_eq!(report.from_start, round == 0, "the one before is the base");
                assert_eq!(lab.repository.path_history().covered(), Some(lab.head().sequence));
            }
            if round > 1 {
                save_some(&lab, &mut random, 5, &mut paths);
                check(&lab.repository, &paths);
                delete_some(&lab, &mut random, 0.4);
            }
            check(&lab.repository, &paths);
        }
        // What was brought forward over all of that, and what is made anew.
        lab.repository.build_path_history().unwrap();
        check(&lab.repository, &paths);
        fs::remove_file(file(&lab)).unwrap();
        assert!(lab.repository.build_path_history().unwrap().from_start);
        check(&lab.repository, &paths);
    }
}

/// If it fails, the index does not spare the walk, which is what it is for.
#[test]
fn few_checkpoints_are_named_for_a_path_that_few_touched() {
    let lab = Lab::new();
    for number in 0..200 {
        lab.write(&format!("dir{}/file", number % 50), number.to_string());
        lab.update([format!("dir{}/file", number % 50)]);
    }
    lab.repository.build_path_history().unwrap();
    let history = lab.repository.path_history();
    let asked = [path("dir7/file")];
    let (found, named) = by_history(&lab.repository, &history, &asked, ALL, Order::NewestFirst);
    assert_eq!((found.len(), named), (4, 4));
    // Those of the tail are named, all of them.
    lab.write("dir1/file", "tail");
    lab.update(["dir1/file"]);
    let (found, named) = by_history(&lab.repository, &history, &asked, ALL, Order::OldestFirst);
    assert_eq!((found.len(), named), (4, 5));
}

/// If it fails, the history grows with every checkpoint that ever was, and not with those that are left.
#[test]
fn what_was_thinned_leaves_the_history_when_it_is_brought_forward() {
    let lab = Lab::new();
    for number in 0..300 {
        lab.write(&format!("d/f{}", number % 3), number.to_string());
        lab.update([format!("d/f{}", number % 3)]);
    }
    // Each file and that something in its directory was touched; and the directory, when it was new.
    assert_eq!(lab.repository.build_path_history().unwrap().entries, 601);
    delete_some(&lab, &mut StdRng::seed_from_u64(9), 0.9);
    let left = lab.repository.journal().count();
    let after = lab.repository.build_path_history().unwrap();
    // A checkpoint that is left has what it touched, and before it may stand one touch of each of four paths by what is gone.
    assert!(!after.from_start && after.entries <= 6 * left, "{left} checkpoints, {after:?}");
    check(&lab.repository, &["d", "d/f0", "d/f1", "d/f2"].into_iter().map(path).collect());
}

/// If it fails, a damaged file costs answers, or stays.
#[test]
fn a_damaged_history_costs_nothing_but_time_and_is_built_again() {
    let lab = Lab::new();
    let mut random = StdRng::seed_from_u64(1);
    let mut paths = BTreeSet::new();
    save_some(&lab, &mut random, 60, &mut paths);
    lab.repository.build_path_history().unwrap();
    save_some(&lab, &mut random, 3, &mut paths);
    let file = file(&lab);
    let intact = fs::read(&file).unwrap();
    let mut found_damaged = 0;
    for at in (0..intact.len()).step_by(intact.len() / 40) {
        let mut damaged = intact.clone();
        damaged[at] ^= 0x21;
        // A file of its own, as it would be after damage at rest: an open one stays.
        fs::remove_file(&file).unwrap();
        fs::write(&file, damaged).unwrap();
        check(&lab.repository, &paths);
        found_damaged += u32::from(lab.repository.path_history_is_damaged());
    }
    assert!(found_damaged > 0, "damage behind the header was met");
    for content in [&intact[..intact.len() / 2], &[], b"text"] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, content).unwrap();
        assert_eq!(lab.repository.path_history().covered(), None);
        check(&lab.repository, &paths);
    }
    assert!(lab.repository.build_path_history().unwrap().from_start);
    assert!(!lab.repository.path_history_is_damaged());
    check(&lab.repository, &paths);
}

/// If it fails, an index of states that were never durable, or of another store, hides those that took their numbers.
#[test]
fn a_history_of_another_past_is_not_used() {
    let mut lab = Lab::new();
    let mut random = StdRng::seed_from_u64(2);
    let mut paths = BTreeSet::new();
    save_some(&lab, &mut random, 20, &mut paths);
    let config = lab.repository.config().clone();
    let kept = lab.dir.path().join("kept");
    lab.close();
    copy(&config.store_dir, &kept);
    lab.open_again(config.clone());
    save_some(&lab, &mut random, 30, &mut paths);
    lab.repository.build_path_history().unwrap();
    let ahead = fs::read(file(&lab)).unwrap();

    // The store as it was before, with the file of what came then.
    lab.close();
    fs::remove_dir_all(&config.store_dir).unwrap();
    copy(&kept, &config.store_dir);
    lab.open_again(config);
    fs::create_dir_all(file(&lab).parent().unwrap()).unwrap();
    fs::write(file(&lab), ahead).unwrap();
    assert_eq!(lab.repository.path_history().covered(), None, "it is ahead of the journal");
    for _ in 0..3 {
        save_some(&lab, &mut random, 40, &mut paths);
        assert_eq!(lab.repository.path_history().covered(), None, "the numbers are those of other checkpoints");
        check(&lab.repository, &paths);
        delete_some(&lab, &mut random, 0.5);
        assert_eq!(lab.repository.path_history().covered(), None);
    }
    assert!(lab.repository.build_path_history().unwrap().from_start);
    check(&lab.repository, &paths);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// If it fails, the checkpoint of a repair, which lists what it found and not what differs, hides what was removed before it.
#[test]
fn what_is_no_list_of_differences_is_not_taken_for_one() {
    let lab = Lab::new();
    lab.write("a", "1");
    let without = lab.update(["a"]).checkpoint.unwrap();
    lab.write("b", "1");
    lab.update(["b"]);
    let listed = tl_journal::Touched { listed: vec![path("a")], more: false };
    let parents = vec![lab.head().id];
    let draft = Draft { parents, touched: listed, ..Draft::new(Reason::Startup, without.root) };
    let vfs = &*lab.repository.config().vfs;
    lab.repository.journal().append(draft, vfs, granite::Durability::Buffered).unwrap();
    lab.repository.build_path_history().unwrap();
    check(&lab.repository, &["a", "b"].into_iter().map(path).collect());
    let history = lab.repository.path_history();
    assert_eq!(by_history(&lab.repository, &history, &[path("b")], ALL, Order::OldestFirst).0, [2, 3]);
}

/// If it fails, what the log takes for a list of differences is none.
#[test]
fn a_list_of_differences_is_exactly_that() {
    let lab = Lab::new();
    let mut random = StdRng::seed_from_u64(5);
    let mut paths = BTreeSet::new();
    save_some(&lab, &mut random, 150, &mut paths);
    let mut lists = 0;
    for checkpoint in lab.repository.journal().walk(.., Order::OldestFirst).unwrap().map(Result::unwrap) {
        if checkpoint.lists_exactly() {
            lists += 1;
            assert!(checkpoint.lists_all());
            for listed in &checkpoint.touched.listed {
                assert!(
                    touches(&lab.repository, &checkpoint, std::slice::from_ref(listed)),
                    "{listed} in {checkpoint:?}"
                );
            }
            for path in &paths {
                let is_listed =
                    checkpoint.touched.listed.iter().any(|listed| listed.starts_with(path) || path.starts_with(listed));
                assert!(
                    is_listed || !touches(&lab.repository, &checkpoint, std::slice::from_ref(path)),
                    "{path} in {checkpoint:?}"
                );
            }
        }
    }
    assert!(lists > 50);
}

/// If it fails, a position that was thinned makes the history useless, and it is built for nothing.
#[test]
fn a_history_whose_last_checkpoint_was_thinned_is_still_used() {
    let lab = Lab::new();
    let mut random = StdRng::seed_from_u64(3);
    let mut paths = BTreeSet::new();
    save_some(&lab, &mut random, 30, &mut paths);
    lab.repository.build_path_history().unwrap();
    let last = lab.head();
    save_some(&lab, &mut random, 10, &mut paths);
    lab.repository.journal().delete([last.id]).unwrap();
    assert_eq!(lab.repository.path_history().covered(), Some(last.sequence));
    check(&lab.repository, &paths);
}

/// If it fails, purged contents stay in the index, or a purge takes the names of what it purged out of the history.
#[test]
fn a_purge_finds_no_content_in_the_history_and_leaves_the_names() {
    let lab = Lab::new();
    lab.write("keep", "something else");
    lab.write("secret/key", "a secret that must not be found anywhere");
    lab.reconcile();
    lab.write("keep", "something else again");
    lab.update(["keep"]);
    lab.repository.build_path_history().unwrap();
    let report = lab.repository.purge(&[path("secret/key")]).unwrap();
    assert_eq!((report.purged.len(), report.found_in), (1, Vec::new()));
    let history = lab.repository.path_history();
    assert_eq!(history.covered(), Some(lab.head().sequence));
    let asked = [path("secret/key")];
    assert_eq!(by_history(&lab.repository, &history, &asked, ALL, Order::NewestFirst).0, [1]);
}

/// If it fails, a program that reads a store beside others cannot use the history, or changes it.
#[test]
fn a_store_that_is_open_for_reading_uses_the_history_and_builds_none() {
    let mut lab = Lab::new();
    let mut random = StdRng::seed_from_u64(4);
    let mut paths = BTreeSet::new();
    save_some(&lab, &mut random, 30, &mut paths);
    lab.repository.build_path_history().unwrap();
    let covered = lab.head().sequence;
    let config = lab.repository.config().clone();
    lab.close();
    let reader = Repository::open_read_only(config).unwrap();
    assert_eq!(reader.path_history().covered(), Some(covered));
    check(&reader, &paths);
    assert!(reader.build_path_history().is_err());
}
