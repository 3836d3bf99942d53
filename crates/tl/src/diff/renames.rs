//! Files instead of paths: a file that is gone and one that is new are one file if their contents say so.

use std::collections::HashMap;
use std::collections::hash_map::Entry::Vacant;

use anyhow::Result;
use tl_core::{Change, Entry, EntryKind, ObjectId, RepoPathBuf};

use super::similarity::Fingerprint;

/// How renames are found.
#[derive(Debug, Clone, Copy)]
pub struct RenameOptions {
    /// From this share of common content on, in percent, two files are one. At 100, contents have to be equal.
    pub similarity_percent_min: u8,
    /// Pairs of a file that is gone and one that is new, above which only those of the same name are compared.
    pub pairs_max: usize,
    /// Longer files are only compared by their ids.
    pub len_max: u64,
}

impl Default for RenameOptions {
    fn default() -> Self {
        Self { similarity_percent_min: 50, pairs_max: 250_000, len_max: 4 << 20 }
    }
}

/// What a path stood for on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The path.
    pub path: RepoPathBuf,
    /// What it stood for.
    pub entry: Entry,
}

/// One file that differs. At least one side is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// What was there.
    pub before: Option<Side>,
    /// What is there.
    pub after: Option<Side>,
    /// How much of the content is the same, in percent, if the file was renamed.
    pub similarity_percent: Option<u8>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its content differs, and perhaps its mode.
    Modified,
    /// Only its mode differs.
    ModeChanged,
    /// It became something of another kind.
    KindChanged,
    /// It has another path, and perhaps another content.
    Renamed,
}

impl Status {
    /// One letter, as Git has them.
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Removed => 'D',
            Self::Modified | Self::ModeChanged => 'M',
            Self::KindChanged => 'T',
            Self::Renamed => 'R',
        }
    }

    /// One word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Modified => "modified",
            Self::ModeChanged => "mode-changed",
            Self::KindChanged => "kind-changed",
            Self::Renamed => "renamed",
        }
    }
}

impl FileChange {
    /// What happened.
    pub fn status(&self) -> Status {
        match (&self.before, &self.after) {
            (None, _) => Status::Added,
            (_, None) => Status::Removed,
            (Some(before), Some(after)) if before.path != after.path => Status::Renamed,
            (Some(before), Some(after)) if before.entry.kind != after.entry.kind => Status::KindChanged,
            // What differs in a directory are files of their own.
            (Some(before), Some(after)) if before.entry.id == after.entry.id || before.entry.is_directory() => {
                Status::ModeChanged
            }
            _ => Status::Modified,
        }
    }

    /// The path that it has, or had if it is gone.
    pub fn path(&self) -> &[u8] {
        let side = self.after.as_ref().or(self.before.as_ref());
        side.map_or(&[], |side| side.path.as_bytes())
    }

    /// The path that it had, if that is another one.
    pub fn old_path(&self) -> Option<&[u8]> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        (before.path != after.path).then(|| before.path.as_bytes())
    }
}

/// Files that differ, with what was left out.
#[derive(Debug)]
pub struct FileChanges {
    /// By path, that of the new side if there is one.
    pub files: Vec<FileChange>,
    /// There were too many files to compare all that are gone with all that are new.
    pub limited: bool,
}

/// Makes files of changed paths. Without `options`, a rename stays two files. `load` gives the content of an entry, or nothing if it cannot be had; it is asked
/// once for each file in question.
///
/// # Errors
/// Those of `load`.
pub fn files(
    changes: impl IntoIterator<Item = Change>,
    options: Option<&RenameOptions>,
    load: impl FnMut(&Entry) -> Result<Option<Vec<u8>>>,
) -> Result<FileChanges> {
    let mut files = Vec::new();
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    for Change { path, before, after } in changes {
        let side = |entry: Entry| Side { path: path.clone(), entry };
        match (before.map(side), after.map(side)) {
            (Some(before), None) if options.is_some() => gone.push(Some(before)),
            (None, Some(after)) if options.is_some() => new.push(Some(after)),
            (before, after) => files.push(FileChange { before, after, similarity_percent: None }),
        }
    }
    let mut pairing = Pairing { gone, new, files: &mut files };
    let mut limited = false;
    if let Some(options) = options {
        pairing.equal_contents();
        if options.similarity_percent_min < 100 {
            limited = pairing.similar_contents(options, load)?;
        }
    }
    let Pairing { gone, new, .. } = pairing;
    let lone = |before, after| FileChange { before, after, similarity_percent: None };
    files.extend(gone.into_iter().flatten().map(|side| lone(Some(side), None)));
    files.extend(new.into_iter().flatten().map(|side| lone(None, Some(side))));
    files.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    Ok(FileChanges { files, limited })
}

