//! The files of a repository as the rules see them: paths with forward slashes, and contents in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// What git tracks under `root`, with the contents of the working directory.
    pub fn tracked(root: &Path) -> Result<Self> {
        let output =
            Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("run git ls-files")?;
        if !output.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let listing = String::from_utf8(output.stdout).context("a tracked path is not UTF-8")?;
        let mut files = BTreeMap::new();
        for path in listing.split_terminator('\0') {
            match std::fs::read(root.join(path)) {
                Ok(content) => files.insert(path.to_owned(), content),
                // Deleted in the working directory and not yet in the index: about to be no file of the repository.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("read {path}")),
            };
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect() }
    }

    #[cfg(test)]
    pub fn of_bytes(path: &str, content: &[u8]) -> Self {
        Self { files: BTreeMap::from([(path.to_owned(), content.to_vec())]) }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// The files that are UTF-8 (the rule `bytes` complains of those that should be and are not).
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter_map(|(path, content)| Some((path, std::str::from_utf8(content).ok()?)))
    }

    /// The texts whose names end with `suffix`.
    pub fn texts_ending(&self, suffix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(suffix))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// True if `path` is a file, or a directory with files in it.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        path.is_empty()
            || self.has_file(path)
            || self.files.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside))
    }

    /// The directories of the workspace's packages, such as `crates/vfs`.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(|path| {
            let directory = path.strip_suffix("/Cargo.toml")?;
            let member =
                directory == "xtask" || directory.strip_prefix("crates/").is_some_and(|name| !name.contains('/'));
            member.then_some(directory)
        })
    }
}

/// The folder of a path: `""` for one in the root.
pub fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `relative` as seen from `folder`, with `.` and `..` resolved; `None` if it leads out of the repository.
pub fn resolve(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{Tree, resolve};

    /// The rules on links rest on this resolution: a wrong one passes dead links.
    #[test]
    fn relative_paths_resolve_inside_the_repository_only() {
        assert_eq!(resolve("docs/book/src", "../../format/x.md").as_deref(), Some("docs/format/x.md"));
        assert_eq!(resolve("", "./a//b").as_deref(), Some("a/b"));
        assert_eq!(resolve("docs", "../../x"), None);
    }

    /// A directory exists if a file lies in it, not if a name merely begins like it.
    #[test]
    fn directories_exist_through_their_files() {
        let tree = Tree::of(&[("docs/format/granite.md", ""), ("docs-old.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/format/") && tree.has("docs/format/granite.md"));
        assert!(!tree.has("docs/form") && !tree.has("doc"));
    }
}
