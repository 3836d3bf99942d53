//! Texts are UTF-8, end with one newline, have no trailing white space, and Rust has no tabs: diffs show what was changed.

use super::Finding;
use super::tree::Tree;

/// Bytes that stand for themselves: images, databases of older versions, inputs of the fuzzer.
fn is_binary(path: &str) -> bool {
    [".png", ".ico", ".woff2", ".bin"].iter().any(|suffix| path.ends_with(suffix))
        || path.split('/').any(|part| part == "fixtures" || part == "corpus")
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, content) in tree.files().filter(|(path, _)| !is_binary(path)) {
        let Ok(text) = std::str::from_utf8(content) else {
            findings.push(Finding::file(path, "is not UTF-8"));
            continue;
        };
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            findings.push(Finding::file(path, "must end with exactly one newline"));
        }
        for (number, line) in text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                findings.push(Finding::line(path, number + 1, "white space at the end of the line"));
            }
            if path.ends_with(".rs") && line.contains('\t') {
                findings.push(Finding::line(path, number + 1, "a tab"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, content: &[u8]) -> usize {
        check(&Tree::of_bytes(path, content)).len()
    }

    #[test]
    fn canary_untidy_bytes() {
        for content in [&b"\xff\n"[..], b"a", b"a\n\n", b"a \n", b"a\r\n", b"\ta\n"] {
            assert_eq!(count("a.rs", content), 1, "{content:?}");
        }
    }

    #[test]
    fn clean_texts_and_binaries_pass() {
        assert_eq!(count("a.rs", b"a\nb\n") + count("empty", b""), 0);
        assert_eq!(count("Makefile", b"all:\n\tcargo build\n"), 0);
        assert_eq!(
            count("fixtures/v1/1.log", b"\xff") + count("fuzz/corpus/block/a", b"\xff") + count("a.png", b"\xff"),
            0
        );
    }
}
