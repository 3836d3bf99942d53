//! A project with a history, recorded by `tl` itself without a daemon: each state is exactly what a test wants it to be.

use std::ffi::OsStr;
use std::process::Command;

use serde_json::Value;

use crate::place::{Ended, Place};

/// A protected project.
pub struct Past {
    pub place: Place,
}

impl Past {
    /// A project of which nothing is recorded but that it is empty.
    pub fn new() -> Self {
        let past = Self { place: Place::new() };
        past.run(&["init"]).ok();
        past
    }

    /// Writes files and records them. Returns the id of the state.
    #[track_caller]
    pub fn save(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            self.place.write(path, content);
        }
        self.record(&[])
    }

    /// Records what there is. Returns the id of the state.
    #[track_caller]
    pub fn record(&self, options: &[&str]) -> String {
        let flushed = self.json(&[&["flush", "--scan"], options].concat());
        flushed["id"].as_str().unwrap().to_owned()
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.place.project().join(path)).unwrap();
    }

    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let arguments = [OsStr::new("--no-daemon")].into_iter().chain(arguments.iter().map(AsRef::as_ref));
        self.place.command(&arguments.collect::<Vec<_>>())
    }

    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Ended {
        Ended::of(self.command(arguments))
    }

    #[track_caller]
    pub fn text(&self, arguments: &[impl AsRef<OsStr>]) -> String {
        self.run(arguments).ok().text().to_owned()
    }

    #[track_caller]
    pub fn json(&self, arguments: &[impl AsRef<OsStr>]) -> Value {
        let arguments = [OsStr::new("--json")].into_iter().chain(arguments.iter().map(AsRef::as_ref));
        self.run(&arguments.collect::<Vec<_>>()).ok().json()
    }
}
