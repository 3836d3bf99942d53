//! From the kernel's events to marks.

use std::ffi::CStr;
use std::mem;
use std::sync::Arc;

use rustix::fs::inotify::{Event, ReadFlags, Reader};
use rustix::io::Errno;

use super::scan::{Depth, Task};
use super::side::Matter;
use super::table::{NodeId, ROOT};
use super::{Departure, Native};
use crate::batch::{RescanReason, RootEvent};
use crate::changes::Marks;
use crate::path::join;
use crate::rules::is_rule_file;
use crate::settle::Activity;

/// The head of an event, and the unit that the kernel fills names up to.
const EVENT_LEN: usize = 16;

/// Renames whose second half is outstanding. The kernel queues both halves in one call, so that more than a few are never open.
const MOVES_MAX: usize = 64;

/// Tasks that are not repeated.
const RECENT_TASKS: usize = 16;

/// The store's marker in the root, and the repository beside it.
const MARKER: &[u8] = b".tl";
const REPOSITORY: &[u8] = b".git";

/// What the events ask for once the marks are made: it takes locks that a mark holds.
#[derive(Default)]
struct Afterwards {
    rules_of: Vec<Box<[u8]>>,
    excludes: bool,
    side: bool,
    root: bool,
    ended: Option<RootEvent>,
    overflow: bool,
}

/// The path of the directory that the last event was about: events come in runs.
struct LastDirectory {
    wd: Option<i32>,
    node: NodeId,
    path: Vec<u8>,
}

