//! The book's list of chapters and its pages agree: a page that is not listed is not rendered, a chapter without its page is
//! rendered empty.

use std::collections::BTreeSet;

use super::Finding;
use super::markdown::Document;
use super::tree::{Tree, resolve};

const PAGES: &str = "docs/book/src";
const SUMMARY: &str = "docs/book/src/SUMMARY.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let document = Document::parse(tree.text(SUMMARY).unwrap_or_default());
    let mut listed = BTreeSet::new();
    let mut findings = Vec::new();
    // An empty target is a chapter still to be written: mdBook shows its title without a page.
    for (line, target) in document.file_links().filter(|(_, target)| !target.is_empty()) {
        match resolve(PAGES, target).filter(|page| tree.has_file(page)) {
            None => findings.push(Finding::line(SUMMARY, line, format!("the chapter `{target}` has no page"))),
            Some(page) => {
                if !listed.insert(page) {
                    findings.push(Finding::line(SUMMARY, line, format!("lists `{target}` twice")));
                }
            }
        }
    }
    for (path, _) in tree.texts_ending(".md") {
        if path.starts_with("docs/book/src/") && path != SUMMARY && !listed.contains(path) {
            findings.push(Finding::file(path, "is not in SUMMARY.md, so the book leaves it out"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_pages_and_chapters_agree() {
        let summary = "# Summary\n\n[Introduction](intro.md)\n\n- [Draft]()\n- [Gone](gone.md)\n- [Again](intro.md)\n";
        let tree = Tree::of(&[(SUMMARY, summary), ("docs/book/src/intro.md", ""), ("docs/book/src/k/lost.md", "")]);
        let findings: Vec<_> = check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        let expected = [(SUMMARY, 6), (SUMMARY, 7), ("docs/book/src/k/lost.md", 0)];
        assert_eq!(findings, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
