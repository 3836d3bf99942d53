//! The data set: every file of the packages that this workspace depends on, as cargo unpacked them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::Metadata;

/// One file.
pub struct Source {
    /// `PACKAGE-VERSION/path/in/the/package`.
    pub path: String,
    pub content: Vec<u8>,
}

/// All files in the order of their paths' bytes. Empty files are left out: a line of `kvd batch` has no room for their content.
pub fn read(metadata: &Metadata) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let folder = package.manifest_path.parent().context("a manifest lies in no folder")?;
        collect(folder.as_std_path(), &format!("{}-{}", package.name, package.version), &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(package: &Path, name: &str, files: &mut Vec<Source>) -> Result<()> {
    let mut waiting: Vec<PathBuf> = vec![package.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let path = entry.path();
            let kind = entry.file_type().with_context(|| format!("look at {}", path.display()))?;
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() {
                let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                let inside = path.strip_prefix(package).unwrap_or(&path);
                if !content.is_empty() {
                    files.push(Source { path: format!("{name}/{}", inside.to_string_lossy()), content });
                }
            }
        }
    }
    Ok(())
}
