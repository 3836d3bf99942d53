//! Running a program once for each moment at which the power can fail.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::crash::Crash;
use crate::disk::SimDisk;
use crate::operation::{Op, SyncCall};
use crate::random::Random;

/// Operations that a failure shows.
const TRACE_SHOWN: usize = 16;

/// At which moments the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Points {
    /// Before each mutating call, and after the last.
    All,
    /// At this many of those moments, drawn from `seed`; for programs too long to try all.
    Sample {
        /// How many.
        count: usize,
        /// Which.
        seed: u64,
    },
    /// Before the mutating call of this number.
    Only(u64),
}

/// A crash test: at which points the power fails, and what is then tried to survive.
///
/// [`Sweep::run`] runs a program on a fresh disk, once without a crash to count its mutating calls and then once for each
/// point, and checks each disk that each [`Crash`] leaves. The program should make the same calls in
/// each run; threads are allowed, but then a replay may need more than one try.
///
/// [The crate's page](crate) has an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Where.
    pub points: Points,
    /// Crashes tried at each point.
    pub crashes: Vec<Crash>,
    /// How many [random](Crash::Random) crashes are tried on top, at each point with seeds of its own.
    pub seeds: u64,
}

impl Default for Sweep {
    /// All points; nothing survives, everything survives, and eight seeds.
    fn default() -> Self {
        Self::with_seeds(8)
    }
}

/// What a [`Sweep`] that found nothing wrong has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Mutating calls of the program when nothing goes wrong.
    pub ops: u64,
    /// Points at which the power failed.
    pub points: u64,
    /// Disks that were checked.
    pub images: u64,
}

/// What a [`Sweep`] found wrong. Its text says how to run that one case again.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepFailure {
    /// The mutating call before which the power failed, or `None` if the program failed without that.
    pub point: Option<u64>,
    /// The crash whose disk failed the check, or `None` if the program itself went wrong.
    pub crash: Option<Crash>,
    /// What the check or the program said.
    pub reason: String,
    /// The last mutating calls before the power failed.
    pub last_ops: Vec<Op>,
}

impl fmt::Display for SweepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.point, self.crash) {
            (Some(point), Some(crash)) => {
                writeln!(f, "the disk left by {crash:?} before op {point} fails the check: {}", self.reason)?;
                writeln!(f, "replay: Sweep::replay({point}, Crash::{crash:?})")?;
            }
            (Some(point), None) => {
                writeln!(f, "the program went wrong when the power failed before op {point}: {}", self.reason)?;
                writeln!(f, "replay: Sweep::replay({point}, Crash::Nothing)")?;
            }
            (None, _) => writeln!(f, "the program fails without a crash: {}", self.reason)?,
        }
        writeln!(f, "last ops:")?;
        self.last_ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}

impl Error for SweepFailure {}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Runs `body`; an error or a panic becomes its text.
fn attempt<E: Debug>(body: impl FnOnce() -> Result<(), E>) -> Result<(), Wrong> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Wrong::Error(format!("{error:?}"))),
        Err(panic) => Err(Wrong::Panic(format!("panicked: {}", panic_text(panic.as_ref())))),
    }
}

enum Wrong {
    Error(String),
    Panic(String),
}

impl Wrong {
    fn into_text(self) -> String {
        match self {
            Self::Error(text) | Self::Panic(text) => text,
        }
    }
}

impl Sweep {
    /// All points; nothing survives, everything survives, and as many random crashes as told.
    #[must_use]
    pub fn with_seeds(seeds: u64) -> Self {
        Self { points: Points::All, crashes: vec![Crash::Nothing, Crash::Everything], seeds }
    }

    /// One case: the one that a [`SweepFailure`] names.
    #[must_use]
    pub fn replay(point: u64, crash: Crash) -> Self {
        Self { points: Points::Only(point), crashes: vec![crash], seeds: 0 }
    }

    fn crashes_at(&self, point: u64) -> impl Iterator<Item = Crash> {
        let first = point.wrapping_mul(self.seeds);
        let random = (0..self.seeds).map(move |nth| Crash::Random(first.wrapping_add(nth)));
        self.crashes.iter().copied().chain(random)
    }

    /// Runs the test.
    ///
    /// - `build` makes the disk to start from. What it does itself is no crash point.
    /// - `program` works on it and notes in its second argument what it was promised (what was acknowledged as durable,
    ///   say). It gets errors once the power fails and should pass them on. While there is power, an error of
    ///   the program fails the test; a panic always does.
    /// - `check` looks at a disk after a crash, knowing what was noted up to it. To have the power fail during
    ///   recovery too, it can run a sweep of its own whose `build` is `|| disk.kill()`.
    ///
    /// # Errors
    /// The first case that went wrong.
    pub fn run<N: Default, E: Debug, F: Debug>(
        &self,
        build: impl Fn() -> SimDisk,
        program: impl Fn(&SimDisk, &mut N) -> Result<(), E>,
        check: impl Fn(&SimDisk, &N) -> Result<(), F>,
    ) -> Result<SweepReport, SweepFailure> {
        self.run_from(build().op_count(), &build, &program, &check)
    }

