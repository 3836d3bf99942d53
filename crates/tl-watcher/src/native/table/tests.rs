use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::path::{is_within, join};

fn path_of(table: &WatchTable, id: NodeId) -> String {
    let mut path = Vec::new();
    table.path(id, &mut path);
    String::from_utf8(path).unwrap()
}

#[test]
fn a_moved_directory_takes_everything_beneath_along() {
    let mut table = WatchTable::new(1);
    let a = table.insert(ROOT, b"a", 2);
    let b = table.insert(a, b"b", 3);
    let c = table.insert(b, b"c", 4);
    let other = table.insert(ROOT, b"other", 5);
    table.replace(b, other, b"renamed");
    assert_eq!(path_of(&table, c), "other/renamed/c");
    assert_eq!(table.find(b"other/renamed/c"), Some(c));
    assert_eq!(table.find(b"a/b"), None);
    assert_eq!(table.remove(other).len(), 3);
    assert_eq!((table.len(), table.by_wd(4), table.by_wd(2)), (2, None, Some(a)));
}

/// If it fails, names that directories had before fill the memory, and beyond four gigabytes no directory has its own name any more.
#[test]
fn former_names_do_not_pile_up() {
    let mut table = WatchTable::new(1);
    let moved = table.insert(ROOT, b"a", 2);
    for round in 0..GARBAGE_LEN_MIN {
        assert!(table.replace(moved, ROOT, format!("name-{round}").as_bytes()));
    }
    assert!(table.names.len() <= 2 * GARBAGE_LEN_MIN, "{}", table.names.len());
    assert_eq!(path_of(&table, moved), format!("name-{}", GARBAGE_LEN_MIN - 1));
}

#[test]
fn a_directory_is_never_put_beneath_itself() {
    let mut table = WatchTable::new(1);
    let a = table.insert(ROOT, b"a", 2);
    let b = table.insert(a, b"b", 3);
    assert!(!table.replace(a, b, b"x"));
    assert_eq!(path_of(&table, b), "a/b");
}

#[test]
fn a_census_removes_what_was_not_met() {
    let mut table = WatchTable::new(1);
    let a = table.insert(ROOT, b"a", 2);
    table.insert(a, b"gone", 3);
    let kept = table.insert(a, b"kept", 4);
    table.begin_census();
    table.seen(a);
    table.seen(kept);
    let new = table.insert(a, b"new", 5);
    assert_eq!(table.end_census(), [3]);
    assert_eq!((table.find(b"a/kept"), table.find(b"a/new"), table.len()), (Some(kept), Some(new), 4));
}

/// The figure of the design: a hundred thousand directories within a few megabytes.
#[test]
fn a_hundred_thousand_directories_take_less_than_six_megabytes() {
    let mut table = WatchTable::new(1);
    let mut wd = 1;
    for outer in 0..100 {
        wd += 1;
        let parent = table.insert(ROOT, format!("package-{outer}").as_bytes(), wd);
        for inner in 0..1000 {
            wd += 1;
            table.insert(parent, format!("directory-{inner}").as_bytes(), wd);
        }
    }
    table.shrink();
    assert_eq!(table.len(), 100_101);
    assert!(table.heap_bytes() < 6 << 20, "{} bytes", table.heap_bytes());
}

#[derive(Debug, Clone)]
enum Step {
    Insert(usize, u8),
    Replace(usize, usize, u8),
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..40, 0u8..6).prop_map(|(parent, name)| Step::Insert(parent, name)),
        2 => (1usize..40, 0usize..40, 0u8..6).prop_map(|(id, parent, name)| Step::Replace(id, parent, name)),
        1 => (1usize..40).prop_map(Step::Remove),
    ]
}

proptest! {
    /// A map from paths to descriptors is the oracle. Steps that a tree of directories cannot make are left out.
    #[test]
    fn the_table_is_a_tree_of_directories(steps in prop::collection::vec(step(), 1..200)) {
        let mut table = WatchTable::new(1);
        let mut model = BTreeMap::from([(Vec::new(), 1i32)]);
        let mut next_wd = 1;
        for step in steps {
            let nth = |model: &BTreeMap<Vec<u8>, i32>, n: usize| model.keys().nth(n % model.len()).cloned().unwrap();
            match step {
                Step::Insert(parent, name) => {
                    let parent = nth(&model, parent);
                    let name = format!("n{name}").into_bytes();
                    if model.contains_key(&join(&parent, &name)) {
                        continue;
                    }
                    next_wd += 1;
                    table.insert(table.find(&parent).unwrap(), &name, next_wd);
                    model.insert(join(&parent, &name), next_wd);
                }
                Step::Replace(from, parent, name) => {
                    let (from, parent) = (nth(&model, from), nth(&model, parent));
                    let to = join(&parent, format!("n{name}").as_bytes());
                    if from.is_empty() || is_within(&parent, &from) || model.contains_key(&to) {
                        continue;
                    }
                    table.replace(table.find(&from).unwrap(), table.find(&parent).unwrap(), split(&to).1);
                    let moved: Vec<_> = model.keys().filter(|path| is_within(path, &from)).cloned().collect();
                    for path in moved {
                        let wd = model.remove(&path).unwrap();
                        model.insert([&to[..], &path[from.len()..]].concat(), wd);
                    }
                }
                Step::Remove(path) => {
                    let path = nth(&model, path);
                    if path.is_empty() {
                        continue;
                    }
                    let mut removed = table.remove(table.find(&path).unwrap());
                    removed.sort_unstable();
                    let mut expected: Vec<_> =
                        model.iter().filter(|(found, _)| is_within(found, &path)).map(|(_, wd)| *wd).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(removed, expected);
                    model.retain(|found, _| !is_within(found, &path));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for (path, wd) in &model {
                let id = table.by_wd(*wd).unwrap();
                prop_assert_eq!(table.find(path), Some(id));
                let mut found = Vec::new();
                table.path(id, &mut found);
                prop_assert_eq!(&found, path);
            }
        }
    }
}
