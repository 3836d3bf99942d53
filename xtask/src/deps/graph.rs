//! What cargo says of the packages: the dependencies that manifests declare, and what links what in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata};

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The crate itself or its build script.
    Product,
    /// Tests, examples and benchmarks.
    Dev,
}

/// One dependency as a manifest declares it.
#[derive(Debug)]
pub struct Dependency {
    /// The package's own name, whatever the manifest renames it to.
    pub name: String,
    pub usage: Usage,
    pub optional: bool,
}

/// One crate of the workspace.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Default)]
pub struct Graph {
    members: Vec<Member>,
    /// Package to what its product links directly; several versions of a package count as one.
    links: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let members = metadata.workspace_packages().into_iter().map(|package| Member {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    usage: if dependency.kind == DependencyKind::Development { Usage::Dev } else { Usage::Product },
                    optional: dependency.optional,
                })
                .collect(),
        });
        let mut graph = Self { members: members.collect(), links: BTreeMap::new() };
        let names: BTreeMap<_, _> =
            metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
        let name = |id| names.get(id).cloned().with_context(|| format!("cargo metadata does not list {id}"));
        for node in &metadata.resolve.as_ref().context("cargo metadata resolved nothing")?.nodes {
            for dependency in &node.deps {
                if dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal) {
                    graph.links.entry(name(&node.id)?).or_default().insert(name(&dependency.pkg)?);
                }
            }
        }
        Ok(graph)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    pub fn is_member(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// For each package that the product of `member` links, a shortest path from `member` to it.
    pub fn linked_by(&self, member: &str) -> Vec<Vec<String>> {
        let mut seen = BTreeSet::from([member.to_owned()]);
        let mut waiting = VecDeque::from([vec![member.to_owned()]]);
        let mut paths = Vec::new();
        while let Some(path) = waiting.pop_front() {
            let direct = path.last().and_then(|last| self.links.get(last));
            for next in direct.into_iter().flatten() {
                if seen.insert(next.clone()) {
                    let longer: Vec<String> = path.iter().chain([next]).cloned().collect();
                    waiting.push_back(longer.clone());
                    paths.push(longer);
                }
            }
        }
        paths
    }

    /// A graph in which the manifests declare exactly `members`, and other packages link each other as in `links`.
    #[cfg(test)]
    pub fn synthetic(members: Vec<Member>, links: &[(&str, &str)]) -> Self {
        let declared = members.iter().flat_map(|member| {
            let product = member.dependencies.iter().filter(|dependency| dependency.usage == Usage::Product);
            product.map(|dependency| (member.name.as_str(), dependency.name.as_str()))
        });
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in declared.chain(links.iter().copied()) {
            all.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
        Self { members, links: all }
    }
}