impl Native {
    /// Reads until the queue is empty or at least `len` bytes of it are read. Returns the number of events.
    pub(super) fn read_events(&mut self, len: usize) -> rustix::io::Result<usize> {
        let changes = Arc::clone(&self.changes);
        let queue = Arc::clone(&self.queue);
        // The events lie in the buffer while they change everything else.
        let mut buffer = mem::take(&mut self.buffer);
        let mut afterwards = Afterwards::default();
        let mut last = LastDirectory { wd: None, node: ROOT, path: Vec::new() };
        let (mut total, mut read_len) = (0, 0);
        let done = loop {
            let mut marks = changes.marks();
            let mut reader = Reader::new(&*queue, &mut buffer);
            let result = loop {
                match reader.next() {
                    Ok(event) => read_len += self.take(&event, &mut marks, &mut last, &mut afterwards),
                    Err(error) => break Err(error),
                }
                total += 1;
                marks.counters().events += 1;
                if reader.is_buffer_empty() {
                    break Ok(());
                }
            };
            match result {
                Ok(()) if read_len >= len => break Ok(()),
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.buffer = buffer;
        self.finish(afterwards);
        done.map(|()| total)
    }

    /// One event. Returns its length in the queue.
    fn take(
        &mut self,
        event: &Event<'_>,
        marks: &mut Marks<'_>,
        last: &mut LastDirectory,
        afterwards: &mut Afterwards,
    ) -> usize {
        let (flags, wd) = (event.events(), event.wd());
        let name = event.file_name().map(CStr::to_bytes).unwrap_or_default();
        let len = EVENT_LEN + if name.is_empty() { 0 } else { (name.len() + 1).next_multiple_of(EVENT_LEN) };
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            afterwards.overflow = true;
            return len;
        }
        for matter in self.side.matters(wd, name) {
            match matter {
                Matter::Excludes => afterwards.excludes = true,
                Matter::Way => afterwards.side = true,
                Matter::Root => afterwards.root = true,
            }
        }
        if last.wd != Some(wd) {
            match self.table.by_wd(wd) {
                Some(node) => {
                    self.table.path(node, &mut last.path);
                    *last = LastDirectory { wd: Some(wd), node, path: mem::take(&mut last.path) };
                }
                None => {
                    if flags.contains(ReadFlags::IGNORED) {
                        self.side.forget(wd);
                    }
                    return len;
                }
            }
        }
        if name.is_empty() {
            last.wd = None;
            self.about_itself(wd, last.node, flags, afterwards);
        } else if flags.contains(ReadFlags::ISDIR) {
            self.about_directory(event, name, last, marks);
            self.about_special_names(name, flags, last, marks, afterwards);
            last.wd = None;
        } else {
            if self.changes.filter.admits(&last.path, name, false) {
                marks.path(&last.path, name, activity(flags));
            }
            self.about_special_names(name, flags, last, marks, afterwards);
        }
        len
    }

    /// An event of a watched directory itself.
    fn about_itself(&mut self, wd: i32, node: NodeId, flags: ReadFlags, afterwards: &mut Afterwards) {
        if node == ROOT {
            afterwards.root |= flags.contains(ReadFlags::MOVE_SELF);
            if flags.contains(ReadFlags::UNMOUNT) {
                afterwards.ended = Some(RootEvent::Unmounted);
            } else if flags.contains(ReadFlags::IGNORED) {
                afterwards.ended.get_or_insert(RootEvent::Removed);
            }
        } else if flags.contains(ReadFlags::IGNORED) {
            self.forget(node);
        }
        if flags.contains(ReadFlags::IGNORED) {
            self.side.forget(wd);
        }
    }

    /// An event of a subdirectory.
    fn about_directory(&mut self, event: &Event<'_>, name: &[u8], last: &LastDirectory, marks: &mut Marks<'_>) {
        let (flags, parent, directory) = (event.events(), last.node, &last.path[..]);
        let admitted = self.changes.filter.admits(directory, name, true);
        let known = self.table.child(parent, name);
        let another = ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO | ReadFlags::CREATE | ReadFlags::DELETE;
        // What is known of the rules at this path is that of the directory which stood there.
        let stale = flags.intersects(another) && self.changes.filter.rules().forget_beneath(&join(directory, name));
        if flags.contains(ReadFlags::MOVED_FROM) {
            if let Some(node) = known {
                self.depart(event.cookie(), node, marks);
            }
            if admitted {
                marks.path(directory, name, Activity::Settled);
                // Two directories that change places do it by two moves, and each place is taken before the other leaves it: what was found to
                // have left may be the one that has just come.
                self.look_at(Task { path: join(directory, name).into(), depth: Depth::New });
            }
        } else if flags.contains(ReadFlags::MOVED_TO) {
            let arrived = self.moves.iter().position(|departure| departure.cookie == event.cookie());
            let node = arrived.map(|index| self.moves.swap_remove(index).node);
            if !admitted {
                if let Some(node) = node {
                    self.forget(node);
                }
                return;
            }
            if let Some(node) = node {
                self.table.replace(node, parent, name);
            }
            // Other rules may hold here, and a scan may have met it on its way, whether the table knows where it came from or not: everything
            // beneath is looked at again.
            self.arrive(directory, name, Depth::Everything, marks);
        } else if flags.contains(ReadFlags::CREATE) {
            if admitted {
                // If it is watched already, everything in it was found since.
                self.arrive(directory, name, if stale { Depth::Everything } else { Depth::New }, marks);
            }
        } else if admitted {
            marks.path(directory, name, Activity::Settled);
            // It may have become readable, or what was made in it while it was not.
            if flags.contains(ReadFlags::ATTRIB) {
                let path = join(directory, name);
                if known.is_some() {
                    marks.listing(&path, Activity::Settled);
                }
                self.look_at(Task { path: path.into(), depth: Depth::Listing });
            }
        }
    }

    fn depart(&mut self, cookie: u32, node: NodeId, marks: &Marks<'_>) {
        if self.moves.len() >= MOVES_MAX {
            let oldest = self.moves.remove(0);
            self.forget(oldest.node);
        }
        self.moves.retain(|departure| departure.node != node);
        self.moves.push(Departure { cookie, node, since: marks.now() });
    }

    fn arrive(&mut self, directory: &[u8], name: &[u8], depth: Depth, marks: &mut Marks<'_>) {
        let path = join(directory, name);
        marks.subtree(&path, RescanReason::Uncertain);
        self.look_at(Task { path: path.into(), depth });
    }

    /// Leaves a task to the next scan, unless one of the last events did so: a few directories may be touched over and over.
    fn look_at(&mut self, task: Task) {
        if !self.incoming.iter().rev().take(RECENT_TASKS).any(|known| *known == task) {
            self.incoming.push(task);
        }
    }

    /// Names whose change means more than itself.
    fn about_special_names(
        &self,
        name: &[u8],
        flags: ReadFlags,
        last: &LastDirectory,
        marks: &mut Marks<'_>,
        afterwards: &mut Afterwards,
    ) {
        let written_only = flags.contains(ReadFlags::MODIFY);
        if is_rule_file(name) && !afterwards.rules_of.iter().any(|known| **known == *last.path) {
            afterwards.rules_of.push(last.path[..].into());
        }
        if last.node == ROOT && name == MARKER && !written_only {
            marks.marker_changed();
        }
        afterwards.side |= last.node == ROOT && name == REPOSITORY;
    }

    fn finish(&mut self, mut afterwards: Afterwards) {
        if afterwards.overflow {
            let mut marks = self.changes.marks();
            marks.counters().overflows += 1;
            marks.rescan(RescanReason::Overflow);
            drop(marks);
            // The lost events may have been about anything.
            self.changes.filter.rules().reload();
            self.verify_all();
            afterwards.side = true;
            afterwards.root = true;
        }
        if !afterwards.rules_of.is_empty() {
            self.changes.filter.rules().reload();
            for directory in afterwards.rules_of {
                self.changes.marks().rules_changed(&directory);
                self.verify(&directory);
            }
        }
        if afterwards.side {
            self.set_side_watches();
        }
        if afterwards.side || afterwards.excludes {
            self.refresh_excludes();
        }
        if let Some(event) = afterwards.ended {
            self.root_is_gone(event);
        } else if afterwards.root {
            self.check_root();
        }
    }

    /// Looks at the files of excludes.
    pub(super) fn refresh_excludes(&mut self) {
        if self.changes.filter.rules().refresh_excludes() {
            self.changes.marks().rules_changed(b"");
            self.verify(b"");
        }
    }
}

fn activity(flags: ReadFlags) -> Activity {
    if flags.contains(ReadFlags::MODIFY) {
        Activity::Modified
    } else if flags.contains(ReadFlags::CREATE) {
        Activity::Created
    } else {
        Activity::Settled
    }
}
