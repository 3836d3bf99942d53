//! `tl gc`: history is thinned as the settings say, and what nothing needs is removed.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Collected, Evicted, Item, Request};

use crate::context::Context;
use crate::output::{self, Bar};
use crate::session::{Session, unexpected};

/// Thin history as the settings say, and remove what nothing needs
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct CollectedJson<'a> {
    dry_run: bool,
    checkpoints_removed: u64,
    checkpoints_kept: u64,
    objects_removed: u64,
    objects_kept: u64,
    bytes_freed: u64,
    bytes_left: u64,
    duration_us: u64,
    evicted: Vec<EvictedJson<'a>>,
}

#[derive(Serialize)]
struct EvictedJson<'a> {
    id: String,
    why: &'a str,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open_to_write(context)?;
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let mut evicted = Vec::new();
    let answer = session.ask_each(Request::Gc { dry_run: arguments.dry_run }, |item| {
        match item {
            Item::Progress(progress) => bar.show(&progress),
            Item::Evicted(one) => evicted.push(one),
            _ => {}
        }
        Ok(())
    })?;
    drop(bar);
    drop(session);
    let Answer::Collected(collected) = answer else { return Err(unexpected(&answer)) };
    if context.out.is_json() {
        return context.out.json(&CollectedJson::new(&collected, &evicted));
    }
    show(context, &collected, &evicted)
}

impl<'a> CollectedJson<'a> {
    fn new(collected: &Collected, evicted: &'a [Evicted]) -> Self {
        let one = |one: &'a Evicted| EvictedJson { id: output::checkpoint_id(one.id), why: &one.why };
        Self {
            dry_run: collected.dry_run,
            checkpoints_removed: collected.checkpoints_removed,
            checkpoints_kept: collected.checkpoints_kept,
            objects_removed: collected.objects_removed,
            objects_kept: collected.objects_kept,
            bytes_freed: collected.bytes_freed,
            bytes_left: collected.bytes_left,
            duration_us: collected.duration_us,
            evicted: evicted.iter().map(one).collect(),
        }
    }
}

fn show(context: &mut Context, collected: &Collected, evicted: &[Evicted]) -> Result<()> {
    context.out.page()?;
    let paint = context.out.paint();
    for one in evicted {
        context.out.line(format!("{}  {}", paint.id(output::short_id(one.id)), one.why))?;
    }
    let would = if collected.dry_run { "would remove" } else { "removed" };
    context.out.line(format!(
        "{would} {} states and {} objects, {}; {} states are kept, {} in all ({})",
        collected.checkpoints_removed,
        collected.objects_removed,
        output::bytes(collected.bytes_freed),
        collected.checkpoints_kept,
        output::bytes(collected.bytes_left),
        output::duration(Duration::from_micros(collected.duration_us)),
    ))
}
