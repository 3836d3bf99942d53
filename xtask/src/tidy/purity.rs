//! Libraries never read the environment, the home directory or the terminal: programs do, and pass values. Tests may.

use super::Finding;
use super::tree::Tree;
use crate::deps::is_program;

const BANNED: &[&str] = &[
    "env::var",
    "env::vars",
    "env::var_os",
    "env::args",
    "env::home_dir",
    "env::current_dir",
    "env::temp_dir",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "process::exit",
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.packages().filter(|package| !is_program(package.rsplit('/').next().unwrap_or(package))) {
        let source = format!("{package}/src/");
        for (path, text) in tree.texts_ending(".rs").filter(|(path, _)| path.starts_with(&source)) {
            if path.ends_with("/tests.rs") || path.contains("/tests/") {
                continue;
            }
            // By custom the tests are the last item of a file.
            let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
            for (number, line) in code.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                if let Some(word) = BANNED.iter().find(|word| stands_in(line, word)) {
                    let message = format!("`{word}` in a library: let the program do it and pass the value");
                    findings.push(Finding::line(path, number + 1, message));
                }
            }
        }
    }
    findings
}

/// True if `word` stands in `line` as more than the end of a longer name.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        !line[..start].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text), ("crates/granite/Cargo.toml", ""), ("crates/kvd/Cargo.toml", "")])).len()
    }

    #[test]
    fn canary_libraries_that_look_around() {
        for word in BANNED {
            assert_eq!(count("crates/granite/src/a.rs", &format!("fn f() {{ std::{word}(x) }}\n")), 1, "{word}");
        }
    }

    #[test]
    fn programs_tests_and_comments_may() {
        let line = "    println!(\"{}\", 1);\n";
        assert_eq!(count("crates/kvd/src/a.rs", line), 0);
        assert_eq!(count("crates/granite/src/a/tests.rs", line), 0);
        assert_eq!(count("crates/granite/src/a.rs", &format!("/// {line}#[cfg(test)]\n{line}")), 0);
    }
}
