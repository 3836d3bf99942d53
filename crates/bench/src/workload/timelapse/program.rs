//! The program itself: how long a person or a script waits for `tl`, from its start to its end, while a daemon is at work.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Contender;
use super::git::Git;
use super::keeper::Keeper;
use super::tree::WorkTree;
use crate::engines::NoDatabase;
use crate::measure::{Measurement, Work, drive};
use crate::workload::Site;

const STATUS_FILES: u64 = 100_000;
const FLUSH_FILES: u64 = 10_000;
/// What `tl init` puts into a working directory.
const MARKER: &str = ".tl";

/// What is asked of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workload) enum Program {
    /// Nothing but to start.
    StartUp,
    /// Whether changes are captured.
    Status,
    /// A durable checkpoint of one saved file.
    Flush,
}

impl Program {
    pub(super) fn run(self, site: &Site<'_>, contender: Contender) -> Result<Measurement> {
        let files = site.scaled(if self == Self::Status { STATUS_FILES } else { FLUSH_FILES });
        let mut tree = WorkTree::borrow(site, files)?;
        let done = match contender {
            Contender::Git(tool) => {
                let git = Git::init(tool, &site.dir.join("repository"), tree.root())?;
                git.commit_all()?;
                self.drive(site, &mut tree, &|| match self {
                    Self::StartUp => git.run(["--version"]).map(drop),
                    Self::Status => git.ensure_clean(),
                    Self::Flush => git.commit_all(),
                })?
            }
            _ => {
                let daemon = Daemon::start(tree.root())?;
                let done = self.drive(site, &mut tree, &|| match self {
                    Self::StartUp => daemon.tl(&["--version"]).map(drop),
                    Self::Status => daemon.tl(&["status"]).map(drop),
                    Self::Flush => daemon.tl(&["flush"]).map(drop),
                })?;
                let status = daemon.tl(&["status", "--json"])?;
                let head: serde_json::Value = serde_json::from_slice(&status).context("`tl status --json`")?;
                ensure!(head["daemon"].is_u64(), "no daemon is left: {head}");
                daemon.end()?;
                done
            }
        };
        tree.give_back()?;
        Ok(done)
    }

    fn drive(self, site: &Site<'_>, tree: &mut WorkTree, ask: &(dyn Fn() -> Result<()> + Sync)) -> Result<Measurement> {
        site.settle_disk();
        let mut version = 0;
        let work: Work<'_> = Box::new(|recorder| {
            version += 1;
            let bytes = if self == Self::Flush { tree.write(version % tree.files(), version)? } else { 0 };
            recorder.call(|| ask().map(|()| (1, bytes)))?;
            Ok(true)
        });
        let mut done = drive(&NoDatabase, vec![work], 1, site.warmup(), site.measured())?;
        // Another process does the work.
        (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
        Ok(done)
    }
}

/// A protected working directory, with a home and sockets of its own. They are short-lived and have short paths.
pub(super) struct Daemon {
    program: PathBuf,
    home: PathBuf,
    root: PathBuf,
}

impl Daemon {
    pub(super) fn start(root: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?.with_file_name("tl");
        ensure!(program.exists(), "{} is not there: build it with `cargo build --release -p tl`", program.display());
        let home = std::env::temp_dir().join(format!("tl-bench-{}", std::process::id()));
        fs::create_dir(&home).with_context(|| format!("cannot create {}", home.display()))?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        let root = std::path::absolute(root)?;
        let daemon = Self { program, home, root };
        daemon.tl(&["init"])?;
        daemon.tl(&["flush"])?;
        Ok(daemon)
    }

    pub(super) fn tl(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null()).env_clear();
        for variable in ["HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
            command.env(variable, &self.home);
        }
        let output = command.output().with_context(|| format!("cannot run {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tl {}: {}: {said}", arguments.join(" "), output.status);
        Ok(output.stdout)
    }

    /// Where its stores are.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn end(self) -> Result<()> {
        self.tl(&["stop"]).map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After an error its daemon may still run; without its marker and its store it ends by itself.
        for removed in [fs::remove_file(self.root.join(MARKER)), fs::remove_dir_all(&self.home)] {
            if let Err(error) = removed.or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }) {
                eprintln!("a protected working directory is not as it was: {error}");
            }
        }
    }
}
