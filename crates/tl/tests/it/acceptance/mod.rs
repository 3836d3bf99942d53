//! `tl` on real input: histories of Git, programs that destroy work, large trees, builds. In the test command on small input that the tests
//! make themselves; with `TL_LONG=1` on large input and on the repositories that `TL_REPOSITORIES` lists, as CONTRIBUTING.md says.

mod builds;
mod destroyers;
mod disk;
mod git;
mod history;
mod large;
mod replay;

use std::env;
use std::path::PathBuf;

/// True if a run may take minutes and a network.
fn is_long() -> bool {
    env::var_os("TL_LONG").is_some()
}

/// The seed of this run: that of a failure, to see it again, or the usual one.
fn seed() -> u64 {
    env::var("TL_SEED").map_or(20_817, |seed| seed.parse().expect("TL_SEED is a number"))
}

/// Git repositories whose history is to be replayed.
fn repositories() -> Vec<PathBuf> {
    env::var_os("TL_REPOSITORIES").map_or_else(Vec::new, |list| env::split_paths(&list).collect())
}
