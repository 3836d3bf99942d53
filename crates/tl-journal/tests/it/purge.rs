//! What is purged is nowhere in the store any more, and the history reads on.

use std::fs;
use std::path::{Path, PathBuf};

use tl_journal::{Error, RestoreRequest, unwatched};

use crate::lab::{Lab, path};
use crate::restore::in_order;

/// The files below `dir` in which `text` stands.
fn files_with(dir: &Path, text: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|window| window == text) {
            found.push(path);
        }
    }
    found
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    use rand::{Rng, SeedableRng};
    let mut content = vec![0; len];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut content);
    content
}

/// If it fails, a password that was saved once is in the store for ever.
#[test]
fn no_file_of_the_store_holds_what_was_purged() {
    let lab = Lab::new();
    let store = lab.dir.path().join("store");
    // Short enough to stand in a table; incompressible and separated; in chunks. None is stored compressed, so a search finds them.
    let contents = [b"password=hunter2;token=abcdef".to_vec(), noise(1, 20_000), noise(2, 3_000_000)];
    let mut states = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        lab.write("secret", content);
        lab.write("other", format!("state {number}"));
        states.push(lab.save());
    }
    lab.write("secret", "password=********");
    lab.save();
    let needle = |content: &[u8]| content[content.len() / 2..][..14].to_vec();
    for content in &contents {
        assert!(!files_with(&store, &needle(content)).is_empty(), "the search finds nothing at all");
    }
    let report = lab.repository.purge(&[path("secret")]).unwrap();
    assert!(report.is_clean() && report.shared.is_empty(), "{report:?}");
    assert_eq!(report.purged.len(), 4);
    assert!(report.searched_for >= 4, "{report:?}");
    assert_eq!(report.still_recorded, [path("secret")]);
    for content in &contents {
        assert_eq!(files_with(&store, &needle(content)), [] as [PathBuf; 0], "{} bytes", content.len());
    }
    // The history reads on, and says what is missing.
    for (number, state) in states.iter().enumerate() {
        let root = lab.repository.journal().get(*state).unwrap().unwrap().root;
        let tree = lab.tree(&root);
        let find = |name: &[u8]| tree.iter().find(|(path, _)| path.as_bytes() == name).unwrap().1;
        let store = lab.repository.store();
        assert_eq!(store.get_blob(&find(b"other").id, 100).unwrap(), format!("state {number}").as_bytes());
        let gone = store.get_blob(&find(b"secret").id, 1 << 30).unwrap_err();
        assert!(matches!(gone, tl_core::Error::Purged { len, .. } if len == contents[number].len() as u64), "{gone}");
    }
    // Again: there is nothing left to do.
    let again = lab.repository.purge(&[path("secret")]).unwrap();
    assert!(again.is_clean() && again.bytes == 0);
}

/// The same where contents are compressed: what is searched for is what is stored.
#[test]
fn compressed_contents_are_found_and_gone() {
    let lab = Lab::new();
    let content = "a line of a private letter, one of many like it\n".repeat(400);
    lab.write("letters/one", &content);
    lab.write("public", "p");
    lab.save();
    lab.write("letters/one", "");
    lab.save();
    let report = lab.repository.purge(&[path("letters")]).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.bytes > 0 && report.bytes < content.len() as u64 / 4, "it was to be compressed: {report:?}");
    assert_eq!(report.searched_for, 1, "an empty file holds nothing to search for");
}

/// If it fails, purging one file takes others along, or is silent about what stays.
#[test]
fn what_other_paths_have_too_stays_and_is_named() {
    let lab = Lab::new();
    let big = noise(3, 2_500_000);
    let mut longer = big.clone();
    longer.extend_from_slice(&noise(4, 400_000));
    lab.write("copy", "the same text in two files");
    lab.write("secret/text", "the same text in two files");
    lab.write("secret/big", &big);
    lab.write("longer", &longer);
    lab.save();
    let report = lab.repository.purge(&[path("secret")]).unwrap();
    let named: Vec<_> = report.shared.iter().map(|shared| (shared.path.to_string(), shared.with.to_string())).collect();
    assert!(named.contains(&("secret/text".into(), "copy".into())), "{named:?}");
    assert!(named.iter().filter(|(path, with)| path == "secret/big" && with == "longer").count() > 5, "{named:?}");
    assert_eq!(report.purged.iter().map(|purged| purged.path.to_string()).collect::<Vec<_>>(), ["secret/big"]);
    assert_eq!(lab.content("copy").unwrap(), b"the same text in two files");
    assert_eq!(lab.content("longer").unwrap(), longer);
}

/// If it fails, what a restore saved of an ignored file outlives its purge.
#[test]
fn what_restores_saved_is_purged_too() {
    let lab = Lab::new();
    lab.write("x.out", "recorded once, years ago");
    let first = lab.save();
    fs::remove_file(lab.at("x.out")).unwrap();
    lab.write(".gitignore", ".out");
    lab.save();
    lab.write("x.out", "an ignored secret, saved by a restore");
    lab.restore(first);
    lab.repository.settle_restore(&unwatched).unwrap();
    let store = lab.dir.path().join("store");
    assert!(!files_with(&store, b"an ignored secret").is_empty());
    let report = lab.repository.purge(&[path("x.out")]).unwrap();
    assert!(report.is_clean() && report.purged.len() == 2, "{report:?}");
    assert!(files_with(&store, b"an ignored secret").is_empty());
    // A state with a purged file cannot be restored as it was, and the attempt changes nothing.
    let before = lab.disk();
    lab.write("x.out", "something else");
    lab.save();
    let error = lab.try_restore(&RestoreRequest::new(first), in_order(), &unwatched).unwrap_err();
    assert!(matches!(error, Error::RolledBack { .. }), "{error}");
    assert_eq!(fs::read(lab.at("x.out")).unwrap(), b"something else");
    assert_eq!(lab.disk().len(), before.len());
}

/// If it fails, a mistyped path looks as if it had been purged.
#[test]
fn a_path_that_was_never_recorded_is_refused() {
    let lab = Lab::new();
    lab.write("a", "a");
    lab.save();
    let error = lab.repository.purge(&[path("a"), path("b")]).unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "path", .. }) && error.to_string().contains('b'), "{error}");
    assert_eq!(lab.content("a").unwrap(), b"a");
}
