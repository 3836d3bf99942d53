//! What a power loss leaves of one file, and how to choose it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::content::{Content, split_at_multiples};
use crate::random::Random;

/// Which of the unsynced operations a [crash](crate::SimDisk::crash) leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Crash {
    /// None: exactly what was synced.
    Nothing,
    /// All of them, except what a failed sync lost.
    Everything,
    /// Options and choices drawn from this seed: over many seeds, everything that [`CrashOptions`] can express.
    Random(u64),
    /// Choices as told.
    With(CrashOptions),
}

/// Which unsynced writes of a file survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteLoss {
    /// Those up to some moment; the last of them may be torn.
    Prefix,
    /// Each sector holds what it held at some moment since the last sync, each at its own: what a page cache does.
    Sectors,
    /// Any of them, in any order, each torn in any way. Within a sector, and where writes overlap, this is more than
    /// a page cache can do.
    Subset,
}

/// Which unsynced name operations (create, rename, link, remove, new directory) survive.
///
/// In each case a rename happens whole or not at all, so its file is always found under one of its two names, and no
/// operation on a name survives without the earlier ones on the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameLoss {
    /// Those up to some moment, over all directories: what a journaling filesystem does.
    Journal,
    /// Those up to some moment, in each directory its own.
    PerDirectory,
    /// Each name on its own.
    PerName,
}

/// The unit in which a write is torn: it reaches the disk whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sector {
    /// 512 bytes.
    B512,
    /// 4 KiB.
    B4096,
}

impl Sector {
    fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// How [`Crash::With`] chooses what survives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrashOptions {
    /// Decides all choices: the same seed on the same disk gives the same image.
    pub seed: u64,
    /// Which writes survive.
    pub writes: WriteLoss,
    /// Which name operations survive.
    pub names: NameLoss,
    /// The unit of tearing.
    pub sector: Sector,
    /// Probability that one operation (for [`WriteLoss::Sectors`], one sector of one) survives, from 0 to 1. The prefix
    /// models draw their moment evenly instead.
    pub survival: f64,
    /// Probability that a surviving write is torn, from 0 to 1.
    pub tearing: f64,
}

impl CrashOptions {
    /// Options drawn from `seed`, which then decides the choices too: what [`Crash::Random`] uses.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6f70_7469_6f6e_7321);
        Self {
            seed,
            writes: random.pick(WriteLoss::Subset, &[WriteLoss::Sectors, WriteLoss::Prefix]),
            names: random.pick(NameLoss::PerName, &[NameLoss::PerDirectory, NameLoss::Journal]),
            sector: random.pick(Sector::B512, &[Sector::B4096]),
            survival: random.pick(0.5, &[0.15, 0.85, 1.0]),
            tearing: random.pick(0.5, &[0.0, 0.1, 1.0]),
        }
    }
}

/// A [`Crash`] with its options drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Survival {
    Nothing,
    Everything,
    Some(CrashOptions),
}

impl From<Crash> for Survival {
    fn from(crash: Crash) -> Self {
        match crash {
            Crash::Nothing => Self::Nothing,
            Crash::Everything => Self::Everything,
            Crash::Random(seed) => Self::Some(CrashOptions::random(seed)),
            Crash::With(options) => Self::Some(options),
        }
    }
}

/// An operation on a file's content that no sync has covered yet.
#[derive(Debug, Clone)]
pub(crate) enum Unsynced {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
    Allocate(Range<u64>),
}

impl Unsynced {
    pub(crate) fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { offset, data } => content.write(*offset, data),
            Self::SetLen(len) => content.set_len(*len),
            Self::Allocate(range) => content.allocate(range.clone()),
        }
    }
}

/// What becomes of `durable` when a crash takes some of `unsynced`.
pub(crate) fn survivors(
    durable: &Content,
    unsynced: &[Unsynced],
    options: &CrashOptions,
    random: &mut Random,
) -> Content {
    let mut content = durable.clone();
    match options.writes {
        WriteLoss::Prefix => keep_prefix(&mut content, unsynced, options, random),
        WriteLoss::Sectors => keep_sectors(&mut content, unsynced, options, random),
        WriteLoss::Subset => keep_subset(&mut content, unsynced, options, random),
    }
    content
}

fn keep_prefix(content: &mut Content, unsynced: &[Unsynced], options: &CrashOptions, random: &mut Random) {
    let kept = random.below(unsynced.len() as u64 + 1) as usize;
    let (whole, last) = unsynced.split_at(kept.saturating_sub(1));
    for op in whole {
        op.apply(content);
    }
    if let Some(op) = last.first().filter(|_| kept > 0) {
        apply_torn(content, op, options, random);
    }
}

fn keep_subset(content: &mut Content, unsynced: &[Unsynced], options: &CrashOptions, random: &mut Random) {
    let mut order: Vec<&Unsynced> = unsynced.iter().collect();
    random.shuffle(&mut order);
    for op in order {
        if random.chance(options.survival) {
            apply_torn(content, op, options, random);
        } else {
            grow_without_data(content, op, random);
        }
    }
}

/// The new length of a file can reach the disk before the bytes do; they then read as zeros.
fn grow_without_data(content: &mut Content, op: &Unsynced, random: &mut Random) {
    if let Unsynced::Write { offset, data } = op
        && random.chance(0.25)
    {
        content.grow(offset + data.len() as u64);
    }
}

fn apply_torn(content: &mut Content, op: &Unsynced, options: &CrashOptions, random: &mut Random) {
    let Unsynced::Write { offset, data } = op else {
        return op.apply(content);
    };
    if !random.chance(options.tearing) {
        return op.apply(content);
    }
    for piece in sectors(*offset, data, options.sector) {
        if random.chance(0.5) {
            write_piece(content, *offset, data, piece);
        }
    }
    if random.chance(0.5) {
        content.grow(offset + data.len() as u64);
    }
}

fn sectors(offset: u64, data: &[u8], sector: Sector) -> impl Iterator<Item = Range<u64>> + use<> {
    split_at_multiples(offset..offset + data.len() as u64, sector.bytes())
}

fn write_piece(content: &mut Content, offset: u64, data: &[u8], piece: Range<u64>) {
    let within = (piece.start - offset) as usize..(piece.end - offset) as usize;
    if let Some(bytes) = data.get(within) {
        content.write(piece.start, bytes);
    }
}

fn keep_sectors(content: &mut Content, unsynced: &[Unsynced], options: &CrashOptions, random: &mut Random) {
    // A sector whose state at some moment reached the disk, but none later.
    let mut settled = BTreeSet::new();
    let mut length_settled = false;
    for op in unsynced {
        match op {
            Unsynced::Write { offset, data } => {
                for piece in sectors(*offset, data, options.sector) {
                    let sector = piece.start / options.sector.bytes();
                    if settled.contains(&sector) || !random.chance(options.survival) {
                        settled.insert(sector);
                    } else {
                        write_piece(content, *offset, data, piece);
                    }
                }
                grow_without_data(content, op, random);
            }
            Unsynced::SetLen(_) | Unsynced::Allocate(_) => {
                length_settled |= !random.chance(options.survival);
                if !length_settled {
                    op.apply(content);
                }
            }
        }
    }
}
