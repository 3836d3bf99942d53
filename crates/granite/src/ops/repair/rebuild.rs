//! What a manifest that is gone or damaged must have said, as far as the other files tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{OpenMode, Vfs};

use crate::error::{Error, Result};
use crate::key::Seq;
use crate::log::format::{NO_KEYSPACE, OpReader, SegmentKind};
use crate::log::walk::{SegmentWalk, Step};
use crate::manifest::file::{MANIFEST, find_records};
use crate::manifest::state::KeyspaceState;
use crate::manifest::{Edit, ManifestState, TableMeta};
use crate::open::FileName;
use crate::ops::tables::walk;
use crate::options::{KeyLayout, KeyspaceOptions};
use crate::table::{Codec, FilterPolicy, Properties, Survey};

/// What the files tell.
pub(super) struct Rebuilt {
    pub(super) state: ManifestState,
    /// Tables of which it cannot be told what they belong to.
    pub(super) unknown: Vec<PathBuf>,
}

/// A state with every table there is, in level 0, and every segment.
pub(super) fn state(vfs: &Arc<dyn Vfs>, dir: &Path, files: &[(FileName, PathBuf)]) -> Result<Rebuilt> {
    let mut unknown = Vec::new();
    let mut state = ManifestState::default();
    let named = keyspaces_in_manifest(&**vfs, dir)?;
    let (mut log_start, mut log_first_seq) = (None, Seq::new(1));
    for (name, path) in files {
        match *name {
            FileName::Table(number) => {
                if !table(vfs, dir, number, path, &named, &mut state)? {
                    unknown.push(path.clone());
                }
            }
            FileName::Segment(number) => {
                let file = vfs.open(path, OpenMode::Read).map_err(|error| Error::io("open", path, error))?;
                let mut segment = SegmentWalk::new(&file, path)?;
                match segment.header {
                    Ok(header) if header.kind == SegmentKind::Log => {
                        if log_start.is_none() {
                            log_start = Some(number);
                            log_first_seq = header.first_seq;
                        }
                        state.durable = state.durable.max(header.durable);
                        log_keyspaces(&mut segment, &named, &mut state)?;
                    }
                    Ok(_) => {
                        state.segments.insert(number, segment.file_len);
                    }
                    Err(_) => {}
                }
            }
            FileName::Other => {}
        }
        if let FileName::Table(number) | FileName::Segment(number) = *name {
            state.next_file = state.next_file.max(number.saturating_add(1));
        }
    }
    state.log_start = log_start.unwrap_or(state.next_file);
    state.log_first_seq = log_first_seq;
    let unnamed = named.into_iter().filter(|(id, _)| !state.keyspaces.contains_key(id)).collect::<Vec<_>>();
    for (id, (name, options)) in unnamed {
        state.keyspaces.insert(id, KeyspaceState { name, options, persisted: Seq::ZERO, tables: BTreeMap::new() });
    }
    for (&id, keyspace) in &mut state.keyspaces {
        state.next_keyspace = state.next_keyspace.max(id.saturating_add(1));
        // A flush takes everything up to its newest entry along.
        let newest = keyspace.tables.values().map(|(_, table)| table.seq_max).max();
        keyspace.persisted = newest.unwrap_or(Seq::ZERO);
    }
    Ok(Rebuilt { state, unknown })
}

type Named = BTreeMap<u32, (String, KeyspaceOptions)>;

/// The keyspaces that the readable records of a damaged manifest tell of.
fn keyspaces_in_manifest(vfs: &dyn Vfs, dir: &Path) -> Result<Named> {
    let path = dir.join(MANIFEST);
    let mut named = Named::new();
    let file = match vfs.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(named),
        Err(error) => return Err(Error::io("open", &path, error)),
    };
    let len = file.len().map_err(|error| Error::io("read the length of", &path, error))?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(0, &mut bytes).map_err(|error| Error::io("read", &path, error))?;
    for edit in find_records(&bytes).into_iter().filter_map(|record| record.edits).flatten() {
        match edit {
            Edit::CreateKeyspace { id, name, options } => {
                named.insert(id, (name, options));
            }
            Edit::DropKeyspace { id } => {
                named.remove(&id);
            }
            _ => {}
        }
    }
    Ok(named)
}

