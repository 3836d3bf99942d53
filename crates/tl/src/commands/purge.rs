//! `tl purge PATH`: the content of paths is removed from all of history, and from the disk.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Item, PathBytes, Purge, Purged, Request};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Bar, PathJson, confirm};
use crate::session::{Session, unexpected};

/// Remove the content of paths from all of history, for ever
#[derive(Debug, Args)]
pub struct Arguments {
    /// Files or directories; everything ever recorded at or below them goes
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct PurgedJson<'a> {
    dry_run: bool,
    objects: u64,
    bytes: u64,
    checkpoints: u64,
    shared_with: Vec<PathJson<'a>>,
    scanned_files: Option<u64>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open_to_write(context)?;
    let paths = context.paths(session.located(), &arguments.paths)?;
    if paths.iter().any(|path| path.0.is_empty()) {
        return Err(Failure::input(
            "that is the whole directory",
            "`tl stores remove ID` removes a store with all its history",
        ));
    }
    let plan = purge(context, &mut session, &paths, true)?;
    if plan.objects == 0 && !arguments.dry_run {
        return Err(Failure::absent("nothing is recorded at these paths that is not purged already", ""));
    }
    if arguments.dry_run {
        return show(context, &plan);
    }
    if !arguments.yes {
        let question = format!(
            "Remove {} contents ({}) from {} states, for ever? The files on the disk stay.",
            plan.objects,
            output::bytes(plan.bytes),
            plan.checkpoints
        );
        confirm(&context.environment, &question)?;
    }
    let purged = purge(context, &mut session, &paths, false)?;
    show(context, &purged)
}

fn purge(context: &Context, session: &mut Session, paths: &[PathBytes], dry_run: bool) -> Result<Purged> {
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let answer = session.ask_each(Request::Purge(Purge { paths: paths.to_vec(), dry_run }), |item| {
        if let Item::Progress(progress) = item {
            bar.show(&progress);
        }
        Ok(())
    })?;
    match answer {
        Answer::Purged(purged) => Ok(purged),
        other => Err(unexpected(&other)),
    }
}

fn show(context: &mut Context, purged: &Purged) -> Result<()> {
    let out = &mut context.out;
    if out.is_json() {
        return out.json(&PurgedJson {
            dry_run: purged.dry_run,
            objects: purged.objects,
            bytes: purged.bytes,
            checkpoints: purged.checkpoints,
            shared_with: purged.shared_with.iter().map(|path| PathJson(&path.0)).collect(),
            scanned_files: purged.scanned_files,
        });
    }
    let would = if purged.dry_run { "would remove" } else { "removed" };
    let (objects, size) = (purged.objects, output::bytes(purged.bytes));
    out.line(format!("{would} {objects} contents ({size}) from {} states", purged.checkpoints))?;
    if !purged.shared_with.is_empty() {
        out.line("the same content stays, as these paths hold it too:")?;
        for path in &purged.shared_with {
            out.line(format!("  {}", output::path(path)))?;
        }
    }
    if let Some(files) = purged.scanned_files {
        out.line(format!("read {files} files of the store afterwards: nothing of it is left"))?;
    }
    Ok(())
}
