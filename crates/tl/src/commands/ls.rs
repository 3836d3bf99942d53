//! `tl ls`: a directory as it was.

use std::ffi::{OsStr, OsString};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_core::{Entry, EntryKind, ObjectId, Objects, RepoPath, RepoPathBuf};

use crate::context::Context;
use crate::diff::json::kind_name;
use crate::history;
use crate::output::{self, PathJson};
use crate::place;
use crate::session::Session;
use crate::text::{Canvas, Escaped, Quoted};

/// Longest target of a link that is shown, in bytes.
const TARGET_LEN_MAX: u64 = 64 << 10;

/// List a directory as it was in a state
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directories or files, each as PATH, @STATE or PATH@STATE, such as `@-3` or `src@5m ago`
    #[arg(value_name = "PATH@STATE")]
    places: Vec<OsString>,
    /// The state of all of them, whose names then may have an @ in them
    #[arg(long, value_name = "STATE")]
    at: Option<String>,
    /// What is in the directories below, too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Mode, size and the targets of links, too
    #[arg(short, long)]
    long: bool,
}

/// One entry, for programs.
#[derive(Serialize)]
struct EntryJson<'a> {
    path: PathJson<'a>,
    kind: &'static str,
    mode: String,
    size: u64,
    id: String,
    state: &'a str,
}

/// What is listed of one place.
struct Listing {
    state: String,
    entries: Vec<(RepoPathBuf, Entry)>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    let here = [OsString::new()];
    let words = if arguments.places.is_empty() { &here } else { arguments.places.as_slice() };
    let objects = session.objects()?;
    let mut listings = Vec::new();
    for word in words {
        listings.push(list(context, &mut session, &objects, word, arguments)?);
    }
    if context.out.is_json() {
        let entries = listings.iter().flat_map(|listing| listing.entries.iter().map(move |found| (listing, found)));
        let json = entries.map(|(listing, (path, entry))| EntryJson {
            path: PathJson(path.as_bytes()),
            kind: kind_name(entry.kind),
            mode: entry.mode.to_string(),
            size: entry.size,
            id: entry.id.to_string(),
            state: &listing.state,
        });
        return context.out.json(&json.collect::<Vec<_>>());
    }
    let mut canvas = Canvas::new(context.out.paint(), true);
    for (path, entry) in listings.iter().flat_map(|listing| &listing.entries) {
        write(&mut canvas, &objects, path, entry, arguments.long)?;
    }
    drop(objects);
    drop(session);
    context.out.page()?;
    context.out.bytes(&canvas.into_bytes())
}

fn list(
    context: &Context,
    session: &mut Session,
    objects: &Objects,
    word: &OsStr,
    arguments: &Arguments,
) -> Result<Listing> {
    let found = place::find(session, word, arguments.at.as_deref())?;
    let path = history::repo_path(&context.path(session.located(), found.path.as_ref())?)?;
    let root = history::object_id(found.state.root);
    let state = output::checkpoint_id(found.state.id);
    let tree = match history::entry_at(objects, &root, &path)? {
        None if path.is_root() => root,
        None => return Err(found.absent()),
        Some(entry) if entry.kind == EntryKind::Directory => entry.id,
        Some(entry) => return Ok(Listing { state, entries: vec![(path, entry)] }),
    };
    let mut entries = Vec::new();
    walk(objects, &path, &tree, arguments.recursive, &mut entries)?;
    Ok(Listing { state, entries })
}

/// Gathers what is in a directory, in the order of its names, each directory followed by what is in it.
fn walk(
    objects: &Objects,
    path: &RepoPath,
    tree: &ObjectId,
    recursive: bool,
    entries: &mut Vec<(RepoPathBuf, Entry)>,
) -> Result<()> {
    if recursive {
        for change in objects.diff(&ObjectId::EMPTY_TREE, tree)? {
            let change = change?;
            let mut full = path.to_owned();
            for name in change.path.components() {
                full.push(name)?;
            }
            entries.extend(change.after.map(|entry| (full, entry)));
        }
        return Ok(());
    }
    for found in objects.get_tree(tree)?.iter() {
        entries.push((path.join(found.name)?, found.entry));
    }
    Ok(())
}

fn write(canvas: &mut Canvas, objects: &Objects, path: &RepoPath, entry: &Entry, long: bool) -> Result<()> {
    let paint = canvas.paint();
    let name = Quoted::plain(path.as_bytes()).to_string();
    let name = match entry.kind {
        EntryKind::Directory => paint.name(format!("{name}/")),
        EntryKind::Symlink => paint.id(name),
        EntryKind::File if entry.mode.bits() & 0o111 != 0 => paint.good(name),
        EntryKind::File => paint.styled(name, anstyle::Style::new()),
    };
    if !long {
        canvas.line(name);
        return Ok(());
    }
    let letter = match entry.kind {
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::File => '-',
    };
    let size = if entry.is_directory() { "-".to_owned() } else { output::bytes(entry.size) };
    let mut line = format!("{letter}{} {size:>11}  {name}", permissions(entry.mode.bits()));
    if entry.kind == EntryKind::Symlink {
        let target = objects.get_blob(&entry.id, TARGET_LEN_MAX)?;
        line += &format!(" -> {}", Escaped(&target));
    }
    canvas.line(line);
    Ok(())
}

/// Permissions as `ls` shows them.
fn permissions(mode: u32) -> String {
    let letters = |bits: u32, special: bool, letter: char| {
        let execute = match (bits & 1 != 0, special) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, execute]
    };
    let parts = [
        letters(mode >> 6, mode & 0o4000 != 0, 's'),
        letters(mode >> 3, mode & 0o2000 != 0, 's'),
        letters(mode, mode & 0o1000 != 0, 't'),
    ];
    parts.concat().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::permissions;

    #[test]
    fn permissions_look_as_ls_shows_them() {
        for (mode, expected) in [
            (0o644, "rw-r--r--"),
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(mode), expected);
        }
    }
}
