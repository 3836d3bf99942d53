//! Single checkpoints, names for them, and what keeps them.

use jiff::tz::TimeZone;
use tl_journal::names::{self, Now};

use super::convert::{from_checkpoint, id_of, micros, object_of, to_id};
use super::{Answered, Peer, Replies, Service, gone};
use crate::wire::{Answer, Checkpoint, CheckpointId, Failure, FailureKind, Item, ObjectId, Pin};

/// Most leases that one peer holds.
const LEASES_MAX: usize = 256;

impl Service {
    /// A checkpoint with the label that it has now.
    pub(super) fn labelled(&self, checkpoint: &tl_journal::Checkpoint) -> Result<Box<Checkpoint>, Failure> {
        let label = self.repository.journal().label(checkpoint)?;
        let mut found = from_checkpoint(checkpoint);
        found.provenance.label = label;
        Ok(Box::new(found))
    }

    pub(super) fn resolve(&self, name: &str, zone: &str) -> Answered {
        let zone = time_zone(zone)?;
        let now = Now { time: self.repository.config().vfs.now(), zone };
        let found = names::resolve(self.repository.journal(), name, &now)?;
        Ok(Answer::Checkpoint(self.labelled(&found)?))
    }

    pub(super) fn checkpoint(&self, id: CheckpointId) -> Answered {
        let found = self.repository.journal().require(id_of(id))?;
        Ok(Answer::Checkpoint(self.labelled(&found)?))
    }

    pub(super) fn parents(&self, id: CheckpointId, replies: &mut dyn Replies) -> Answered {
        let journal = self.repository.journal();
        for parent in journal.parents(&journal.require(id_of(id))?)? {
            replies.item(Item::Checkpoint(self.labelled(&parent)?)).map_err(gone)?;
        }
        Ok(Answer::Done)
    }

    pub(super) fn common_ancestor(&self, a: CheckpointId, b: CheckpointId) -> Answered {
        let found = self.repository.journal().common_ancestor(id_of(a), id_of(b))?;
        Ok(Answer::MaybeCheckpoint(found.map(|found| self.labelled(&found)).transpose()?))
    }

    pub(super) fn pins(&self) -> Answered {
        let pins = self.repository.journal().pins()?.into_iter();
        Ok(Answer::Pins(pins.map(|pin| Pin { id: to_id(pin.id), time_us: micros(pin.time), name: pin.name }).collect()))
    }

    pub(super) fn pin(&self, name: &str, id: CheckpointId) -> Answered {
        self.repository.journal().pin(name, id_of(id), self.repository.config().vfs.now())?;
        Ok(Answer::Done)
    }

    pub(super) fn unpin(&self, name: &str) -> Answered {
        if self.repository.journal().unpin(name)? {
            Ok(Answer::Done)
        } else {
            Err(Failure::new(FailureKind::NotFound, format!("there is no pin {name:?}"))
                .hint("`tl pins` lists them")
                .into())
        }
    }

    pub(super) fn label(&self, id: CheckpointId, label: &str) -> Answered {
        self.repository.journal().set_label(id_of(id), label)?;
        Ok(Answer::Done)
    }

    pub(super) fn lease(&self, peer: &mut Peer, checkpoints: &[CheckpointId], roots: &[ObjectId]) -> Answered {
        if peer.leases.len() >= LEASES_MAX {
            return Err(Failure::new(FailureKind::Invalid, format!("{LEASES_MAX} leases are possible at once")).into());
        }
        let checkpoints = checkpoints.iter().copied().map(id_of);
        let lease = self.repository.lease(checkpoints, roots.iter().copied().map(object_of))?;
        peer.leases.push(lease);
        Ok(Answer::Done)
    }
}

fn time_zone(name: &str) -> Result<TimeZone, Failure> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name)
        .or_else(|_| TimeZone::posix(name))
        .map_err(|_| Failure::new(FailureKind::Invalid, format!("{name:?} is no time zone that is known here")))
}
