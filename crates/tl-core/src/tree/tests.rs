use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::path::NameError;

fn any_entry() -> impl Strategy<Value = Entry> {
    (0..3, any::<u32>(), any::<[u8; 32]>(), prop_oneof![0..200u64, any::<u64>()]).prop_map(|(kind, mode, id, size)| {
        let (mode, blob) = (Mode::new(mode), Blob { id: ObjectId::from_bytes(id), len: size });
        match kind {
            0 => Entry::file(blob, mode),
            1 => Entry::symlink(blob, mode),
            _ => Entry::directory(blob.id, mode),
        }
    })
}

/// Often all names begin alike, and some go on alike for longer than the order by their first bytes can tell.
fn any_entries() -> impl Strategy<Value = BTreeMap<Vec<u8>, Entry>> {
    let name = prop_oneof![
        vec(any::<u8>(), 1..4),
        "[a-c.]{1,3}".prop_map(String::into_bytes),
        vec(b'x'..=b'y', 6..12),
        vec(b'x'..=b'y', 120..140)
    ];
    let entries = btree_map(name.prop_filter("no name", |name| EntryName::new(name).is_ok()), any_entry(), 0..40);
    (prop_oneof!["", "source_"], entries).prop_map(|(shared, entries)| {
        let named = |(name, entry): (Vec<u8>, Entry)| ([shared.as_bytes(), &name].concat(), entry);
        entries.into_iter().map(named).collect()
    })
}

fn build(entries: &BTreeMap<Vec<u8>, Entry>) -> Tree {
    let mut builder = TreeBuilder::new();
    // In another order than the tree's.
    for (name, entry) in entries.iter().rev() {
        builder.add(EntryName::new(name).unwrap(), *entry);
    }
    builder.build().unwrap()
}

fn listed(tree: &Tree) -> BTreeMap<Vec<u8>, Entry> {
    tree.iter().map(|found| (found.name.as_bytes().to_vec(), found.entry)).collect()
}

