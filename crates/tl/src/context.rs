//! What a command works with: the settings, the environment, the output, and the way to the store.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tl_daemon::Place;
use tl_daemon::connection::Timeouts;
use tl_daemon::stores::{Located, MarkerState, RuntimeDir, Stores};
use tl_daemon::wire::{PathBytes, Provenance};
use vfs::DiskVfs;

use crate::cli::Settings;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Output;

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// What stands on every command line.
    pub settings: Settings,
    /// What the process was started with.
    pub environment: Environment,
    /// Standard output.
    pub out: Output,
}

impl Context {
    pub fn new(settings: Settings) -> Result<Self> {
        if let Some(dir) = &settings.start_in {
            env::set_current_dir(dir).with_context(|| format!("cannot run in {}", dir.display()))?;
        }
        let environment = Environment::read();
        let out = Output::new(&settings, &environment);
        Ok(Self { settings, environment, out })
    }

    /// The stores of this user.
    pub fn stores(&self) -> Result<Stores> {
        Ok(Stores::new(self.environment.state_dir()?, Arc::new(DiskVfs::new())))
    }

    /// Where sockets are.
    pub fn runtime(&self) -> RuntimeDir {
        RuntimeDir::new(self.environment.runtime_dir())
    }

    /// The store that the command is about: that of `--store`, or the one that protects the directory in which it runs.
    pub fn locate(&self) -> Result<Located> {
        let stores = self.stores()?;
        if let Some(id) = self.settings.store {
            let store = stores.get(id)?;
            let root = store.root()?;
            return Ok(Located { store, root, marker: MarkerState::InPlace });
        }
        let here = here()?;
        let Some(located) = stores.locate(&here)? else { return Err(Failure::NotProtected { here }.into()) };
        // It may have been moved since the last command.
        stores.remember_root(&located.store, &located.root)?;
        Ok(located)
    }

    /// Everything that is needed to get at a store.
    pub fn place(&self, located: &Located) -> Result<Place> {
        Ok(Place {
            stores: self.stores()?,
            store: located.store.clone(),
            root: located.root.clone(),
            socket: self.runtime().socket(located.store.id())?,
            excludes: self.environment.git_excludes(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            timeouts: Timeouts::default(),
        })
    }

    /// Who acts: what the command line says, or the environment, as `tl run` sets it for its command.
    pub fn provenance(&self) -> Provenance {
        let Environment { session, actor, .. } = &self.environment;
        Provenance { session: session.clone(), actor: actor.clone(), label: None, message: None }
    }

    /// Paths as they are typed, as the store knows them.
    pub fn paths(&self, located: &Located, typed: &[OsString]) -> Result<Vec<PathBytes>> {
        typed.iter().map(|path| self.path(located, Path::new(path))).collect()
    }

    /// A path as it is typed, relative to the directory in which the command runs, as the store knows it: relative to the root. Nothing needs to be there.
    pub fn path(&self, located: &Located, typed: &Path) -> Result<PathBytes> {
        // With `--store`, the command may run anywhere: paths are then those of the tree.
        let base = if self.settings.store.is_some() { located.root.path.clone() } else { here()? };
        below(&located.root.path, &base, typed).ok_or_else(|| {
            Failure::input(
                format!("{} is outside of {}", typed.display(), located.root.path.display()),
                "name a path in the directory that is protected",
            )
        })
    }
}

/// The directory in which the command runs, without symbolic links.
pub fn here() -> Result<PathBuf> {
    env::current_dir().and_then(|dir| dir.canonicalize()).context("cannot tell which directory this is")
}

/// `typed` below `root`; `None` if it is not. `..` goes to the directory above by name, as a shell's `cd` does.
fn below(root: &Path, base: &Path, typed: &Path) -> Option<PathBytes> {
    let plain = flatten(&base.join(typed))?;
    let relative = match plain.strip_prefix(root) {
        Ok(relative) => relative.to_owned(),
        // An absolute path may lead to the root through symbolic links; below the root none is followed.
        Err(_) => plain.ancestors().find_map(|dir| {
            let rest = plain.strip_prefix(dir).ok()?;
            let is_root = dir.canonicalize().is_ok_and(|found| found == root);
            is_root.then(|| rest.to_owned())
        })?,
    };
    Some(PathBytes(relative.as_os_str().as_bytes().to_vec()))
}

/// An absolute path without `.` and `..`; `None` if it leads above the root of the filesystem.
fn flatten(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(base: &str, typed: &str) -> Option<String> {
        below(Path::new("/p/root"), Path::new(base), Path::new(typed)).map(|path| String::from_utf8(path.0).unwrap())
    }

    /// If it fails, a command is about other files than those that were named.
    #[test]
    fn paths_are_relative_to_where_the_command_runs() {
        for (base, typed, expected) in [
            ("/p/root", "a/b", Some("a/b")),
            ("/p/root/a", "b", Some("a/b")),
            ("/p/root/a", "../b/./c/", Some("b/c")),
            ("/p/root/a", "..", Some("")),
            ("/p/root", ".", Some("")),
            ("/p/root", "/p/root/x", Some("x")),
            ("/p/root", "/p/rootless/x", None),
            ("/p/root/a", "../..", None),
            ("/p/root", "../../../..", None),
        ] {
            assert_eq!(path(base, typed).as_deref(), expected, "{base} {typed}");
        }
    }

    /// If it fails, a path through a link to the project is called outside of it.
    #[test]
    fn a_link_to_the_root_leads_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        std::fs::create_dir(&root).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&root, &link).unwrap();
        assert_eq!(below(&root, &root, &link.join("gone/file")), Some(PathBytes(b"gone/file".to_vec())));
        assert_eq!(below(&root, &root, &dir.path().join("other")), None);
    }
}
