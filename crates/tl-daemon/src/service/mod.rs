//! What every request does to an open repository, whoever asks: a peer of the daemon, or a program that has the store to itself.

mod care;
mod convert;
mod log_query;
mod objects;
mod progress;
mod purge;
mod record;
mod refs;
mod report;
mod restore;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tl_journal::{Dirty, Lease, Repository};
use tl_watcher::IgnoreRules;

use crate::capture::{CaptureHandle, RunGuard, Runs, Turn};
use crate::connection::ConnectionError;
use crate::home::Home;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::wire::{Answer, Failure, FailureKind, Item, ObjectId, Request};

pub(crate) use convert::{failure, from_checkpoint, to_provenance};
pub(crate) use restore::recover;

/// How the working directory's state gets recorded.
#[derive(Debug)]
pub(crate) enum Recorder {
    /// By the daemon's own thread.
    Daemon(CaptureHandle),
    /// By whoever asks, who has the store to themselves.
    Alone {
        /// What is not to be recorded; none without a working directory.
        rules: Option<Arc<IgnoreRules>>,
        /// Commands that run.
        runs: Runs,
    },
    /// Not at all: the store is open for reading.
    Nobody,
}

/// An open repository that carries requests out.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) home: Home,
    pub(crate) repository: Arc<Repository>,
    pub(crate) settings: Arc<RwLock<Settings>>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    /// Version of the program.
    pub(crate) version: String,
    /// When it was opened, since 1970.
    pub(crate) started: Duration,
}

/// What one peer holds; it ends with this.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    leases: Vec<Lease>,
    /// Contents that were put, for a restore of chosen parts.
    contents: HashMap<ObjectId, Vec<u8>>,
    runs: Vec<RunGuard>,
}

/// Where items and data go, and where data comes from.
pub(crate) trait Replies {
    /// Passes on an item.
    fn item(&mut self, item: Item) -> Result<(), ConnectionError>;

    /// Passes on bytes.
    fn data(&mut self, bytes: &[u8]) -> Result<(), ConnectionError>;

    /// The next bytes that follow a request.
    fn receive(&mut self) -> Result<Vec<u8>, ConnectionError>;
}

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// It failed, and whoever asked is told.
    Failed(Failure),
    /// Whoever asked is gone.
    Gone(ConnectionError),
}

impl<E: Into<Failure>> From<E> for Unanswered {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a request comes to.
pub(crate) type Answered = Result<Answer, Unanswered>;

/// Turns the end of a connection into the end of a request.
pub(crate) fn gone(error: ConnectionError) -> Unanswered {
    Unanswered::Gone(error)
}

impl Service {
    /// Carries a request out. [`Request::Subscribe`] and [`Request::Stop`] are the server's.
    pub(crate) fn answer(&self, peer: &mut Peer, request: Request, replies: &mut dyn Replies) -> Answered {
        request.check()?;
        self.metrics.requested();
        match request {
            Request::Status => self.status(),
            Request::Metrics => Ok(Answer::Text(self.metrics.render(&self.repository))),
            Request::Flush(flush) => self.flush(flush),
            Request::Resolve { name, zone } => self.resolve(&name, &zone),
            Request::Checkpoint { id } => self.checkpoint(id),
            Request::Log(query) => self.log(&query, replies),
            Request::Parents { id } => self.parents(id, replies),
            Request::CommonAncestor { a, b } => self.common_ancestor(a, b),
            Request::Objects { ids } => self.objects(&ids, replies),
            Request::PutBlob { len } => objects::put_blob(peer, len, replies),
            Request::Lease { checkpoints, roots } => self.lease(peer, &checkpoints, &roots),
            Request::Release => {
                peer.leases.clear();
                Ok(Answer::Done)
            }
            Request::Pins => self.pins(),
            Request::Pin { name, id } => self.pin(&name, id),
            Request::Unpin { name } => self.unpin(&name),
            Request::Label { id, label } => self.label(id, &label),
            Request::Gc { dry_run } => self.collect(dry_run, replies),
            Request::Verify(verify) => self.verify(&verify, replies),
            Request::Settings => Ok(Answer::Settings(self.settings.read().list())),
            Request::Set { key, value } => self.set(&key, value.as_deref()),
            Request::BeginRun { provenance } => self.begin_run(peer, provenance),
            Request::EndRun { exit_code } => self.end_run(peer, exit_code),
            Request::Fork { to } => self.fork(&to),
            Request::Repair(_) => {
                Err(Failure::new(FailureKind::Busy, "the store is in use, and is repaired while it is not")
                    .hint("stop the daemon with `tl stop`, then repair")
                    .into())
            }
            Request::Restore(restore) => self.restore(peer, restore, replies),
            Request::Undo(step) => self.step(restore::Way::Undo, step, replies),
            Request::Redo(step) => self.step(restore::Way::Redo, step, replies),
            Request::Purge(purge) => self.purge(&purge, replies),
            Request::Subscribe(_) | Request::Stop => {
                Err(Failure::new(FailureKind::Unsupported, "that is asked of a daemon, and none is running")
                    .hint("start one with `tl start`")
                    .into())
            }
        }
    }

    /// Does `work` in a turn: behind everything that was written before, and while nobody else records anything.
    pub(crate) fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        match &self.recorder {
            Recorder::Daemon(handle) => handle.turn(work),
            Recorder::Alone { rules, .. } => {
                let mut everything = Dirty::everything();
                work(&mut Turn::unwatched(&self.repository, rules.as_deref(), &mut everything))
            }
            Recorder::Nobody => Err(read_only()),
        }
    }

    fn runs(&self) -> Result<&Runs, Failure> {
        match &self.recorder {
            Recorder::Daemon(handle) => Ok(&handle.shared.runs),
            Recorder::Alone { runs, .. } => Ok(runs),
            Recorder::Nobody => Err(read_only()),
        }
    }
}

fn read_only() -> Failure {
    Failure::new(FailureKind::Unsupported, "the store is open for reading only")
        .hint("start the daemon with `tl start`")
}
