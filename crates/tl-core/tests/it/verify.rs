//! Damage in the store: what reading says, and what a check lists.

use std::collections::BTreeSet;
use std::path::Path;

use granite::{Durability, WriteBatch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_core::{Damage, Error, ObjectId, ObjectKind, Sample, Store, StoreOptions, VerifyOptions, WHOLE_BLOB_LEN_MAX};
use vfs_sim::SimDisk;

use crate::support::{name, new_store, open_db, put_files, random_bytes};

fn overwrite(store: &Store, id: &ObjectId, value: Option<&[u8]>) {
    let objects = store.db().existing_keyspace("objects").unwrap();
    let mut batch = WriteBatch::new();
    match value {
        Some(value) => batch.put(&objects, id.as_bytes(), value),
        None => batch.delete(&objects, id.as_bytes()),
    }
    store.db().write(batch, Durability::Buffered).unwrap();
    store.trim();
}

fn value_of(store: &Store, id: &ObjectId) -> Vec<u8> {
    store.db().existing_keyspace("objects").unwrap().get(id.as_bytes()).unwrap().unwrap()
}

#[test]
fn a_check_lists_exactly_what_is_damaged() {
    let (_, store) = new_store();
    let large = random_bytes(1, 3 * WHOLE_BLOB_LEN_MAX);
    let text = b"some text that compresses. ".repeat(40);
    let root = put_files(&store, &[("a", b"a"), ("b", b"b"), ("large", &large), ("text", &text), ("z", b"z")]);
    let intact = store.verify(&VerifyOptions::default()).unwrap();
    assert!(intact.is_intact() && intact.objects > 20, "{intact:?}");
    let tree = store.get_tree(&root).unwrap();
    let id_of = |file: &str| tree.get(name(file)).unwrap().id;
    let mut chunks = Vec::new();
    store.for_each_chunk(&id_of("large"), |chunk| chunks.push(*chunk)).unwrap();

    let mut expected = Vec::new();
    let mut damage = |id: ObjectId, value: Option<&[u8]>, damage: Damage| {
        overwrite(&store, &id, value);
        expected.push((id, damage));
    };
    damage(id_of("a"), Some(b"\x10b"), Damage::WrongContent { found: id_of("b") });
    damage(id_of("b"), Some(b""), Damage::Malformed);
    let mut compressed = value_of(&store, &id_of("text"));
    compressed.truncate(20);
    damage(id_of("text"), Some(&compressed), Damage::Compression);
    damage(root, Some(b"\x17"), Damage::UnknownCodec(7));
    damage(id_of("large"), Some(&value_of(&store, &id_of("large"))), Damage::MissingChunk { chunk: chunks[4] });
    overwrite(&store, &chunks[4], None);
    expected.sort_by_key(|(id, _)| *id);

    let report = store.verify(&VerifyOptions::default()).unwrap();
    let found: Vec<_> = report.damaged.iter().map(|found| (found.id, found.damage.clone())).collect();
    assert_eq!(found, expected);
    assert_eq!(report.objects, intact.objects - 1);
    for (id, damage) in &expected {
        let error = if *id == root { store.get_tree(id).map(drop) } else { store.get_blob(id, u64::MAX).map(drop) };
        assert!(
            matches!(&error, Err(Error::Damaged { id: of, damage: with }) if of == id && with == damage),
            "{error:?}"
        );
    }
}

/// If it fails, a list of chunks that was exchanged passes because its chunks are intact.
#[test]
fn intact_chunks_in_another_order_are_not_the_blob() {
    let (_, store) = new_store();
    let [one, other] = [1, 2].map(|seed| random_bytes(seed, WHOLE_BLOB_LEN_MAX + 300_000));
    put_files(&store, &[("one", &one), ("other", &other)]);
    let [one, other] = [one, other].map(|content| ObjectId::of(ObjectKind::Blob, &content));
    overwrite(&store, &one, Some(&value_of(&store, &other)));
    let wrong = Damage::WrongContent { found: other };
    let error = store.get_blob(&one, u64::MAX).unwrap_err();
    assert!(matches!(error, Error::Damaged { damage, .. } if damage == wrong));
    // And a reader fails before it has handed out all of it.
    let mut read = Vec::new();
    let error = std::io::Read::read_to_end(&mut store.blob_reader(&one).unwrap(), &mut read).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(read.len() < WHOLE_BLOB_LEN_MAX + 300_000);
    assert_eq!(store.verify(&VerifyOptions::default()).unwrap().damaged.len(), 1);
}

/// If it fails, samples miss objects for ever, or cost as much as everything.
#[test]
fn samples_add_up_to_everything() {
    let (_, store) = new_store();
    let files: Vec<(String, Vec<u8>)> =
        (0..600).map(|number| (format!("f{number}"), random_bytes(number, 20))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(file, content)| (&file[..], &content[..])).collect();
    put_files(&store, &files);
    let objects = |share, seed| store.verify(&VerifyOptions { sample: Some(Sample { share, seed }) }).unwrap().objects;
    assert_eq!((0..4).map(|part| objects(0.25, part * 64)).sum::<u64>(), 601);
    assert_eq!(objects(1.0, 77), 601);
    assert_eq!((0..256).map(|part| objects(0.0, part)).sum::<u64>(), 601);
    let quarter = objects(0.25, 200);
    assert!((90..220).contains(&quarter), "{quarter}");
}

/// If it fails, some bytes in the store make a reader panic, or pass for an object. Each value is changed at random and read in every way.
#[test]
fn values_that_were_changed_are_damage_and_nothing_worse() {
    let (_, store) = new_store();
    let large = random_bytes(1, WHOLE_BLOB_LEN_MAX + 100_000);
    let text = b"some text that compresses. ".repeat(40);
    let root = put_files(&store, &[("a", b"a"), ("large", &large), ("text", &text)]);
    let tree = store.get_tree(&root).unwrap();
    let mut ids: Vec<ObjectId> = tree.iter().map(|found| found.entry.id).collect();
    ids.push(root);
    let mut rng = StdRng::seed_from_u64(11);
    for round in 0..600 {
        let id = ids[rng.random_range(0..ids.len())];
        let good = value_of(&store, &id);
        let mut bad = good.clone();
        match rng.random_range(0..4) {
            0 => bad.truncate(rng.random_range(0..bad.len())),
            1 => bad.push(rng.random()),
            2 => bad[0] = rng.random(),
            _ => {
                for _ in 0..rng.random_range(1..4) {
                    let at = rng.random_range(0..bad.len().min(60));
                    bad[at] = rng.random();
                }
            }
        }
        if bad == good {
            continue;
        }
        overwrite(&store, &id, Some(&bad));
        let blob = store.get_blob(&id, u64::MAX).map(|content| ObjectId::of(ObjectKind::Blob, &content));
        let tree = store.get_tree(&id).map(|tree| tree.id());
        for read in [blob, tree] {
            match read {
                // Zstandard has more than one frame for the same content.
                Ok(found) => assert_eq!(found, id, "round {round}"),
                Err(Error::Damaged { id: of, .. }) => assert_eq!(of, id, "round {round}"),
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
        let report = store.verify(&VerifyOptions::default()).unwrap();
        assert!(report.damaged.iter().all(|found| found.id == id), "round {round}: {report:?}");
        overwrite(&store, &id, Some(&good));
    }
    assert!(store.verify(&VerifyOptions::default()).unwrap().is_intact());
}

/// If it fails, one damaged block of a table ends the check, and everything behind it goes unseen.
#[test]
fn a_block_that_the_database_cannot_read_is_a_range_and_the_check_goes_on() {
    let (disk, store) = new_store();
    let files: Vec<(String, Vec<u8>)> =
        (0..3000).map(|number| (format!("f{number}"), random_bytes(number, 100))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(file, content)| (&file[..], &content[..])).collect();
    put_files(&store, &files);
    store.db().flush().unwrap();
    let all: BTreeSet<ObjectId> = files.iter().map(|(_, content)| ObjectId::of(ObjectKind::Blob, content)).collect();
    drop(store);

    let table = table_with_most(&disk);
    disk.flip_bit(&table, 40_000, 3).unwrap();
    let store = Store::open(&open_db(&disk).unwrap(), &StoreOptions::default()).unwrap();
    let report = store.verify(&VerifyOptions::default()).unwrap();
    assert!(!report.is_intact() && report.damaged.is_empty());
    let [range] = &report.unreadable[..] else { panic!("{:?}", report.unreadable) };
    let missed: Vec<_> = all.iter().filter(|id| range.after < **id && **id < range.before).collect();
    assert!((1..400).contains(&missed.len()), "{} objects in {:?}", missed.len(), report.unreadable);
    assert_eq!(report.objects as usize, 3001 - missed.len());
    assert!(missed.iter().any(|id| store.get_blob(id, 100).is_err()));
}

fn table_with_most(disk: &SimDisk) -> std::path::PathBuf {
    let files = vfs::Vfs::read_dir(disk, Path::new("/db")).unwrap();
    let tables = files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "sst"));
    tables.max_by_key(|path| disk.contents(path).unwrap().len()).unwrap()
}
