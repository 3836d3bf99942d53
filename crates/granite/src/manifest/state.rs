//! What the edits of a manifest add up to.

use std::collections::BTreeMap;

use super::format::{Edit, LEVEL_COUNT, TableMeta};
use crate::key::Seq;
use crate::options::KeyspaceOptions;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyspaceState {
    pub(crate) name: String,
    pub(crate) options: KeyspaceOptions,
    /// Every operation up to this one is in tables.
    pub(crate) persisted: Seq,
    /// Tables by number, with their level.
    pub(crate) tables: BTreeMap<u64, (u8, TableMeta)>,
}

/// All that a manifest says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ManifestState {
    pub(crate) keyspaces: BTreeMap<u32, KeyspaceState>,
    /// Identifiers are never used twice: the log may still hold operations of a dropped keyspace.
    pub(crate) next_keyspace: u32,
    pub(crate) log_start: u64,
    pub(crate) log_first_seq: Seq,
    pub(crate) next_file: u64,
    pub(crate) durable: Seq,
    /// Sealed segments that tables may point into, with their length in bytes.
    pub(crate) segments: BTreeMap<u64, u64>,
}

impl Default for ManifestState {
    fn default() -> Self {
        Self {
            keyspaces: BTreeMap::new(),
            next_keyspace: 0,
            log_start: 1,
            log_first_seq: Seq::new(1),
            next_file: 1,
            durable: Seq::ZERO,
            segments: BTreeMap::new(),
        }
    }
}

impl ManifestState {
    /// Applies one edit.
    ///
    /// # Errors
    /// What does not fit: the manifest contradicts itself.
    pub(crate) fn apply(&mut self, edit: Edit) -> Result<(), String> {
        let missing = |id: u32| format!("keyspace {id} is changed but does not exist");
        match edit {
            Edit::CreateKeyspace { id, name, options } => {
                self.next_keyspace = self.next_keyspace.max(id.saturating_add(1));
                let state = KeyspaceState { name, options, persisted: Seq::ZERO, tables: BTreeMap::new() };
                if self.keyspaces.insert(id, state).is_some() {
                    return Err(format!("keyspace {id} is created twice"));
                }
            }
            Edit::DropKeyspace { id } => {
                self.next_keyspace = self.next_keyspace.max(id.saturating_add(1));
                self.keyspaces.remove(&id);
            }
            Edit::AddTable { keyspace, level, table } => {
                let tables = &mut self.keyspaces.get_mut(&keyspace).ok_or_else(|| missing(keyspace))?.tables;
                let number = table.number;
                if tables.insert(number, (level, table)).is_some() {
                    return Err(format!("table {number} is added twice"));
                }
            }
            Edit::RemoveTable { keyspace, number } => {
                let tables = &mut self.keyspaces.get_mut(&keyspace).ok_or_else(|| missing(keyspace))?.tables;
                if tables.remove(&number).is_none() {
                    return Err(format!("table {number} is removed but was never added"));
                }
            }
            Edit::Persisted { keyspace, seq } => {
                self.keyspaces.get_mut(&keyspace).ok_or_else(|| missing(keyspace))?.persisted = seq;
            }
            Edit::LogStart { segment, first_seq } => {
                self.log_start = segment;
                self.log_first_seq = first_seq;
            }
            Edit::NextFile { number } => self.next_file = self.next_file.max(number),
            Edit::Durable { seq } => self.durable = self.durable.max(seq),
            Edit::AddSegment { number, len } => {
                self.segments.insert(number, len);
            }
            Edit::RemoveSegment { number } => {
                self.segments.remove(&number);
            }
        }
        Ok(())
    }

