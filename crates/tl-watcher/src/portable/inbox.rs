//! Where `notify` delivers. It calls from its own thread, which must never wait for the walker: the walker waits for it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};
use parking_lot::{Condvar, Mutex};
use rustix::fs::FileType;

use crate::batch::RescanReason;
use crate::beneath::Lookup;
use crate::changes::Changes;
use crate::config::Fidelity;
use crate::path::{join, split};
use crate::rules::{COOKIE_PREFIX, is_rule_file};
use crate::settle::Activity;
use crate::stats::ScanReason;

/// Cookies that came and were not asked for. One drain runs at a time; more than a few are left over from drains that gave up.
const COOKIES_MAX: usize = 16;

/// How long the walker sleeps at most: so often the root is looked at.
const WALKER_SLEEP_MAX: Duration = Duration::from_secs(10);

/// Directories to look at before the whole tree is looked at instead.
const DIRECTORIES_MAX: usize = 65_536;

/// See the module.
pub(super) struct Inbox {
    changes: Arc<Changes>,
    root: OwnedFd,
    path: PathBuf,
    fidelity: Fidelity,
    /// The system tells when a file that was written is closed.
    closes: bool,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    directories: Vec<Box<[u8]>>,
    cookies: VecDeque<Vec<u8>>,
    /// The walker is to look up.
    wake: bool,
}

impl Inbox {
    pub(super) fn new(changes: Arc<Changes>, root: OwnedFd, path: PathBuf, fidelity: Fidelity, closes: bool) -> Self {
        Self { changes, root, path, fidelity, closes, state: Mutex::default(), arrived: Condvar::new() }
    }

    pub(super) fn receive(&self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let mut marks = self.changes.marks();
                marks.rescan(RescanReason::Uncertain);
                if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
                    marks.scan(b"", ScanReason::WatchLimit);
                }
                drop(marks);
                return self.look_at(b"");
            }
        };
        self.changes.marks().counters().events += 1;
        if event.need_rescan() {
            let mut marks = self.changes.marks();
            marks.counters().overflows += 1;
            marks.rescan(RescanReason::Overflow);
            drop(marks);
            self.changes.filter.rules().reload();
            self.look_at(b"");
        }
        if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
            return;
        }
        for path in &event.paths {
            match path.strip_prefix(&self.path) {
                Ok(relative) => self.about(relative.as_os_str(), event.kind),
                Err(_) => tracing::debug!(path = %path.display(), "an event from outside the root"),
            }
        }
    }

    /// One path of an event.
    fn about(&self, path: &OsStr, kind: EventKind) {
        let path = path.as_bytes();
        if path.is_empty() {
            // The root itself: the walker looks what became of it.
            return self.wake_walker();
        }
        let (directory, name) = split(path);
        if name.starts_with(COOKIE_PREFIX) {
            let mut state = self.state.lock();
            if state.cookies.len() >= COOKIES_MAX {
                state.cookies.pop_front();
            }
            state.cookies.push_back(name.to_vec());
            self.arrived.notify_all();
            return;
        }
        let stands = match kind {
            EventKind::Create(CreateKind::Folder) => true,
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(_) => {
                false
            }
            // What it is must be looked up; what is gone was a file as far as the rules are concerned.
            _ => {
                let kind = Lookup::new(self.root.as_fd()).kind_of(path);
                kind.is_ok_and(|kind| kind == Some(FileType::Directory))
            }
        };
        let may_have_stood = match kind {
            EventKind::Remove(kind) => kind != RemoveKind::File,
            EventKind::Modify(ModifyKind::Name(_)) => true,
            _ => false,
        };
        if stands || may_have_stood {
            // What is known of the rules there may be that of another directory.
            self.changes.filter.rules().forget_beneath(path);
        }
        let is_dir = stands || kind == EventKind::Remove(RemoveKind::Folder);
        if self.changes.filter.admits(directory, name, is_dir) {
            let removed = matches!(kind, EventKind::Remove(_));
            self.mark(directory, name, stands && !removed, kind);
            // `notify` gives back what it watches at the path of whatever is removed or renamed, whether that still stands there or another has
            // come into its place; and what left its place is no longer watched under it.
            if stands || may_have_stood {
                self.look_at(path);
            }
        }
        if is_rule_file(name) {
            self.changes.filter.rules().reload();
            self.changes.marks().rules_changed(directory);
            self.look_at(directory);
        }
        if directory.is_empty() && name == b".tl" {
            self.changes.marks().marker_changed();
        }
    }

    fn mark(&self, directory: &[u8], name: &[u8], appeared: bool, kind: EventKind) {
        let activity = match kind {
            // Without closes nothing but silence tells that a writer is done.
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) | EventKind::Any if self.closes => {
                Activity::Modified
            }
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) | EventKind::Any => {
                Activity::Created
            }
            _ => Activity::Settled,
        };
        let renamed_or_new = !matches!(kind, EventKind::Modify(ModifyKind::Metadata(_)));
        let mut marks = self.changes.marks();
        if appeared && renamed_or_new {
            marks.subtree(&join(directory, name), RescanReason::Uncertain);
        } else if self.fidelity == Fidelity::Directories {
            marks.listing(directory, Activity::Created);
        } else {
            marks.path(directory, name, activity);
        }
    }

    /// The walker is to go through `directory`.
    pub(super) fn look_at(&self, directory: &[u8]) {
        let mut state = self.state.lock();
        if state.directories.len() >= DIRECTORIES_MAX {
            state.directories = vec![Box::default()];
        } else if state.directories.last().is_none_or(|last| **last != *directory) {
            state.directories.push(directory.into());
        }
        self.arrived.notify_all();
    }

    /// Sleeps until there are directories to be looked at, or until `deadline`.
    pub(super) fn wait_for_directories(&self, deadline: Instant) {
        let mut state = self.state.lock();
        let until = deadline.min(Instant::now() + WALKER_SLEEP_MAX);
        while state.directories.is_empty() && !mem::take(&mut state.wake) {
            if self.arrived.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
    }

    /// Takes the directories that are to be looked at.
    pub(super) fn directories(&self) -> Vec<Box<[u8]>> {
        mem::take(&mut self.state.lock().directories)
    }

    pub(super) fn wake_walker(&self) {
        self.state.lock().wake = true;
        self.arrived.notify_all();
    }

    /// True if the cookie came before `deadline`.
    pub(super) fn wait_for_cookie(&self, cookie: &[u8], deadline: Instant) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.cookies.iter().any(|seen| seen == cookie) {
                return true;
            }
            if self.arrived.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
    }
}
