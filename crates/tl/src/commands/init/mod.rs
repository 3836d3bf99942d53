//! `tl init`: a directory is protected from now on.

mod guard;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tl_daemon::stores::{Form, Located, MarkerState, StoreDir, StoreId, Stores};
use tl_daemon::wire::{Answer, Flush, Item, PathBytes, Request};
use tl_daemon::{Access, Error};
use vfs::{DiskVfs, Vfs as _};

use super::flush::FlushedJson;
use crate::context::{Context, here};
use crate::failure::Failure;
use crate::output::{self, Bar, PathJson};
use crate::session::{Session, unexpected};

/// Protect a directory: record its present state, and every later one
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Put the store into the directory itself, as for a removable disk
    #[arg(long, conflicts_with = "adopt")]
    in_tree: bool,
    /// Give a copy of a protected directory a store of its own, with the same history
    #[arg(long)]
    adopt: bool,
    /// Protect it although something speaks against it
    #[arg(long)]
    force: bool,
}

/// What `tl init` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    /// There is a new store.
    Created,
    /// There was one.
    Present,
    /// There is one with the history of another.
    Adopted,
    /// A store whose directory was gone goes on here.
    Reattached,
}

#[derive(Serialize)]
struct InitJson<'a> {
    done: Done,
    store: String,
    form: &'static str,
    root: PathJson<'a>,
    path: PathJson<'a>,
    daemon: Option<u32>,
    files: u64,
    checkpoint: FlushedJson,
    notes: Vec<String>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let typed = here()?.join(&arguments.directory);
    let root = typed.canonicalize().with_context(|| format!("cannot protect {}", typed.display()))?;
    let stores = context.stores()?;
    let mut notes = Vec::new();
    let (done, located) = if let Some(id) = context.settings.store {
        (Done::Reattached, reattach(&stores, id, &root)?)
    } else if arguments.adopt {
        (Done::Adopted, adopt(context, &stores, &root)?)
    } else {
        create(context, &stores, &root, arguments, &mut notes)?
    };
    record(context, done, located, notes)
}

/// A store for a directory that has none.
fn create(
    context: &Context,
    stores: &Stores,
    root: &Path,
    arguments: &Arguments,
    notes: &mut Vec<String>,
) -> Result<(Done, Located)> {
    match stores.locate(root)? {
        Some(located) if located.root.path == root => return Ok((Done::Present, located)),
        Some(outer) if !arguments.force => {
            return Err(Failure::input(
                format!(
                    "{} is in {}, which is protected already: what is in it is recorded there",
                    root.display(),
                    outer.root.path.display()
                ),
                "`tl log` in it shows its history; `--force` gives it a store of its own beside that",
            ));
        }
        _ => {}
    }
    if !arguments.force {
        guard::check_place(root, &context.environment)?;
        guard::check_size(root, free_space(stores.state()))?;
    }
    let form = if arguments.in_tree { Form::InTree } else { Form::Outside };
    let (store, root) = stores.create(root, form)?.finish()?;
    notes.extend(leave_out_stores(&root.path, stores.state())?);
    Ok((Done::Created, Located { store, root, marker: MarkerState::InPlace }))
}

