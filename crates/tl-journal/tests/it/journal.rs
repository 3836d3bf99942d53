//! The journal against an ordered map, at one size and at another, and after a reopen.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use granite::{Background, Db, Durability, Options};
use proptest::prelude::*;
use tl_core::ObjectId;
use tl_journal::{Checkpoint, CheckpointId, Draft, Error, Journal, Order, Reason};
use vfs::Vfs;
use vfs_sim::SimDisk;

pub(crate) fn open_db(disk: &SimDisk) -> Db {
    let options = Options::new().vfs(Arc::new(disk.clone())).background(Background::Inline).memory_budget(4 << 20);
    Db::open(Path::new("/db"), &options).unwrap()
}

fn draft(number: u64, reason: Reason) -> Draft {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&number.to_be_bytes());
    Draft::new(reason, ObjectId::from_bytes(root))
}

#[derive(Debug, Clone)]
enum Step {
    /// Parents are taken from the survivors by these indexes.
    Append {
        import: bool,
        parents: Vec<prop::sample::Index>,
        clock: i32,
    },
    Delete(Vec<prop::sample::Index>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (prop::bool::weighted(0.2), prop::collection::vec(any::<prop::sample::Index>(), 0..3), -2000i32..5000)
            .prop_map(|(import, parents, clock)| Step::Append { import, parents, clock }),
        3 => prop::collection::vec(any::<prop::sample::Index>(), 1..6).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the journal must be, kept in the plainest way.
#[derive(Debug, Default)]
struct Model {
    left: BTreeMap<CheckpointId, Checkpoint>,
    head: Option<CheckpointId>,
    last_sequence: u64,
}

impl Model {
    /// The parents that are left, by the rule of the format document.
    fn parents(&self, child: &Checkpoint) -> Vec<CheckpointId> {
        let mut found = Vec::new();
        for parent in &child.parents {
            let stands_for = match self.left.get(parent) {
                Some(parent) => Some(parent.id),
                None => (self.left.range(..parent).rev())
                    .find(|(_, older)| (older.reason == Reason::Import) == (child.reason == Reason::Import))
                    .map(|(id, _)| *id),
            };
            found.extend(stands_for.filter(|id| !found.contains(id)));
        }
        found
    }

    fn ancestors(&self, of: CheckpointId) -> Vec<CheckpointId> {
        let mut all = vec![of];
        let mut next = 0;
        while let Some(id) = all.get(next) {
            for parent in self.parents(&self.left[id]) {
                if !all.contains(&parent) {
                    all.push(parent);
                }
            }
            next += 1;
        }
        all.sort_by(|a, b| b.cmp(a));
        all
    }
}

fn check(journal: &Journal, model: &Model, disk: &SimDisk) {
    let all: Vec<Checkpoint> = model.left.values().cloned().collect();
    let found: Vec<_> = journal.walk(.., Order::OldestFirst).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, all);
    let mut newest_first: Vec<_> = journal.walk(.., Order::NewestFirst).unwrap().map(Result::unwrap).collect();
    newest_first.reverse();
    assert_eq!(newest_first, all);
    assert_eq!(journal.count(), all.len() as u64);
    assert_eq!(journal.last_sequence(), model.last_sequence);
    assert_eq!(journal.head().map(|head| head.id), model.head);
    assert_eq!(journal.latest().unwrap().as_ref(), all.last());
    assert_eq!(journal.last_n(3).unwrap(), all.iter().rev().take(3).cloned().collect::<Vec<_>>());
    let ids: Vec<_> = journal.ids(.., Order::NewestFirst).unwrap().map(Result::unwrap).collect();
    assert_eq!(ids, model.left.keys().rev().copied().collect::<Vec<_>>());
    for checkpoint in &all {
        assert_eq!(journal.get(checkpoint.id).unwrap().as_ref(), Some(checkpoint));
        assert_eq!(journal.get_by_sequence(checkpoint.sequence).unwrap().as_ref(), Some(checkpoint));
    }
    if let Some(middle) = all.get(all.len() / 2) {
        let after: Vec<_> = journal.since(middle.sequence).unwrap().map(Result::unwrap).collect();
        assert_eq!(after, all[all.len() / 2 + 1..]);
        let until_now = journal.range(middle.id.time(), disk.now() + Duration::from_secs(100), Order::OldestFirst);
        let expected: Vec<_> = all.iter().filter(|one| one.id.time() >= middle.id.time()).cloned().collect();
        assert_eq!(until_now.unwrap().map(Result::unwrap).collect::<Vec<_>>(), expected);
        let ancestors: Vec<_> = journal.ancestors(middle.id).unwrap().map(|found| found.unwrap().id).collect();
        assert_eq!(ancestors, model.ancestors(middle.id));
        for other in all.iter().rev().take(3) {
            let theirs = model.ancestors(other.id);
            let common = ancestors.iter().find(|id| theirs.contains(id)).copied();
            let found = journal.common_ancestor(middle.id, other.id).unwrap();
            assert_eq!(found.map(|found| found.id), common);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// If it fails, some state cannot be found, or another is found in its place.
    #[test]
    fn the_journal_is_an_ordered_map_with_a_memory(steps in steps()) {
        let disk = SimDisk::new();
        let mut db = open_db(&disk);
        let mut journal = Journal::open(&db).unwrap();
        let mut model = Model::default();
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Append { import, parents, clock } => {
                    let now = i64::try_from(disk.now().as_millis()).unwrap() + i64::from(clock);
                    disk.set_now(Duration::from_millis(now as u64));
                    let mut draft = draft(number, if import { Reason::Import } else { Reason::FsBatch });
                    let left: Vec<_> = model.left.keys().copied().collect();
                    if !left.is_empty() {
                        draft.parents = parents.iter().map(|index| *index.get(&left)).collect();
                    }
                    let added = journal.append(draft.clone(), &disk, Durability::Buffered).unwrap();
                    model.last_sequence += 1;
                    prop_assert_eq!(added.sequence, model.last_sequence);
                    prop_assert!(model.left.keys().all(|id| *id < added.id));
                    prop_assert_eq!(added.root, draft.root);
                    if !import {
                        model.head = Some(added.id);
                    }
                    model.left.insert(added.id, added);
                }
                Step::Delete(indexes) => {
                    let left: Vec<_> = model.left.keys().copied().filter(|id| Some(*id) != model.head).collect();
                    if !left.is_empty() {
                        let ids: std::collections::BTreeSet<_> = indexes.iter().map(|index| *index.get(&left)).collect();
                        prop_assert_eq!(journal.delete(ids.iter().copied()).unwrap(), ids.len() as u64);
                        model.left.retain(|id, _| !ids.contains(id));
                    }
                }
                Step::Reopen => {
                    drop(journal);
                    drop(db);
                    db = open_db(&disk);
                    journal = Journal::open(&db).unwrap();
                }
            }
        }
        check(&journal, &model, &disk);
    }
}

#[test]
fn what_is_needed_is_not_deleted() {
    let disk = SimDisk::new();
    let db = open_db(&disk);
    let journal = Journal::open(&db).unwrap();
    let add = |number| journal.append(draft(number, Reason::FsBatch), &disk, Durability::Buffered).unwrap().id;
    let (plain, pinned, published, head) = (add(1), add(2), add(3), add(4));
    journal.pin("v1", pinned, disk.now()).unwrap();
    journal.mark_published(published, "refs/heads/x", b"commit").unwrap();
    for kept in [pinned, published, head] {
        assert!(matches!(journal.delete([plain, kept]), Err(Error::Kept { id, .. }) if id == kept));
    }
    assert_eq!(journal.count(), 4, "a refused deletion deletes nothing");
    assert!(journal.unpin("v1").unwrap());
    assert!(!journal.unpin("v1").unwrap());
    assert_eq!(journal.delete([plain, pinned]).unwrap(), 2);
    assert_eq!(journal.delete([plain]).unwrap(), 0);
    assert!(matches!(journal.pin("gone", pinned, disk.now()), Err(Error::NoCheckpoint { .. })));
}

#[test]
fn labels_and_sessions_follow_their_checkpoints() {
    let disk = SimDisk::new();
    let db = open_db(&disk);
    let journal = Journal::open(&db).unwrap();
    let add = |session: Option<&str>| {
        let mut draft = draft(1, Reason::FsBatch);
        draft.provenance.session = session.map(str::to_owned);
        draft.provenance.label = Some("from the record".into());
        journal.append(draft, &disk, Durability::Buffered).unwrap()
    };
    let (first, second, third) = (add(Some("agent")), add(Some("agent")), add(None));
    assert_eq!(journal.newest_of_session("agent").unwrap(), Some(second.clone()));
    journal.delete([second.id]).unwrap();
    assert_eq!(journal.newest_of_session("agent").unwrap(), Some(first));
    assert_eq!(journal.newest_of_session("age").unwrap(), None);

    assert_eq!(journal.label(&third).unwrap().as_deref(), Some("from the record"));
    journal.set_label(third.id, "later").unwrap();
    assert_eq!(journal.label(&third).unwrap().as_deref(), Some("later"));
    journal.set_label(third.id, "").unwrap();
    assert_eq!(journal.label(&third).unwrap(), None);
}

/// An id that is given out twice would name two states.
#[test]
fn an_append_that_fails_leaves_the_journal_as_it_was() {
    let disk = SimDisk::new();
    let db = open_db(&disk);
    let journal = Journal::open(&db).unwrap();
    let first = journal.append(draft(1, Reason::FsBatch), &disk, Durability::Sync).unwrap();
    let mut orphan = draft(2, Reason::FsBatch);
    orphan.parents = vec![CheckpointId::MIN];
    assert!(matches!(journal.append(orphan, &disk, Durability::Sync), Err(Error::NoCheckpoint { .. })));
    assert_eq!((journal.count(), journal.head()), (1, Some(first.clone())));
    let second = journal.append(draft(3, Reason::FsBatch), &disk, Durability::Sync).unwrap();
    assert_eq!(second.sequence, first.sequence + 1);
}