    fn run_from<N: Default, E: Debug, F: Debug>(
        &self,
        first: u64,
        build: &impl Fn() -> SimDisk,
        program: &impl Fn(&SimDisk, &mut N) -> Result<(), E>,
        check: &impl Fn(&SimDisk, &N) -> Result<(), F>,
    ) -> Result<SweepReport, SweepFailure> {
        let ops = Self::rehearse(build, program)?.op_count();
        let mut report = SweepReport { ops, ..SweepReport::default() };
        for point in self.moments(first, ops) {
            let disk = build();
            disk.freeze_after(point);
            let mut notes = N::default();
            let failure = |crash, reason| {
                let mut last_ops = disk.trace();
                last_ops.drain(..last_ops.len().saturating_sub(TRACE_SHOWN));
                SweepFailure { point: Some(point), crash, reason, last_ops }
            };
            match attempt(|| program(&disk, &mut notes)) {
                Err(Wrong::Error(_)) if disk.is_frozen() => {}
                Err(wrong) => return Err(failure(None, wrong.into_text())),
                Ok(()) => {}
            }
            for crash in self.crashes_at(point) {
                let left = disk.crash(crash);
                attempt(|| check(&left, &notes)).map_err(|wrong| failure(Some(crash), wrong.into_text()))?;
                report.images += 1;
            }
            report.points += 1;
        }
        Ok(report)
    }

    /// The disk after a run with power all the time.
    fn rehearse<N: Default, E: Debug>(
        build: &impl Fn() -> SimDisk,
        program: &impl Fn(&SimDisk, &mut N) -> Result<(), E>,
    ) -> Result<SimDisk, SweepFailure> {
        let disk = build();
        attempt(|| program(&disk, &mut N::default())).map_err(|wrong| {
            let mut last_ops = disk.trace();
            last_ops.drain(..last_ops.len().saturating_sub(TRACE_SHOWN));
            SweepFailure { point: None, crash: None, reason: wrong.into_text(), last_ops }
        })?;
        Ok(disk)
    }

    fn moments(&self, first: u64, ops: u64) -> Vec<u64> {
        match self.points {
            Points::All => (first..=ops).collect(),
            Points::Only(point) => vec![point],
            Points::Sample { count, seed } => {
                let mut moments: Vec<u64> = (first..=ops).collect();
                Random::new(seed).shuffle(&mut moments);
                moments.truncate(count);
                moments.sort_unstable();
                moments
            }
        }
    }

    /// Asks whether this test would notice a missing sync: runs it once for each sync of the program with
    /// that one [ignored](SimDisk::ignore_syncs), and returns those of which it noticed nothing. They are either superfluous, or
    /// the test is too weak.
    ///
    /// # Errors
    /// What is wrong even with all syncs.
    pub fn unnoticed_syncs<N: Default, E: Debug, F: Debug>(
        &self,
        build: impl Fn() -> SimDisk,
        program: impl Fn(&SimDisk, &mut N) -> Result<(), E>,
        check: impl Fn(&SimDisk, &N) -> Result<(), F>,
    ) -> Result<Vec<SyncCall>, SweepFailure> {
        self.run(&build, &program, &check)?;
        let first = build().op_count();
        let trace = Self::rehearse(&build, &program)?.trace();
        let syncs = trace.into_iter().filter(|op| op.kind.is_sync());
        let mut unnoticed = Vec::new();
        for (nth, op) in (0..).zip(syncs).filter(|(_, op)| op.number >= first) {
            let build_without = || {
                let disk = build();
                disk.ignore_syncs(move |sync| sync.nth == nth);
                disk
            };
            // Before the sync nothing differs.
            if self.run_from(op.number + 1, &build_without, &program, &check).is_ok() {
                unnoticed.push(SyncCall { kind: op.kind, path: op.path, nth, op: op.number });
            }
        }
        Ok(unnoticed)
    }
}

/// [`Sweep::run`] for tests: panics with the failure's text.
///
/// # Panics
/// If a case goes wrong.
#[expect(clippy::panic, reason = "it stands for an assertion in a test")]
pub fn for_each_crash_point<N: Default, E: Debug, F: Debug>(
    sweep: &Sweep,
    build: impl Fn() -> SimDisk,
    program: impl Fn(&SimDisk, &mut N) -> Result<(), E>,
    check: impl Fn(&SimDisk, &N) -> Result<(), F>,
) -> SweepReport {
    match sweep.run(build, program, check) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}
