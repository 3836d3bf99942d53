//! The disk against a model too simple to be wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use vfs::{File, OpenMode, Vfs};
use vfs_sim::{Crash, SimDisk};

/// One file: what is durable, what programs see, and every value that each byte and the length had in between.
#[derive(Debug, Clone, Default)]
struct ModelFile {
    durable: Vec<u8>,
    cached: Vec<u8>,
    ends: Vec<usize>,
    cuts: Vec<usize>,
    values: BTreeMap<usize, Vec<u8>>,
}

impl ModelFile {
    fn write(&mut self, offset: usize, data: &[u8]) {
        if self.cached.len() < offset + data.len() {
            self.cached.resize(offset + data.len(), 0);
        }
        self.cached[offset..offset + data.len()].copy_from_slice(data);
        for (at, byte) in (offset..).zip(data) {
            self.values.entry(at).or_default().push(*byte);
        }
        self.ends.push(offset + data.len());
    }

    fn set_len(&mut self, len: usize) {
        self.cached.resize(len, 0);
        self.cuts.push(len);
    }

    fn sync(&mut self) {
        self.durable = self.cached.clone();
        self.ends.clear();
        self.cuts.clear();
        self.values.clear();
    }

    /// Anything that a crash may leave: every byte had that value at some time, or nothing was ever there.
    fn check_survivor(&self, left: &[u8]) -> Result<(), TestCaseError> {
        let longest = self.ends.iter().chain(&self.cuts).copied().max().unwrap_or(0).max(self.durable.len());
        let cut = self.cuts.iter().copied().min().unwrap_or(usize::MAX);
        let shortest = cut.min(self.durable.len());
        prop_assert!((shortest..=longest).contains(&left.len()), "length {} of {shortest}..={longest}", left.len());
        for (at, byte) in left.iter().enumerate() {
            let written = self.values.get(&at).is_some_and(|values| values.contains(byte));
            let kept = self.durable.get(at) == Some(byte);
            let zero = *byte == 0 && (at >= self.durable.len() || at >= cut);
            prop_assert!(written || kept || zero, "byte {at} is {byte}, which was never there");
        }
        if self.ends.is_empty() && self.cuts.is_empty() {
            prop_assert_eq!(left, &self.durable[..]);
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { file: usize, offset: usize, len: usize },
    SetLen { file: usize, len: usize },
    Allocate { file: usize, offset: usize, len: usize },
    Sync { file: usize },
    Create { name: usize },
    Rename { from: usize, to: usize },
    Link { from: usize, to: usize },
    Remove { name: usize },
    SyncDir,
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..3usize;
    let name = 0..5usize;
    let offset = prop_oneof![0..600usize, 3900..9000usize];
    prop_oneof![
        6 => (file.clone(), offset.clone(), 1..5000usize)
            .prop_map(|(file, offset, len)| Step::Write { file, offset, len }),
        1 => (file.clone(), offset.clone()).prop_map(|(file, len)| Step::SetLen { file, len }),
        1 => (file.clone(), offset, 1..5000usize).prop_map(|(file, offset, len)| Step::Allocate { file, offset, len }),
        2 => file.prop_map(|file| Step::Sync { file }),
        2 => name.clone().prop_map(|name| Step::Create { name }),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Link { from, to }),
        1 => name.prop_map(|name| Step::Remove { name }),
        1 => Just(Step::SyncDir),
    ]
}

type Listing = BTreeMap<PathBuf, Vec<u8>>;

fn listing(disk: &SimDisk) -> Listing {
    let paths = disk.read_dir(Path::new("/")).unwrap();
    paths.into_iter().map(|path| (path.clone(), disk.contents(&path).unwrap())).collect()
}

#[derive(Default)]
struct Model {
    files: Vec<ModelFile>,
    cached: BTreeMap<usize, usize>,
    durable: BTreeMap<usize, usize>,
    /// What each name led to since the last sync of the directory.
    led_to: BTreeMap<usize, Vec<Option<usize>>>,
}

fn path(name: usize) -> PathBuf {
    PathBuf::from(format!("/{name}"))
}

impl Model {
    fn set(&mut self, name: usize, file: Option<usize>) {
        match file {
            Some(file) => self.cached.insert(name, file),
            None => self.cached.remove(&name),
        };
        self.led_to.entry(name).or_default().push(file);
    }

