//! Worked examples on a real data set: the sources of this workspace's own dependencies.

mod engine;
mod kvd;
mod sources;
mod timelapse;
mod tl;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use sources::Source;

/// What is shown.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Part {
    /// tl protects a project, which is then damaged and removed
    Timelapse,
    /// kvd loads a database and is killed
    Granite,
}

/// Real files, and where the demos keep what they make.
struct DataSet {
    files: Vec<Source>,
    /// The build directory.
    target: PathBuf,
}

impl DataSet {
    fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.content.len()).sum()
    }
}

pub fn run(root: &Path, part: Part) -> Result<()> {
    let metadata = crate::workspace::metadata(root)?;
    let data = DataSet { files: sources::read(&metadata)?, target: metadata.target_directory.into() };
    ensure!(!data.files.is_empty(), "the sources of the dependencies are not where cargo metadata says");
    let (count, bytes) = (data.files.len(), mebibytes(data.bytes()));
    println!("Data set: {count} files from the sources of this workspace's dependencies, {bytes}");
    match part {
        Part::Timelapse => timelapse::run(root, &data),
        Part::Granite => engine::run(root, &data),
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    println!("Building: cargo {}", arguments.join(" "));
    let status = Command::new("cargo").args(arguments).current_dir(root).status().context("run cargo")?;
    ensure!(status.success(), "cargo {}: {status}", arguments.join(" "));
    Ok(())
}

/// Makes sure that `directory` is there, and that nothing is in it.
fn empty_directory(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
