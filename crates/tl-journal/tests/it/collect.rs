//! Collection: what goes, what stays, and what a writer beside it must not notice.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_core::{EntryKind, ObjectId};
use tl_journal::{
    CheckpointId, CollectRequest, Error, EvictReason, Eviction, KeepReason, Order, Repository, RetentionPolicy,
};

use crate::lab::{Lab, dirty, request};

/// The newest few and nothing else.
fn newest(newest: usize) -> CollectRequest {
    let zero = Duration::ZERO;
    let policy = RetentionPolicy {
        newest,
        dense_for: zero,
        hourly_for: zero,
        daily_for: Some(zero),
        keep_imported: false,
        budget_bytes: None,
    };
    CollectRequest { policy, dry_run: false }
}

fn ids(repository: &Repository) -> Vec<CheckpointId> {
    repository.journal().ids(.., Order::OldestFirst).unwrap().map(Result::unwrap).collect()
}

/// Every object that a checkpoint needs, each read and checked.
fn needed(repository: &Repository) -> BTreeSet<ObjectId> {
    let store = repository.store();
    store.trim();
    let mut needed = BTreeSet::new();
    for checkpoint in repository.journal().walk(.., Order::OldestFirst).unwrap() {
        let checkpoint = checkpoint.unwrap();
        for root in [Some(checkpoint.root), checkpoint.saved].into_iter().flatten() {
            let mut waiting = vec![root];
            while let Some(tree) = waiting.pop() {
                if tree == ObjectId::EMPTY_TREE || !needed.insert(tree) {
                    continue;
                }
                for found in store.get_tree(&tree).unwrap().iter() {
                    match found.entry.kind {
                        EntryKind::Directory => waiting.push(found.entry.id),
                        _ if needed.insert(found.entry.id) => {
                            let content = store.get_blob(&found.entry.id, 1 << 30).unwrap();
                            assert_eq!(content.len() as u64, found.entry.size);
                            store
                                .for_each_chunk(&found.entry.id, |chunk| {
                                    needed.insert(*chunk);
                                })
                                .unwrap();
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    needed
}

/// Every object that is stored, without the store's header.
fn stored(repository: &Repository) -> BTreeSet<ObjectId> {
    let objects = repository.db().existing_keyspace("objects").unwrap();
    let keys = objects.scan::<&[u8], _>(..).unwrap().map(|entry| entry.unwrap().0);
    keys.filter(|key| key.iter().any(|byte| *byte != 0))
        .map(|key| ObjectId::from_bytes(key.as_slice().try_into().unwrap()))
        .collect()
}

#[test]
fn what_goes_is_told_and_what_stays_reads() {
    let lab = Lab::new();
    let mut all = Vec::new();
    for number in 0..10 {
        lab.write("d/f", format!("state {number}"));
        all.push(lab.update(["d/f"]).checkpoint.unwrap().id);
    }
    let journal = lab.repository.journal();
    journal.pin("good", all[2], Duration::ZERO).unwrap();
    journal.mark_published(all[4], "refs/heads/main", b"commit").unwrap();
    let lease = lab.repository.lease([all[5]], []).unwrap();

    let dry = CollectRequest { dry_run: true, ..newest(2) };
    let would = lab.repository.collect(&dry).unwrap();
    assert_eq!(ids(&lab.repository), all, "a dry run does nothing");

    let report = lab.repository.collect(&newest(2)).unwrap();
    assert_eq!(report.plan.kept[&KeepReason::Head], 1);
    assert_eq!(report.plan.kept[&KeepReason::Newest], 1);
    for held in [KeepReason::Pinned, KeepReason::Published, KeepReason::Leased] {
        assert_eq!(report.plan.kept[&held], 1, "{held:?}");
    }
    assert_eq!(report.plan.evictions, would.plan.evictions);
    // A blob and two trees each.
    assert_eq!((report.checkpoints_deleted, report.objects_dropped, would.objects_dropped), (5, 15, 15));
    assert!(report.bytes_dropped > 0);
    assert_eq!(ids(&lab.repository), [all[2], all[4], all[5], all[8], all[9]]);
    assert_eq!(stored(&lab.repository), needed(&lab.repository));

    drop(lease);
    assert!(matches!(lab.repository.lease([all[0]], []), Err(Error::NoCheckpoint { .. })));
    assert_eq!(lab.repository.collect(&newest(2)).unwrap().checkpoints_deleted, 1);
    assert_eq!(lab.repository.collect(&newest(2)).unwrap().objects_dropped, 0);
    assert_eq!(lab.reconcile().checkpoint, None);
}

#[test]
fn there_is_one_collection_at_a_time() {
    let lab = Lab::new();
    lab.reconcile();
    let lock = lab.dir.path().join("store/locks/gc");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let other = fs::File::create(&lock).unwrap();
    other.lock().unwrap();
    assert!(matches!(lab.repository.collect(&newest(1)), Err(Error::Busy { .. })));
    drop(other);
    lab.repository.collect(&newest(1)).unwrap();
}

#[test]
fn over_its_budget_a_store_loses_the_oldest_and_says_so() {
    let lab = Lab::new();
    let mut random = StdRng::seed_from_u64(1);
    let mut all = Vec::new();
    for _ in 0..40 {
        let bytes: Vec<u8> = (0..50_000).map(|_| random.random()).collect();
        lab.write("f", bytes);
        all.push(lab.update(["f"]).checkpoint.unwrap().id);
    }
    lab.repository.journal().pin("kept", all[0], Duration::ZERO).unwrap();
    let policy = RetentionPolicy { budget_bytes: Some(1 << 20), ..RetentionPolicy::default() };
    let would = lab.repository.collect(&CollectRequest { policy: policy.clone(), dry_run: true }).unwrap();
    assert_eq!(ids(&lab.repository), all, "a dry run does nothing");
    let report = lab.repository.collect(&CollectRequest { policy: policy.clone(), dry_run: false }).unwrap();
    let evicted = &report.plan.evictions;
    // What each frees is an estimate, which moves a little with what is in memory.
    let ids_of = |evictions: &[Eviction]| evictions.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids_of(&would.plan.evictions), ids_of(evicted));
    // 2 MB have to become 1.
    assert!((15..30).contains(&evicted.len()), "{}", evicted.len());
    assert!(evicted.iter().all(|one| matches!(one.reason, EvictReason::OverBudget { bytes, .. } if bytes > 40_000)));
    let oldest_first: Vec<_> = evicted.iter().map(|one| one.id).collect();
    assert_eq!(oldest_first, &all[1..=evicted.len()], "the pinned one stays");
    assert!(report.bytes_dropped > 15 * 50_000, "{report:?}");
    assert_eq!(stored(&lab.repository), needed(&lab.repository));
    let again = lab.repository.collect(&CollectRequest { policy, dry_run: false }).unwrap();
    assert_eq!(again.plan.evictions, [], "a budget that is kept costs nothing more");

    let impossible = RetentionPolicy { budget_bytes: Some(1), ..RetentionPolicy::default() };
    let report = lab.repository.collect(&CollectRequest { policy: impossible, dry_run: false }).unwrap();
    assert_eq!(ids(&lab.repository), [all[0], all[39]]);
    assert!(report.plan.over_budget_bytes > 0);
}

/// If it fails, somebody's state is gone while they watch, or the disk fills with what nobody needs.
#[test]
fn a_writer_beside_the_collector_loses_nothing() {
    let rounds = if std::env::var_os("TL_LONG").is_some() { 2000 } else { 120 };
    let lab = Lab::new();
    for number in 0..30 {
        lab.write(&format!("d{}/f{number}", number % 5), format!("{number}"));
    }
    lab.reconcile();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = StdRng::seed_from_u64(7);
            for _ in 0..rounds {
                let mut paths = Vec::new();
                for _ in 0..random.random_range(1..6) {
                    let number = random.random_range(0..30);
                    let name = format!("d{}/f{number}", number % 5);
                    if random.random_bool(0.2) {
                        // It is there or not: either way it is gone then.
                        drop(fs::remove_file(lab.at(&name)));
                    } else {
                        // Few contents, so that what was dropped comes back.
                        lab.write(&name, format!("{}", random.random_range(0..8)).repeat(random.random_range(1..400)));
                    }
                    paths.push(name);
                }
                lab.repository.update(&dirty(paths), &request()).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let mut random = StdRng::seed_from_u64(8);
            while !done.load(Ordering::Acquire) {
                lab.repository.collect(&newest(random.random_range(1..5))).unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                // What is leased reads as a whole, whatever goes on around it.
                let head = lab.head();
                if let Ok(_lease) = lab.repository.lease([head.id], []) {
                    for (path, entry) in lab.tree(&head.root) {
                        if entry.kind == EntryKind::File {
                            let content = lab.repository.store().get_blob(&entry.id, 1 << 30);
                            assert!(content.is_ok(), "{path}: {content:?}");
                        }
                    }
                }
            }
        });
    });
    lab.repository.collect(&newest(3)).unwrap();
    assert_eq!(stored(&lab.repository), needed(&lab.repository));
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    assert_eq!(lab.reconcile().checkpoint, None);
}
