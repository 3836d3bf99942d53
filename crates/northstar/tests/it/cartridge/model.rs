//! A cartridge against a map of the standard library.

use std::ops::Bound;

use northstar::cartridge::{Access, Cartridge, Entry, Order, Result};
use proptest::prelude::*;
use vfs::Mapping;

use super::stream::*;

fn open(bytes: Vec<u8>) -> Cartridge {
    Cartridge::from_content("model".as_ref(), Mapping::of(bytes)).unwrap()
}

fn scanned(cartridge: &Cartridge, range: (Bound<&[u8]>, Bound<&[u8]>), order: Order) -> Vec<Entry> {
    cartridge.scan(range, order).collect::<Result<_>>().unwrap()
}

/// What a map says of a range that it may not take.
fn in_range(map: &Map, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Vec<Entry> {
    let is_in = |key: &[u8]| {
        let is_above = match range.0 {
            Bound::Included(lower) => key >= lower,
            Bound::Excluded(lower) => key > lower,
            Bound::Unbounded => true,
        };
        let is_below = match range.1 {
            Bound::Included(upper) => key <= upper,
            Bound::Excluded(upper) => key < upper,
            Bound::Unbounded => true,
        };
        is_above && is_below
    };
    entries(map).into_iter().filter(|entry| is_in(&entry.key)).collect()
}

fn check(map: &Map, probes: &[Vec<u8>]) {
    let stream: Vec<_> =
        vec![map.iter().map(|(key, value)| Change { key: key.clone(), value: Some(value.clone()) }).collect()];
    let cartridge = open(built(&stream));
    assert_eq!(cartridge.verify().unwrap().entries, map.len() as u64);
    let all = entries(map);
    assert_eq!(scanned(&cartridge, EVERYTHING, Order::Forward), all);
    let mut backward = scanned(&cartridge, EVERYTHING, Order::Backward);
    backward.reverse();
    assert_eq!(backward, all);
    let keys: Vec<&[u8]> = map.keys().map(Vec::as_slice).chain(probes.iter().map(Vec::as_slice)).collect();
    for key in &keys {
        assert_eq!(cartridge.get(key).unwrap(), map.get(*key).map(Vec::as_slice), "{key:?}");
    }
    let step = keys.len() / 12 + 1;
    for lower in keys.iter().step_by(step) {
        for upper in keys.iter().rev().step_by(step) {
            for range in [
                (Bound::Included(*lower), Bound::Excluded(*upper)),
                (Bound::Excluded(*lower), Bound::Included(*upper)),
                (Bound::Included(*lower), Bound::Unbounded),
                (Bound::Unbounded, Bound::Included(*upper)),
            ] {
                let expected = in_range(map, range);
                assert_eq!(scanned(&cartridge, range, Order::Forward), expected, "{range:?}");
                let mut backward = scanned(&cartridge, range, Order::Backward);
                backward.reverse();
                assert_eq!(backward, expected, "{range:?}");
                assert_eq!(cartridge.count(range).unwrap(), expected.len() as u64, "{range:?}");
            }
        }
    }
}

fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    // Few letters, so that keys share beginnings and are beginnings of each other.
    prop::collection::vec(prop_oneof![Just(0), Just(1), Just(b'a'), Just(255)], 0..len_max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// If it fails, a cartridge answers something else than what was put in.
    #[test]
    fn a_cartridge_is_the_map_that_it_was_built_of(
        pairs in prop::collection::vec((bytes(12), bytes(4)), 0..200),
        probes in prop::collection::vec(bytes(12), 0..20),
    ) {
        let map: Map = pairs.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        check(&map, &probes);
    }
}

/// If it fails, what spans several sections is searched or counted wrongly.
#[test]
fn many_sections_are_one_map() {
    let map: Map = (0..30_000u32)
        .map(|number| (format!("key {:07}", number * 3).into_bytes(), vec![number as u8; number as usize % 40]))
        .collect();
    let probes: Vec<Vec<u8>> =
        (0..600u32).map(|number| format!("key {:07}", number * 151).into_bytes()).chain([vec![], vec![255]]).collect();
    check(&map, &probes);
}

/// If it fails, the limits that the format names are none.
#[test]
fn the_longest_keys_and_values_are_kept() {
    use northstar::cartridge::{KEY_LEN_MAX, VALUE_LEN_MAX};
    let map: Map = (0..5u8)
        .map(|number| {
            let mut key = vec![b'k'; KEY_LEN_MAX];
            key[KEY_LEN_MAX - 1] = number;
            (key, vec![number; VALUE_LEN_MAX])
        })
        .collect();
    check(&map, &[vec![b'k'; KEY_LEN_MAX + 1]]);
}

/// If it fails, an empty stream has no cartridge.
#[test]
fn nothing_is_a_map_too() {
    check(&Map::new(), &[vec![], vec![1]]);
}

/// If it fails, a mapped file is read differently from one in memory.
#[test]
fn a_mapped_cartridge_and_one_that_is_read_are_alike() {
    let dir = tempfile::tempdir().unwrap();
    let stream = random_stream(11, 2000);
    let map = map_of(&stream);
    let catalog = northstar::cartridge::Catalog::new(std::sync::Arc::new(vfs::DiskVfs::new()), dir.path());
    let mut builder = catalog.build::<Copied>(STREAM).unwrap();
    feed(&mut builder, &stream, 0);
    let mapped = builder.finish().unwrap();
    assert!(mapped.is_mapped());
    let read = catalog.with_access(Access::Read).open("copied").unwrap();
    assert!(!read.is_mapped());
    for cartridge in [&mapped, &read] {
        assert_eq!(scanned(cartridge, EVERYTHING, Order::Forward), entries(&map));
        for (key, value) in &map {
            assert_eq!(cartridge.get(key).unwrap(), Some(value.as_slice()));
        }
    }
}
