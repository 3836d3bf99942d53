//! Tools that keep states of a working directory. They open no database for the harness: their workloads know how to drive each.

use std::process::Command;

use crate::engine::{ABSENT, Engine, EngineSpec, Role};
use crate::engines::NoDatabase;

/// A tool that workloads on working directories compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Timelapse.
    Timelapse,
    /// Git as it comes.
    Git,
    /// Git that syncs every object.
    GitSynced,
    /// Jujutsu.
    Jj,
}

impl Tool {
    const ALL: [Self; 4] = [Self::Timelapse, Self::Git, Self::GitSynced, Self::Jj];

    const fn name(self) -> &'static str {
        match self {
            Self::Timelapse => "timelapse",
            Self::Git => "git",
            Self::GitSynced => "git-synced",
            Self::Jj => "jj",
        }
    }

    /// The tool that an entry stands for; none for storage engines.
    #[must_use]
    pub fn of(engine: &EngineSpec) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == engine.name)
    }

    /// The version that is installed, else [`ABSENT`].
    fn version(self) -> String {
        let program = match self {
            Self::Timelapse => return env!("CARGO_PKG_VERSION").to_owned(),
            Self::Git | Self::GitSynced => "git",
            Self::Jj => "jj",
        };
        // What cannot be started is not there.
        let output = Command::new(program).arg("--version").output().ok().filter(|output| output.status.success());
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version = said.as_deref().and_then(|said| said.split_whitespace().find(|word| is_version(word)));
        version.unwrap_or(ABSENT).to_owned()
    }

    fn spec(self) -> EngineSpec {
        let (role, notes) = match self {
            Self::Timelapse => {
                (Role::Subject, "defaults; its store beside the working directory; each checkpoint is synced")
            }
            Self::Git => (
                Role::Peer,
                "defaults, without automatic gc; its repository beside the working directory; loose objects are not synced",
            ),
            Self::GitSynced => (Role::Alternate, "the same with core.fsync=all and core.fsyncMethod=batch"),
            Self::Jj => {
                (Role::Peer, "defaults, its repository inside the working directory, as it keeps it; not synced")
            }
        };
        EngineSpec {
            name: self.name(),
            version: self.version(),
            role,
            notes,
            durable: true,
            allocates_in_rust: self == Self::Timelapse,
            open: |_, _| Ok(Box::new(NoDatabase) as Box<dyn Engine>),
        }
    }
}

/// Of `git version 2.47.3` the number.
fn is_version(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
}

/// All tools, those too that are not installed.
#[must_use]
pub fn tools() -> Vec<EngineSpec> {
    Tool::ALL.map(Tool::spec).to_vec()
}
