//! Reading objects from something else than a database at hand.

use std::collections::HashMap;
use std::sync::Arc;

use tl_core::{Damage, Error, ObjectId, ObjectSource, Objects, Result, Store};

use crate::support::{new_store, put_files, random_bytes};

/// Bytes that came from a store by way of somebody else.
#[derive(Debug, Default)]
struct Elsewhere {
    stored: HashMap<ObjectId, Vec<u8>>,
}

impl Elsewhere {
    /// Everything that the trees at `roots` reach.
    fn copy(store: &Store, roots: &[ObjectId]) -> Self {
        let mut stored = HashMap::new();
        for root in roots {
            let mut wanted = vec![*root];
            for change in store.diff(&ObjectId::EMPTY_TREE, root).unwrap() {
                let entry = change.unwrap().after.unwrap();
                wanted.push(entry.id);
                if !entry.is_directory() {
                    store.for_each_chunk(&entry.id, |chunk| wanted.push(*chunk)).unwrap();
                }
            }
            stored.extend(wanted.into_iter().map(|id| (id, store.stored_bytes(&id).unwrap())));
        }
        Self { stored }
    }
}

impl ObjectSource for Elsewhere {
    fn load(&self, id: &ObjectId) -> Result<Vec<u8>> {
        self.stored.get(id).cloned().ok_or(Error::Missing { id: *id })
    }
}

#[test]
fn another_source_reads_like_the_store() {
    let (_, store) = new_store();
    let large = random_bytes(7, 3 << 20);
    let before = put_files(&store, &[("a", b"one"), ("b", b"two")]);
    let after = put_files(&store, &[("a", b"one"), ("b", &large)]);
    let objects = Objects::new(Arc::new(Elsewhere::copy(&store, &[before, after])), 1 << 20);
    let changes = |diff: tl_core::Diff| diff.collect::<Result<Vec<_>>>().unwrap();
    let found = changes(objects.diff(&before, &after).unwrap());
    assert_eq!(found, changes(store.diff(&before, &after).unwrap()));
    let changed = found[0].after.unwrap();
    assert!(objects.get_blob(&changed.id, changed.size).unwrap() == large);
    assert!(matches!(objects.get_tree(&ObjectId::from_bytes([9; 32])), Err(Error::Missing { .. })));
}

/// If it fails, whoever hands objects out can pass one off as another.
#[test]
fn what_a_source_hands_out_is_checked() {
    let (_, store) = new_store();
    let (one, two) = (put_files(&store, &[("a", b"one")]), put_files(&store, &[("a", b"two")]));
    let mut elsewhere = Elsewhere::copy(&store, &[one, two]);
    let other = elsewhere.stored[&two].clone();
    elsewhere.stored.insert(one, other);
    let objects = Objects::new(Arc::new(elsewhere), 1 << 20);
    let error = objects.get_tree(&one).unwrap_err();
    assert!(matches!(error, Error::Damaged { damage: Damage::WrongContent { .. }, .. }), "{error}");
}
