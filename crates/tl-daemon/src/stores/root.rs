//! Which directory a store belongs to: the directory itself, recognised by device and inode, and its path as a hint.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::error::{Error, Result};

const HEADER: &str = "timelapse root 1";
/// More than any path with all its bytes escaped.
pub(super) const ROOT_LEN_MAX: usize = 32 << 10;

/// What tells a directory from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootIdentity {
    /// The device that it is on. Some systems number devices anew at each start.
    pub device: u64,
    /// Its inode, which a later directory may get once this one is gone.
    pub inode: u64,
    /// When it was created, since 1970, where the filesystem knows it.
    pub born: Option<Duration>,
}

impl RootIdentity {
    /// The identity of the directory at `path`.
    ///
    /// # Errors
    /// If it cannot be looked at, or is no directory.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| Error::io("look at", path, error))?;
        if !metadata.is_dir() {
            return Err(Error::NotADirectory { path: path.into() });
        }
        // No time of creation is nothing to fail about: older filesystems have none.
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), born })
    }

    /// True if nothing tells the two apart.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.device == other.device && self.is_but_for_device(other)
    }

    /// True if nothing but the device's number tells the two apart.
    fn is_but_for_device(&self, other: &Self) -> bool {
        self.inode == other.inode && (self.born == other.born || self.born.is_none() || other.born.is_none())
    }
}

/// A directory that a store belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it was seen last: an absolute path without symbolic links.
    pub path: PathBuf,
    /// What it is.
    pub identity: RootIdentity,
}

impl Root {
    /// The directory at `path`.
    ///
    /// # Errors
    /// If it cannot be looked at, or is no directory.
    pub fn at(path: &Path) -> Result<Self> {
        let path = fs::canonicalize(path).map_err(|error| Error::io("find", path, error))?;
        let identity = RootIdentity::of(&path)?;
        Ok(Self { path, identity })
    }

    /// True if the directory remembered still stands where it was seen last.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        RootIdentity::of(&self.path).is_ok_and(|found| found.is(&self.identity))
    }

    /// True if `found` is the directory that this remembers, moved or not.
    #[must_use]
    pub fn is(&self, found: &Self) -> bool {
        if found.identity.is(&self.identity) {
            return true;
        }
        // Its device may have another number since the system was started anew. A snapshot or an image of the disk looks just so: then the original is there too.
        let (ours, theirs) = (&self.identity, &found.identity);
        let known_birth = ours.born.is_some() && ours.born == theirs.born;
        ours.is_but_for_device(theirs) && (known_birth || self.path == found.path) && !self.is_in_place()
    }

    /// The lines of the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let born = match self.identity.born {
            Some(born) => format!("{}.{:09}", born.as_secs(), born.subsec_nanos()),
            None => "-".to_owned(),
        };
        let RootIdentity { device, inode, .. } = self.identity;
        let path = escape(self.path.as_os_str().as_bytes());
        format!("{HEADER}\ndevice {device}\ninode {inode}\nborn {born}\npath {path}\n").into_bytes()
    }

    /// Reads the lines of the file at `file`.
    pub(super) fn decode(content: &[u8], file: &Path) -> Result<Self> {
        let wrong = || Error::not_a_store(file, "it does not say which directory the store belongs to");
        let text = std::str::from_utf8(content).map_err(|_| wrong())?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(wrong());
        }
        let mut field = |name: &str| -> Option<&str> { lines.next()?.strip_prefix(name)?.strip_prefix(' ') };
        let device = field("device").and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let inode = field("inode").and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let born = match field("born").ok_or_else(wrong)? {
            "-" => None,
            text => Some(parse_time(text).ok_or_else(wrong)?),
        };
        let path = field("path").and_then(unescape).ok_or_else(wrong)?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        let root = Self { path, identity: RootIdentity { device, inode, born } };
        // Exactly these lines: a number with a sign, or another way to escape a letter, is nothing that was ever written.
        if !root.path.is_absolute() || root.encode() != content {
            return Err(wrong());
        }
        Ok(root)
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    let (seconds, nanos) = text.split_once('.')?;
    let nanos: u32 = nanos.parse().ok()?;
    (nanos < 1_000_000_000).then_some(Duration::new(seconds.parse().ok()?, nanos))
}

