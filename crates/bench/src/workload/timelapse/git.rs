//! Git, driven by its program: a repository beside a working directory, untouched by anybody's configuration.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::keeper::{Keeper, output_of};
use crate::engines::Tool;

/// A repository and the working directory that it is used with.
#[derive(Debug)]
pub(super) struct Git {
    repository: PathBuf,
    work_tree: PathBuf,
    settings: Vec<&'static str>,
}

impl Git {
    /// Those of a repository that may not be there yet.
    pub(super) fn at(tool: Tool, repository: &Path, work_tree: &Path) -> Result<Self> {
        let mut settings =
            vec!["gc.auto=0", "maintenance.auto=false", "core.excludesFile=", "core.hooksPath=/dev/null"];
        if tool == Tool::GitSynced {
            settings.extend(["core.fsync=all", "core.fsyncMethod=batch"]);
        }
        // Git runs in the working directory.
        let absolute = |path| std::path::absolute(path).with_context(|| format!("where is {path:?}?"));
        Ok(Self { repository: absolute(repository)?, work_tree: absolute(work_tree)?, settings })
    }

    /// Makes an empty one.
    pub(super) fn init(tool: Tool, repository: &Path, work_tree: &Path) -> Result<Self> {
        let git = Self::at(tool, repository, work_tree)?;
        git.run(["init", "--quiet", "--initial-branch=main"])?;
        Ok(git)
    }

    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    pub(super) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.current_dir(&self.work_tree).args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        command.env("GIT_DIR", &self.repository).env("GIT_WORK_TREE", &self.work_tree);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "bench").env(format!("GIT_{role}_EMAIL"), "bench@localhost");
        }
        command
    }

    /// Runs it to its end and returns what it printed.
    pub(super) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        output_of(&mut self.command(arguments))
    }
}

impl Keeper for Git {
    fn commit_all(&self) -> Result<()> {
        self.run(["add", "-A"])?;
        self.run(["commit", "--quiet", "-m", "state"]).map(|_| ())
    }

    fn changes(&self) -> Result<String> {
        self.run(["status", "--porcelain"])
    }
}
