//! Rust files stay short. One of more than 500 lines needs an entry in the ratchet, which may only fall; none passes 800.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::Tree;

pub const RATCHET: &str = "xtask/tidy-ratchet.txt";
const LINES_FREE: usize = 500;
const LINES_MAX: usize = 800;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut allowed = BTreeMap::new();
    for (number, line) in tree.text(RATCHET).unwrap_or_default().lines().enumerate() {
        match parse_entry(line) {
            Entry::Comment => {}
            Entry::Allows { path, lines } => {
                allowed.insert(path, lines);
            }
            Entry::Broken => findings.push(Finding::line(RATCHET, number + 1, "not of the form `PATH LINES`")),
        }
    }
    for path in allowed.keys().filter(|path| !tree.has_file(path)) {
        findings.push(Finding::file(RATCHET, format!("lists {path}, which does not exist")));
    }
    for (path, text) in tree.texts_ending(".rs") {
        let lines = text.lines().count();
        let entry = allowed.get(path).copied();
        let message = match entry {
            _ if lines > LINES_MAX => format!("{lines} lines; split it: {LINES_MAX} is the end"),
            None if lines > LINES_FREE => {
                format!("{lines} lines; split it by concept, or enter `{path} {lines}` in {RATCHET}")
            }
            Some(_) if lines <= LINES_FREE => format!("{lines} lines; take it out of {RATCHET}"),
            Some(max) if lines > max => format!("{lines} lines; {RATCHET} allows {max}"),
            Some(max) if lines < max => {
                format!("{lines} lines; lower it in {RATCHET} (cargo xtask tidy --lower-ratchet)")
            }
            _ => continue,
        };
        findings.push(Finding::file(path, message));
    }
    findings
}

/// The ratchet with every entry lowered to the length of its file, and without the entries that none needs.
pub fn lowered(tree: &Tree) -> String {
    let mut out = String::new();
    for line in tree.text(RATCHET).unwrap_or_default().lines() {
        let Entry::Allows { path, lines: max } = parse_entry(line) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let lines = tree.text(path).map_or(0, |text| text.lines().count()).min(max);
        if lines > LINES_FREE {
            out.push_str(&format!("{path} {lines}\n"));
        }
    }
    out
}

enum Entry<'a> {
    Comment,
    Allows { path: &'a str, lines: usize },
    Broken,
}

fn parse_entry(line: &str) -> Entry<'_> {
    if line.is_empty() || line.starts_with('#') {
        return Entry::Comment;
    }
    match line.split_once(' ').map(|(path, lines)| (path, lines.parse())) {
        Some((path, Ok(lines))) => Entry::Allows { path, lines },
        _ => Entry::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(lines: usize, ratchet: &str) -> Vec<String> {
        let tree = Tree::of(&[("src/a.rs", &"\n".repeat(lines)), (RATCHET, ratchet)]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn canary_long_files_need_an_entry() {
        assert_eq!(check_one(500, ""), [""; 0]);
        assert!(check_one(501, "")[0].contains("split it by concept"));
        assert_eq!(check_one(501, "src/a.rs 501\n"), [""; 0]);
    }

    #[test]
    fn canary_the_ratchet_only_falls() {
        assert!(check_one(602, "src/a.rs 601\n")[0].contains("allows 601"));
        assert!(check_one(600, "src/a.rs 601\n")[0].contains("lower it"));
        assert!(check_one(400, "src/a.rs 601\n")[0].contains("take it out"));
    }

    #[test]
    fn canary_no_entry_allows_more_than_the_end() {
        assert!(check_one(801, "src/a.rs 801\n")[0].contains("800 is the end"));
    }

    #[test]
    fn canary_entries_must_name_files() {
        assert!(check_one(1, "src/b.rs 600\n")[0].contains("does not exist"));
        assert!(check_one(1, "src/b.rs\n")[0].contains("form"));
    }

    /// `--lower-ratchet` must never be a way to raise an entry.
    #[test]
    fn lowering_never_raises() {
        let long = "\n".repeat(650);
        let tree = Tree::of(&[
            ("a.rs", &long),
            ("b.rs", &long),
            ("c.rs", ""),
            (RATCHET, "# why\na.rs 700\nb.rs 600\nc.rs 600\n"),
        ]);
        assert_eq!(lowered(&tree), "# why\na.rs 650\nb.rs 600\n");
    }
}
