//! Drives tl as a user would: by its command line, in a home, with stores and sockets of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub struct Tl {
    program: PathBuf,
    /// The home, the stores.
    place: PathBuf,
    /// The sockets: their paths must be short.
    sockets: PathBuf,
}

impl Tl {
    pub fn new(program: PathBuf, place: PathBuf) -> Result<Self> {
        let sockets = std::env::temp_dir().join(format!("tl-demo-{}", std::process::id()));
        fs::create_dir(&sockets).with_context(|| format!("create {}", sockets.display()))?;
        fs::set_permissions(&sockets, fs::Permissions::from_mode(0o700))
            .context("close the directory of the sockets")?;
        Ok(Self { program, place, sockets })
    }

    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(directory).stdin(Stdio::null());
        command.env("HOME", &self.place).env("XDG_STATE_HOME", self.place.join("state"));
        command.env("XDG_RUNTIME_DIR", &self.sockets).env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Runs a command whose output the user sees.
    pub fn show(&self, directory: &Path, arguments: &[&str]) -> Result<()> {
        let line = format!("tl {}", arguments.join(" "));
        println!("$ {line}");
        let status = self.command(directory, arguments).status().with_context(|| line.clone())?;
        ensure!(status.success(), "{line}: {status}");
        Ok(())
    }

    /// What a command says to programs.
    pub fn json(&self, directory: &Path, arguments: &[&str]) -> Result<Value> {
        let line = format!("tl --json {}", arguments.join(" "));
        let mut command = self.command(directory, &["--json"]);
        let output = command.args(arguments).stderr(Stdio::inherit()).output().with_context(|| line.clone())?;
        ensure!(output.status.success(), "{line}: {}", output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("{line} printed no JSON"))
    }
}

/// Ends the daemons.
impl Drop for Tl {
    fn drop(&mut self) {
        let stores = self.json(&self.place, &["stores"]).unwrap_or_default();
        for store in stores.as_array().into_iter().flatten() {
            let id = store["id"].as_str().unwrap_or_default();
            // A daemon that does not answer any more ends by itself, as its store is removed by the next demo.
            drop(
                self.command(&self.place, &["--store", id, "stop"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status(),
            );
        }
        drop(fs::remove_dir_all(&self.sockets));
    }
}
