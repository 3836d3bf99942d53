//! Any operations against a map: the same answers, in transactions, in snapshots, in the past, after restarts.

use std::collections::BTreeMap;

use northstar::{Database, Durability, Options, Reader, Retention, Snapshot, Tree, TxnId};
use proptest::prelude::*;
use vfs_sim::SimDisk;

use crate::basics::{assert_sound, options};

pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone)]
pub enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
    Clear,
    Savepoint,
    RollBack,
}

/// Bytes as a failing case shows them.
fn shown(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if bytes.len() > 12 && rest.iter().all(|byte| byte == first) => {
            format!("{first} x {}", bytes.len())
        }
        _ => String::from_utf8_lossy(bytes).escape_debug().to_string(),
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({} = {})", shown(key), shown(value)),
            Self::Delete(key) => write!(f, "Delete({})", shown(key)),
            Self::DeleteRange(low, high) => write!(f, "DeleteRange({} ..= {})", shown(low), shown(high)),
            Self::Clear => f.write_str("Clear"),
            Self::Savepoint => f.write_str("Savepoint"),
            Self::RollBack => f.write_str("RollBack"),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    Transaction {
        steps: Vec<Step>,
        commits: bool,
        durable: bool,
    },
    Checkpoint,
    Restart,
    Hold,
    LetGo,
    Compact,
    /// Another process looks, and keeps what it saw.
    Foreign,
    ForeignLetGo,
}

pub fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u16..400).prop_map(|n| format!("key/{n:04}").into_bytes()),
        2 => prop::collection::vec(0u8..4, 0..6),
        1 => (0u8..5, 200usize..900).prop_map(|(n, len)| vec![n; len]),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..120),
        2 => (any::<u8>(), 500usize..2000).prop_map(|(n, len)| vec![n; len]),
        1 => (any::<u8>(), 4000usize..30_000).prop_map(|(n, len)| vec![n; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        14 => key().prop_map(Step::Delete),
        2 => (key(), key()).prop_map(|(a, b)| Step::DeleteRange(a.clone().min(b.clone()), a.max(b))),
        1 => Just(Step::Clear),
        2 => Just(Step::Savepoint),
        2 => Just(Step::RollBack),
    ]
}

pub fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        20 => (prop::collection::vec(step(), 1..60), prop::bool::weighted(0.9), any::<bool>())
            .prop_map(|(steps, commits, durable)| Action::Transaction { steps, commits, durable }),
        4 => Just(Action::Checkpoint),
        2 => Just(Action::Restart),
        2 => Just(Action::Hold),
        2 => Just(Action::LetGo),
        1 => Just(Action::Compact),
        4 => Just(Action::Foreign),
        2 => Just(Action::ForeignLetGo),
    ]
}

pub fn contents(snapshot: &Snapshot) -> Model {
    snapshot
        .range::<Vec<u8>>(Tree::DEFAULT, ..)
        .unwrap()
        .map(|entry| entry.map(|entry| (entry.key, entry.value.to_vec())).unwrap())
        .collect()
}

/// Runs one transaction on both sides.
pub fn transact(
    db: &Database,
    model: &mut Model,
    steps: &[Step],
    commits: bool,
    durable: bool,
) -> northstar::Result<TxnId> {
    let mut new = model.clone();
    let mut saved: Vec<(northstar::Savepoint, Model)> = Vec::new();
    let mut txn = db.begin()?;
    for step in steps {
        match step {
            Step::Put(key, value) => {
                assert_eq!(txn.put(Tree::DEFAULT, key, value)?, new.insert(key.clone(), value.clone()).is_some());
                assert_eq!(*txn.get(Tree::DEFAULT, key)?.unwrap(), **value);
            }
            Step::Delete(key) => {
                assert_eq!(txn.delete(Tree::DEFAULT, key)?, new.remove(key).is_some());
                assert!(!txn.contains(Tree::DEFAULT, key)?);
            }
            Step::DeleteRange(low, high) => {
                let doomed: Vec<_> = new.range(low.clone()..=high.clone()).map(|(key, _)| key.clone()).collect();
                assert_eq!(txn.delete_range(Tree::DEFAULT, low.clone()..=high.clone())?, doomed.len() as u64);
                doomed.iter().for_each(|key| drop(new.remove(key)));
            }
            Step::Clear => {
                txn.clear_tree(Tree::DEFAULT)?;
                new.clear();
            }
            Step::Savepoint => saved.push((txn.savepoint()?, new.clone())),
            Step::RollBack => {
                if let Some((savepoint, model)) = saved.last() {
                    txn.roll_back_to(savepoint)?;
                    new = model.clone();
                }
            }
        }
        assert_eq!(txn.len(Tree::DEFAULT)?, new.len() as u64);
    }
    let inside: Model = txn
        .range::<Vec<u8>>(Tree::DEFAULT, ..)?
        .map(|entry| entry.map(|entry| (entry.key, entry.value.to_vec())))
        .collect::<northstar::Result<_>>()?;
    assert_eq!(inside, new);
    if !commits {
        txn.abort();
        return Ok(db.snapshot().txn());
    }
    let done = txn.commit_with(if durable { Durability::Sync } else { Durability::Buffered })?;
    *model = new;
    Ok(done)
}

fn small(disk: &SimDisk, retention: u64) -> Options {
    options(disk)
        .memory_budget(northstar::MIN_MEMORY_BUDGET)
        .checkpoint_log_len(60_000)
        .segment_len(100_000)
        .retention(Retention { transactions: retention, ..Retention::default() })
}

