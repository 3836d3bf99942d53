//! `tl doctor`: what keeps a directory from being protected, or its history from being safe.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tl_daemon::stores::{Located, MarkerState};
use tl_daemon::wire::{Answer, Health, Request, Status, Verify};
use tl_daemon::{Access, Error};

use crate::context::{Context, here};
use crate::failure::Failure;
use crate::output::{self, PathJson};
use crate::session::{Session, unexpected};

/// Free space below which a disk counts as nearly full.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Microseconds by which the newest checkpoint may be ahead of the clock: the time in ids moves on with each.
const AHEAD_US_MAX: u64 = 2_000_000;

/// Look for what keeps the history from being complete and safe
#[derive(Debug, Args)]
pub struct Arguments {
    /// Check the store in this directory, which came from elsewhere, and take it in
    #[arg(long)]
    adopt: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn good(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, finding: finding.into(), hint: None }
    }

    fn warning(check: &'static str, finding: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, finding: finding.into(), hint: Some(hint.into()) }
    }

    fn bad(check: &'static str, finding: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Bad, finding: finding.into(), hint: Some(hint.into()) }
    }
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    if arguments.adopt {
        return adopt(context);
    }
    let mut checks = vec![state_directory(context)?, sockets(context)];
    checks.extend(stores(context)?);
    match context.locate() {
        Ok(located) => look_at(context, &located, &mut checks),
        Err(error) => match error.downcast_ref::<Failure>() {
            Some(Failure::NotProtected { .. }) => {
                checks.push(Check::warning("directory", error.to_string(), "`tl init` protects it"));
            }
            _ => checks.push(Check::bad(
                "directory",
                error.to_string(),
                "nothing is captured here as long as this is so",
            )),
        },
    }
    report(context, &checks)
}

fn report(context: &mut Context, checks: &[Check]) -> Result<()> {
    if context.out.is_json() {
        context.out.json(&checks)?;
    } else {
        let paint = context.out.paint();
        for Check { check, verdict, finding, hint } in checks {
            let word = match verdict {
                Verdict::Good => paint.good("good"),
                Verdict::Warning => paint.name("look"),
                Verdict::Bad => paint.bad("bad "),
            };
            context.out.line(format!("{word}  {check}: {finding}"))?;
            if let Some(hint) = hint {
                context.out.line(format!("      {}", paint.faint(hint)))?;
            }
        }
    }
    match checks.iter().filter(|check| check.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        bad => Err(Failure::damaged(format!("{bad} checks failed"), "")),
    }
}

/// Nobody else may read what is recorded.
fn state_directory(context: &Context) -> Result<Check> {
    const NAME: &str = "permissions";
    let state = context.environment.state_dir()?;
    Ok(match fs::symlink_metadata(&state) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Check::good(NAME, "there are no stores yet"),
        Err(error) => Check::bad(NAME, format!("{}: {error}", state.display()), "stores cannot be found"),
        Ok(metadata) if metadata.uid() != rustix::process::geteuid().as_raw() => {
            let finding = format!("{} belongs to user {}", state.display(), metadata.uid());
            Check::bad(NAME, finding, "stores are used by their owner alone")
        }
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            let finding = format!("{} is open to other users (mode {:04o})", state.display(), metadata.mode() & 0o7777);
            Check::bad(NAME, finding, format!("`chmod go-rwx {}` takes their permissions away", state.display()))
        }
        Ok(_) => Check::good(NAME, format!("{} is yours alone", state.display())),
    })
}

fn sockets(context: &Context) -> Check {
    let runtime = context.runtime();
    match runtime.socket(tl_daemon::wire::StoreId([0; 16])) {
        Ok(_) => Check::good("sockets", format!("in {}", runtime.path().display())),
        Err(error) => Check::bad("sockets", error.to_string(), "daemons cannot be reached, and none can start"),
    }
}

fn stores(context: &Context) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for listed in context.stores()?.list()? {
        let Err(error) = listed.store else { continue };
        let finding = format!("{}: {error}", listed.id);
        checks.push(match error {
            Error::Unplugged { .. } => Check::warning("stores", finding, "it is found again when its disk is there"),
            _ => Check::bad("stores", finding, "its history cannot be read as long as this is so"),
        });
    }
    Ok(checks)
}

/// The store of this directory.
fn look_at(context: &Context, located: &Located, checks: &mut Vec<Check>) {
    if located.marker == MarkerState::Lost {
        checks.push(Check::warning(
            "marker",
            "`.tl` is gone; the directory was recognised by itself",
            "`tl start` writes it again",
        ));
    }
    let asked = Session::open(context).and_then(|mut session| match session.ask(Request::Status)? {
        Answer::Status(status) => Ok(*status),
        other => Err(unexpected(&other)),
    });
    let status = match asked {
        Ok(status) => status,
        Err(error) => {
            let hint = "`tl verify` reads it back, `tl repair` mends what can be mended";
            return checks.push(Check::bad("store", format!("{error:#}"), hint));
        }
    };
    checks.push(Check::good("store", format!("{} states in {}", status.checkpoints, located.store.path().display())));
    checks.push(daemon(&status));
    checks.extend(watch(&status));
    checks.push(clock(&status));
    checks.push(space(&status));
}

