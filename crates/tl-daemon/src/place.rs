//! Where a store is, for the daemon that serves it and for those who use it.

use std::path::PathBuf;

use crate::connection::Timeouts;
use crate::stores::{Root, StoreDir, Stores};

/// A store and everything that is needed to get at it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The stores of the user.
    pub stores: Stores,
    /// The store.
    pub store: StoreDir,
    /// Its root as it was seen last.
    pub root: Root,
    /// Where its daemon listens; a daemon needs its directory [prepared](crate::stores::RuntimeDir::prepare_socket).
    pub socket: PathBuf,
    /// Files with patterns to ignore beside those in the tree, as Git's `core.excludesFile` names them.
    pub excludes: Vec<PathBuf>,
    /// Version of the program, for `status`.
    pub version: String,
    /// How long the other side may take.
    pub timeouts: Timeouts,
}
