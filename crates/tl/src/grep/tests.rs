use granite::{Background, Db, Durability, Options};
use tl_core::{Mode, Store, StoreOptions};

use super::*;

/// States of a directory in a store of its own.
struct Lab {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path(), &Options::new().background(Background::Inline)).unwrap();
        Self { store: Store::open(&db, &StoreOptions::default()).unwrap(), _dir: dir }
    }

    fn state(&self, files: &[(&str, &str)]) -> ObjectId {
        let capture = self.store.capture().unwrap();
        let mut edits = BTreeMap::new();
        for (path, content) in files {
            let path = RepoPath::new(path.as_bytes()).unwrap();
            if let Some(parent) = path.parent().filter(|parent| !parent.is_root()) {
                edits.insert(parent.to_owned(), Some(Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o755))));
            }
            let blob = capture.put_blob(content.as_bytes()).unwrap();
            edits.insert(path.to_owned(), Some(Entry::file(blob, Mode::new(0o644))));
        }
        let root = capture.edit_tree(&ObjectId::EMPTY_TREE, edits).unwrap();
        capture.commit(|_| {}, Durability::Buffered).unwrap();
        root
    }

    /// `path first-last: lines` for each presence in the states, which are numbered from 1.
    fn grep(&self, pattern: &str, paths: &[&str], states: &[&[(&str, &str)]]) -> Vec<String> {
        let pattern = Pattern::new(pattern, PatternOptions::default()).unwrap();
        let paths: Vec<_> = paths.iter().map(|path| RepoPath::new(path.as_bytes()).unwrap().to_owned()).collect();
        let mut search = Search::new(self.store.objects(), &pattern, &paths);
        for (index, files) in states.iter().enumerate() {
            search.state(index + 1, &self.state(files)).unwrap();
        }
        let (found, _) = search.finish();
        let line = |found: &Match| format!("{}:{}", found.line, String::from_utf8_lossy(&found.text));
        let show = |presence: Presence<usize>| {
            let lines = presence.matches.iter().map(line).collect::<Vec<_>>().join(",");
            format!("{} {}-{} {lines}", presence.path, presence.first, presence.last)
        };
        found.into_iter().map(show).collect()
    }
}

#[test]
fn a_match_tells_from_which_state_to_which_it_stood() {
    let found = Lab::new().grep(
        "fix",
        &[],
        &[&[("a", "old")], &[("a", "fix me")], &[("a", "fix me"), ("b", "x")], &[("a", "done")], &[("a", "fix again")]],
    );
    assert_eq!(found, ["a 5-5 1:fix again", "a 2-3 1:fix me"]);
}

/// If it fails, text that came back is told to have been there in between, or is told only once.
#[test]
fn what_comes_back_is_a_presence_of_its_own() {
    let found = Lab::new().grep("x", &[], &[&[("a", "x")], &[("a", "y")], &[("a", "x")], &[]]);
    assert_eq!(found, ["a 3-3 1:x", "a 1-1 1:x"]);
}

#[test]
fn a_file_that_moves_is_found_at_both_places() {
    let found = Lab::new().grep("x", &[], &[&[("a", "x")], &[("d/b", "x")]]);
    assert_eq!(found, ["a 1-1 1:x", "d/b 2-2 1:x"]);
}

#[test]
fn only_what_is_below_the_paths_is_searched() {
    let states: [&[_]; 1] = [&[("d/a", "x"), ("d.txt", "x"), ("e/a", "x")]];
    assert_eq!(Lab::new().grep("x", &["d"], &states), ["d/a 1-1 1:x"]);
    assert_eq!(Lab::new().grep("x", &["d.txt", "e/a"], &states), ["d.txt 1-1 1:x", "e/a 1-1 1:x"]);
}

/// If it fails, `tl grep` reads the whole history again for every state.
#[test]
fn a_content_is_searched_once() {
    let lab = Lab::new();
    let pattern = Pattern::new("x", PatternOptions::default()).unwrap();
    let mut search = Search::new(lab.store.objects(), &pattern, &[]);
    search.state(1, &lab.state(&[("a", "x"), ("b", "x"), ("c", "\0")])).unwrap();
    search.state(2, &lab.state(&[("b", "y"), ("c", "\0"), ("d", "\0")])).unwrap();
    assert_eq!(search.searched.len(), 3);
    assert_eq!(search.finish().1, Skipped { binary: 1, ..Skipped::default() });
}