/// A store of its own for a directory that is a copy of a protected one.
fn adopt(context: &Context, stores: &Stores, root: &Path) -> Result<Located> {
    let id = match stores.locate(root) {
        Err(Error::OtherRoot { id, .. }) => id,
        Ok(Some(located)) if located.root.path == root => {
            return Err(Failure::input(
                format!("{} has a store of its own already", root.display()),
                "`tl status` shows it; there is nothing to adopt",
            ));
        }
        Ok(_) => {
            return Err(Failure::input(
                format!("{} is no copy of a protected directory", root.display()),
                "`tl init` protects it",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    if StoreDir::marker(root).is_dir() {
        return Err(Failure::input(
            format!("the store in {} came along with the copy", root.display()),
            "`tl doctor --adopt` checks it and gives it an id of its own",
        ));
    }
    let from = stores.get(id)?;
    let staged = stores.fork(root, &from)?;
    let original = Located { root: from.root()?, store: from, marker: MarkerState::InPlace };
    let to = PathBytes(staged.store().db().as_os_str().as_bytes().to_vec());
    Session::of_store(context, original, Access::Write)?.done(Request::Fork { to })?;
    let (store, root) = staged.finish()?;
    Ok(Located { store, root, marker: MarkerState::InPlace })
}

/// The history of a store whose directory is gone goes on in another.
fn reattach(stores: &Stores, id: StoreId, root: &Path) -> Result<Located> {
    let store = stores.get(id)?;
    let root = stores.reattach(&store, root)?;
    Ok(Located { store, root, marker: MarkerState::InPlace })
}

/// The state that is there now becomes the first checkpoint.
fn record(context: &mut Context, done: Done, located: Located, notes: Vec<String>) -> Result<()> {
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let mut session = Session::start(context, located)?;
    let answer = session.ask_each(Request::Flush(Flush::default()), |item| {
        if let Item::Progress(progress) = item {
            bar.show(&progress);
        }
        Ok(())
    })?;
    let Answer::Flushed { checkpoint, changed } = answer else { return Err(unexpected(&answer)) };
    let files = match session.ask(Request::Status)? {
        Answer::Status(status) => status.entries,
        other => return Err(unexpected(&other)),
    };
    drop(bar);
    let daemon = session.daemon();
    let located = session.located().clone();
    drop(session);
    if context.out.is_json() {
        return context.out.json(&InitJson {
            done,
            store: located.store.id().to_string(),
            form: if located.store.form() == Form::InTree { "in-tree" } else { "outside" },
            root: PathJson::of(&located.root.path),
            path: PathJson::of(located.store.path()),
            daemon,
            files,
            checkpoint: FlushedJson::new(&checkpoint, changed),
            notes,
        });
    }
    let paint = context.out.paint();
    let root = paint.strong(output::file(&located.root.path));
    let out = &mut context.out;
    out.line(match done {
        Done::Created => format!("protected {root}"),
        Done::Present => format!("{root} is protected already"),
        Done::Adopted => format!("protected {root}, with the history of the directory it is a copy of"),
        Done::Reattached => format!("protected {root}, with the history of store {}", located.store.id()),
    })?;
    out.line(format!("  {files} files are recorded as {}", paint.id(output::short_id(checkpoint.id))))?;
    out.line(format!("  the history is in {}", output::file(located.store.path())))?;
    out.line(match daemon {
        Some(pid) => format!("  daemon {pid} captures every save from now on"),
        None => format!("  {}: `tl start` starts the daemon", paint.bad("nothing is captured yet")),
    })?;
    for gap in &checkpoint.completeness.listed {
        let cause = output::gap_cause(gap.cause);
        out.line(format!("  {} {} ({cause})", paint.bad("not recorded:"), output::path(&gap.path)))?;
    }
    for note in notes {
        out.line(format!("  {note}"))?;
    }
    Ok(())
}

/// Bytes that are free where the stores are or will be; none where the system does not say.
fn free_space(state: &Path) -> Option<u64> {
    let existing = state.ancestors().find(|dir| dir.is_dir())?;
    // What cannot be known is no reason to refuse.
    DiskVfs::new().free_space(existing).ok().flatten()
}

/// A directory in which all stores are would record what it records, for ever: a line in its ignore file leaves them out.
fn leave_out_stores(root: &Path, state: &Path) -> Result<Option<String>> {
    let Ok(state) = state.canonicalize() else { return Ok(None) };
    let Ok(below) = state.strip_prefix(root) else { return Ok(None) };
    let path = root.join(".tlignore");
    let mut line = b"/".to_vec();
    line.extend_from_slice(below.as_os_str().as_bytes());
    line.extend_from_slice(b"/\n");
    let present = fs::read(&path).unwrap_or_default();
    if present.split_inclusive(|byte| *byte == b'\n').any(|found| found == line) {
        return Ok(None);
    }
    if !present.is_empty() && !present.ends_with(b"\n") {
        line.insert(0, b'\n');
    }
    let written = OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| file.write_all(&line));
    written.with_context(|| format!("cannot leave the stores out of the history by a line in {}", path.display()))?;
    let below = OsStr::from_bytes(below.as_os_str().as_bytes()).display().to_string();
    Ok(Some(format!("the stores in {below} are left out, by a line in .tlignore")))
}
