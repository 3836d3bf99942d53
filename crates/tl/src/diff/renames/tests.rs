use std::collections::HashMap;

use tl_core::{Blob, Mode, ObjectKind, RepoPath};

use super::*;

/// Changes of files, and their contents.
#[derive(Default)]
struct Case {
    changes: Vec<Change>,
    contents: HashMap<ObjectId, Vec<u8>>,
}

impl Case {
    fn entry(&mut self, content: &str) -> Entry {
        let id = ObjectId::of(ObjectKind::Blob, content.as_bytes());
        self.contents.insert(id, content.as_bytes().to_vec());
        Entry::file(Blob { id, len: content.len() as u64 }, Mode::new(0o644))
    }

    fn change(mut self, path: &str, before: Option<&str>, after: Option<&str>) -> Self {
        let path = RepoPath::new(path.as_bytes()).unwrap().to_owned();
        let before = before.map(|content| self.entry(content));
        let after = after.map(|content| self.entry(content));
        self.changes.push(Change { path, before, after });
        self
    }

    /// Each file as `old -> new percent`.
    fn found(self, options: RenameOptions) -> (Vec<String>, bool) {
        let contents = self.contents;
        let found = files(self.changes, Some(&options), |entry| Ok(contents.get(&entry.id).cloned())).unwrap();
        let shown = found.files.iter().map(|file| {
            let path = String::from_utf8_lossy(file.path());
            let letter = file.status().letter();
            match (file.old_path(), file.similarity_percent) {
                (Some(old), Some(percent)) => format!("{letter}{percent} {} -> {path}", String::from_utf8_lossy(old)),
                _ => format!("{letter} {path}"),
            }
        });
        (shown.collect(), found.limited)
    }

    fn renames(self) -> Vec<String> {
        self.found(RenameOptions::default()).0
    }
}

fn numbered(lines: std::ops::Range<u32>) -> String {
    lines.map(|line| format!("line {line}\n")).collect()
}

#[test]
fn a_moved_file_is_one_file() {
    let case = Case::default().change("a/x", Some("content"), None).change("b/x", None, Some("content"));
    assert_eq!(case.renames(), ["R100 a/x -> b/x"]);
}

/// If it fails, two files that are moved together are told to have swapped their names.
#[test]
fn of_equal_contents_the_same_name_wins() {
    let case = Case::default()
        .change("old/a", Some("same"), None)
        .change("old/b", Some("same"), None)
        .change("new/b", None, Some("same"))
        .change("new/c", None, Some("same"));
    assert_eq!(case.renames(), ["R100 old/b -> new/b", "R100 old/a -> new/c"]);
}

#[test]
fn an_edited_file_is_found_by_what_it_kept() {
    let case = Case::default()
        .change("a", Some(&numbered(0..100)), None)
        .change("near", None, Some(&numbered(20..120)))
        .change("far", None, Some(&numbered(200..300)));
    let found = case.renames();
    assert!(found.contains(&"A far".to_owned()) && found.iter().any(|file| file.ends_with("a -> near")), "{found:?}");
}

#[test]
fn the_most_similar_file_is_taken() {
    let case = Case::default()
        .change("a", Some(&numbered(0..100)), None)
        .change("better", None, Some(&numbered(5..105)))
        .change("worse", None, Some(&numbered(20..120)));
    let found = case.renames();
    assert_eq!(found.len(), 2);
    assert!(found[0].ends_with("a -> better") && found[1] == "A worse", "{found:?}");
}

/// If it fails, every file that is emptied while another is created looks like a rename.
#[test]
fn empty_files_are_never_renames() {
    let case = Case::default().change("a", Some(""), None).change("b", None, Some(""));
    assert_eq!(case.renames(), ["D a", "A b"]);
}

#[test]
fn changed_files_stay_what_they_are() {
    let case = Case::default().change("a", Some("1"), Some("2")).change("b", Some("2"), None);
    assert_eq!(case.renames(), ["M a", "D b"]);
}

/// If it fails, the removal of a large directory beside a new one takes minutes.
#[test]
fn above_the_limit_only_files_of_the_same_name_are_compared() {
    let mut case = Case::default();
    for index in 0..20 {
        let (from, to) = (index * 100, index * 100 + 100);
        case = case.change(&format!("old/{index}"), Some(&numbered(from..to)), None);
        let name = if index == 7 { "new/7".to_owned() } else { format!("new/other-{index}") };
        case = case.change(&name, None, Some(&numbered(from + 1..to)));
    }
    let (found, limited) = case.found(RenameOptions { pairs_max: 100, ..RenameOptions::default() });
    assert!(limited);
    let renames: Vec<_> = found.iter().filter(|file| file.starts_with('R')).collect();
    assert_eq!(renames.len(), 1);
    assert!(renames[0].ends_with("old/7 -> new/7"));
}

#[test]
fn without_options_nothing_is_paired() {
    let case = Case::default().change("a", Some("content"), None).change("b", None, Some("content"));
    let found = files(case.changes, None, |_| panic!("nothing needs to be read")).unwrap();
    assert_eq!(found.files.len(), 2);
}

/// If it fails, a file whose lines are only in another order is shown as unchanged.
#[test]
fn only_equal_contents_are_fully_similar() {
    let case = Case::default().change("a", Some("1\n2\n3\n"), None).change("b", None, Some("3\n2\n1\n"));
    assert_eq!(case.renames(), ["R99 a -> b"]);
}
