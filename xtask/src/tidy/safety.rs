//! Every unsafe block or implementation says why it is sound, in every package, whether clippy runs over it or not.

use super::Finding;
use super::tree::Tree;

const BLOCKS: &[&str] = &[concat!("un", "safe {"), concat!("un", "safe impl")];
const REASON: &str = "// SAFETY:";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if BLOCKS.iter().any(|block| code.contains(block)) && !has_reason(&lines[..index]) {
                findings.push(Finding::line(path, index + 1, format!("needs a `{REASON}` comment above it")));
            }
        }
    }
    findings
}

/// True if the comment stands above, within the same statement.
fn has_reason(above: &[&str]) -> bool {
    for line in above.iter().rev().map(|line| line.trim()) {
        if line.starts_with(REASON) {
            return true;
        }
        let comment = line.starts_with("//");
        if line.is_empty() || (!comment && line.ends_with([';', '{', '}'])) {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(template: &str) -> usize {
        check(&Tree::of(&[("a.rs", &template.replace("UNSAFE", concat!("un", "safe")))])).len()
    }

    #[test]
    fn canary_blocks_without_a_reason() {
        assert_eq!(count("let x = UNSAFE { read(p) };\n"), 1);
        assert_eq!(count("// SAFETY: p is valid.\nlet y = 1;\nlet x = UNSAFE { read(p) };\n"), 1);
        assert_eq!(count("UNSAFE impl Send for A {}\n"), 1);
    }

    #[test]
    fn a_reason_above_the_statement_is_enough() {
        assert_eq!(count("// SAFETY: p is valid,\n// as asserted.\nlet x =\n    UNSAFE { read(p) };\n"), 0);
        assert_eq!(count("// an UNSAFE { is only mentioned\n"), 0);
    }
}