fn run(actions: &[Action], retention: u64) {
    let disk = SimDisk::new();
    let mut db = Database::open("/db", small(&disk, retention)).unwrap();
    let mut model = Model::new();
    let mut history: BTreeMap<TxnId, Model> = BTreeMap::from([(TxnId(0), Model::new())]);
    let mut held: Vec<Snapshot> = Vec::new();
    let mut foreign: Option<Reader> = None;
    let mut foreign_held: Vec<Snapshot> = Vec::new();
    for action in actions {
        match action {
            Action::Transaction { steps, commits, durable } => {
                let txn = transact(&db, &mut model, steps, *commits, *durable).unwrap();
                history.insert(txn, model.clone());
            }
            Action::Checkpoint => db.checkpoint().unwrap(),
            Action::Restart => {
                held.clear();
                drop(db);
                db = Database::open("/db", small(&disk, retention)).unwrap();
            }
            Action::Hold => held.push(db.snapshot()),
            Action::LetGo => drop(held.pop()),
            Action::Compact => drop(db.compact().unwrap()),
            Action::Foreign => {
                let reader = foreign.get_or_insert_with(|| Reader::open("/db", &small(&disk, retention)).unwrap());
                let seen = reader.refresh().unwrap();
                assert_eq!(seen, db.snapshot().txn());
                assert_eq!(contents(&reader.snapshot()), model);
                foreign_held.push(reader.snapshot());
            }
            Action::ForeignLetGo => {
                foreign_held.pop();
                if foreign_held.len().is_multiple_of(2) {
                    foreign = None;
                }
            }
        }
        assert_eq!(contents(&db.snapshot()), model);
        // A compaction commits transactions of its own, which change no entry.
        let known = *history.last_key_value().unwrap().0;
        (known.0 + 1..=db.snapshot().txn().0).for_each(|txn| drop(history.insert(TxnId(txn), model.clone())));
        for snapshot in held.iter().chain(&foreign_held) {
            assert_eq!(&contents(snapshot), &history[&snapshot.txn()], "a snapshot has changed");
        }
        assert_sound(&db);
    }
    let newest = db.snapshot().txn().0;
    for txn in newest.saturating_sub(retention)..=newest {
        let Some(model) = history.get(&TxnId(txn)) else { continue };
        assert_eq!(&contents(&db.as_of(TxnId(txn)).unwrap()), model, "the state {txn} of the past is another");
    }
    let snapshots: Vec<_> = held.iter().cloned().chain([db.snapshot()]).collect();
    for pair in snapshots.windows(2) {
        let mut changed = history[&pair[0].txn()].clone();
        for difference in pair[1].changes_since(&pair[0], Tree::DEFAULT) {
            let difference = difference.unwrap();
            assert_eq!(difference.before.map(|value| value.to_vec()), changed.get(&difference.key).cloned());
            match difference.after {
                Some(value) => drop(changed.insert(difference.key, value.to_vec())),
                None => drop(changed.remove(&difference.key)),
            }
        }
        assert_eq!(changed, history[&pair[1].txn()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// Answers would be wrong, snapshots would change, pages would be lost or given out twice.
    #[test]
    fn a_database_is_a_map_at_each_transaction(actions in prop::collection::vec(action(), 1..40), retention in prop_oneof![Just(0u64), Just(10), Just(1000)]) {
        run(&actions, retention);
    }

    /// A scan from both ends would meet wrongly, or leave out its bounds.
    #[test]
    fn ranges_are_those_of_a_map(
        keys in prop::collection::btree_set(key(), 0..200),
        low in prop::option::of((key(), any::<bool>())),
        high in prop::option::of((key(), any::<bool>())),
        directions in prop::collection::vec(any::<bool>(), 0..220),
    ) {
        use std::ops::Bound;
        let bound = |bound: &Option<(Vec<u8>, bool)>| match bound {
            None => Bound::Unbounded,
            Some((key, true)) => Bound::Included(key.clone()),
            Some((key, false)) => Bound::Excluded(key.clone()),
        };
        let range = (bound(&low), bound(&high));
        // What a map would panic at is empty here.
        let valid = match (&low, &high) {
            (Some((low, a)), Some((high, b))) => low < high || (low == high && *a && *b),
            _ => true,
        };
        let db = Database::open("/db", options(&SimDisk::new())).unwrap();
        db.write(|txn| keys.iter().try_for_each(|key| txn.put(Tree::DEFAULT, key, b"").map(drop))).unwrap();
        let snapshot = db.snapshot();
        let mut scan = snapshot.range(Tree::DEFAULT, range.clone()).unwrap();
        let mut expected: Vec<Vec<u8>> =
            if valid { keys.range::<Vec<u8>, _>(range).cloned().collect() } else { Vec::new() };
        for forward in directions.into_iter().chain(std::iter::repeat_n(true, 220)) {
            let found = if forward { scan.next() } else { scan.next_back() };
            let wanted = if forward { (!expected.is_empty()).then(|| expected.remove(0)) } else { expected.pop() };
            prop_assert_eq!(found.map(|entry| entry.unwrap().key), wanted);
        }
        // A cursor anywhere goes back and forth.
        let sorted: Vec<&Vec<u8>> = keys.iter().collect();
        if let Some((probe, _)) = &low {
            let mut cursor = snapshot.cursor(Tree::DEFAULT).unwrap();
            let place = sorted.partition_point(|key| *key < probe);
            prop_assert_eq!(cursor.seek(probe).unwrap(), place < sorted.len());
            prop_assert_eq!(cursor.prev().unwrap(), if place < sorted.len() { place > 0 } else { !sorted.is_empty() });
        }
    }
}
