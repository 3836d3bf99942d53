//! What is mounted beneath the root: from `/proc/self/mountinfo`, which also tells when it changes. No event does.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::path::{ancestors, is_within};

/// The list is the kernel's own, but a machine full of containers has a long one.
const LIST_LEN_MAX: u64 = 16 << 20;

/// See the module.
pub(super) struct Mounts {
    list: File,
    /// Relative to the root.
    points: BTreeSet<Box<[u8]>>,
}

impl Mounts {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let mut mounts = Self { list: File::open("/proc/self/mountinfo")?, points: BTreeSet::new() };
        mounts.refresh(root)?;
        Ok(mounts)
    }

    /// To poll for [`PRI`](rustix::event::PollFlags::PRI).
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.list.as_fd()
    }

    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.points.contains(path)
    }

    /// True if something is mounted at `path` or at a directory above it.
    pub(super) fn is_above(&self, path: &[u8]) -> bool {
        !self.points.is_empty() && (self.contains(path) || ancestors(path).any(|above| self.contains(above)))
    }

    /// Reads the list again. Returns where something was mounted or unmounted since the last time.
    pub(super) fn refresh(&mut self, root: &Path) -> io::Result<Vec<Box<[u8]>>> {
        self.list.rewind()?;
        let mut content = Vec::new();
        (&self.list).take(LIST_LEN_MAX).read_to_end(&mut content)?;
        let points = beneath(&content, root.as_os_str().as_bytes());
        let changed = points.symmetric_difference(&self.points).cloned().collect();
        self.points = points;
        Ok(changed)
    }
}

/// The mount points of a list that lie beneath `root`, relative to it.
fn beneath(list: &[u8], root: &[u8]) -> BTreeSet<Box<[u8]>> {
    let root = if root == b"/" { &[] } else { root };
    let points = list.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points
        .map(unescape)
        .filter(|point| is_within(point, root))
        .filter_map(|point| point.get(root.len() + 1..).filter(|path| !path.is_empty()).map(Box::from))
        .collect()
}

/// The kernel writes blanks and backslashes of a path as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let octal =
            tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match octal {
            Some(digits) => {
                plain.push(digits.iter().fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
                rest = tail.get(3..).unwrap_or_default();
            }
            None => plain.push(*first),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_beneath_the_root_alone() {
        let list = b"22 1 8:1 / / rw - ext4 /dev/sda rw\n\
            30 22 0:5 / /home/me/project\\040x/mnt rw shared:1 - tmpfs none rw\n\
            31 22 0:6 / /home/me/project\\040xy rw - tmpfs none rw\n\
            32 22 0:7 / /home/me/project\\040x rw - tmpfs none rw\n\
            33 30 0:8 / /home/me/project\\040x/mnt/deep\\134 rw - nfs a:/b rw\n";
        let found = beneath(list, b"/home/me/project x");
        assert_eq!(found, BTreeSet::from([Box::from(&b"mnt"[..]), Box::from(&b"mnt/deep\\"[..])]));
        assert_eq!(beneath(list, b"/").len(), 4);
    }
}
