//! Names that are one name to a filesystem that does not tell cases or Unicode forms apart.

use std::borrow::Cow;

use rustix::io::Errno;
use tl_core::{EntryName, Tree};
use unicode_normalization::UnicodeNormalization;

use super::dir::WriteDir;

/// Whether names that differ in case only are the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folding {
    /// Find out, by a file in the root that is removed again.
    Probe,
    /// The filesystem is known to tell cases apart.
    Exact,
    /// The filesystem is known not to.
    Folds,
}

/// What a filesystem that folds names compares. Two names that it tells apart may be equal here (no two systems fold alike), never the reverse for those
/// in use.
fn folded(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return name.into();
    }
    match std::str::from_utf8(name) {
        Ok(text) if !text.is_ascii() => {
            text.nfkd().flat_map(char::to_lowercase).nfkd().collect::<String>().into_bytes().into()
        }
        _ => name.to_ascii_lowercase().into(),
    }
}

/// Each name of `tree` that comes after one which folds to the same, with that one.
pub(super) fn collisions(tree: &Tree) -> Vec<(&EntryName, &EntryName)> {
    let mut names: Vec<_> = tree.iter().map(|entry| (folded(entry.name.as_bytes()), entry.name)).collect();
    names.sort();
    let mut found = Vec::new();
    for same in names.chunk_by(|(a, _), (b, _)| a == b) {
        if let [(_, first), others @ ..] = same {
            found.extend(others.iter().map(|(_, name)| (*name, *first)));
        }
    }
    found.sort();
    found
}

/// True if the filesystem of `dir` finds a file under its name in other letters. `stem` is a name that is not in use.
pub(super) fn folds(dir: &WriteDir, stem: &str) -> Result<bool, Errno> {
    let (written, asked) = (format!("{stem}-a"), format!("{stem}-A"));
    dir.create_file(written.as_bytes())?;
    let found = dir.stat(asked.as_bytes());
    dir.unlink(written.as_bytes())?;
    Ok(found?.is_some())
}

#[cfg(test)]
mod tests {
    use tl_core::{Entry, Mode, ObjectId, TreeBuilder};

    use super::*;

    #[test]
    fn names_that_are_one_elsewhere_are_found() {
        let mut builder = TreeBuilder::new();
        for name in ["README", "readme", "Stra\u{df}e", "caf\u{e9}", "cafe\u{301}", "other", "\u{ff52}eadme"] {
            let entry = Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o755));
            builder.add(EntryName::new(name.as_bytes()).unwrap(), entry);
        }
        let tree = builder.build().unwrap();
        let found: Vec<_> = collisions(&tree).iter().map(|(name, with)| format!("{name}={with}")).collect();
        assert_eq!(found, ["caf\u{e9}=cafe\u{301}", "readme=README", "\u{ff52}eadme=README"]);
    }
}
