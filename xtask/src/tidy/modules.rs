//! Every Rust file of a crate is compiled: a file that no `mod` leads to is an orphan, and its tests never run. A crate has
//! one integration test binary, `tests/it/main.rs`: each further one links the crate again.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{Tree, folder};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.packages() {
        let tests = format!("{package}/tests/");
        let it = format!("{package}/tests/it/");
        let source = format!("{package}/src/");
        let mut reached = BTreeSet::new();
        for (path, _) in tree.files().filter(|(path, _)| is_root(package, path)) {
            reach(tree, path, &mut reached);
        }
        for (path, _) in tree.files() {
            let in_tests = path.strip_prefix(&tests);
            let compiled = path.starts_with(&it) || path.starts_with(&source);
            let message = if in_tests.is_some_and(|rest| !rest.contains('/')) {
                "lies directly in tests/: make it a module of tests/it/main.rs"
            } else if in_tests.is_some() && path.ends_with(".rs") && !compiled {
                "a second integration test binary, or no test at all: make it a module of tests/it/main.rs"
            } else if compiled && path.ends_with(".rs") && !reached.contains(path) {
                "an orphan: no `mod` leads to it, so it is never compiled"
            } else {
                continue;
            };
            findings.push(Finding::file(path, message));
        }
    }
    findings
}

/// True for the files that cargo itself finds.
fn is_root(package: &str, path: &str) -> bool {
    let Some(inside) = path.strip_prefix(package).and_then(|rest| rest.strip_prefix('/')) else { return false };
    matches!(inside, "src/lib.rs" | "src/main.rs" | "tests/it/main.rs")
        || (folder(inside) == "src/bin" && inside.ends_with(".rs"))
        || (inside.starts_with("src/bin/") && inside.ends_with("/main.rs"))
}

fn reach(tree: &Tree, path: &str, reached: &mut BTreeSet<String>) {
    let Some(text) = tree.text(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let children = children_folder(path);
    for name in text.lines().filter_map(declared_module) {
        for child in [format!("{children}/{name}.rs"), format!("{children}/{name}/mod.rs")] {
            reach(tree, &child, reached);
        }
    }
}

/// Where the modules lie that the file declares.
fn children_folder(path: &str) -> String {
    let folder = folder(path);
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    match stem {
        "mod" | "lib" | "main" => folder.to_owned(),
        _ if folder.ends_with("/src/bin") => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    }
}

fn declared_module(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut word = words.next()?;
    while word.starts_with("#[") || word.starts_with("pub") {
        word = words.next()?;
    }
    let name = words.next()?.strip_suffix(';')?;
    (word == "mod").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(files: &[(&str, &str)]) -> Vec<String> {
        let mut files = files.to_vec();
        files.push(("crates/a/Cargo.toml", ""));
        check(&Tree::of(&files)).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn canary_orphan_test_files() {
        let main = ("crates/a/tests/it/main.rs", "mod crash;\n");
        let crash = ("crates/a/tests/it/crash.rs", "");
        assert_eq!(paths(&[main, crash]), [""; 0]);
        assert_eq!(paths(&[main, crash, ("crates/a/tests/it/lost.rs", "")]), ["crates/a/tests/it/lost.rs"]);
    }

    #[test]
    fn canary_orphans_in_nested_modules() {
        let files = [
            ("crates/a/src/lib.rs", "pub(crate) mod table;\n#[cfg(test)] mod proof;\n"),
            ("crates/a/src/table/mod.rs", "mod block;\n"),
            ("crates/a/src/table/block.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/table/block/tests.rs", ""),
            ("crates/a/src/table/tests.rs", ""),
            ("crates/a/src/proof.rs", ""),
        ];
        assert_eq!(paths(&files), ["crates/a/src/table/tests.rs"]);
    }

    #[test]
    fn canary_one_integration_binary() {
        assert_eq!(paths(&[("crates/a/tests/second.rs", "")]), ["crates/a/tests/second.rs"]);
        assert_eq!(paths(&[("crates/a/tests/notes.txt", "")]), ["crates/a/tests/notes.txt"]);
        assert_eq!(paths(&[("crates/a/tests/more/main.rs", "")]), ["crates/a/tests/more/main.rs"]);
        assert_eq!(paths(&[("crates/a/tests/data/input.bin", "")]), [""; 0]);
    }
}
