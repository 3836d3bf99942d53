//! What a restore, an undo or a redo did or would do: asked for, shown and written for programs.

use anyhow::Result;
use serde::Serialize;
use tl_daemon::wire::{Answer, Item, PlanAction, PlanStep, Request, Restored};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Bar, PathJson};
use crate::session::{Session, unexpected};
use crate::text::Escaped;

/// Steps that a person is shown; the rest are counted.
const SHOWN_MAX: usize = 40;

/// A restore for programs.
#[derive(Serialize)]
struct RestoredJson<'a> {
    dry_run: bool,
    state: String,
    safety: Option<String>,
    checkpoint: Option<String>,
    written: u64,
    modes: u64,
    removed: u64,
    directories_made: u64,
    directories_removed: u64,
    captured_late: u64,
    refused: u64,
    bytes_written: u64,
    verified: Option<bool>,
    differing: Vec<PathJson<'a>>,
    notes: &'a [String],
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    path: PathJson<'a>,
    action: &'static str,
    bytes: u64,
    saves: bool,
    note: Option<&'a str>,
}

/// Asks for a restore, with a bar while it is at work. Returns its steps (all of a dry run, else the refused ones) and what it did.
pub fn ask(context: &Context, session: &mut Session, request: Request) -> Result<(Vec<PlanStep>, Restored)> {
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let mut steps = Vec::new();
    let answer = session.ask_each(request, |item| {
        match item {
            Item::Progress(progress) => bar.show(&progress),
            Item::PlanStep(step) => steps.push(step),
            _ => {}
        }
        Ok(())
    })?;
    match answer {
        Answer::Restored(restored) => Ok((steps, *restored)),
        other => Err(unexpected(&other)),
    }
}

/// Shows what was done or would be. An error if what is there now is not what was asked for.
pub fn show(context: &mut Context, steps: &[PlanStep], restored: &Restored) -> Result<()> {
    if context.out.is_json() {
        context.out.json(&json(steps, restored))?;
    } else {
        show_to_people(context, steps, restored)?;
    }
    match restored.verified {
        Some(false) => Err(Failure::retry(
            "what is there now is not the state that was asked for: files changed meanwhile, or were refused",
            "`tl diff` shows how it differs; `tl undo` goes back",
        )),
        _ => Ok(()),
    }
}

/// Shows the steps of a plan.
pub fn show_plan(context: &mut Context, steps: &[PlanStep]) -> Result<()> {
    let paint = context.out.paint();
    for step in steps.iter().take(SHOWN_MAX) {
        let path = output::path(&step.path);
        let verb = match step.action {
            PlanAction::Create => "create",
            PlanAction::Replace => "replace",
            PlanAction::SetMode => "set mode of",
            PlanAction::Remove => "remove",
            PlanAction::Refuse => "refuse",
        };
        let note = step.note.as_deref().map(|note| format!(" ({})", Escaped(note.as_bytes()))).unwrap_or_default();
        let saves = if step.saves { " (what is there is saved first)" } else { "" };
        let line = format!("  {verb} {path}{saves}{note}");
        let refused = step.action == PlanAction::Refuse;
        context.out.line(if refused { paint.bad(&line).to_string() } else { line })?;
    }
    if let Some(more) = steps.len().checked_sub(SHOWN_MAX).filter(|&more| more > 0) {
        context.out.line(format!("  and {more} more; `--json` lists all"))?;
    }
    Ok(())
}

fn show_to_people(context: &mut Context, steps: &[PlanStep], restored: &Restored) -> Result<()> {
    show_plan(context, steps)?;
    let paint = context.out.paint();
    let state = paint.id(output::short_id(restored.state)).to_string();
    let counts = [
        (restored.written, "written"),
        (restored.modes, "modes set"),
        (restored.removed, "removed"),
        (restored.refused, "refused"),
        (restored.captured_late, "saved as they changed meanwhile"),
    ];
    let counts: Vec<String> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "nothing differs".to_owned() } else { counts.join(", ") };
    let verb = if restored.dry_run { "would restore" } else { "restored" };
    context.out.line(format!("{verb} {state}: {counts} ({})", output::bytes(restored.bytes_written)))?;
    for path in &restored.differing {
        context.out.line(format!("  {} {}", paint.bad("differs:"), output::path(path)))?;
    }
    for note in &restored.notes {
        context.out.line(format!("  {}", Escaped(note.as_bytes())))?;
    }
    if restored.verified == Some(true) {
        context.out.line("  read back: every byte is as recorded")?;
    }
    if let Some(safety) = restored.safety {
        let id = paint.id(output::short_id(safety)).to_string();
        context.out.line(format!("  what was there before is {id}; `tl undo` brings it back"))?;
    }
    Ok(())
}

fn json<'a>(steps: &'a [PlanStep], restored: &'a Restored) -> RestoredJson<'a> {
    let step = |step: &'a PlanStep| StepJson {
        path: PathJson(&step.path.0),
        action: match step.action {
            PlanAction::Create => "create",
            PlanAction::Replace => "replace",
            PlanAction::SetMode => "set-mode",
            PlanAction::Remove => "remove",
            PlanAction::Refuse => "refuse",
        },
        bytes: step.bytes,
        saves: step.saves,
        note: step.note.as_deref(),
    };
    RestoredJson {
        dry_run: restored.dry_run,
        state: output::checkpoint_id(restored.state),
        safety: restored.safety.map(output::checkpoint_id),
        checkpoint: restored.checkpoint.map(output::checkpoint_id),
        written: restored.written,
        modes: restored.modes,
        removed: restored.removed,
        directories_made: restored.directories_made,
        directories_removed: restored.directories_removed,
        captured_late: restored.captured_late,
        refused: restored.refused,
        bytes_written: restored.bytes_written,
        verified: restored.verified,
        differing: restored.differing.iter().map(|path| PathJson(&path.0)).collect(),
        notes: &restored.notes,
        steps: steps.iter().map(step).collect(),
    }
}