fn keyspace<'a>(
    id: u32,
    named: &Named,
    state: &'a mut ManifestState,
    options: impl FnOnce() -> KeyspaceOptions,
) -> &'a mut KeyspaceState {
    state.keyspaces.entry(id).or_insert_with(|| {
        let (name, options) = match named.get(&id) {
            Some((name, options)) => (name.clone(), options.clone()),
            None => (format!("keyspace-{id}"), options()),
        };
        KeyspaceState { name, options, persisted: Seq::ZERO, tables: BTreeMap::new() }
    })
}

/// Adds what is known of a table. False if its properties are lost, and with them what it belongs to.
fn table(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    number: u64,
    path: &Path,
    named: &Named,
    state: &mut ManifestState,
) -> Result<bool> {
    let file = vfs.open(path, OpenMode::Read).map_err(|error| Error::io("open", path, error))?;
    let file_len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
    let survey = Survey::new(file, path, file_len)?;
    let Some(properties) = survey.properties.clone().or_else(|| only_keyspace(named)) else {
        return Ok(false);
    };
    let handles = crate::handles::HandleCache::new(64);
    let values = crate::log::segment::SegmentRegistry::new(dir, vfs, &handles);
    let walked = walk(&survey, path, &values, &mut |_| Ok(()))?;
    let meta = TableMeta {
        number,
        file_len,
        entries: properties.entries,
        deletes: properties.deletes,
        range_deletes: properties.range_tombstones,
        smallest: properties.smallest.clone(),
        largest: properties.largest.clone(),
        seq_min: properties.min_seq,
        seq_max: properties.max_seq.max(walked.seq_bounds.map_or(Seq::ZERO, |(_, max)| max)),
        segments: walked.segments.into_iter().collect(),
    };
    let into = keyspace(properties.keyspace, named, state, || options_of(&properties));
    into.tables.insert(number, (0, meta));
    Ok(true)
}

/// Where there is but one keyspace, a table whose properties are lost can only be one of its tables.
fn only_keyspace(named: &Named) -> Option<Properties> {
    let mut ids = named.keys();
    let (&id, None) = (ids.next()?, ids.next()) else { return None };
    Some(Properties {
        entries: 0,
        deletes: 0,
        range_tombstones: 0,
        data_blocks: 0,
        partitions: 0,
        raw_key_bytes: 0,
        raw_value_bytes: 0,
        min_seq: Seq::ZERO,
        max_seq: Seq::ZERO,
        smallest: Vec::new(),
        largest: Vec::new(),
        key_layout: crate::table::KeyLayout::Plain,
        codec: 0,
        bits_per_key: 0,
        file_number: 0,
        block_size: 0,
        keyspace: id,
        stamped: false,
    })
}

/// The options that a table was written with; the others are the default ones.
fn options_of(properties: &Properties) -> KeyspaceOptions {
    let mut options = KeyspaceOptions::new();
    if let crate::table::KeyLayout::Hash { width } = properties.key_layout
        && let Ok(width) = u8::try_from(width)
    {
        options = options.key_layout(KeyLayout::Hash { width });
    }
    options = options.codec(match properties.codec {
        0 => Codec::None,
        1 => Codec::Lz4,
        _ => Codec::Zstd { level: 3 },
    });
    options = options.filter(match properties.bits_per_key {
        0 => FilterPolicy::None,
        bits_per_key => FilterPolicy::Bloom { bits_per_key },
    });
    if let Ok(block_len) = u32::try_from(properties.block_size) {
        options = options.block_len(block_len);
    }
    if options.check().is_ok() { options } else { KeyspaceOptions::new() }
}

/// Adds the keyspaces that the log writes to and no table tells of.
fn log_keyspaces(segment: &mut SegmentWalk, named: &Named, state: &mut ManifestState) -> Result<()> {
    while let Some(step) = segment.step()? {
        if let Step::Record { intact: true, .. } = step {
            let ids: Vec<u32> = OpReader::new(segment.operations()).map(|op| op.keyspace).collect();
            for id in ids.into_iter().filter(|&id| id != NO_KEYSPACE) {
                keyspace(id, named, state, KeyspaceOptions::new);
            }
        }
    }
    Ok(())
}
