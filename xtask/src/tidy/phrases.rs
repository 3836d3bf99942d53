//! Words that do not belong into a finished file: marks of work left undone, and traces of the machine it was written on.
//!
//! The words are written in two parts here, so that this file may hold them.

use super::Finding;
use super::tree::Tree;

struct Phrase {
    text: &'static str,
    why: &'static str,
    /// Where it must not stand; elsewhere it may be a plain word.
    suffix: &'static str,
}

const PHRASES: &[Phrase] = &[
    Phrase { text: concat!("to", "do!"), why: "unfinished code", suffix: ".rs" },
    Phrase { text: concat!("unimple", "mented!"), why: "unfinished code", suffix: ".rs" },
    Phrase { text: concat!("db", "g!"), why: "a trace left from debugging", suffix: ".rs" },
    Phrase { text: concat!("FIX", "ME"), why: "fix it, or enter it in SHORTCOMINGS.md", suffix: "" },
    Phrase { text: concat!("X", "XX"), why: "fix it, or enter it in SHORTCOMINGS.md", suffix: "" },
    Phrase {
        text: concat!("env!(\"CARGO_MANI", "FEST_DIR\")"),
        why: "clones that share a build directory share it too: ask std::env::var_os at run time",
        suffix: ".rs",
    },
    Phrase { text: concat!("/ro", "ot"), why: "a path of one machine", suffix: "" },
    Phrase { text: concat!("/wo", "rk"), why: "a path of one machine", suffix: "" },
    Phrase { text: concat!("static.", "crates.io"), why: "a host that cargo alone should know", suffix: "" },
    Phrase { text: concat!("index.", "crates.io"), why: "a host that cargo alone should know", suffix: "" },
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        for (number, line) in text.lines().enumerate() {
            for phrase in PHRASES.iter().filter(|phrase| path.ends_with(phrase.suffix)) {
                if stands_alone(line, phrase.text) {
                    findings.push(Finding::line(path, number + 1, format!("`{}`: {}", phrase.text, phrase.why)));
                }
            }
        }
    }
    findings
}

/// True if `word` stands in `line` and is not merely a part of a longer word or path.
fn stands_alone(line: &str, word: &str) -> bool {
    let continues = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let part_of_path = word.starts_with('/') && before.is_some_and(|letter| ".~*}>)".contains(letter));
        let longer = before.is_some_and(continues) || (!word.ends_with('!') && after.is_some_and(continues));
        !longer && !part_of_path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_every_phrase_is_found() {
        for phrase in PHRASES {
            let path = format!("notes{}", phrase.suffix);
            for line in
                [phrase.text.to_owned(), format!("see \"{}/x\" there", phrase.text), format!("({})", phrase.text)]
            {
                assert_eq!(check(&Tree::of(&[(&path, &format!("fine\n{line}\n"))])).len(), 1, "{line}");
            }
        }
    }

    #[test]
    fn parts_of_longer_words_pass() {
        let text = ["mktemp x", "XXXXX; a", "/ro", "ot/b; ../wo", "rk; my", "db", "g!"].concat();
        assert_eq!(check(&Tree::of(&[("a.rs", &text)])), []);
    }
}
