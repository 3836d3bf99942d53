//! Each package takes its lints and its Rust version from the workspace, and declares no second integration test binary.

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.packages() {
        let path = format!("{package}/Cargo.toml");
        let Some(text) = tree.text(&path) else { continue };
        match text.parse::<Table>() {
            Err(error) => findings.push(Finding::file(&path, format!("does not parse: {error}"))),
            Ok(manifest) => {
                findings
                    .extend(complaints(package, &manifest).into_iter().map(|message| Finding::file(&path, message)));
            }
        }
    }
    findings
}

fn complaints(package: &str, manifest: &Table) -> Vec<String> {
    let field = |names: &[&str]| names.iter().try_fold(manifest, |table, name| table.get(*name)?.as_table()).cloned();
    let inherits = |table: Option<Table>| table.and_then(|table| table.get("workspace")?.as_bool()) == Some(true);
    let folder = package.rsplit('/').next().unwrap_or(package);
    let name = field(&["package"]).and_then(|table| Some(table.get("name")?.as_str()?.to_owned()));
    let tests = manifest.get("test").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let second_binary = tests.iter().any(|test| test.get("name").and_then(Value::as_str) != Some("it"));

    let mut messages = Vec::new();
    if !inherits(field(&["lints"])) {
        messages.push("needs `[lints] workspace = true`".to_owned());
    }
    if !inherits(field(&["package", "rust-version"])) {
        messages.push("needs `rust-version.workspace = true`".to_owned());
    }
    if name.as_deref() != Some(folder) {
        messages.push(format!("the package in the folder `{folder}` is called `{}`", name.unwrap_or_default()));
    }
    if second_binary {
        messages.push("declares an integration test other than `it`".to_owned());
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\nrust-version.workspace = true\n[lints]\nworkspace = true\n";

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("crates/a/Cargo.toml", text), ("bench-peers/Cargo.toml", "")])).len()
    }

    #[test]
    fn canary_each_demand_is_checked() {
        assert_eq!(count(GOOD), 0);
        assert_eq!(count(&GOOD.replace("[lints]\nworkspace = true", "")), 1);
        assert_eq!(count(&GOOD.replace("rust-version.workspace = true", "rust-version = \"1.80\"")), 1);
        assert_eq!(count(&GOOD.replace("\"a\"", "\"b\"")), 1);
        assert_eq!(count(&format!("{GOOD}[[test]]\nname = \"second\"\n")), 1);
        assert_eq!(count("[package"), 1);
    }
}
