//! Where the workspace is, and what cargo knows of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

/// The root of the workspace that cargo runs this program for.
///
/// Cargo says so at run time. What it said at compile time may be another clone: clones that share a build directory share
/// the program too.
pub fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run this program by `cargo xtask`")?;
    let root = Path::new(&package).parent().context("CARGO_MANIFEST_DIR has no parent")?;
    Ok(root.to_path_buf())
}

/// The workspace with all features, resolved for this machine's platform: other platforms' packages need not be fetched.
pub fn metadata(root: &Path) -> Result<Metadata> {
    let host = host_triple()?;
    MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host])
        .exec()
        .context("cargo metadata")
}

fn host_triple() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("run rustc -vV")?;
    let text = String::from_utf8(output.stdout).context("the output of rustc -vV")?;
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("rustc -vV names no host"),
    }
}