fn daemon(status: &Status) -> Check {
    const NAME: &str = "daemon";
    let Some(pid) = status.pid else {
        return Check::bad(NAME, "none runs, so that changes are not captured", "`tl start` starts it");
    };
    match &status.health {
        Health::Healthy => Check::good(NAME, format!("{pid} captures every save")),
        Health::Starting => Check::good(NAME, format!("{pid} is comparing the files with the newest state")),
        Health::Degraded { reasons } => {
            Check::warning(NAME, reasons.join("; "), "what is named is captured later than usual")
        }
        Health::RootGone => Check::bad(NAME, "the directory is gone", "`tl restore --to DIR` brings it back"),
        Health::Failed { reason } => Check::bad(NAME, reason.as_str(), "`tl info` says where its logs are"),
    }
}

fn watch(status: &Status) -> Vec<Check> {
    const NAME: &str = "watch";
    let mut checks = Vec::new();
    if let Some(watch) = &status.watch {
        let limit = limit("max_user_watches");
        let found = format!("{} directories by {}", watch.directories, watch.backend);
        checks.push(match limit {
            // Other programs of the user watch too.
            Some(limit) if watch.directories.saturating_mul(5) > limit.saturating_mul(4) => Check::warning(
                NAME,
                format!("{found}, of {limit} that the system allows this user"),
                "`sysctl fs.inotify.max_user_watches=1048576` allows more; what cannot be watched is scanned from time to time",
            ),
            Some(limit) => Check::good(NAME, format!("{found}, of {limit} that the system allows this user")),
            None => Check::good(NAME, found),
        });
        checks.extend(watch.scanned.iter().map(|scanned| {
            let finding = format!("{} is scanned from time to time: {}", output::path(&scanned.path), scanned.why);
            Check::warning(NAME, finding, "saves there are captured with a delay; `tl flush` captures at once")
        }));
        if watch.overflows > 0 {
            checks.push(Check::warning(
                NAME,
                format!(
                    "the system's queue of events overflowed {} times; everything was compared then",
                    watch.overflows
                ),
                "`sysctl fs.inotify.max_queued_events=131072` makes it longer",
            ));
        }
    }
    checks
}

/// A limit of the system for events; none where it has no such limit.
fn limit(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(name)).ok()?.trim().parse().ok()
}

fn clock(status: &Status) -> Check {
    const NAME: &str = "clock";
    let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
    match &status.head {
        Some(head) if head.time_us > now.saturating_add(AHEAD_US_MAX) => Check::warning(
            NAME,
            format!("it was set back: the newest state is from {}", output::rfc3339(head.time_us)),
            "the order of states stays right; names such as `5m ago` are off until the clock has caught up",
        ),
        _ => Check::good(NAME, "no state is ahead of it"),
    }
}

fn space(status: &Status) -> Check {
    const NAME: &str = "space";
    let figures = status.figures;
    let used = output::bytes(figures.disk_bytes);
    match figures.free_bytes {
        Some(free) if free < FREE_BYTES_MIN => Check::warning(
            NAME,
            format!("the store takes {used}, and {} are free", output::bytes(free)),
            "`tl gc` gives back what history no longer needs; `tl config set retention.budget_mb N` limits the store",
        ),
        Some(free) => Check::good(NAME, format!("the store takes {used}, and {} are free", output::bytes(free))),
        None => Check::good(NAME, format!("the store takes {used}")),
    }
}

#[derive(Serialize)]
struct AdoptedJson<'a> {
    adopted: String,
    root: PathJson<'a>,
}

/// Takes in a store that came with a directory, after reading all of it.
fn adopt(context: &mut Context) -> Result<()> {
    let root = here()?;
    let stores = context.stores()?;
    let mut failed = None;
    let adopted = stores.adopt_in_tree(&root, |store| {
        let root = tl_daemon::stores::Root::at(&root)?;
        let located = Located { store: store.clone(), root, marker: MarkerState::InPlace };
        verified(context, located).map_err(|error| {
            failed = Some(error);
            Error::NotAStore { path: store.path().to_owned(), reason: "it is damaged" }
        })
    });
    // What is wrong with the content is better known than that something is.
    if let Some(error) = failed {
        return Err(error.context("the store was not taken in"));
    }
    let (store, root) = adopted?;
    if context.out.is_json() {
        return context.out.json(&AdoptedJson { adopted: store.id().to_string(), root: PathJson::of(&root.path) });
    }
    context.out.line(format!("checked store {} and took it in: `tl start` goes on with it", store.id()))
}

fn verified(context: &Context, located: Located) -> Result<()> {
    let mut session = Session::open_directly(context, located, Access::Read)?;
    match session.ask(Request::Verify(Verify::default()))? {
        Answer::Verified(verified) if verified.damaged == 0 => Ok(()),
        Answer::Verified(verified) => Err(Failure::damaged(
            format!("{} places are damaged", verified.damaged),
            "ask where it came from for another copy",
        )),
        other => Err(unexpected(&other)),
    }
}
