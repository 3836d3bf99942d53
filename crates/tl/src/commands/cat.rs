//! `tl cat`: a file as it was.

use std::ffi::OsString;
use std::io::Read;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tl_core::EntryKind;

use crate::context::Context;
use crate::diff::json::kind_name;
use crate::failure::Failure;
use crate::history;
use crate::output::{self, PathJson};
use crate::place::{self, Found};
use crate::session::Session;

const BUFFER_LEN: usize = 64 << 10;
/// Longest content that goes into JSON, in bytes.
const JSON_LEN_MAX: u64 = 16 << 20;

/// Write a file as it was in a state
#[derive(Debug, Args)]
pub struct Arguments {
    /// The files, each as PATH or PATH@STATE, such as `src/main.rs@5m ago` or `notes.txt@-3`
    #[arg(required = true, value_name = "PATH@STATE")]
    places: Vec<OsString>,
    /// The state of all the files, whose names then may have an @ in them
    #[arg(long, value_name = "STATE")]
    at: Option<String>,
}

/// A file as it was, for programs.
#[derive(Serialize)]
struct FileJson<'a> {
    path: PathJson<'a>,
    state: String,
    kind: &'static str,
    mode: String,
    size: u64,
    id: String,
    /// What the file holds, or where a link leads: a string, or `{"hex": "..."}`.
    content: PathJson<'a>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    for word in &arguments.places {
        let found = place::find(&mut session, word, arguments.at.as_deref())?;
        write(context, &mut session, found)?;
    }
    Ok(())
}

fn write(context: &mut Context, session: &mut Session, found: Found) -> Result<()> {
    let typed = context.path(session.located(), found.path.as_ref())?;
    let path = history::repo_path(&typed)?;
    let objects = session.objects()?;
    let Some(entry) = history::entry_at(&objects, &history::object_id(found.state.root), &path)? else {
        return Err(if path.is_root() { is_directory(&typed) } else { found.absent() });
    };
    if entry.kind == EntryKind::Directory {
        return Err(is_directory(&typed));
    }
    if context.out.is_json() {
        let content = objects.get_blob(&entry.id, JSON_LEN_MAX)?;
        return context.out.json(&FileJson {
            path: PathJson(path.as_bytes()),
            state: output::checkpoint_id(found.state.id),
            kind: kind_name(entry.kind),
            mode: entry.mode.to_string(),
            size: entry.size,
            id: entry.id.to_string(),
            content: PathJson(&content),
        });
    }
    let mut reader = objects.blob_reader(&entry.id)?;
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let read =
            reader.read(&mut buffer).with_context(|| format!("cannot read {} any further", output::path(&typed)))?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => context.out.bytes(bytes)?,
            _ => return Ok(()),
        }
    }
}

fn is_directory(path: &tl_daemon::wire::PathBytes) -> anyhow::Error {
    Failure::input(format!("{} is a directory", output::path(path)), "`tl ls PATH@STATE` lists it")
}
