use tl_core::{Blob, Mode, ObjectId, ObjectKind, RepoPath};

use super::*;
use crate::output::Paint;

fn side(path: &[u8], content: &[u8], mode: u32) -> Side {
    let id = ObjectId::of(ObjectKind::Blob, content);
    let entry = Entry::file(Blob { id, len: content.len() as u64 }, Mode::new(mode));
    Side { path: RepoPath::new(path).unwrap().to_owned(), entry }
}

fn change(before: Option<Side>, after: Option<Side>) -> FileChange {
    FileChange { before, after, similarity_percent: None }
}

fn content(bytes: &[u8]) -> Content {
    Content::Text(bytes.to_vec())
}

fn shown(file: &FileChange, before: &Content, after: &Content, words: bool) -> String {
    let mut canvas = Canvas::new(Paint::plain(), true);
    write(&mut canvas, file, before, after, PatchOptions { words, ..PatchOptions::default() });
    String::from_utf8(canvas.into_bytes()).unwrap()
}

#[test]
fn a_changed_file() {
    let (old, new) = (b"1\n2\n3\n4\n5\n6\n7\n8\n", b"1\n2\n3\n4\nfive\n6\n7\n8");
    let file = change(Some(side(b"a b", old, 0o644)), Some(side(b"a b", new, 0o755)));
    let expected = "diff --git a/a b b/a b\nold mode 100644\nnew mode 100755\n--- a/a b\t\n+++ b/a b\t\n\
                    @@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n-8\n+8\n\\ No newline at end of file\n";
    assert_eq!(shown(&file, &content(old), &content(new), false), expected);
}

#[test]
fn files_that_come_and_go() {
    let file = change(None, Some(side(b"new", b"one\n", 0o600)));
    let expected = "diff --git a/new b/new\nnew file mode 100600\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+one\n";
    assert_eq!(shown(&file, &content(b""), &content(b"one\n"), false), expected);
    let file = change(Some(side(b"old", b"", 0o644)), None);
    assert_eq!(shown(&file, &content(b""), &content(b""), false), "diff --git a/old b/old\ndeleted file mode 100644\n");
}

#[test]
fn a_renamed_file() {
    let mut file = change(Some(side(b"old", b"x\n", 0o644)), Some(side(b"d/new", b"x\n", 0o644)));
    file.similarity_percent = Some(100);
    let expected = "diff --git a/old b/d/new\nsimilarity index 100%\nrename from old\nrename to d/new\n";
    assert_eq!(shown(&file, &content(b"x\n"), &content(b"x\n"), false), expected);
}

/// If it fails, a patch that turns a file into a link writes the link's target into the file.
#[test]
fn a_file_that_becomes_a_link_goes_and_comes() {
    let mut link = side(b"x", b"target", 0o777);
    link.entry.kind = EntryKind::Symlink;
    let shown =
        shown(&change(Some(side(b"x", b"text\n", 0o644)), Some(link)), &content(b"text\n"), &content(b"target"), false);
    assert!(shown.contains("deleted file mode 100644\n") && shown.contains("new file mode 120000\n"), "{shown}");
}

#[test]
fn what_is_no_text_is_named() {
    let file = change(Some(side(b"x", b"1", 0o644)), Some(side(b"x", b"2", 0o644)));
    let binary = shown(&file, &Content::Binary { len: 1 }, &content(b"2"), false);
    assert!(binary.ends_with("Binary files a/x and b/x differ\n"), "{binary}");
    let purged = shown(&file, &Content::Purged { len: 1 }, &content(b"2"), false);
    assert!(purged.ends_with("Not compared: a/x: purged\n"), "{purged}");
}

/// If it fails, the content or the name of a file drives the terminal of whoever looks at it.
#[test]
fn nothing_drives_the_terminal() {
    let file = change(None, Some(side(b"a\x1b[2J", b"x", 0o644)));
    let shown = shown(&file, &content(b""), &content(b"evil\x1b]0;title\x07\n"), false);
    assert!(!shown.contains(['\x1b', '\x07']), "{shown:?}");
    assert!(shown.contains("+evil\\x1b]0;title\\x07\n") && shown.contains("\"b/a\\033[2J\""), "{shown:?}");
}

#[test]
fn words_are_marked_in_their_lines() {
    let (old, new) = (b"let mut total = first + second;\n", b"let total = first + third;\n");
    let file = change(Some(side(b"x", old, 0o644)), Some(side(b"x", new, 0o644)));
    let shown = shown(&file, &content(old), &content(new), true);
    assert!(shown.ends_with("@@ -1 +1 @@\n let [-mut -]total = first + [-second-]{+third+};\n"), "{shown}");
}
