//! The tables: the layers of the workspace, and the external crates that only some may name.

/// What one crate of the workspace may depend on. Crates that are planned stand here before they exist.
pub struct CrateRule {
    pub name: &'static str,
    /// Crates of the workspace.
    pub may_use: &'static [&'static str],
    /// Further ones in tests and examples.
    pub tests_may_use: &'static [&'static str],
}

const fn layer(
    name: &'static str,
    may_use: &'static [&'static str],
    tests_may_use: &'static [&'static str],
) -> CrateRule {
    CrateRule { name, may_use, tests_may_use }
}

/// From the bottom up. Arrows only point down.
pub const CRATES: &[CrateRule] = &[
    // Knows no engine.
    layer("vfs", &[], &[]),
    layer("vfs-sim", &["vfs"], &[]),
    // The engines know nothing of each other.
    layer("granite", &["vfs"], &["vfs-sim"]),
    layer("northstar", &["vfs"], &["vfs-sim"]),
    // Pure storage of objects: no working directory, no watcher.
    layer("tl-core", &["granite", "northstar", "vfs"], &["vfs-sim"]),
    layer("tl-journal", &["tl-core", "granite", "northstar", "vfs"], &["vfs-sim"]),
    layer("tl-watcher", &["vfs"], &["vfs-sim"]),
    layer("tl-jj", &["tl-journal", "tl-core", "vfs"], &["vfs-sim"]),
    layer("tinyfs", &["vfs"], &["vfs-sim"]),
    layer("oplog", &["tinyfs", "granite", "vfs"], &["vfs-sim"]),
    layer("tl-daemon", &["tl-jj", "tl-watcher", "tl-journal", "tl-core", "granite", "northstar", "vfs"], &["vfs-sim"]),
    layer("tl", &["tl-daemon", "tl-jj", "tl-watcher", "tl-journal", "tl-core", "granite", "northstar", "vfs"], &[]),
    layer("tl-sql", &["oplog", "tl-journal", "tl-core", "granite", "northstar", "vfs"], &[]),
    layer("tl-mount", &["tinyfs", "tl-journal", "tl-core", "granite", "northstar", "vfs"], &[]),
    layer("pond", &["oplog", "tinyfs", "granite", "vfs"], &["vfs-sim"]),
    layer("kvd", &["granite", "vfs"], &["vfs-sim"]),
    layer("ns", &["northstar", "vfs"], &["vfs-sim"]),
    // Measures all of them.
    layer(
        "bench",
        &[
            "granite",
            "northstar",
            "oplog",
            "pond",
            "tinyfs",
            "tl-core",
            "tl-daemon",
            "tl-jj",
            "tl-journal",
            "tl-watcher",
            "vfs",
            "vfs-sim",
        ],
        &[],
    ),
    // Must build when nothing else does.
    layer("xtask", &[], &[]),
];

/// The crates that end in a program: they read the environment and the terminal and pass values down.
const PROGRAMS: &[&str] = &["bench", "kvd", "ns", "pond", "tl", "tl-daemon", "tl-mount", "tl-sql", "xtask"];

/// True for the crates that end in a program.
pub fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

/// External crates that only some crates may name in their manifests.
pub struct Exclusive {
    /// Names; a `*` at the end stands for any rest.
    names: &'static [&'static str],
    pub only: &'static [&'static str],
    /// True if even those may only do so behind a feature.
    pub optional: bool,
    pub why: &'static str,
}

impl Exclusive {
    pub fn covers(&self, name: &str) -> bool {
        covers(self.names, name)
    }
}

const fn exclusive(names: &'static [&'static str], only: &'static [&'static str], why: &'static str) -> Exclusive {
    Exclusive { names, only, optional: false, why }
}

pub const EXCLUSIVE: &[Exclusive] = &[
    exclusive(
        &["notify", "notify-*", "inotify", "inotify-*"],
        &["tl-watcher"],
        "it alone talks to the system's events",
    ),
    exclusive(&["jj-lib", "gix", "gix-*"], &["tl-jj"], "it alone knows Git and Jujutsu"),
    exclusive(&["deltalake", "deltalake-*"], &["oplog"], "it alone writes Delta Lake"),
    exclusive(&["datafusion", "datafusion-*", "arrow", "arrow-*"], &["oplog", "tl-sql", "pond"], "SQL stays on top"),
    Exclusive { names: &["fuser"], only: &["tinyfs"], optional: true, why: "FUSE is one adapter" },
    exclusive(&["anyhow", "eyre", "color-eyre"], PROGRAMS, "libraries have typed errors"),
    exclusive(&["clap", "dirs", "home"], PROGRAMS, "libraries never see the terminal or the environment"),
];

/// External crates that some crates must not even reach.
pub struct NeverLinked {
    pub crates: &'static [&'static str],
    names: &'static [&'static str],
    pub why: &'static str,
}

impl NeverLinked {
    pub fn covers(&self, name: &str) -> bool {
        covers(self.names, name)
    }
}

pub const NEVER_LINKED: &[NeverLinked] = &[
    NeverLinked {
        crates: &["tl", "tl-daemon"],
        names: &["datafusion", "datafusion-*", "arrow", "arrow-*", "deltalake", "deltalake-*", "fuser"],
        why: "memory and start-up depend on it",
    },
    NeverLinked {
        crates: &["vfs", "vfs-sim", "granite", "northstar"],
        names: &["tokio", "tokio-*", "async-std", "smol", "async-executor", "async-global-executor"],
        why: "the engines know no async runtime",
    },
];

fn covers(names: &[&str], name: &str) -> bool {
    names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}
