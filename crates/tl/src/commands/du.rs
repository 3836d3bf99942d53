//! `tl du`: what takes space, now and in all of history.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_core::{ObjectId, Objects, RepoPath};
use tl_daemon::wire::{self, Answer, Direction, Item, LogQuery, Progress, Request};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Bar, PathJson};
use crate::session::{Session, unexpected};

/// Show what takes space, now and in all of history
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only what is at or below these paths
    paths: Vec<OsString>,
    /// Directories down to this depth below the root have lines of their own
    #[arg(short, long, default_value_t = 1)]
    depth: usize,
    /// The state whose files count as those of now
    #[arg(long, default_value = "@")]
    state: String,
}

/// Bytes of contents, before they are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    /// In the state.
    now: u64,
    /// Of all different contents in all states, each counted where it stood first.
    history: u64,
}

#[derive(Debug, Clone, Copy)]
enum Column {
    Now,
    History,
}

/// Usage of each directory down to a depth.
#[derive(Debug)]
struct Totals {
    depth: usize,
    wanted: Vec<wire::PathBytes>,
    /// By path; the root is empty.
    by_path: BTreeMap<Vec<u8>, Usage>,
}

#[derive(Serialize)]
struct UsageJson<'a> {
    path: PathJson<'a>,
    bytes: u64,
    history_bytes: u64,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    let wanted = context.paths(session.located(), &arguments.paths)?;
    let mut totals = Totals { depth: arguments.depth, wanted, by_path: BTreeMap::new() };
    let objects = session.objects()?;
    let state = session.resolve(&arguments.state)?;
    totals.add_changes(&objects, ObjectId::EMPTY_TREE, from_wire(state.root), Column::Now, |_| true)?;
    let roots = roots(&mut session)?;
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let mut seen = HashSet::new();
    let mut last = ObjectId::EMPTY_TREE;
    for (done, root) in (0..).zip(&roots) {
        bar.show(&Progress { phase: "states".to_owned(), done, total: Some(roots.len() as u64) });
        totals.add_changes(&objects, last, *root, Column::History, |id| seen.insert(id))?;
        last = *root;
    }
    drop(bar);
    drop(session);
    if totals.by_path.is_empty() && !totals.wanted.is_empty() {
        return Err(Failure::absent("nothing was ever recorded there", "`tl ls -R` lists the files of a state"));
    }
    show(context, &totals)
}

fn from_wire(id: wire::ObjectId) -> ObjectId {
    ObjectId::from_bytes(id.0)
}

/// The root trees of all states, oldest first, those that follow an equal one left out.
fn roots(session: &mut Session) -> Result<Vec<ObjectId>> {
    let mut roots: Vec<ObjectId> = Vec::new();
    let mut query = LogQuery { direction: Direction::OldestFirst, ..LogQuery::default() };
    loop {
        let answer = session.ask_each(Request::Log(query.clone()), |item| {
            if let Item::Checkpoint(checkpoint) = item {
                let trees = [Some(checkpoint.root), checkpoint.saved];
                roots.extend(trees.into_iter().flatten().map(from_wire));
                roots.dedup();
            }
            Ok(())
        })?;
        match answer {
            Answer::Page(page) if page.next.is_some() => query.from = page.next,
            Answer::Page(_) => return Ok(roots),
            other => return Err(unexpected(&other)),
        }
    }
}

impl Totals {
    /// Adds the sizes of the files that `after` has and `before` has not.
    fn add_changes(
        &mut self,
        objects: &Objects,
        before: ObjectId,
        after: ObjectId,
        column: Column,
        mut counts: impl FnMut(ObjectId) -> bool,
    ) -> Result<()> {
        for change in objects.diff(&before, &after)? {
            let change = change?;
            let Some(entry) = change.after.filter(|entry| !entry.is_directory()) else { continue };
            if self.is_wanted(&change.path)? && counts(entry.id) {
                self.add(&change.path, entry.size, column);
            }
        }
        Ok(())
    }

    fn is_wanted(&self, path: &RepoPath) -> Result<bool> {
        for wanted in &self.wanted {
            if path.starts_with(RepoPath::new(&wanted.0)?) {
                return Ok(true);
            }
        }
        Ok(self.wanted.is_empty())
    }

    /// Adds bytes to the directories on the way to a file, and to the file itself, down to the depth.
    fn add(&mut self, path: &RepoPath, size: u64, column: Column) {
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let prefixes = slashes.chain([bytes.len()]).take(self.depth).filter_map(|end| bytes.get(..end));
        for prefix in [&[][..]].into_iter().chain(prefixes) {
            let usage = self.by_path.entry(prefix.to_vec()).or_default();
            let total = match column {
                Column::Now => &mut usage.now,
                Column::History => &mut usage.history,
            };
            *total = total.saturating_add(size);
        }
    }
}

fn show(context: &mut Context, totals: &Totals) -> Result<()> {
    let out = &mut context.out;
    if out.is_json() {
        let json = totals.by_path.iter().map(|(path, usage)| UsageJson {
            path: PathJson(path),
            bytes: usage.now,
            history_bytes: usage.history,
        });
        return out.json(&json.collect::<Vec<_>>());
    }
    out.page()?;
    let mut lines: Vec<_> = totals.by_path.iter().collect();
    lines.sort_by_key(|(path, usage)| (std::cmp::Reverse(usage.history), *path));
    out.line(format!("{:>10}  {:>10}", "now", "history"))?;
    for (path, usage) in lines {
        let path = output::path(&wire::PathBytes(path.clone())).into_owned();
        out.line(format!("{:>10}  {:>10}  {path}", output::bytes(usage.now), output::bytes(usage.history)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, a directory does not hold what is in it.
    #[test]
    fn directories_hold_what_is_in_them_down_to_the_depth() {
        let mut totals = Totals { depth: 2, wanted: Vec::new(), by_path: BTreeMap::new() };
        for (path, size) in [("a/b/c", 1), ("a/b/d", 2), ("a/e", 4), ("f", 8)] {
            totals.add(RepoPath::new(path.as_bytes()).unwrap(), size, Column::Now);
        }
        let found: Vec<_> =
            totals.by_path.iter().map(|(path, usage)| (std::str::from_utf8(path).unwrap(), usage.now)).collect();
        assert_eq!(found, [("", 15), ("a", 7), ("a/b", 3), ("a/e", 4), ("f", 8)]);
    }
}
