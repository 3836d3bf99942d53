//! `tl watch`: checkpoints as they are made.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Checkpoint, Event, Subscribe};

use super::flush::summary;
use super::status::health;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, CheckpointJson, Clock, Output};
use crate::session::Session;

/// Show each checkpoint as it is made
#[derive(Debug, Args)]
pub struct Arguments {
    /// Begin with the checkpoints that came after this state
    #[arg(long, value_name = "STATE")]
    after: Option<String>,
    /// End after this many checkpoints
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventJson<'a> {
    Checkpoint { checkpoint: Box<CheckpointJson<'a>> },
    Health { health: &'static str, reasons: &'a [String] },
    Missed { events: u64 },
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut session = Session::open_to_capture(context)?;
    let after_sequence = match &arguments.after {
        Some(state) => Some(session.resolve(state)?.sequence),
        None => None,
    };
    let Some(client) = session.into_client() else {
        return Err(Failure::retry("no daemon runs, so that nothing happens by itself", "`tl start` starts one"));
    };
    let mut events = client.subscribe(Subscribe { after_sequence })?;
    let clock = Clock::new(context.environment.zone());
    let out = &mut context.out;
    while left > 0 {
        let Some(event) = events.wait()? else {
            return Err(Failure::retry("the daemon ended", "run the command again"));
        };
        if out.is_json() {
            out.json(&EventJson::from(&event))?;
        } else {
            show(out, &clock, &event)?;
        }
        // Whoever reads sees each event when it happens.
        out.flush()?;
        left -= u64::from(matches!(event, Event::Checkpoint(_)));
    }
    Ok(())
}

impl<'a> From<&'a Event> for EventJson<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Checkpoint(checkpoint) => {
                let checkpoint: &Checkpoint = checkpoint;
                Self::Checkpoint { checkpoint: Box::new(checkpoint.into()) }
            }
            Event::Health(now) => {
                let (health, reasons) = health(now);
                Self::Health { health, reasons }
            }
            Event::Missed { events } => Self::Missed { events: *events },
        }
    }
}

fn show(out: &mut Output, clock: &Clock, event: &Event) -> Result<()> {
    let paint = out.paint();
    match event {
        Event::Checkpoint(checkpoint) => {
            let id = paint.id(output::short_id(checkpoint.id));
            let by = checkpoint.provenance.session.as_deref().map(|session| format!("  {}", paint.name(session)));
            let (time, line) = (clock.local(checkpoint.time_us), summary(checkpoint));
            out.line(format!("{}  {id}  {line}{}", paint.faint(time), by.unwrap_or_default()))
        }
        Event::Health(now) => {
            let (word, reasons) = health(now);
            let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
            out.line(format!("{word}{reasons}"))
        }
        Event::Missed { events } => {
            out.line(paint.bad(format!("{events} events were missed; `tl log` has the checkpoints among them")))
        }
    }
}
