//! Names in directories, and paths made of them: raw bytes that were checked once.

mod name;
mod repo_path;

pub use name::{EntryName, MAX_NAME_LEN, NameError};
pub use repo_path::{MAX_PATH_LEN, PathError, RepoPath, RepoPathBuf};
