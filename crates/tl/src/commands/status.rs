//! `tl status`: whether changes are captured, and what there is.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Health, Request, SkippedPath, Status};

use crate::context::Context;
use crate::output::{self, CheckpointJson, Clock, PathJson};
use crate::session::{Session, unexpected};

/// Show whether changes are captured, and what there is
#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    let status = match session.ask(Request::Status)? {
        Answer::Status(status) => *status,
        other => return Err(unexpected(&other)),
    };
    if context.out.is_json() {
        return context.out.json(&StatusJson::from(&status));
    }
    show(context, &status)
}

#[derive(Serialize)]
struct StatusJson<'a> {
    version: &'a str,
    daemon: Option<u32>,
    started: Option<String>,
    health: &'static str,
    reasons: &'a [String],
    root: PathJson<'a>,
    head: Option<CheckpointJson<'a>>,
    checkpoints: u64,
    files: u64,
    pending: u64,
    session: Option<&'a str>,
    watch: Option<WatchJson<'a>>,
    store: StoreJson<'a>,
    memory: Option<MemoryJson>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct WatchJson<'a> {
    backend: &'a str,
    directories: u64,
    kernel_bytes: u64,
    events: u64,
    overflows: u64,
    scanned: Vec<ScannedJson<'a>>,
}

#[derive(Serialize)]
struct ScannedJson<'a> {
    path: PathJson<'a>,
    why: &'a str,
}

#[derive(Serialize)]
struct StoreJson<'a> {
    id: String,
    path: PathJson<'a>,
    disk_bytes: u64,
    budget_bytes: Option<u64>,
    free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct MemoryJson {
    anonymous: u64,
    shared: u64,
    resident: u64,
}

impl<'a> From<&'a Status> for StatusJson<'a> {
    fn from(status: &'a Status) -> Self {
        let (health, reasons) = health(&status.health);
        let scanned = |one: &'a SkippedPath| ScannedJson { path: PathJson(&one.path.0), why: &one.why };
        Self {
            version: &status.version,
            daemon: status.pid,
            started: status.pid.map(|_| output::rfc3339(status.started_us)),
            health,
            reasons,
            root: PathJson(&status.root.0),
            head: status.head.as_deref().map(CheckpointJson::from),
            checkpoints: status.checkpoints,
            files: status.entries,
            pending: status.pending,
            session: status.session.as_deref(),
            watch: status.watch.as_ref().map(|watch| WatchJson {
                backend: &watch.backend,
                directories: watch.directories,
                kernel_bytes: watch.kernel_bytes,
                events: watch.events,
                overflows: watch.overflows,
                scanned: watch.scanned.iter().map(scanned).collect(),
            }),
            store: StoreJson {
                id: status.store_id.to_string(),
                path: PathJson(&status.store.0),
                disk_bytes: status.figures.disk_bytes,
                budget_bytes: status.figures.budget_bytes,
                free_bytes: status.figures.free_bytes,
            },
            memory: status.memory.map(|memory| MemoryJson {
                anonymous: memory.anonymous,
                shared: memory.shared,
                resident: memory.resident,
            }),
            notes: &status.notes,
        }
    }
}

/// A health as one word, and the reasons for it.
pub fn health(health: &Health) -> (&'static str, &[String]) {
    match health {
        Health::Starting => ("starting", &[]),
        Health::Healthy => ("healthy", &[]),
        Health::Degraded { reasons } => ("degraded", reasons),
        Health::RootGone => ("root-gone", &[]),
        Health::Failed { reason } => ("failed", std::slice::from_ref(reason)),
    }
}

fn show(context: &mut Context, status: &Status) -> Result<()> {
    let paint = context.out.paint();
    let out = &mut context.out;
    let clock = Clock::new(context.environment.zone());
    out.line(paint.strong(output::path(&status.root)))?;
    let (word, reasons) = health(&status.health);
    match (status.pid, &status.health) {
        (None, _) => out.line(format!("{}: no daemon runs; `tl start` starts it", paint.bad("not captured")))?,
        (Some(pid), Health::Healthy) => out.line(format!("{} by daemon {pid}", paint.good("captured")))?,
        (Some(pid), Health::Starting) => {
            out.line(format!("daemon {pid} is comparing the files with the newest state"))?;
        }
        (Some(pid), _) => out.line(format!("{} (daemon {pid})", paint.bad(word)))?,
    }
    for reason in reasons {
        out.line(format!("  {reason}"))?;
    }
    match &status.head {
        None => out.line("nothing is recorded yet")?,
        Some(head) => {
            let id = paint.id(output::short_id(head.id));
            let label = head.provenance.label.as_deref().map(|label| format!("  {}", paint.name(label)));
            out.line(format!("newest  {id}  {}{}", clock.ago(head.time_us), label.unwrap_or_default()))?;
            if head.completeness.missing > 0 {
                let text = format!("{} paths are not as they are on the disk:", head.completeness.missing);
                out.line(format!("  {}", paint.bad(text)))?;
                for gap in &head.completeness.listed {
                    out.line(format!("    {} ({})", output::path(&gap.path), output::gap_cause(gap.cause)))?;
                }
            }
        }
    }
    out.line(format!("history {} states, {} files in the newest", status.checkpoints, status.entries))?;
    if status.pending > 0 {
        out.line(format!("pending {} changed paths", status.pending))?;
    }
    let figures = status.figures;
    let budget = figures.budget_bytes.map_or_else(String::new, |budget| format!(" of {}", output::bytes(budget)));
    out.line(format!("store   {}{budget} in {}", output::bytes(figures.disk_bytes), output::path(&status.store)))?;
    if let Some(watch) = &status.watch {
        out.line(format!("watch   {}, {} directories, {} events", watch.backend, watch.directories, watch.events))?;
        for scanned in &watch.scanned {
            out.line(format!("  scanned from time to time: {} ({})", output::path(&scanned.path), scanned.why))?;
        }
    }
    if let Some(session) = &status.session {
        out.line(format!("session {}", paint.name(session)))?;
    }
    for note in &status.notes {
        out.line(paint.faint(note))?;
    }
    Ok(())
}
