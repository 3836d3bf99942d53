use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::id::{PageId, TxnId};
use crate::page::{PageHeader, PageKind};

const PAGE_SIZE: usize = 4096;

fn header(kind: PageKind) -> PageHeader {
    PageHeader::node(kind, PageId(9), TxnId(3))
}

fn entries(page: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    leaf_items(page).iter().map(|item| (item.key.to_vec(), item.payload.to_vec())).collect()
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ab]{0,6}".prop_map(String::into_bytes),
        "prefix/of/many/[a-c]{0,3}\u{0}{0,2}".prop_map(String::into_bytes),
        prop::collection::vec(0u8..3, 0..9),
    ]
}

proptest! {
    /// Entries of a page would be lost, out of order, or found under another key.
    #[test]
    fn a_leaf_changes_as_a_map_does(ops in prop::collection::vec((key(), prop::option::of(prop::collection::vec(any::<u8>(), 0..40))), 1..150)) {
        let mut model = BTreeMap::new();
        let mut page = vec![0; PAGE_SIZE];
        build_leaf(&mut page, &header(PageKind::Leaf), &[]);
        for (key, value) in ops {
            let found = Node::new(&page).search_leaf(&key);
            prop_assert_eq!(found.is_ok(), model.contains_key(&key));
            match value {
                None => {
                    if let Ok(index) = found {
                        remove_leaf(&mut page, index);
                    }
                    model.remove(&key);
                }
                Some(value) => {
                    let tag = value.len() as u16;
                    let done = match found {
                        Ok(index) => replace_value(&mut page, index, tag, &value),
                        Err(index) => insert_leaf(&mut page, index, &key, tag, &value),
                    };
                    if !done {
                        let old = page.clone();
                        let mut items = leaf_items(&old);
                        let item = LeafItem { key: Key::whole(&key), tag, payload: &value };
                        match found {
                            Ok(index) => items[index] = item,
                            Err(index) => items.insert(index, item),
                        }
                        if !fits_leaf(&items, PAGE_SIZE) {
                            let cut = split_leaf(&items);
                            prop_assert!(fits_leaf(&items[..cut], PAGE_SIZE) && fits_leaf(&items[cut..], PAGE_SIZE));
                            let between = separator(&items[cut - 1].key, &items[cut].key);
                            prop_assert!(items[cut - 1].key.to_vec() < between && between <= items[cut].key.to_vec());
                            for item in &items[cut..] {
                                model.remove(&item.key.to_vec());
                            }
                            items.truncate(cut);
                            if items.iter().any(|item| item.key.to_vec() == key) {
                                model.insert(key.clone(), value.clone());
                            }
                        } else {
                            model.insert(key.clone(), value.clone());
                        }
                        build_leaf(&mut page, &header(PageKind::Leaf), &items);
                    } else {
                        model.insert(key, value);
                    }
                }
            }
            prop_assert_eq!(Node::new(&page).validate(), Ok(()));
        }
        prop_assert_eq!(entries(&page), model.into_iter().collect::<Vec<_>>());
    }

    /// A search would go down to the wrong child, and keys that are there would not be found.
    #[test]
    fn a_key_goes_to_the_child_between_its_separators(keys in prop::collection::btree_set(key(), 1..60), probes in prop::collection::vec(key(), 1..40)) {
        let keys: Vec<Vec<u8>> = keys.into_iter().filter(|key| !key.is_empty()).collect();
        let mut page = vec![0; PAGE_SIZE];
        build_internal(&mut page, &header(PageKind::Internal), PageId(1000), &[]);
        for (index, key) in keys.iter().enumerate() {
            if !insert_child(&mut page, index, key, PageId(index as u32 + 1)) {
                let old = page.clone();
                let mut items = internal_items(&old);
                items.push(InternalItem { key: Key::whole(key), child: PageId(index as u32 + 1) });
                prop_assert!(fits_internal(&items, PAGE_SIZE));
                build_internal(&mut page, &header(PageKind::Internal), PageId(1000), &items);
            }
        }
        prop_assert_eq!(Node::new(&page).validate(), Ok(()));
        for probe in probes.iter().chain(&keys) {
            let place = keys.partition_point(|key| key <= probe);
            prop_assert_eq!(Node::new(&page).search_child(probe), place, "{:?} among {:?}", probe, &keys);
            let child = if place == 0 { 1000 } else { place as u32 };
            prop_assert_eq!(Node::new(&page).child(place), PageId(child));
        }
        if keys.len() > 1 {
            remove_child(&mut page, 0);
            prop_assert_eq!(Node::new(&page).child(0), PageId(1));
            prop_assert_eq!(Node::new(&page).count(), keys.len() - 1);
        }
    }

    /// A damaged page could crash its reader.
    #[test]
    fn bytes_that_are_no_page_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 60..300), probe in key(), leaf in any::<bool>()) {
        let mut bytes = bytes;
        bytes[7] = if leaf { 1 } else { 2 };
        let node = Node::new(&bytes);
        if node.validate().is_ok() {
            if leaf {
                let _any_answer = node.search_leaf(&probe);
                leaf_items(&bytes);
            } else {
                node.search_child(&probe);
                internal_items(&bytes);
            }
        }
    }
}
