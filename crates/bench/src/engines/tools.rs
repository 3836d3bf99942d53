//! Tools that keep states of a working directory. They open no database for the harness: their workloads know how to drive each.

use std::process::Command;

use crate::engine::{Engine, EngineSpec, Role};
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
}

impl Tool {
    const ALL: [Self; 3] = [Self::Timelapse, Self::Git, Self::GitSynced];

    const fn name(self) -> &'static str {
        match self {
            Self::Timelapse => "timelapse",
            Self::Git => "git",
            Self::GitSynced => "git-synced",
        }
    }

    /// The tool that an entry stands for; none for storage engines.
    #[must_use]
    pub fn of(engine: &EngineSpec) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == engine.name)
    }

    fn spec(self, version: &str) -> EngineSpec {
        let (role, notes) = match self {
            Self::Timelapse => {
                (Role::Subject, "defaults; its store beside the working directory; each checkpoint is synced")
            }
            Self::Git => (
                Role::Peer,
                "defaults, without automatic gc; its repository beside the working directory; loose objects are not synced",
            ),
            Self::GitSynced => (Role::Alternate, "the same with core.fsync=all and core.fsyncMethod=batch"),
        };
        EngineSpec {
            name: self.name(),
            version: version.to_owned(),
            role,
            notes,
            allocates_in_rust: self == Self::Timelapse,
            open: |_, _| Ok(Box::new(NoDatabase) as Box<dyn Engine>),
        }
    }
}

/// All tools.
#[must_use]
pub fn tools() -> Vec<EngineSpec> {
    let git = Command::new("git").arg("--version").output();
    // Without Git its benchmarks fail, each with the reason.
    let git = git.map_or_else(|_| "absent".to_owned(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let git = git.trim().trim_start_matches("git version ");
    Tool::ALL.map(|tool| tool.spec(if tool == Tool::Timelapse { env!("CARGO_PKG_VERSION") } else { git })).to_vec()
}
