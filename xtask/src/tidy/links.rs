//! Documents point only at what exists: relative links, and paths of the repository in backticks.

use super::Finding;
use super::markdown::Document;
use super::tree::{Tree, folder, resolve};

/// A code span that begins with one of these is a path from the repository's root.
const ROOTS: &[&str] = &["crates/", "docs/", "xtask/", "bench-peers/", "fuzz/", "fixtures/", ".ci/", ".cargo/"];
/// Words that stand for a name in a path.
const PLACEHOLDERS: &[&str] = &["NAME", "NNNN", "CRATE", "SUITE", "SEED", "DIR", "FILE", "vN"];
/// mdBook's list of chapters, in which an empty link is a chapter still to be written.
const SUMMARY: &str = "docs/book/src/SUMMARY.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_ending(".md") {
        let document = Document::parse(text);
        for (line, target) in document.file_links() {
            if target.is_empty() && path == SUMMARY {
                continue;
            }
            let exists = !target.is_empty() && resolve(folder(path), target).is_some_and(|file| tree.has(&file));
            if !exists {
                findings.push(Finding::line(path, line, format!("the link `{target}` leads nowhere")));
            }
        }
        for span in &document.code_spans {
            if let Some(target) = repository_path(&span.text)
                && !tree.has(target)
                && !is_ignored(tree, target)
            {
                findings.push(Finding::line(path, span.line, format!("the path `{target}` does not exist")));
            }
        }
    }
    findings
}

/// The path that a code span names, if it names one exactly.
fn repository_path(span: &str) -> Option<&str> {
    let plain = !span.contains([' ', '*', '<', '>', '{', '}', '$', '(']) && !span.contains("..");
    let is_path = ROOTS.iter().any(|root| span.starts_with(root)) && !span.contains("::");
    let placeholder = span.split(['/', '-', '.', '_']).any(|word| PLACEHOLDERS.contains(&word));
    if !plain || !is_path || placeholder {
        return None;
    }
    // `path:12` points at a line.
    match span.rsplit_once(':') {
        Some((path, number)) if number.chars().all(|digit| digit.is_ascii_digit()) => Some(path),
        _ => Some(span),
    }
}

/// True for what the programs write and `.gitignore` therefore lists from the root.
fn is_ignored(tree: &Tree, path: &str) -> bool {
    tree.text(".gitignore").unwrap_or_default().lines().filter_map(|line| line.strip_prefix('/')).any(|ignored| {
        path.strip_prefix(ignored.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str) -> Vec<(usize, String)> {
        let tree = Tree::of(&[
            (path, text),
            ("docs/format/a.md", ""),
            ("crates/a/src/lib.rs", ""),
            (".gitignore", "/fuzz/out\n"),
        ]);
        check(&tree).into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn canary_dead_links() {
        let dead = check_one("docs/x.md", "one\n\n[a](format/a.md#top) [b](format/b.md) [c](../../out.md)\n");
        assert_eq!(dead.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 3]);
        assert!(dead[0].1.contains("format/b.md") && dead[1].1.contains("out.md"));
        assert_eq!(check_one("README.md", "[empty]()\n").len(), 1);
        assert_eq!(check_one("README.md", "[r][1]\n\n[1]: docs/none.md\n").len(), 1);
    }

    #[test]
    fn canary_dead_paths() {
        assert_eq!(check_one("README.md", "see `crates/a/src/gone.rs`\n").len(), 1);
        assert_eq!(check_one("README.md", "| x |\n| --- |\n| `crates/b` |\n").len(), 1);
        assert_eq!(check_one("README.md", "see `crates/a/src/lib.rs:12`, `crates/a/`, `fuzz/out/x`\n"), []);
    }

    #[test]
    fn what_is_no_path_of_the_repository_passes() {
        let text = "[w](https://example.org/x) [h](#here) `crates/*/src` `docs/design/NNNN-title.md` `crates/NAME`\n\n```\n`docs/none`\n```\n";
        assert_eq!(check_one("README.md", text), []);
        assert_eq!(check_one(SUMMARY, "- [Chapter]()\n"), []);
    }
}
