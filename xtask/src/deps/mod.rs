//! Which crate may depend on which, checked over `cargo metadata`.
//!
//! [`policy`] holds the tables, [`graph`] what cargo says, and this module holds one against the other.

mod graph;
mod policy;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Result, bail};

use graph::{Dependency, Graph, Usage};
use policy::{CRATES, CrateRule, EXCLUSIVE, NEVER_LINKED};

pub use policy::is_program;

pub fn run(root: &Path) -> Result<()> {
    let graph = Graph::from_metadata(&crate::workspace::metadata(root)?)?;
    let findings = check(&graph);
    for finding in &findings {
        eprintln!("deps: {finding}");
    }
    if !findings.is_empty() {
        bail!("deps: {} findings", findings.len());
    }
    println!("deps: {} crates keep to their layers", graph.members().count());
    Ok(())
}

fn check(graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for member in graph.members() {
        match CRATES.iter().find(|rule| rule.name == member.name) {
            None => findings
                .push(format!("{}: not in the table of xtask/src/deps/policy.rs: decide its layer", member.name)),
            Some(rule) => {
                let declared = member.dependencies.iter();
                findings.extend(declared.filter_map(|dependency| check_declared(graph, rule, dependency)));
            }
        }
        findings.extend(check_linked(graph, &member.name));
    }
    findings
}

/// What a manifest names.
fn check_declared(graph: &Graph, rule: &CrateRule, dependency: &Dependency) -> Option<String> {
    let (from, to) = (rule.name, dependency.name.as_str());
    if graph.is_member(to) {
        let for_tests = dependency.usage == Usage::Dev;
        let allowed = rule.may_use.contains(&to) || (for_tests && rule.tests_may_use.contains(&to));
        return (!allowed).then(|| format!("{from} -> {to}: against the layers of ARCHITECTURE.md"));
    }
    let rule = EXCLUSIVE.iter().find(|rule| rule.covers(to))?;
    if !rule.only.contains(&from) {
        return Some(format!("{from} -> {to}: only for {}: {}", rule.only.join(", "), rule.why));
    }
    (rule.optional && !dependency.optional).then(|| format!("{from} -> {to}: only behind a feature: {}", rule.why))
}

/// What a crate ends up with, through whatever path.
fn check_linked(graph: &Graph, member: &str) -> Vec<String> {
    let rules = NEVER_LINKED.iter().filter(|rule| rule.crates.contains(&member));
    let linked = graph.linked_by(member);
    rules
        .flat_map(|rule| {
            let breaches = linked.iter().filter(|path| path.last().is_some_and(|name| rule.covers(name)));
            breaches.map(|path| format!("{}: must never be linked: {}", path.join(" -> "), rule.why))
        })
        .collect()
}