proptest! {
    /// If it fails, a directory loses or changes entries on its way through a tree.
    #[test]
    fn a_tree_holds_exactly_what_was_put_into_it(entries in any_entries(), missing in vec(any::<u8>(), 1..3)) {
        let tree = build(&entries);
        prop_assert_eq!(&listed(&tree), &entries);
        prop_assert!(tree.iter().map(|found| found.name.as_bytes()).eq(entries.keys()));
        for (name, entry) in &entries {
            prop_assert_eq!(tree.get(EntryName::new(name).unwrap()), Some(*entry));
        }
        if let Ok(name) = EntryName::new(&missing) {
            prop_assert_eq!(tree.get(name), entries.get(&missing).copied());
        }
    }

    /// If it fails, equal directories have different ids, or what was written cannot be read.
    #[test]
    fn what_is_encoded_is_decoded_to_the_same(entries in any_entries()) {
        let tree = build(&entries);
        let again = Tree::decode(tree.content().to_vec()).unwrap();
        prop_assert_eq!(again.id(), tree.id());
        prop_assert_eq!(listed(&again), entries);
    }

    /// If it fails, one tree has two encodings, or damage passes as a tree. Every byte string that is accepted is the encoding of what it decodes to.
    #[test]
    fn changed_bytes_are_refused_or_are_another_tree_in_its_one_encoding(
        entries in any_entries(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = build(&entries).content().to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(tree) = Tree::decode(bytes.clone()) {
            let again = build(&listed(&tree));
            prop_assert_eq!(again.content(), &bytes[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(tree) = Tree::decode(bytes.clone()) {
            let again = build(&listed(&tree));
            prop_assert_eq!(again.content(), &bytes[..]);
        }
    }

    /// If it fails, an edit of a large directory corrupts the entries that it does not touch.
    #[test]
    fn runs_that_are_copied_are_the_entries_that_they_were(entries in any_entries(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let tree = build(&entries);
        let (from, to) = (from.index(tree.len() + 1), to.index(tree.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        let mut writer = TreeWriter::sized_like(&tree);
        writer.copy(&tree, 0, from);
        for found in tree.iter().take(to).skip(from) {
            writer.push(found.name, &found.entry);
        }
        writer.copy(&tree, to, tree.len());
        let again = writer.finish().unwrap();
        prop_assert_eq!(again.content(), tree.content());
        prop_assert_eq!(listed(&again), entries);
    }
}

/// Changes the bytes of a small tree and gives the decoder's answer.
fn decoded(change: impl FnOnce(&mut Vec<u8>)) -> Result<Tree, TreeError> {
    let mut builder = TreeBuilder::new();
    let blob = Blob { id: ObjectId::EMPTY_TREE, len: 5 };
    builder.add(EntryName::new(b"a").unwrap(), Entry::file(blob, Mode::new(0o644)));
    builder.add(EntryName::new(b"b").unwrap(), Entry::directory(blob.id, Mode::new(0o755)));
    let mut bytes = builder.build().unwrap().content().to_vec();
    change(&mut bytes);
    Tree::decode(bytes)
}

type Change = fn(&mut Vec<u8>);

/// If it fails, a check that the format demands is gone.
#[test]
fn each_rule_of_the_format_is_checked() {
    assert!(decoded(|_| {}).is_ok());
    // count, kind and mode (2), name length, name, size; then the second head.
    let cases: [(&str, Change, TreeError); 12] = [
        ("count", |bytes| bytes[0] = 3, TreeError::Malformed),
        ("fewer", |bytes| bytes[0] = 1, TreeError::Trailing(37)),
        ("kind 0", |bytes| bytes[2] &= 0x0f, TreeError::UnknownKind(0)),
        ("kind 15", |bytes| bytes[2] |= 0xf0, TreeError::UnknownKind(15)),
        ("a slash", |bytes| bytes[4] = b'/', TreeError::Name(NameError::Separator)),
        ("a dot", |bytes| bytes[4] = b'.', TreeError::Name(NameError::Dots)),
        ("no name", |bytes| bytes[3] = 0, TreeError::Name(NameError::Empty)),
        ("twice", |bytes| bytes[4] = b'b', TreeError::Order),
        ("falling", |bytes| bytes[4] = b'c', TreeError::Order),
        ("directory with a size", |bytes| bytes[10] = 1, TreeError::DirectorySize),
        ("one byte more", |bytes| bytes.push(0), TreeError::Trailing(1)),
        ("one byte less", |bytes| bytes.truncate(bytes.len() - 1), TreeError::Malformed),
    ];
    for (what, change, error) in cases {
        assert_eq!(decoded(change).unwrap_err(), error, "{what}");
    }
}

/// If it fails, a few bytes make the decoder allocate memory for millions of entries.
#[test]
fn a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() {
    let mut bytes = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    bytes.resize(200, 0);
    assert_eq!(Tree::decode(bytes).unwrap_err(), TreeError::Malformed);
}

#[test]
fn a_name_that_is_added_twice_is_an_error() {
    let mut builder = TreeBuilder::new();
    let entry = Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o755));
    builder.add(EntryName::new(b"a").unwrap(), entry);
    builder.add(EntryName::new(b"a").unwrap(), entry);
    assert_eq!(builder.build().unwrap_err(), TreeError::Order);
}

#[test]
fn a_tree_beyond_the_limit_is_an_error() {
    let mut builder = TreeBuilder::new();
    let entry = Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o755));
    for number in 0..17_000u32 {
        let name = format!("{number:04000}");
        builder.add(EntryName::new(name.as_bytes()).unwrap(), entry);
    }
    assert_eq!(builder.build().unwrap_err(), TreeError::TooLarge);
}

/// If it fails, trees of stores that exist cannot be read, or get other ids. The bytes are spelled out as the format's document has them.
#[test]
fn the_encoding_is_that_of_the_document() {
    let mut builder = TreeBuilder::new();
    let id = |byte: u8| ObjectId::from_bytes([byte; 32]);
    builder.add(EntryName::new(b"l").unwrap(), Entry::symlink(Blob { id: id(2), len: 3 }, Mode::new(0o777)));
    builder.add(EntryName::new(b"dir").unwrap(), Entry::directory(id(1), Mode::new(0o1755)));
    builder.add(EntryName::new(b"z").unwrap(), Entry::file(Blob { id: id(3), len: 300 }, Mode::new(0o644)));
    let heads: [&[u8]; 3] = [b"\xed\x33\x03dir\x00", b"\xff\x21\x01l\x03", b"\xa4\x11\x01z\xac\x02"];
    let expected = [&[3][..], &heads.concat(), &[1; 32], &[2; 32], &[3; 32]].concat();
    assert_eq!(builder.build().unwrap().content(), expected);
}
