//! Files and modules are named for what they hold. A name that fits everything attracts everything.

use super::Finding;
use super::tree::Tree;

const BANNED: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        for component in path.trim_end_matches(".rs").split('/') {
            if is_banned(component) {
                findings.push(Finding::file(path, format!("`{component}` names nothing: name it by its noun")));
            }
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = inline_module(line).filter(|name| is_banned(name)) {
                findings.push(Finding::line(
                    path,
                    number + 1,
                    format!("`mod {name}` names nothing: name it by its noun"),
                ));
            }
        }
    }
    findings
}

fn is_banned(name: &str) -> bool {
    name.split(['_', '-']).any(|word| BANNED.contains(&word))
}

/// The name of a module whose body begins on this line.
fn inline_module(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with("pub") {
        word = words.next()?;
    }
    let name = words.next()?;
    (word == "mod" && words.next() == Some("{")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_names_for_nothing_in_particular() {
        for path in ["crates/a/src/utils.rs", "crates/a/src/common/mod.rs", "crates/a/tests/it/test_helpers.rs"] {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        assert_eq!(check(&Tree::of(&[("crates/a/src/x.rs", "pub(crate) mod misc {\n}\n")])).len(), 1);
    }

    #[test]
    fn nouns_pass() {
        let tree = Tree::of(&[("crates/a/src/commit.rs", "mod utility_room {\n}\n"), ("docs/common.md", "")]);
        assert_eq!(check(&tree), []);
    }
}
