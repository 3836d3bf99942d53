//! `tl info`: what a store is and where its parts are.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::stores::{FORMAT_VERSION, Form, MarkerState};
use tl_daemon::wire::{Answer, Checkpoint, Direction, Item, LogQuery, Request};

use crate::context::Context;
use crate::output::{self, CheckpointJson, Clock, PathJson};
use crate::session::{Session, unexpected};

/// Show what the store is and where its parts are
#[derive(Debug, Args)]
pub struct Arguments {}

#[derive(Serialize)]
struct InfoJson<'a> {
    id: String,
    form: &'static str,
    format_version: u32,
    root: PathJson<'a>,
    root_in_place: bool,
    marked: bool,
    store: PathJson<'a>,
    config: PathJson<'a>,
    logs: PathJson<'a>,
    socket: PathJson<'a>,
    checkpoints: u64,
    oldest: Option<CheckpointJson<'a>>,
    newest: Option<CheckpointJson<'a>>,
    pins: usize,
    disk_bytes: u64,
}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    let status = match session.ask(Request::Status)? {
        Answer::Status(status) => *status,
        other => return Err(unexpected(&other)),
    };
    let pins = match session.ask(Request::Pins)? {
        Answer::Pins(pins) => pins.len(),
        other => return Err(unexpected(&other)),
    };
    let oldest = oldest(&mut session)?;
    let located = session.located().clone();
    drop(session);
    let place = context.place(&located)?;
    let (config, logs) = (place.store.config(), place.store.logs());
    let form = match located.store.form() {
        Form::Outside => "outside",
        Form::InTree => "in-tree",
    };
    if context.out.is_json() {
        return context.out.json(&InfoJson {
            id: located.store.id().to_string(),
            form,
            format_version: FORMAT_VERSION,
            root: PathJson::of(&located.root.path),
            root_in_place: located.root.is_in_place(),
            marked: located.marker == MarkerState::InPlace,
            store: PathJson::of(located.store.path()),
            config: PathJson::of(&config),
            logs: PathJson::of(&logs),
            socket: PathJson::of(&place.socket),
            checkpoints: status.checkpoints,
            oldest: oldest.as_ref().map(CheckpointJson::from),
            newest: status.head.as_deref().map(CheckpointJson::from),
            pins,
            disk_bytes: status.figures.disk_bytes,
        });
    }
    let clock = Clock::new(context.environment.zone());
    let paint = context.out.paint();
    let since = oldest.map_or_else(String::new, |oldest| format!(" since {}", clock.local(oldest.time_us)));
    for (name, text) in [
        ("directory", output::file(&located.root.path)),
        ("store", format!("{} ({form}, format {FORMAT_VERSION})", paint.id(located.store.id()))),
        ("at", output::file(located.store.path())),
        ("settings", output::file(&config)),
        ("logs", output::file(&logs)),
        ("socket", output::file(&place.socket)),
        ("history", format!("{} states{since}, {pins} pins", status.checkpoints)),
        ("size", output::bytes(status.figures.disk_bytes)),
    ] {
        context.out.line(format!("{name:<9}  {text}"))?;
    }
    Ok(())
}

fn oldest(session: &mut Session) -> Result<Option<Checkpoint>> {
    let query = LogQuery { direction: Direction::OldestFirst, limit: 1, ..LogQuery::default() };
    let mut oldest = None;
    session.ask_each(Request::Log(query), |item| {
        if let Item::Checkpoint(checkpoint) = item {
            oldest = Some(*checkpoint);
        }
        Ok(())
    })?;
    Ok(oldest)
}
