//! Every document under docs/ can be found by following links from the documents in the root or the book, and design notes
//! are numbered. A link to a folder leads to the documents in it.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::markdown::Document;
use super::tree::{Tree, folder, resolve};

const ENTRANCES: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/book/src/SUMMARY.md"];
const DESIGN: &str = "docs/design/";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = unreachable_documents(tree);
    let mut numbers = BTreeMap::new();
    for (path, _) in tree.files() {
        let Some(name) = path.strip_prefix(DESIGN) else { continue };
        match design_number(name) {
            None => findings.push(Finding::file(path, "a design note is named NNNN-title.md")),
            Some(number) => {
                if let Some(other) = numbers.insert(number, path) {
                    findings.push(Finding::file(path, format!("has the number of {other}")));
                }
            }
        }
    }
    findings
}

fn unreachable_documents(tree: &Tree) -> Vec<Finding> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<String> = ENTRANCES.iter().map(|path| (*path).to_owned()).collect();
    while let Some(path) = waiting.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        match tree.text(&path) {
            Some(text) if path.ends_with(".md") => {
                let document = Document::parse(text);
                waiting.extend(document.file_links().filter_map(|(_, target)| resolve(folder(&path), target)));
            }
            Some(_) => {}
            None => waiting.extend(
                tree.texts_ending(".md").map(|(file, _)| file).filter(|file| folder(file) == path).map(str::to_owned),
            ),
        }
    }
    tree.texts_ending(".md")
        .filter(|(path, _)| path.starts_with("docs/") && !reached.contains(*path))
        .map(|(path, _)| Finding::file(path, format!("no link leads here from {}", ENTRANCES.join(", "))))
        .collect()
}

/// The number of a well-formed name such as `0001-log-first.md`.
fn design_number(name: &str) -> Option<u16> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let well_formed = number.len() == 4
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && title.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !title.is_empty();
    if well_formed { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn canary_unreachable_documents() {
        let files = [
            ("README.md", "[a](docs/a.md)\n"),
            ("docs/a.md", "[b](b.md) [back](../README.md)\n"),
            ("docs/b.md", ""),
            ("docs/lost.md", "[a](a.md)\n"),
        ];
        assert_eq!(paths(&files), ["docs/lost.md"]);
    }

    /// A link to a folder leads to what lies directly in it, and no further.
    #[test]
    fn canary_links_to_folders() {
        let files = [("README.md", "[f](docs/format/)\n"), ("docs/format/a.md", ""), ("docs/format/old/b.md", "")];
        assert_eq!(paths(&files), ["docs/format/old/b.md"]);
    }

    #[test]
    fn canary_design_notes_are_numbered_once() {
        let links = "[1](docs/design/0001-a.md) [2](docs/design/0001-b.md) [3](docs/design/0002_c.md)\n";
        let files = [
            ("README.md", links),
            ("docs/design/0001-a.md", ""),
            ("docs/design/0001-b.md", ""),
            ("docs/design/0002_c.md", ""),
        ];
        assert_eq!(paths(&files), ["docs/design/0001-b.md", "docs/design/0002_c.md"]);
    }
}
