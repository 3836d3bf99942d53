//! The simulated disk and the real one must answer every call alike, or a program tested on the one breaks on the other.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use vfs::{DiskVfs, File, LockKind, OpenMode, Vfs};
use vfs_sim::SimDisk;

#[derive(Debug, Clone)]
enum Step {
    Open { handle: usize, name: usize, mode: OpenMode },
    Close { handle: usize },
    Write { handle: usize, offset: u64, len: usize },
    Read { handle: usize, offset: u64, len: usize },
    SetLen { handle: usize, len: u64 },
    Allocate { handle: usize, offset: u64, len: u64 },
    Sync { handle: usize },
    DropCache { handle: usize },
    CreateDir { name: usize },
    Rename { from: usize, to: usize },
    Link { from: usize, to: usize },
    Remove { name: usize },
    SyncDir { name: usize },
    Metadata { name: usize },
    ReadDir { name: usize },
    Lock { name: usize, exclusive: bool },
    Unlock,
}

/// Names in two directories, below a file, and the directories themselves.
const NAMES: [&str; 10] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "missing/a", "a/below"];

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let handle = 0..4usize;
    // Around page boundaries.
    let offset = prop_oneof![0..20u64, 4080..4112u64, 8000..12400u64];
    let len = prop_oneof![0..20usize, 4000..9000usize];
    let mode = prop_oneof![
        Just(OpenMode::Read),
        Just(OpenMode::ReadWrite),
        Just(OpenMode::CreateNew),
        Just(OpenMode::OpenOrCreate)
    ];
    prop_oneof![
        4 => (handle.clone(), name.clone(), mode).prop_map(|(handle, name, mode)| Step::Open { handle, name, mode }),
        1 => handle.clone().prop_map(|handle| Step::Close { handle }),
        5 => (handle.clone(), offset.clone(), len.clone())
            .prop_map(|(handle, offset, len)| Step::Write { handle, offset, len }),
        3 => (handle.clone(), offset.clone(), len).prop_map(|(handle, offset, len)| Step::Read { handle, offset, len }),
        2 => (handle.clone(), offset.clone()).prop_map(|(handle, len)| Step::SetLen { handle, len }),
        1 => (handle.clone(), offset.clone(), offset)
            .prop_map(|(handle, offset, len)| Step::Allocate { handle, offset, len }),
        1 => handle.clone().prop_map(|handle| Step::Sync { handle }),
        1 => handle.prop_map(|handle| Step::DropCache { handle }),
        2 => name.clone().prop_map(|name| Step::CreateDir { name }),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Link { from, to }),
        2 => name.clone().prop_map(|name| Step::Remove { name }),
        1 => name.clone().prop_map(|name| Step::SyncDir { name }),
        2 => name.clone().prop_map(|name| Step::Metadata { name }),
        2 => name.clone().prop_map(|name| Step::ReadDir { name }),
        2 => (name, any::<bool>()).prop_map(|(name, exclusive)| Step::Lock { name, exclusive }),
        1 => Just(Step::Unlock),
    ]
}

/// Carries out the steps below `root` and says what each gave. Errors are compared by kind.
fn play(disk: &dyn Vfs, root: &Path, steps: &[Step]) -> Vec<Result<String, io::ErrorKind>> {
    let mut handles: BTreeMap<usize, Arc<dyn File>> = BTreeMap::new();
    let mut locks = Vec::new();
    let at = |name: usize| -> PathBuf { root.join(NAMES[name]) };
    let mut answers = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let answer: io::Result<String> = (|| {
            let open = |handle: &usize| handles.get(handle).cloned().ok_or(io::Error::from(io::ErrorKind::Other));
            Ok(match step {
                Step::Open { handle, name, mode } => {
                    // Linux opens a directory for reading; the contract speaks of files only.
                    if *mode == OpenMode::Read && disk.metadata(&at(*name)).is_ok_and(|found| found.is_dir) {
                        return Ok("skipped".to_owned());
                    }
                    let file = disk.open(&at(*name), *mode)?;
                    handles.insert(*handle, file);
                    "open".to_owned()
                }
                Step::Close { handle } => {
                    handles.remove(handle);
                    "closed".to_owned()
                }
                Step::Write { handle, offset, len } => {
                    // Linux lets an empty write through anywhere; nothing here depends on it.
                    let data = vec![index as u8; (*len).max(1)];
                    format!("{:?}", open(handle)?.write_at(*offset, &data)?)
                }
                Step::Read { handle, offset, len } => {
                    let mut buf = vec![0xee; *len];
                    let file = open(handle)?;
                    let count = file.read_at(*offset, &mut buf)?;
                    format!("{count} {buf:?} {} {}", file.len()?, file.is_empty()?)
                }
                Step::SetLen { handle, len } => format!("{:?}", open(handle)?.set_len(*len)?),
                Step::Allocate { handle, offset, len } => format!("{:?}", open(handle)?.allocate(*offset, *len)?),
                Step::Sync { handle } => format!("{:?}", open(handle)?.sync_data()?),
                Step::DropCache { handle } => format!("{:?}", open(handle)?.drop_cache()?),
                Step::CreateDir { name } => format!("{:?}", disk.create_dir_all(&at(*name))?),
                Step::Rename { from, to } => format!("{:?}", disk.rename(&at(*from), &at(*to))?),
                Step::Link { from, to } => format!("{:?}", disk.hard_link(&at(*from), &at(*to))?),
                Step::Remove { name } => format!("{:?}", disk.remove_file(&at(*name))?),
                Step::SyncDir { name } => {
                    if disk.metadata(&at(*name)).is_ok_and(|found| !found.is_dir) {
                        // Linux syncs the file then.
                        return Ok("skipped".to_owned());
                    }
                    format!("{:?}", disk.sync_dir(&at(*name))?)
                }
                Step::Metadata { name } => {
                    let found = disk.metadata(&at(*name))?;
                    let links = if found.is_dir { 0 } else { found.links };
                    format!("{} {} {links}", found.len, found.is_dir)
                }
                Step::ReadDir { name } => {
                    let mut names = disk.read_dir(&at(*name))?;
                    names.sort();
                    let below = names.iter().map(|name| name.strip_prefix(root).unwrap());
                    format!("{:?}", below.collect::<Vec<_>>())
                }
                Step::Lock { name, exclusive } => {
                    if disk.metadata(&at(*name)).is_ok_and(|found| found.is_dir) {
                        return Ok("skipped".to_owned());
                    }
                    let kind = if *exclusive { LockKind::Exclusive } else { LockKind::Shared };
                    locks.push(disk.lock(&at(*name), kind)?);
                    "locked".to_owned()
                }
                Step::Unlock => {
                    locks.pop();
                    "unlocked".to_owned()
                }
            })
        })();
        answers.push(answer.map_err(|error| error.kind()));
    }
    answers
}

proptest! {
    #[test]
    fn the_simulated_disk_answers_like_the_real_one(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let real = DiskVfs::new();
        let sim = SimDisk::new();
        sim.create_dir_all(dir.path()).unwrap();
        let before = sim.counters();
        let expected = play(&real, dir.path(), &steps);
        prop_assert_eq!(play(&sim, dir.path(), &steps), expected);
        prop_assert_eq!(sim.counters().since(&before), real.counters());
    }
}
