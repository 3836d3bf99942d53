//! A home, a state directory, a runtime directory and a project of their own, and `tl` run in them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde_json::Value;
use tempfile::TempDir;

/// Where a test's runs of `tl` happen. Daemons that it started end with it.
pub struct Place {
    dir: TempDir,
}

/// What one run left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Place {
    /// An empty project and no store.
    pub fn new() -> Self {
        // Sockets have short paths, and the directory for temporary files may have a long one.
        let dir = tempfile::Builder::new().prefix("tl").tempdir_in("/tmp").unwrap();
        for name in ["home", "state", "run", "project"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::set_permissions(dir.path().join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { dir }
    }

    /// A directory beside the project: `home`, `state`, `run`, or one of the test's own.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// The project's directory.
    pub fn project(&self) -> PathBuf {
        self.beside("project")
    }

    /// A project with a file and a link in directories, protected by a daemon.
    pub fn protected() -> Self {
        let place = Self::new();
        place.write("src/main.rs", "fn main() {}\n");
        place.write("README", "read me\n");
        std::os::unix::fs::symlink("README", place.project().join("link")).unwrap();
        place.json(&["init"]);
        place
    }

    /// Writes a file of the project, with the directories on its way.
    pub fn write(&self, path: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
        let path = self.project().join(Path::new(&path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A file of the project.
    pub fn read(&self, path: impl AsRef<OsStr>) -> Vec<u8> {
        fs::read(self.project().join(Path::new(&path))).unwrap()
    }

    /// The last lines that daemons logged.
    pub fn log(&self) -> String {
        let stores = fs::read_dir(self.beside("state/timelapse/stores")).unwrap();
        let logs = stores.map(|store| fs::read(store.unwrap().path().join("logs/daemon.log")).unwrap_or_default());
        let text = |log: Vec<u8>| String::from_utf8_lossy(&log[log.len().saturating_sub(8192)..]).into_owned();
        logs.map(text).collect()
    }

    /// `tl` in the project, with nothing of the environment but the search path.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tl"));
        let here = Some(self.project()).filter(|dir| dir.is_dir()).unwrap_or_else(|| self.beside("."));
        command.args(arguments).current_dir(here).env_clear();
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.beside("home"));
        command.env("XDG_STATE_HOME", self.beside("state"));
        command.env("XDG_RUNTIME_DIR", self.beside("run"));
        command.env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `tl` in the project.
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Ended {
        Ended::of(self.command(arguments))
    }

    /// Runs `tl --json` in the project, and returns what it printed.
    #[track_caller]
    pub fn json(&self, arguments: &[impl AsRef<OsStr>]) -> Value {
        let arguments = [OsStr::new("--json")].into_iter().chain(arguments.iter().map(AsRef::as_ref));
        self.run(&arguments.collect::<Vec<_>>()).ok().json()
    }
}

/// Ends the daemons of all stores.
impl Drop for Place {
    fn drop(&mut self) {
        // A test may have damaged what is needed for that, or have removed all of it; then the daemon's own guards end it.
        let listed = self.run(&["--json", "stores"]);
        let stores: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        for store in stores.as_array().into_iter().flatten() {
            drop(self.run(&["--store", store["id"].as_str().unwrap_or_default(), "stop"]));
        }
    }
}

impl Ended {
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// What was printed, as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What a failure said, as JSON.
    #[track_caller]
    pub fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?} {}", self.stdout.escape_ascii());
        self
    }

    /// True if standard error says all of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {:?}", self.stderr);
        }
        self
    }
}
