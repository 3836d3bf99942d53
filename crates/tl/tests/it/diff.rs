//! `tl diff`.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::past::Past;

fn two_states() -> (Past, String, String) {
    let past = Past::new();
    let numbered: String = (1..=20).map(|line| format!("line {line}\n")).collect();
    let before =
        past.save(&[("a", &numbered), ("dir/moved.txt", "some text\nthat stays\nand more\n"), ("gone", "x\n")]);
    fs::rename(past.place.project().join("dir/moved.txt"), past.place.project().join("dir/renamed.txt")).unwrap();
    past.remove("gone");
    let after = past.save(&[("a", &numbered.replace("line 10\n", "line ten\n")), ("new", "y")]);
    (past, before, after)
}

#[test]
fn two_states_are_compared() {
    let (past, before, after) = two_states();
    let expected = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -7,7 +7,7 @@ line 6\n line 7\n line 8\n line 9\n-line 10\n+line ten\n line 11\n line 12\n line 13\n\
                    diff --git a/dir/moved.txt b/dir/renamed.txt\nsimilarity index 100%\nrename from dir/moved.txt\nrename to dir/renamed.txt\n\
                    diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
                    diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+y\n\\ No newline at end of file\n";
    assert_eq!(past.text(&["diff", &before, &after]), expected);
    assert_eq!(past.text(&["diff"]), expected, "without a state: what the last save changed");
    assert_eq!(past.text(&["diff", &before]), expected, "with one: what changed since then");
    assert_eq!(past.text(&["diff", "@", "@"]), "");
}

#[test]
fn forms_and_options() {
    let (past, before, after) = two_states();
    let diff = |options: &[&str]| past.text(&[&["diff", &before, &after], options].concat());
    assert_eq!(diff(&["--names"]), "M a\nR dir/moved.txt -> dir/renamed.txt\nD gone\nA new\n");
    assert_eq!(diff(&["--names", "--no-renames"]), "M a\nD dir/moved.txt\nA dir/renamed.txt\nD gone\nA new\n");
    let stat = diff(&["--stat"]);
    assert!(
        stat.contains(" dir/{moved.txt => renamed.txt} | 0\n")
            && stat.contains(" 4 files changed, 2 insertions(+), 2 deletions(-)\n"),
        "{stat}"
    );
    assert!(diff(&["-U0", "--", "a"]).ends_with("@@ -10 +10 @@ line 9\n-line 10\n+line ten\n"));
    assert!(diff(&["-w", "-U0", "--", "a"]).ends_with(" line [-10-]{+ten+}\n"));
    assert_eq!(diff(&["--names", "--", "dir"]), "R dir/moved.txt -> dir/renamed.txt\n");
    past.run(&["diff", &before, &after, "--", "../outside"]).code(2).says(&["outside"]);
}

#[test]
fn programs_get_every_line() {
    let (past, before, after) = two_states();
    let found = past.json(&["diff", &before, &after, "-U1"]);
    assert_eq!(
        (&found["from"], &found["to"], &found["renames_limited"]),
        (&json!(before), &json!(after), &json!(false))
    );
    let changed = &found["files"][0];
    assert_eq!(
        (&changed["status"], &changed["lines_added"], &changed["content"]),
        (&json!("modified"), &json!(1), &json!("text"))
    );
    let hunk = &changed["hunks"][0];
    assert_eq!((&hunk["old_start"], &hunk["new_lines"]), (&json!(9), &json!(3)));
    assert_eq!(hunk["lines"][1], json!({"op": "-", "text": "line 10"}));
    assert_eq!(
        (&found["files"][1]["status"], &found["files"][1]["old_path"]),
        (&json!("renamed"), &json!("dir/moved.txt"))
    );
    assert_eq!(found["files"][3]["hunks"][0]["lines"][0], json!({"op": "+", "text": "y", "no_newline": true}));
}

/// If it fails, what `tl diff` prints is no patch.
#[test]
fn git_applies_what_is_printed() {
    let past = Past::new();
    let odd = "sp ace\ttab \u{fc}\"";
    let before = past.save(&[
        ("run", "1\n2\n3"),
        (odd, "1\n"),
        ("emptied/x", "1\n"),
        ("sub/x y", "keep\nthis\ntext\n"),
        ("gone", "1\n"),
    ]);
    let project = past.place.project();
    fs::set_permissions(project.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::rename(project.join("sub/x y"), project.join("sub/z")).unwrap();
    past.remove("gone");
    fs::remove_dir_all(project.join("emptied")).unwrap();
    fs::create_dir(project.join("empty")).unwrap();
    past.place.write("fresh/deep/file", "new\n");
    std::os::unix::fs::symlink("run", project.join("link")).unwrap();
    let after = past.save(&[("run", "1\ntwo\n3"), (odd, "2\n"), ("sub/z", "keep\nthis\ntext\nand this\n")]);

    let other = past.place.beside("other");
    for dir in ["sub", "emptied"] {
        fs::create_dir_all(other.join(dir)).unwrap();
    }
    for file in ["run", odd, "emptied/x", "sub/x y", "gone"] {
        fs::write(other.join(file), past.run(&["cat", "--at", &before, file]).ok().stdout).unwrap();
    }
    let patch = past.place.beside("patch");
    fs::write(&patch, past.run(&["diff", &before, &after]).ok().stdout).unwrap();
    let applied = Command::new("git").arg("apply").arg(&patch).current_dir(&other).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    for file in ["run", odd, "sub/z", "fresh/deep/file"] {
        assert_eq!(fs::read(other.join(file)).unwrap(), past.place.read(file), "{file:?}");
    }
    assert_eq!(fs::read_link(other.join("link")).unwrap(), std::path::Path::new("run"));
    assert!(!other.join("gone").exists() && !other.join("emptied").exists() && !other.join("sub/x y").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(other.join("run")).unwrap().permissions());
    assert_eq!(mode & 0o111, 0o111);
}

#[test]
fn directories_are_told_where_no_file_tells_of_them() {
    let past = Past::new();
    past.save(&[("d/f", "1")]);
    let project = past.place.project();
    fs::create_dir(project.join("empty")).unwrap();
    fs::set_permissions(project.join("d"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    past.save(&[("new/f", "1")]);
    assert_eq!(past.text(&["diff", "--names"]), "M d\nA empty\nA new/f\n");
    let text = past.text(&["diff"]);
    assert!(text.contains("Directory d: mode 0700 instead of 0755\nDirectory empty: new, mode 0755\n"), "{text}");
    assert_eq!(past.json(&["diff"])["files"][1]["after"]["kind"], "directory");
}
