//! What a crash leaves of the bytes of a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use vfs::{File, OpenMode, Vfs};
use vfs_sim::{Crash, CrashOptions, NameLoss, Sector, SimDisk, WriteLoss};

fn file_with(data: &[u8]) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    file.write_at(0, data).unwrap();
    disk.settle();
    (disk, file)
}

fn options(seed: u64, writes: WriteLoss, sector: Sector, tearing: f64) -> Crash {
    Crash::With(CrashOptions { seed, writes, names: NameLoss::Journal, sector, survival: 0.5, tearing })
}

/// What is left of the file, one letter per 512 bytes, over many seeds.
fn outcomes(disk: &SimDisk, how: impl Fn(u64) -> Crash) -> BTreeSet<String> {
    let left = (0..2000).map(|seed| disk.crash(how(seed)).contents("/f").unwrap());
    left.map(|bytes| {
        let blocks = bytes.chunks(512).map(|block| {
            assert!(block.iter().all(|byte| *byte == block[0]), "a sector was torn");
            if block[0] == 0 { '0' } else { char::from(block[0]) }
        });
        blocks.collect()
    })
    .collect()
}

fn set(outcomes: &[&str]) -> BTreeSet<String> {
    outcomes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let (disk, file) = file_with(&[b'.'; 1024]);
    file.write_at(0, &[b'a'; 512]).unwrap();
    file.write_at(512, &[b'b'; 512]).unwrap();
    let all = set(&["..", "a.", ".b", "ab"]);
    assert_eq!(outcomes(&disk, |seed| options(seed, WriteLoss::Subset, Sector::B512, 0.0)), all);
    assert_eq!(outcomes(&disk, |seed| options(seed, WriteLoss::Sectors, Sector::B512, 0.0)), all);
    let in_order = set(&["..", "a.", "ab"]);
    assert_eq!(outcomes(&disk, |seed| options(seed, WriteLoss::Prefix, Sector::B512, 0.0)), in_order);
    file.sync_data().unwrap();
    assert_eq!(outcomes(&disk, Crash::Random), set(&["ab"]), "after a sync nothing is lost");
}

#[test]
fn a_write_is_torn_into_any_of_its_sectors_and_no_finer() {
    let (disk, file) = file_with(&[b'.'; 2048]);
    file.write_at(0, &[b'a'; 2048]).unwrap();
    let torn = outcomes(&disk, |seed| options(seed, WriteLoss::Subset, Sector::B512, 1.0));
    assert_eq!(torn.len(), 16, "{torn:?}");
    let whole = outcomes(&disk, |seed| options(seed, WriteLoss::Subset, Sector::B4096, 1.0));
    assert_eq!(whole, set(&["....", "aaaa"]), "one 4 KiB sector");
}

#[test]
fn sectors_are_counted_from_the_start_of_the_file() {
    let (disk, file) = file_with(&[b'.'; 8192]);
    file.write_at(3584, &[b'a'; 1024]).unwrap();
    let torn = outcomes(&disk, |seed| options(seed, WriteLoss::Sectors, Sector::B4096, 1.0));
    let shown: BTreeSet<_> = torn.iter().map(|blocks| &blocks[6..10]).collect();
    assert_eq!(shown, BTreeSet::from(["....", ".a..", "..a.", ".aa."]));
}

#[test]
fn an_appended_region_that_did_not_survive_is_missing_or_zero() {
    let (disk, file) = file_with(&[b'.'; 512]);
    file.write_at(512, &[b'a'; 1024]).unwrap();
    let torn = outcomes(&disk, |seed| options(seed, WriteLoss::Subset, Sector::B512, 1.0));
    assert_eq!(torn, set(&[".", ".00", ".a", ".a0", ".0a", ".aa"]));
    // The same of a write that is lost whole: its length may be there without it.
    let whole = outcomes(&disk, |seed| options(seed, WriteLoss::Subset, Sector::B512, 0.0));
    assert_eq!(whole, set(&[".", ".00", ".aa"]));
}

#[test]
fn overlapping_writes_may_reach_the_disk_in_either_order() {
    let (disk, file) = file_with(&[b'.'; 1536]);
    file.write_at(0, &[b'a'; 1024]).unwrap();
    file.write_at(512, &[b'b'; 1024]).unwrap();
    let left = outcomes(&disk, |seed| options(seed, WriteLoss::Subset, Sector::B512, 0.0));
    assert_eq!(left, set(&["...", "aa.", ".bb", "abb", "aab"]));
}

#[test]
fn a_page_cache_leaves_each_sector_as_it_was_at_some_moment() {
    let (disk, file) = file_with(&[b'.'; 512]);
    file.write_at(0, &[b'a'; 256]).unwrap();
    file.write_at(256, &[b'b'; 256]).unwrap();
    let halves = |writes| -> BTreeSet<(u8, u8)> {
        let left = (0..200).map(|seed| disk.crash(options(seed, writes, Sector::B512, 0.5)).contents("/f").unwrap());
        left.map(|bytes| (bytes[0], bytes[511])).collect()
    };
    let moments = BTreeSet::from([(b'.', b'.'), (b'a', b'.'), (b'a', b'b')]);
    assert_eq!(halves(WriteLoss::Sectors), moments);
    assert!(halves(WriteLoss::Subset).contains(&(b'.', b'b')), "the adversarial model knows no page");
}

#[test]
fn a_cut_may_be_lost_and_a_reserved_region_reads_zeros() {
    let (disk, file) = file_with(&[b'.'; 1024]);
    file.set_len(512).unwrap();
    assert_eq!(outcomes(&disk, Crash::Random), set(&["..", "."]));
    file.sync_data().unwrap();
    file.allocate(0, 1024).unwrap();
    assert_eq!(outcomes(&disk, Crash::Random), set(&[".", ".0"]));
}

#[test]
fn random_crashes_reach_every_outcome_and_repeat_for_a_seed() {
    let (disk, file) = file_with(&[b'.'; 1024]);
    file.write_at(0, &[b'a'; 1024]).unwrap();
    file.write_at(512, &[b'b'; 1024]).unwrap();
    let reached = outcomes(&disk, Crash::Random);
    for needed in ["..", "aa", "a.", ".a", "abb", ".bb", "..b", "..0", ".b0"] {
        assert!(reached.contains(needed), "{needed} is not among {reached:?}");
    }
    for seed in 0..50 {
        let image = || disk.crash(Crash::Random(seed)).contents("/f").unwrap();
        assert_eq!(image(), image());
    }
}

#[test]
fn a_crash_leaves_the_first_disk_as_it_was_and_shares_its_memory() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    file.write_at(0, &vec![1; 64 << 20]).unwrap();
    disk.settle();
    file.write_at(0, b"x").unwrap();
    // Thousands of images of 64 MiB fit in memory only if they share it.
    let images: Vec<SimDisk> = (0..2000).map(|seed| disk.crash(Crash::Random(seed))).collect();
    let first = images.first().unwrap();
    first.open(Path::new("/f"), OpenMode::ReadWrite).unwrap().write_at(1, b"y").unwrap();
    let mut seen = [0; 2];
    file.read_exact_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"x\x01");
    assert!(images.iter().all(|image| image.used_space() == 64 << 20));
}