    fn listing(&self, names: &BTreeMap<usize, usize>, content: impl Fn(&ModelFile) -> &Vec<u8>) -> Listing {
        names.iter().map(|(name, file)| (path(*name), content(&self.files[*file]).clone())).collect()
    }

    fn apply(&mut self, step: &Step, index: usize, disk: &SimDisk, open: &mut Vec<Arc<dyn File>>) {
        let opened = |open: &Vec<Arc<dyn File>>, file: usize| Arc::clone(&open[file % open.len()]);
        let count = open.len().max(1);
        match *step {
            Step::Write { file, offset, len } if !open.is_empty() => {
                let data: Vec<u8> = (0..len).map(|at| (index * 31 + at / 512 + 1) as u8).collect();
                opened(open, file).write_at(offset as u64, &data).unwrap();
                self.files[file % count].write(offset, &data);
            }
            Step::SetLen { file, len } if !open.is_empty() => {
                opened(open, file).set_len(len as u64).unwrap();
                self.files[file % count].set_len(len);
            }
            Step::Allocate { file, offset, len } if !open.is_empty() => {
                opened(open, file).allocate(offset as u64, len as u64).unwrap();
                let model = &mut self.files[file % count];
                model.set_len(model.cached.len().max(offset + len));
            }
            Step::Sync { file } if !open.is_empty() => {
                opened(open, file).sync_data().unwrap();
                self.files[file % count].sync();
            }
            Step::Create { name } if !self.cached.contains_key(&name) => {
                open.push(disk.open(&path(name), OpenMode::CreateNew).unwrap());
                self.files.push(ModelFile::default());
                self.set(name, Some(self.files.len() - 1));
            }
            Step::Rename { from, to } if self.cached.contains_key(&from) => {
                disk.rename(&path(from), &path(to)).unwrap();
                if self.cached.get(&from) != self.cached.get(&to) {
                    self.set(to, self.cached.get(&from).copied());
                    self.set(from, None);
                }
            }
            Step::Link { from, to } if self.cached.contains_key(&from) && !self.cached.contains_key(&to) => {
                disk.hard_link(&path(from), &path(to)).unwrap();
                self.set(to, self.cached.get(&from).copied());
            }
            Step::Remove { name } if self.cached.contains_key(&name) => {
                disk.remove_file(&path(name)).unwrap();
                self.set(name, None);
            }
            Step::SyncDir => {
                disk.sync_dir(Path::new("/")).unwrap();
                self.durable = self.cached.clone();
                self.led_to.clear();
            }
            _ => {}
        }
    }

    fn check_survivor(&self, left: &Listing) -> Result<(), TestCaseError> {
        for name in 0..5 {
            let mut candidates = self.led_to.get(&name).cloned().unwrap_or_default();
            candidates.push(self.durable.get(&name).copied());
            let fits = |file: &Option<usize>| match (file, left.get(&path(name))) {
                (None, None) => Ok(()),
                (Some(file), Some(content)) => self.files[*file].check_survivor(content),
                _ => Err(TestCaseError::fail("a name is there that should not, or the reverse")),
            };
            let verdicts: Vec<_> = candidates.iter().map(fits).collect();
            prop_assert!(verdicts.iter().any(Result::is_ok), "name {name}: {candidates:?} {verdicts:?}");
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn durable_state_is_what_was_synced_and_a_crash_leaves_only_what_was_written(
        steps in prop::collection::vec(step(), 1..60),
        seed in any::<u64>(),
    ) {
        let disk = SimDisk::new();
        let mut model = Model::default();
        let mut open = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            model.apply(step, index, &disk, &mut open);
            prop_assert_eq!(listing(&disk), model.listing(&model.cached, |file| &file.cached));
        }
        let synced = model.listing(&model.durable, |file| &file.durable);
        let everything = model.listing(&model.cached, |file| &file.cached);
        prop_assert_eq!(listing(&disk.crash(Crash::Nothing)), synced);
        prop_assert_eq!(&listing(&disk.crash(Crash::Everything)), &everything);
        prop_assert_eq!(&listing(&disk.kill()), &everything);
        for crash in (0..12).map(|n| Crash::Random(seed.wrapping_add(n))) {
            let left = disk.crash(crash);
            model.check_survivor(&listing(&left))?;
            // What a crash left is durable: another crash takes no more.
            prop_assert_eq!(listing(&left.crash(Crash::Nothing)), listing(&left));
            prop_assert_eq!(listing(&disk.crash(crash)), listing(&left), "the same seed, the same image");
        }
    }
}
