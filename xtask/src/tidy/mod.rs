//! Style rules that a program can check, over the files that git tracks. Each rule is one module with a canary: a test
//! in which it must complain.

mod book;
mod bytes;
mod documents;
mod length;
mod links;
mod manifests;
mod markdown;
mod modules;
mod names;
mod phrases;
mod purity;
mod safety;
mod size;
mod tree;

use std::path::Path;

use anyhow::{Context, Result, bail};

use tree::Tree;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn file(path: &str, message: impl Into<String>) -> Self {
        Self::line(path, 0, message)
    }

    fn line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("book", book::check),
    ("bytes", bytes::check),
    ("documents", documents::check),
    ("length", length::check),
    ("links", links::check),
    ("manifests", manifests::check),
    ("modules", modules::check),
    ("names", names::check),
    ("phrases", phrases::check),
    ("purity", purity::check),
    ("safety", safety::check),
    ("size", size::check),
];

/// Checks every rule, after lowering the ratchet if that is asked for.
pub fn run(root: &Path, lower_ratchet: bool) -> Result<()> {
    let mut tree = Tree::tracked(root)?;
    if lower_ratchet {
        let lowered = length::lowered(&tree);
        std::fs::write(root.join(length::RATCHET), lowered).with_context(|| format!("write {}", length::RATCHET))?;
        tree = Tree::tracked(root)?;
    }
    let mut count = 0;
    for (name, rule) in RULES {
        for Finding { path, line, message } in rule(&tree) {
            match line {
                0 => eprintln!("{path}: {name}: {message}"),
                _ => eprintln!("{path}:{line}: {name}: {message}"),
            }
            count += 1;
        }
    }
    if count > 0 {
        bail!("tidy: {count} findings");
    }
    println!("tidy: {} files keep {} rules", tree.len(), RULES.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    /// The repository itself keeps every rule.
    #[test]
    fn the_repository_is_tidy() {
        super::run(&crate::workspace::root().unwrap(), false).unwrap();
    }
}