fn sort_key(file: &FileChange) -> (Option<&RepoPathBuf>, bool) {
    (file.after.as_ref().or(file.before.as_ref()).map(|side| &side.path), file.after.is_some())
}

/// Files that are gone or new and have not found each other. Those that have are taken out.
struct Pairing<'a> {
    gone: Vec<Option<Side>>,
    new: Vec<Option<Side>>,
    files: &'a mut Vec<FileChange>,
}

impl Pairing<'_> {
    /// Makes one file of two, unless one of them has found another already.
    fn pair(&mut self, gone: usize, new: usize, similarity_percent: u8) {
        let (Some(before), Some(after)) = (self.gone.get_mut(gone), self.new.get_mut(new)) else { return };
        if before.is_some() && after.is_some() {
            let (before, after) = (before.take(), after.take());
            self.files.push(FileChange { before, after, similarity_percent: Some(similarity_percent) });
        }
    }

    /// Pairs files of equal content: first those that kept their name, then the others in the order of their paths. Empty ones say nothing.
    fn equal_contents(&mut self) {
        let mut by_content: HashMap<(EntryKind, ObjectId), Vec<usize>> = HashMap::new();
        for (index, side) in self.gone.iter().enumerate() {
            if let Some(key) = side.as_ref().and_then(content_key) {
                by_content.entry(key).or_default().push(index);
            }
        }
        for same_name in [true, false] {
            for new in 0..self.new.len() {
                let Some(after) = self.new.get(new).and_then(Option::as_ref) else { continue };
                let Some(candidates) = content_key(after).and_then(|key| by_content.get_mut(&key)) else { continue };
                let found = candidates.iter().position(|gone| {
                    let before = self.gone.get(*gone).and_then(Option::as_ref);
                    before.is_some_and(|before| !same_name || before.path.file_name() == after.path.file_name())
                });
                if let Some(found) = found {
                    let gone = candidates.remove(found);
                    self.pair(gone, new, 100);
                }
            }
        }
    }

    /// Pairs files of similar content, the most similar first. Returns true if not all were compared.
    fn similar_contents(
        &mut self,
        options: &RenameOptions,
        mut load: impl FnMut(&Entry) -> Result<Option<Vec<u8>>>,
    ) -> Result<bool> {
        let gone = candidates(&self.gone, options);
        let new = candidates(&self.new, options);
        let limited = gone.len().saturating_mul(new.len()) > options.pairs_max;
        let mut fingerprints: HashMap<ObjectId, Option<Fingerprint>> = HashMap::new();
        let mut found = Vec::new();
        for &gone in &gone {
            for &new in &new {
                let sides = (self.gone.get(gone).and_then(Option::as_ref), self.new.get(new).and_then(Option::as_ref));
                let (Some(before), Some(after)) = sides else { continue };
                let same_name = before.path.file_name() == after.path.file_name();
                let sizes = (before.entry.size, after.entry.size);
                let reachable = sizes.0.min(sizes.1).saturating_mul(100) / sizes.0.max(sizes.1).max(1);
                if reachable < u64::from(options.similarity_percent_min) || (limited && !same_name) {
                    continue;
                }
                for entry in [&before.entry, &after.entry] {
                    if let Vacant(place) = fingerprints.entry(entry.id) {
                        place.insert(load(entry)?.map(|content| Fingerprint::of(&content)));
                    }
                }
                let prints = (fingerprints.get(&before.entry.id), fingerprints.get(&after.entry.id));
                if let (Some(Some(a)), Some(Some(b))) = prints {
                    let percent = a.similarity_percent(b);
                    if percent >= options.similarity_percent_min {
                        found.push((percent, same_name, gone, new));
                    }
                }
            }
        }
        // The most similar first; of equally similar ones those that kept their name, then in the order of paths.
        found.sort_by_key(|(percent, same_name, gone, new)| (!*percent, !*same_name, *gone, *new));
        for (percent, _, gone, new) in found {
            // 100 is for equal contents: lines in another order have the same fingerprint.
            self.pair(gone, new, percent.min(99));
        }
        Ok(limited)
    }
}

/// What two files must share to be equal; nothing for what cannot be a rename.
fn content_key(side: &Side) -> Option<(EntryKind, ObjectId)> {
    (!side.entry.is_directory() && side.entry.size > 0).then_some((side.entry.kind, side.entry.id))
}

fn candidates(sides: &[Option<Side>], options: &RenameOptions) -> Vec<usize> {
    let fits = |side: &Side| side.entry.kind == EntryKind::File && (1..=options.len_max).contains(&side.entry.size);
    sides.iter().enumerate().filter(|(_, side)| side.as_ref().is_some_and(fits)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests;
