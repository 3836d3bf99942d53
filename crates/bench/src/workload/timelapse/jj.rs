//! Jujutsu, driven by its program: a repository inside a working directory, untouched by anybody's configuration, and gone when it is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::keeper::{Keeper, output_of};

/// Where it keeps its repository.
const FOLDER: &str = ".jj";
const SETTINGS: [&str; 3] = ["git.colocate=false", "user.name=bench", "user.email=bench@localhost"];

/// A repository in a working directory.
#[derive(Debug)]
pub(super) struct Jj {
    work_tree: PathBuf,
}

impl Jj {
    /// Makes an empty one.
    pub(super) fn init(work_tree: &Path) -> Result<Self> {
        let jj = Self { work_tree: std::path::absolute(work_tree)? };
        jj.run(&["git", "init", "--quiet", "."])?;
        Ok(jj)
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("jj");
        command.current_dir(&self.work_tree).stdin(Stdio::null()).env("JJ_CONFIG", "/dev/null");
        for setting in SETTINGS {
            command.args(["--config", setting]);
        }
        output_of(command.args(arguments))
    }
}

impl Keeper for Jj {
    fn commit_all(&self) -> Result<()> {
        self.run(&["commit", "--quiet", "-m", "state"]).map(drop)
    }

    fn changes(&self) -> Result<String> {
        self.run(&["diff", "--summary"])
    }
}

impl Drop for Jj {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(self.work_tree.join(FOLDER))
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("warning: a working directory keeps its {FOLDER}: {error}");
        }
    }
}
