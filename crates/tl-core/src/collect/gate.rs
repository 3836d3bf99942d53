//! Where writers and the collector meet.
//!
//! A capture decides that an object need not be written because it is stored. A collector decides that an object may go because nothing refers
//! to it. Both decide under the gate, so that one of them always knows of the other:
//!
//! - A capture remembers what it found stored. What it remembers when marking begins, and what it finds from then on, is marked.
//! - From the moment the marks decide, what they do not hold does not count as stored: it is written again, whether or not the sweep has come by.
//! - What was written after the bound stays. The bound is not after the beginning of any capture that was unfinished when marking began, so what a capture
//!   writes itself stays until something that the collector sees refers to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use granite::{Db, Seq};
use parking_lot::{Mutex, RwLock};

use super::marks::Marks;
use crate::id::ObjectId;

/// What the collector is doing.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// Objects that are found stored are marked.
    Marking(Arc<Marks>),
    /// The marks decide over presence.
    Sweeping(Arc<Marks>),
}

/// A capture that is not finished.
#[derive(Debug)]
struct Live {
    begun: Seq,
    /// The first eight bytes of the id of every object that was found stored.
    found: Mutex<Vec<u64>>,
}

/// Where writers and the collector meet.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    phase: RwLock<Phase>,
    live: Mutex<LiveCaptures>,
}

#[derive(Debug, Default)]
struct LiveCaptures {
    next: u64,
    captures: BTreeMap<u64, Arc<Live>>,
}

/// Whether an object has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is stored and stays.
    Stored,
    /// It is not stored.
    Absent,
    /// It may be stored now, and may be gone in a moment.
    Doomed,
}

impl Gate {
    /// Notes the beginning of a capture.
    pub(crate) fn enter(self: &Arc<Self>, db: &Db) -> LiveCapture {
        // Under the gate, so that the beginning of marking either sees this capture or comes before it.
        let _phase = self.phase.read();
        let live = Arc::new(Live { begun: db.seq(), found: Mutex::default() });
        let mut all = self.live.lock();
        let number = all.next;
        all.next += 1;
        all.captures.insert(number, Arc::clone(&live));
        LiveCapture { gate: Arc::clone(self), number, live }
    }

    /// From now on, what is found stored is marked. Returns the bound of the sweep.
    pub(super) fn begin_marking(&self, db: &Db, marks: &Arc<Marks>) -> Seq {
        let mut phase = self.phase.write();
        let live = self.live.lock();
        let mut bound = db.seq();
        for capture in live.captures.values() {
            bound = bound.min(capture.begun);
            for short in capture.found.lock().iter() {
                marks.insert_short(*short);
            }
        }
        *phase = Phase::Marking(Arc::clone(marks));
        bound
    }

    /// From now on, the marks decide over presence and stay as they are.
    pub(super) fn begin_sweeping(&self, marks: &Arc<Marks>) {
        *self.phase.write() = Phase::Sweeping(Arc::clone(marks));
    }

    pub(super) fn end(&self) {
        *self.phase.write() = Phase::Idle;
    }
}

/// The registration of an unfinished capture.
#[derive(Debug)]
pub(crate) struct LiveCapture {
    gate: Arc<Gate>,
    number: u64,
    live: Arc<Live>,
}

impl LiveCapture {
    /// Whether an object has to be written, given how to look it up. One that counts as stored is safe from any collection until the
    /// capture is finished.
    pub(crate) fn presence<E>(
        &self,
        id: &ObjectId,
        is_stored: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Presence, E> {
        let phase = self.gate.phase.read();
        if let Phase::Sweeping(marks) = &*phase
            && !marks.contains(id)
        {
            return Ok(Presence::Doomed);
        }
        if !is_stored()? {
            return Ok(Presence::Absent);
        }
        self.live.found.lock().push(id.short());
        if let Phase::Marking(marks) = &*phase {
            marks.insert(id);
        }
        Ok(Presence::Stored)
    }
}

impl Drop for LiveCapture {
    fn drop(&mut self) {
        self.gate.live.lock().captures.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use granite::Options;

    use super::*;
    use crate::id::ObjectKind;

    fn presence(capture: &LiveCapture, id: &ObjectId, is_stored: bool) -> Presence {
        capture.presence::<Infallible>(id, || Ok(is_stored)).unwrap_or(Presence::Absent)
    }

    /// If it fails, a collection drops what a capture relies on. Each line is one order in which the two can meet.
    #[test]
    fn whatever_a_capture_found_stored_is_marked_or_does_not_count_as_stored() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path(), &Options::new()).unwrap();
        let [before, meanwhile, absent, after] =
            ["before", "meanwhile", "absent", "after"].map(|text| ObjectId::of(ObjectKind::Blob, text.as_bytes()));
        let gate = Arc::new(Gate::default());
        let marks = Arc::new(Marks::sized_for(1000));
        let early = gate.enter(&db);
        let keyspace = db.keyspace("k", granite::KeyspaceOptions::new()).unwrap();
        keyspace.put(b"k", b"v").unwrap();
        assert_eq!(presence(&early, &before, true), Presence::Stored);
        assert_eq!(presence(&early, &absent, false), Presence::Absent);
        let bound = gate.begin_marking(&db, &marks);
        assert!(bound < db.seq(), "the bound is not after the beginning of an unfinished capture");
        let late = gate.enter(&db);
        assert_eq!(presence(&late, &meanwhile, true), Presence::Stored);
        assert!(marks.contains(&before) && marks.contains(&meanwhile) && !marks.contains(&absent));
        gate.begin_sweeping(&marks);
        for capture in [&early, &late, &gate.enter(&db)] {
            assert_eq!(presence(capture, &before, true), Presence::Stored);
            assert_eq!(presence(capture, &after, true), Presence::Doomed);
        }
        gate.end();
        assert_eq!(presence(&late, &after, true), Presence::Stored);

        // The next collection knows what the captures found before and during this one.
        let marks = Arc::new(Marks::sized_for(1000));
        gate.begin_marking(&db, &marks);
        assert!([&before, &meanwhile, &after].iter().all(|id| marks.contains(id)));
        gate.end();
        drop((early, late));
        let marks = Arc::new(Marks::sized_for(1000));
        assert_eq!(gate.begin_marking(&db, &marks), db.seq(), "finished captures hold nothing back");
        assert!(!marks.contains(&before));
    }
}
