//! Which filesystems tell of all changes, by the magic number that `statfs` gives.

use std::os::fd::AsFd;

use crate::stats::ScanReason;

/// Why the filesystem that holds `directory` is to be scanned; none if its events are complete.
#[cfg(target_os = "linux")]
pub(crate) fn reason_to_scan(directory: impl AsFd) -> Option<ScanReason> {
    let magic = match rustix::fs::fstatfs(directory) {
        // A signed word of the machine's size; the numbers have 32 bits.
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the numbers have 32 bits")]
        Ok(found) => found.f_type as u32,
        // It is open, so that this is no more than a filesystem that cannot describe itself.
        Err(_) => return None,
    };
    by_magic(magic)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn reason_to_scan(_directory: impl AsFd) -> Option<ScanReason> {
    None
}

/// From `linux/magic.h` and the filesystems' own sources.
#[cfg(target_os = "linux")]
fn by_magic(magic: u32) -> Option<ScanReason> {
    use ScanReason::{NetworkFilesystem, OverlayFilesystem, PseudoFilesystem};
    Some(match magic {
        0x794c_7630 => OverlayFilesystem,
        0x6969 => NetworkFilesystem("nfs"),
        0xff53_4d42 => NetworkFilesystem("cifs"),
        0xfe53_4d42 => NetworkFilesystem("smb2"),
        0x517b => NetworkFilesystem("smb"),
        0x0102_1997 => NetworkFilesystem("9p"),
        0x6573_5546 => NetworkFilesystem("fuse"),
        0x00c3_6400 => NetworkFilesystem("ceph"),
        0x5346_414f | 0x6b41_4653 => NetworkFilesystem("afs"),
        0x7375_7245 => NetworkFilesystem("coda"),
        0x564c => NetworkFilesystem("ncp"),
        0x0bd0_0bd0 => NetworkFilesystem("lustre"),
        0x0116_1970 => NetworkFilesystem("gfs2"),
        0x7461_636f => NetworkFilesystem("ocfs2"),
        0x786f_4256 => NetworkFilesystem("vboxsf"),
        0x4750_4653 => NetworkFilesystem("gpfs"),
        0x9fa0 => PseudoFilesystem("proc"),
        0x6265_6572 => PseudoFilesystem("sysfs"),
        0x0027_e0eb | 0x6367_7270 => PseudoFilesystem("cgroup"),
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn proc_is_scanned_and_the_disk_is_watched() {
        let proc = std::fs::File::open("/proc").unwrap();
        assert_eq!(reason_to_scan(&proc), Some(ScanReason::PseudoFilesystem("proc")));
        // ext4, tmpfs, btrfs, xfs.
        for magic in [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342] {
            assert_eq!(by_magic(magic), None);
        }
        assert_eq!(by_magic(0x6969), Some(ScanReason::NetworkFilesystem("nfs")));
        assert_eq!(by_magic(0x794c_7630), Some(ScanReason::OverlayFilesystem));
    }
}
