use std::fs;
use std::process::Command;

use super::*;

struct Tree {
    scratch: tempfile::TempDir,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self { scratch: tempfile::tempdir().unwrap() };
        for (path, content) in files {
            tree.write(path, content);
        }
        tree
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.scratch.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn rules(&self) -> IgnoreRules {
        IgnoreRules::open(self.scratch.path(), Vec::new()).unwrap()
    }
}

fn ignored(rules: &IgnoreRules, path: &str) -> bool {
    rules.hides(path.as_bytes(), false)
}

#[test]
fn nearer_files_decide_and_own_rules_come_before_those_of_git() {
    let tree = Tree::new(&[
        (".gitignore", "*.log\n/only-here\n"),
        ("a/.gitignore", "!kept.log\n"),
        ("a/b/.gitignore", "kept.log\n"),
        ("a/b/.tlignore", "!wanted.log\n"),
        (".git/info/exclude", "*.excluded\n"),
    ]);
    let rules = tree.rules();
    assert!(ignored(&rules, "x.log") && ignored(&rules, "a/x.log"));
    assert!(!ignored(&rules, "a/kept.log"));
    assert!(ignored(&rules, "a/b/kept.log"));
    assert!(!ignored(&rules, "a/b/wanted.log"));
    assert!(ignored(&rules, "only-here") && !ignored(&rules, "a/only-here"));
    assert!(ignored(&rules, "deep/er/x.excluded"));
}

#[test]
fn what_lies_in_an_ignored_directory_cannot_be_taken_back() {
    let tree = Tree::new(&[(".gitignore", "target/\n!target/keep\n"), ("target/.gitignore", "!*\n")]);
    let rules = tree.rules();
    assert!(ignored(&rules, "target/keep"));
    assert!(ignored(&rules, "target/debug/x/y"));
    assert!(!rules.hides(b"target", false), "the pattern is for directories alone");
}

#[test]
fn the_stores_of_others_are_never_recorded() {
    let tree = Tree::new(&[(".gitignore", "!.git\n!.jj\n!.tl\n")]);
    let rules = tree.rules();
    for path in [".git", ".jj/x", ".tl", "vendor/lib/.git", "vendor/lib/.git/config"] {
        assert!(ignored(&rules, path), "{path}");
    }
    assert!(!ignored(&rules, ".gitignore") && !ignored(&rules, ".github/x") && !ignored(&rules, "a/.tlx"));
}

#[test]
fn names_that_look_like_leftovers_are_recorded() {
    let tree = Tree::new(&[]);
    let rules = tree.rules();
    for path in ["x.tmp", "x~", ".#x", "#x#", ".x.swp"] {
        assert!(!ignored(&rules, path), "{path}");
    }
}

#[test]
fn a_change_holds_after_a_reload() {
    let tree = Tree::new(&[("a/.gitignore", "x\n")]);
    let rules = tree.rules();
    assert!(ignored(&rules, "a/x"));
    tree.write("a/.gitignore", "y\n");
    rules.reload();
    assert!(!ignored(&rules, "a/x") && ignored(&rules, "a/y"));
}

#[test]
fn excludes_of_the_caller_are_noticed_when_they_change() {
    let tree = Tree::new(&[("outside/excludes", "*.o\n")]);
    fs::create_dir(tree.scratch.path().join("root")).unwrap();
    let excludes = vec![tree.scratch.path().join("outside/excludes"), tree.scratch.path().join("absent")];
    let rules = IgnoreRules::open(&tree.scratch.path().join("root"), excludes).unwrap();
    assert!(ignored(&rules, "a/x.o") && !rules.refresh_excludes());
    tree.write("outside/excludes", "*.obj\n");
    assert!(rules.refresh_excludes());
    assert!(!ignored(&rules, "a/x.o") && ignored(&rules, "a/x.obj"));
}

#[test]
fn hostile_rule_files_do_not_block_and_are_reported() {
    let tree = Tree::new(&[("a/x", ""), ("b/x", ""), ("c/.gitignore", "[z-a]\nfine\n"), ("real", "x\n")]);
    let root = tree.scratch.path();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("a/.gitignore"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("../real", root.join("b/.gitignore")).unwrap();
    tree.write("d/.gitignore", &"long\n".repeat(60_000));
    let rules = tree.rules();
    assert!(!ignored(&rules, "a/x") && !ignored(&rules, "b/x"));
    assert!(ignored(&rules, "c/fine") && !ignored(&rules, "d/long"));
    let problems: Vec<_> = rules.problems().iter().map(|found| (found.path.clone(), found.line)).collect();
    for (path, line) in [("a/.gitignore", 0), ("c/.gitignore", 1), ("d/.gitignore", 0)] {
        assert!(problems.contains(&(path.into(), line)), "{path} in {problems:?}");
    }
}

#[test]
fn names_that_are_no_text_are_matched() {
    let tree = Tree::new(&[(".gitignore", "*.o\n")]);
    let rules = tree.rules();
    assert!(rules.hides(b"a/\xff\xfe.o", false) && !rules.hides(b"a/\xff\xfe.c", false));
}

/// Git itself is the oracle, wherever it is installed.
#[test]
fn verdicts_are_those_of_git() {
    let tree = Tree::new(&[
        (
            ".gitignore",
            "*.o\n!important.o\n/build/\ndoc/*.txt\n**/cache/\nlogs/**\n!logs/keep\n\\#hash\nsp\\ \n# comment\n",
        ),
        ("sub/.gitignore", "/rooted\nany\n!*.o\nx/y\n"),
        ("sub/deep/.gitignore", "*\n!*.rs\n!*/\n"),
        (".git/info/exclude", "local-*\n"),
    ]);
    let root = tree.scratch.path();
    fs::remove_dir_all(root.join(".git")).unwrap();
    let Ok(done) = Command::new("git").arg("init").arg("-q").arg(root).status() else { return };
    assert!(done.success());
    tree.write(".git/info/exclude", "local-*\n");
    let paths = [
        "a.o",
        "important.o",
        "sub/a.o",
        "sub/important.o",
        "build/x",
        "sub/build/x",
        "doc/a.txt",
        "doc/in/a.txt",
        "x/cache/y",
        "logs/a",
        "logs/keep",
        "logs/in/b",
        "#hash",
        "sp ",
        "sub/rooted",
        "sub/in/rooted",
        "sub/any",
        "sub/in/any",
        "sub/x/y",
        "sub/in/x/y",
        "sub/deep/a",
        "sub/deep/a.rs",
        "sub/deep/in/a.rs",
        "sub/deep/in/a",
        "local-x",
        "sub/local-y",
        "plain",
    ];
    for path in paths {
        tree.write(path, "");
    }
    let rules = tree.rules();
    for path in paths {
        let output =
            Command::new("git").arg("-C").arg(root).args(["check-ignore", "-q", "--no-index", "--", path]).status();
        assert_eq!(ignored(&rules, path), output.unwrap().success(), "{path:?}");
    }
}
