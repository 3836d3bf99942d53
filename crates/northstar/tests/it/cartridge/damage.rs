//! Bytes that are not what was written.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;

use northstar::cartridge::{Cartridge, Entry, Error, ErrorKind, Order, Result};
use vfs::Mapping;

use super::stream::*;

fn small() -> (Map, Vec<u8>) {
    let stream: Stream = vec![
        (0..40u8).map(|number| Change { key: vec![b'k', number % 9, number], value: Some(vec![number; 3]) }).collect(),
    ];
    (map_of(&stream), built(&stream))
}

fn read(map: &Map, cartridge: &Cartridge) -> Result<()> {
    for (key, value) in map {
        assert_eq!(cartridge.get(key)?, Some(value.as_slice()), "a wrong answer");
        assert_eq!(cartridge.get(&[key.as_slice(), b"+"].concat())?, None, "a wrong answer");
    }
    for order in [Order::Forward, Order::Backward] {
        let mut found = cartridge.scan(EVERYTHING, order).collect::<Result<Vec<Entry>>>()?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(found, entries(map), "a wrong answer");
    }
    assert_eq!(cartridge.count((Bound::Unbounded, Bound::Excluded(&[255])))?, map.len() as u64, "a wrong answer");
    Ok(())
}

fn open(bytes: Vec<u8>) -> Result<Cartridge> {
    Cartridge::from_content(Path::new("damaged"), Mapping::of(bytes))
}

/// If it fails, a damaged byte gives a wrong answer, or a program that dies. And a full check overlooks it.
#[test]
fn every_flipped_byte_gives_an_error_or_the_right_answer() {
    let (map, bytes) = small();
    read(&map, &open(bytes.clone()).unwrap()).unwrap();
    for at in 0..bytes.len() {
        for mask in [1, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            let answer = open(damaged.clone()).and_then(|cartridge| read(&map, &cartridge));
            if let Err(error) = &answer {
                assert_eq!(error.kind(), ErrorKind::Rebuild, "{error}");
            }
            let verified = open(damaged).and_then(|cartridge| cartridge.verify());
            assert!(verified.is_err(), "byte {at} was changed and passes");
        }
    }
}

/// If it fails, a cut file is read beyond its end, or passes.
#[test]
fn every_truncated_file_is_refused() {
    let (_, bytes) = small();
    for len in 0..bytes.len() {
        let error = open(bytes[..len].to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rebuild, "{len} bytes: {error}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(open(longer), Err(Error::Damaged { .. })));
}

/// If it fails, one damaged section takes answers from the others, or damage is only found by a full check.
#[test]
fn damage_is_found_where_it_is_looked_at_and_nowhere_else() {
    let stream: Stream = vec![
        (0..20_000u32)
            .map(|number| Change { key: format!("{number:06}").into_bytes(), value: Some(vec![0; 30]) })
            .collect(),
    ];
    let mut bytes = built(&stream);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    let cartridge = open(bytes).unwrap();
    let key = |number: u32| format!("{number:06}").into_bytes();
    assert!(cartridge.get(&key(0)).unwrap().is_some());
    assert!(cartridge.get(&key(19_999)).unwrap().is_some());
    let failed: BTreeSet<u32> = (0..20_000).filter(|number| cartridge.get(&key(*number)).is_err()).collect();
    assert!(failed.len() > 1000 && failed.len() < 3000, "{} keys are in the damaged section", failed.len());
    assert!(cartridge.scan(EVERYTHING, Order::Forward).any(|entry| entry.is_err()));
    assert!(matches!(cartridge.verify(), Err(Error::Damaged { .. })));
}

/// If it fails, opening costs the length of the file.
#[test]
fn opening_and_one_look_up_read_what_they_need() {
    let stream: Stream = vec![
        (0..40_000u32)
            .map(|number| Change { key: format!("{number:06}").into_bytes(), value: Some(vec![0; 30]) })
            .collect(),
    ];
    let bytes = built(&stream);
    let map = map_of(&stream);
    // Everything but header, table, index and one section may be anything at all.
    let table = u64::from_le_bytes(bytes[128..136].try_into().unwrap()) as usize;
    let sections = u32::from_le_bytes(bytes[136..140].try_into().unwrap()) as usize;
    let offset = |section: usize| {
        let at = table + section * 32;
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
    };
    assert!(sections > 10);
    let mut ruined = bytes.clone();
    ruined[offset(1)..offset(sections - 1)].fill(0xee);
    let cartridge = open(ruined).unwrap();
    let (key, value) = map.first_key_value().unwrap();
    assert_eq!(cartridge.get(key).unwrap(), Some(value.as_slice()));
}

/// If it fails, a program takes a foreign file or one of the future for a cartridge.
#[test]
fn foreign_and_newer_files_are_told_apart() {
    let (_, bytes) = small();
    assert!(matches!(open(b"SQLite format 3".to_vec()), Err(Error::NotACartridge { .. })));
    assert!(matches!(open(Vec::new()), Err(Error::NotACartridge { .. })));
    for (at, found) in [(8, 2), (12, 2)] {
        let mut newer = bytes.clone();
        newer[at] = 2;
        let crc = crc32c::crc32c(&newer[..188]);
        newer[188..192].copy_from_slice(&crc.to_le_bytes());
        match open(newer) {
            Err(Error::NewerFormat { found: version, supported: 1, .. }) => assert_eq!(version, found),
            other => panic!("{other:?}"),
        }
    }
}
