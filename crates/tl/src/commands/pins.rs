//! `tl pins`: the names that keep states.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Request};

use crate::context::Context;
use crate::output::{self, Clock};
use crate::session::{Session, unexpected};

/// List the pins
#[derive(Debug, Args)]
pub struct Arguments {}

#[derive(Serialize)]
struct PinJson<'a> {
    name: &'a str,
    id: String,
    time: String,
}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let pins = match Session::open(context)?.ask(Request::Pins)? {
        Answer::Pins(pins) => pins,
        other => return Err(unexpected(&other)),
    };
    if context.out.is_json() {
        let json = pins.iter().map(|pin| PinJson {
            name: &pin.name,
            id: output::checkpoint_id(pin.id),
            time: output::rfc3339(pin.time_us),
        });
        return context.out.json(&json.collect::<Vec<_>>());
    }
    context.out.page()?;
    let clock = Clock::new(context.environment.zone());
    let paint = context.out.paint();
    for pin in &pins {
        let (id, set) = (paint.id(output::short_id(pin.id)), clock.ago(pin.time_us));
        context.out.line(format!("{id}  {}  {}", paint.name(&pin.name), paint.faint(format!("set {set}"))))?;
    }
    Ok(())
}
