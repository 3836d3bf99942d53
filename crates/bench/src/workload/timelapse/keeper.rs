//! What the tools that Timelapse is compared with have in common: they keep the state of a working directory when they are told to.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Contender;
use super::git::Git;
use super::jj::Jj;

const ERROR_CHARS_MAX: usize = 500;

/// A tool with its repository.
pub(super) trait Keeper: Send + Sync {
    /// What people do to keep a state.
    fn commit_all(&self) -> Result<()>;

    /// What of the working directory is not kept; nothing if all is.
    fn changes(&self) -> Result<String>;

    /// Fails if the working directory holds what is not kept.
    fn ensure_clean(&self) -> Result<()> {
        let changes = self.changes()?;
        ensure!(changes.is_empty(), "changes were left out: {changes}");
        Ok(())
    }
}

/// A new repository for a working directory; `place` is where tools keep it that let one choose.
pub(super) fn init(contender: Contender, place: &Path, work_tree: &Path) -> Result<Box<dyn Keeper>> {
    Ok(match contender {
        Contender::Git(tool) => Box::new(Git::init(tool, place, work_tree)?),
        Contender::Jj => Box::new(Jj::init(work_tree)?),
        Contender::Timelapse | Contender::Floor => anyhow::bail!("{contender:?} is driven in another way"),
    })
}

/// Runs a program to its end and returns what it printed.
pub(super) fn output_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(ERROR_CHARS_MAX).collect();
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
