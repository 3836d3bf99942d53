//! What a repair needs of the journal: its records whatever state they are in, and everything else made of them again.

use granite::WriteBatch;

use super::{COUNTERS_KEY, HEAD_KEY, Journal, Order, Tail, id_of, record_key, refs, sequence_key};
use crate::checkpoint::{Checkpoint, CheckpointId};
use crate::error::{Error, Result};

impl Journal {
    /// Every id with its record, or with what is wrong with it, oldest first.
    pub(crate) fn records(&self) -> Result<impl Iterator<Item = Result<(CheckpointId, Result<Checkpoint>)>>> {
        Ok(self.ids(.., Order::OldestFirst)?.map(|id| {
            let id = id?;
            let record = self.journal.get(&record_key(id));
            let checkpoint = match record {
                Ok(record) => {
                    Checkpoint::decode(id, &record.unwrap_or_default()).map_err(|error| Error::record(id, error))
                }
                Err(error @ granite::Error::Corrupt { .. }) => {
                    Err(Error::damaged(format!("the record of checkpoint {id}"), error.to_string()))
                }
                Err(error) => Err(error.into()),
            };
            Ok((id, checkpoint))
        }))
    }

    /// Puts into `batch` that the journal holds exactly `left` (oldest first), that the last one of the working directory is HEAD, and `lost` are gone. Returns
    /// what HEAD was.
    pub(crate) fn stage_rebuild(
        &self,
        left: &[Checkpoint],
        lost: &[CheckpointId],
        batch: &mut WriteBatch,
    ) -> Result<Option<CheckpointId>> {
        // Numbers and ids are never used again, not even those of checkpoints that are gone.
        let known = self.refs.get(COUNTERS_KEY)?.as_deref().and_then(Tail::decode_counters).unwrap_or_default();
        let mut tail = Tail { count: left.len() as u64, head: None, ..known };
        for entry in self.journal.scan_prefix(b"s")? {
            let (key, _) = entry?;
            batch.delete(&self.journal, &key);
        }
        for id in lost {
            tail.last_id = tail.last_id.max(Some(*id));
            batch.delete(&self.journal, &record_key(*id));
        }
        for checkpoint in left {
            tail.last_id = tail.last_id.max(Some(checkpoint.id));
            tail.last_sequence = tail.last_sequence.max(checkpoint.sequence);
            batch.put(&self.journal, &sequence_key(checkpoint.sequence), &checkpoint.id.to_bytes());
        }
        tail.last_sequence = tail.last_sequence.max(tail.count);
        let before = self.refs.get(HEAD_KEY)?.and_then(|head| id_of(&head, String::new).ok());
        let head = left.iter().rev().find(|checkpoint| checkpoint.reason != crate::Reason::Import);
        match head {
            Some(head) => batch.put(&self.refs, HEAD_KEY, &head.id.to_bytes()),
            None => batch.delete(&self.refs, HEAD_KEY),
        }
        batch.put(&self.refs, COUNTERS_KEY, &tail.encode_counters());
        Ok(before)
    }

    /// Puts the removal of every pin, label and publish mark into `batch` whose checkpoint is not among `left` (rising). Returns what they were, for people.
    pub(crate) fn stage_removal_of_dangling(
        &self,
        left: &[CheckpointId],
        batch: &mut WriteBatch,
    ) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for (prefix, what) in refs::PREFIXES {
            for entry in self.refs.scan_prefix(prefix)? {
                let (key, value) = entry?;
                let name = key.get(prefix.len()..).unwrap_or_default();
                let holder = if prefix == refs::PIN { value.as_slice() } else { name };
                let id = holder.first_chunk().map(|id| CheckpointId::from_bytes(*id));
                if id.is_some_and(|id| left.binary_search(&id).is_ok()) {
                    continue;
                }
                batch.delete(&self.refs, &key);
                let of = id.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
                removed.push(match prefix == refs::PIN {
                    true => format!("{what} {:?} of {of}", String::from_utf8_lossy(name)),
                    false => format!("{what} of {of}"),
                });
            }
        }
        Ok(removed)
    }
}