    /// The fewest edits that lead to this state.
    pub(crate) fn to_edits(&self) -> Vec<Edit> {
        let mut edits = vec![
            Edit::NextFile { number: self.next_file },
            Edit::LogStart { segment: self.log_start, first_seq: self.log_first_seq },
            Edit::Durable { seq: self.durable },
        ];
        if let Some(last) = self.next_keyspace.checked_sub(1) {
            // Keeps the identifier from being used again where the newest keyspace is gone.
            edits.push(Edit::DropKeyspace { id: last });
        }
        for (&id, keyspace) in &self.keyspaces {
            edits.push(Edit::CreateKeyspace { id, name: keyspace.name.clone(), options: keyspace.options.clone() });
            edits.push(Edit::Persisted { keyspace: id, seq: keyspace.persisted });
            for (level, table) in keyspace.tables.values() {
                edits.push(Edit::AddTable { keyspace: id, level: *level, table: table.clone() });
            }
        }
        edits.extend(self.segments.iter().map(|(&number, &len)| Edit::AddSegment { number, len }));
        edits
    }

    /// Bytes of live values that tables hold in each segment.
    pub(crate) fn live_bytes(&self) -> BTreeMap<u64, u64> {
        let mut live = BTreeMap::new();
        for keyspace in self.keyspaces.values() {
            for (_, table) in keyspace.tables.values() {
                for &(segment, bytes) in &table.segments {
                    *live.entry(segment).or_default() += bytes;
                }
            }
        }
        live
    }

    /// Tables of one keyspace, level by level: level 0 newest first, the others by key.
    pub(crate) fn levels(keyspace: &KeyspaceState) -> Vec<Vec<TableMeta>> {
        let mut levels = vec![Vec::new(); LEVEL_COUNT];
        for (level, table) in keyspace.tables.values() {
            if let Some(tables) = levels.get_mut(usize::from(*level)) {
                tables.push(table.clone());
            }
        }
        for (level, tables) in levels.iter_mut().enumerate() {
            if level == 0 {
                tables.sort_by(|a, b| b.seq_max.cmp(&a.seq_max).then(b.number.cmp(&a.number)));
            } else {
                tables.sort_by(|a, b| a.smallest.cmp(&b.smallest));
            }
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_being_written_as_edits() {
        let mut state = ManifestState::default();
        let table = |number| TableMeta {
            number,
            file_len: 10,
            entries: 1,
            deletes: 0,
            range_deletes: 0,
            smallest: vec![1],
            largest: vec![2],
            seq_min: Seq::new(1),
            seq_max: Seq::new(2),
            segments: vec![(4, 100)],
        };
        for edit in [
            Edit::CreateKeyspace { id: 0, name: "a".into(), options: KeyspaceOptions::new() },
            Edit::CreateKeyspace { id: 1, name: "b".into(), options: KeyspaceOptions::new() },
            Edit::AddTable { keyspace: 0, level: 0, table: table(7) },
            Edit::AddTable { keyspace: 0, level: 1, table: table(8) },
            Edit::RemoveTable { keyspace: 0, number: 7 },
            Edit::DropKeyspace { id: 1 },
            Edit::Persisted { keyspace: 0, seq: Seq::new(5) },
            Edit::LogStart { segment: 4, first_seq: Seq::new(6) },
            Edit::AddSegment { number: 4, len: 1000 },
            Edit::NextFile { number: 9 },
            Edit::Durable { seq: Seq::new(6) },
        ] {
            state.apply(edit).unwrap();
        }
        let mut again = ManifestState::default();
        for edit in state.to_edits() {
            again.apply(edit).unwrap();
        }
        assert_eq!(again, state);
        assert_eq!(again.next_keyspace, 2, "a dropped keyspace's identifier would be used again");
        assert_eq!(again.live_bytes(), BTreeMap::from([(4, 100)]));
    }

    #[test]
    fn edits_that_contradict_the_state_are_refused() {
        let mut state = ManifestState::default();
        assert!(state.apply(Edit::RemoveTable { keyspace: 0, number: 1 }).is_err());
        state.apply(Edit::CreateKeyspace { id: 0, name: "a".into(), options: KeyspaceOptions::new() }).unwrap();
        assert!(state.apply(Edit::RemoveTable { keyspace: 0, number: 1 }).is_err());
    }
}