/// Writes a path as one line of printable letters.
fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(char::from(byte)),
            b' ' => out.push(' '),
            _ => {
                out.push('%');
                out.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
            }
        }
    }
    out
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high << 4 | low).ok()?);
    }
    (!out.contains(&0)).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(device: u64, inode: u64, born: Option<u64>) -> RootIdentity {
        RootIdentity { device, inode, born: born.map(Duration::from_nanos) }
    }

    #[test]
    fn odd_paths_survive() {
        for path in ["/a b/%41/ü", "/new\nline", "/\u{1}"] {
            let root = Root { path: path.into(), identity: identity(1, u64::MAX, Some(1_500_000_000)) };
            let lines = root.encode();
            assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 5);
            assert_eq!(Root::decode(&lines, Path::new("ROOT")).unwrap(), root);
        }
        let raw =
            Root { path: std::ffi::OsString::from_vec(b"/\xff\xfe".to_vec()).into(), identity: identity(3, 4, None) };
        assert_eq!(Root::decode(&raw.encode(), Path::new("ROOT")).unwrap(), raw);
    }

    #[test]
    fn damaged_lines_are_refused() {
        let good = "timelapse root 1\ndevice 1\ninode 2\nborn -\npath /a\n";
        assert!(Root::decode(good.as_bytes(), Path::new("ROOT")).is_ok());
        for (from, to) in [
            ("root 1", "root 2"),
            ("device 1", "device -1"),
            ("inode 2\n", ""),
            ("born -", "born 1.9999999999"),
            ("path /a", "path a"),
            ("path /a", "path /%zz"),
            ("path /a", "path /%00"),
            ("/a\n", "/a\nmore\n"),
            ("device 1", "device +1"),
            ("inode 2", "inode 02"),
            ("born -", "born 1.5"),
            ("path /a", "path /%41"),
            ("\n", "\r\n"),
            ("path /a\n", "path /a"),
        ] {
            let bad = good.replace(from, to);
            assert!(Root::decode(bad.as_bytes(), Path::new("ROOT")).is_err(), "{bad}");
        }
    }

    /// If it fails, a later directory that got the inode of one that is gone would be taken for it, or a disk that is plugged in again for another.
    #[test]
    fn what_tells_directories_apart() {
        let gone = |identity| Root { path: "/nonexistent/project".into(), identity };
        let known = gone(identity(1, 2, Some(3)));
        assert!(known.is(&Root { path: "/elsewhere".into(), identity: identity(1, 2, Some(3)) }), "moved");
        assert!(known.is(&Root { path: "/elsewhere".into(), identity: identity(9, 2, Some(3)) }), "device renumbered");
        assert!(!known.is(&gone(identity(1, 2, Some(4)))), "the inode was used again");
        assert!(!known.is(&gone(identity(1, 5, Some(3)))), "a copy");
        let unborn = gone(identity(1, 2, None));
        assert!(unborn.is(&gone(identity(9, 2, None))), "device renumbered, same path");
        assert!(!unborn.is(&Root { path: "/elsewhere".into(), identity: identity(9, 2, None) }));
    }

    /// If it fails, a snapshot of the filesystem would write into the store of its original.
    #[test]
    fn a_snapshot_beside_its_original_is_another_root() {
        let dir = tempfile::tempdir().unwrap();
        let original = Root::at(dir.path()).unwrap();
        let mut snapshot = original.clone();
        snapshot.path = "/snapshots/project".into();
        snapshot.identity.device += 1;
        assert!(!original.is(&snapshot));
    }
}
