//! The catalog: listing, inspecting, verifying, building again.

use northstar::cartridge::{Cartridge, Catalog, Error, ErrorKind, Order, Position, StreamId};

use super::stream::*;

fn build(catalog: &Catalog, stream: &Stream) -> Cartridge {
    let mut builder = catalog.build::<Copied>(STREAM).unwrap();
    feed(&mut builder, stream, 0);
    builder.finish().unwrap()
}

/// If it fails, whoever looks after cartridges is told something that is not so.
#[test]
fn a_directory_is_listed_with_what_cannot_be_used() {
    let (disk, catalog) = catalog();
    assert_eq!(catalog.list().unwrap().len(), 0);
    let stream = random_stream(30, 500);
    let map = map_of(&stream);
    build(&catalog, &stream);
    for (name, content) in [("/foreign.cartridge", b"text"), ("/Not A Kind.cartridge", b"text"), ("/notes", b"text")] {
        vfs::Vfs::open(&disk, name.as_ref(), vfs::OpenMode::CreateNew).unwrap().write_at(0, content).unwrap();
    }
    let listed = catalog.list().unwrap();
    let names: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
    assert_eq!(names, ["copied", "foreign"]);
    let header = listed[0].header.as_ref().unwrap();
    assert_eq!((header.stream, header.position, header.entries), (STREAM, position(500), map.len() as u64));
    assert_eq!((header.kind.name(), header.kind.version()), ("copied", 3));
    assert!(matches!(listed[1].header, Err(Error::NotACartridge { .. })));

    let inspected = catalog.inspect("copied").unwrap();
    let ends = (map.first_key_value().unwrap().0.clone(), map.last_key_value().unwrap().0.clone());
    assert_eq!(inspected.keys, Some(ends));
    assert!(inspected.data_sections > 0 && inspected.data_bytes < header.file_len);
    let verified = catalog.verify("copied").unwrap();
    assert_eq!(verified.key_bytes, map.keys().map(|key| key.len() as u64).sum::<u64>());
    assert_eq!(verified.value_bytes, map.values().map(|value| value.len() as u64).sum::<u64>());

    assert!(catalog.remove("copied").unwrap());
    assert!(!catalog.remove("copied").unwrap());
    assert!(catalog.open("copied").unwrap_err().is_not_found());
    assert!(matches!(catalog.open("../copied"), Err(Error::InvalidName { .. })));
}

/// If it fails, an index of other data answers.
#[test]
fn a_cartridge_of_another_stream_kind_or_past_is_refused() {
    let (_disk, catalog) = catalog();
    build(&catalog, &random_stream(31, 50));
    let opened = catalog.open_for::<Copied>(STREAM, |at| *at == position(50)).unwrap();
    assert_eq!(opened.header().position, position(50));
    let refused = catalog.open_for::<Copied>(StreamId([9; 16]), |_| true).unwrap_err();
    assert!(matches!(refused, Error::OtherStream { .. }));
    // The stream lost its end and went another way.
    let refused = catalog.open_for::<Copied>(STREAM, |_| false).unwrap_err();
    assert!(matches!(refused, Error::OtherStream { .. }) && refused.kind() == ErrorKind::Rebuild);

    struct Newer;
    impl northstar::cartridge::Projection for Newer {
        type Change<'a> = ();
        fn kind() -> northstar::cartridge::Kind {
            northstar::cartridge::Kind::new("copied", 4).unwrap()
        }
        fn project(_: u64, (): &(), _: &mut northstar::cartridge::Edits<'_>) -> northstar::cartridge::Result<()> {
            Ok(())
        }
    }
    let refused = catalog.open_for::<Newer>(STREAM, |_| true).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { .. }) && refused.kind() == ErrorKind::Rebuild);
}

/// If it fails, two builders write one file.
#[test]
fn one_at_a_time_builds_a_cartridge() {
    let (_disk, catalog) = catalog();
    let first = catalog.build::<Copied>(STREAM).unwrap();
    let refused = catalog.build::<Copied>(STREAM).unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }) && refused.kind() == ErrorKind::Retry);
    drop(first);
    catalog.build::<Copied>(STREAM).unwrap();
}

/// If it fails, a reader loses its cartridge when it is replaced or removed.
#[test]
fn an_open_cartridge_stays_when_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(std::sync::Arc::new(vfs::DiskVfs::new()), dir.path());
    let old = random_stream(32, 800);
    let opened = build(&catalog, &old);
    build(&catalog, &random_stream(33, 10));
    catalog.remove("copied").unwrap();
    let found: Vec<_> = opened.scan(EVERYTHING, Order::Forward).map(Result::unwrap).collect();
    assert_eq!(found, entries(&map_of(&old)));
}

/// If it fails, a stream that is fed in the wrong order is indexed wrongly, in silence.
#[test]
fn changes_out_of_order_and_over_the_limits_are_refused() {
    let (_disk, catalog) = catalog();
    let mut builder = catalog.build::<Copied>(STREAM).unwrap();
    builder.push(position(5), []).unwrap();
    builder.push(position(5), []).unwrap();
    assert!(matches!(builder.push(position(4), []), Err(Error::OutOfOrder { last: 5, given: 4 })));
    let other_anchor = Position { anchor: [99; 32], ..position(5) };
    assert!(matches!(builder.push(other_anchor, []), Err(Error::OutOfOrder { .. })));
    let change = |key: usize, value: usize| Change { key: vec![1; key], value: Some(vec![1; value]) };
    assert!(matches!(builder.push(position(6), [&change(0, 0)]), Err(Error::InvalidChange { .. })));
    let over = northstar::cartridge::KEY_LEN_MAX + 1;
    assert!(matches!(builder.push(position(6), [&change(over, 0)]), Err(Error::TooLarge { .. })));
    let over = northstar::cartridge::VALUE_LEN_MAX + 1;
    assert!(matches!(builder.push(position(6), [&change(1, over)]), Err(Error::TooLarge { .. })));
    drop(builder);

    let builder = catalog.build::<Copied>(STREAM).unwrap();
    let entry = |key: u8| Ok(northstar::cartridge::Entry { key: vec![key], value: Vec::new() });
    assert!(matches!(builder.finish_onto([entry(2), entry(2)]), Err(Error::OutOfOrder { .. })));
    assert!(catalog.open("copied").unwrap_err().is_not_found());
}
