//! Logs of the daemon: one line of fields for each event, in files that are rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

/// Length in bytes at which a file is closed and the next begun.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Files that are kept beside the one that is written.
const FILES_KEPT: u32 = 4;

/// The log files of a store: `daemon.log`, and `daemon.log.1` to `daemon.log.4` from new to old.
#[derive(Debug, Clone)]
pub struct LogFiles {
    shared: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
}

impl LogFiles {
    /// Opens the log in `dir`, where earlier runs left theirs.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Self::with_limit(dir, FILE_LEN_MAX)
    }

    fn with_limit(dir: &Path, len_max: u64) -> io::Result<Self> {
        let path = dir.join("daemon.log");
        let (file, len) = append(&path)?;
        Ok(Self { shared: Arc::new(Mutex::new(Open { path, file, len, len_max })) })
    }

    /// Opens the file anew, as when somebody moved it away.
    ///
    /// # Errors
    /// If it cannot be opened; the one that is open goes on.
    pub fn reopen(&self) -> io::Result<()> {
        let mut open = self.shared.lock();
        let (file, len) = append(&open.path)?;
        (open.file, open.len) = (file, len);
        Ok(())
    }
}

impl Open {
    fn rotate(&mut self) -> io::Result<()> {
        let name = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..FILES_KEPT).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, name(1))?;
        (self.file, self.len) = append(&self.path)?;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

impl Write for LogFiles {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.shared.lock();
        if open.len > 0 && open.len + line.len() as u64 > open.len_max {
            open.rotate()?;
        }
        let written = open.file.write(line)?;
        open.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.lock().file.flush()
    }
}

impl MakeWriter<'_> for LogFiles {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Sets how much is logged while the process runs.
pub struct LogLevel {
    handle: reload::Handle<LevelFilter, Registry>,
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogLevel").finish_non_exhaustive()
    }
}

impl LogLevel {
    /// From now on, this much is logged.
    pub fn set(&self, level: tracing::Level) {
        if let Err(error) = self.handle.modify(|filter| *filter = LevelFilter::from_level(level)) {
            tracing::warn!(%error, "the level of the log stays as it is");
        }
    }
}

/// A subscriber that writes to `files`, for the program to install in its whole process.
#[must_use]
pub fn subscriber(
    files: &LogFiles,
    level: tracing::Level,
) -> (impl tracing::Subscriber + Send + Sync + 'static, LogLevel) {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(files.clone()).with_ansi(false).with_target(true);
    (Registry::default().with(lines.with_filter(filter)), LogLevel { handle })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFiles::with_limit(dir.path(), 100).unwrap();
        for number in 0..40 {
            let line = format!("{number:030}\n");
            log.write_all(line.as_bytes()).unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["daemon.log", "daemon.log.1", "daemon.log.2", "daemon.log.3", "daemon.log.4"]);
        let newest = fs::read_to_string(dir.path().join("daemon.log")).unwrap();
        assert!(newest.ends_with("39\n"), "{newest}");
        assert!(fs::read_to_string(dir.path().join("daemon.log.4")).unwrap() < newest);
        assert!(names.iter().all(|name| fs::metadata(dir.path().join(name)).unwrap().len() <= 100));
    }

    #[test]
    fn events_become_lines_with_their_fields_and_the_level_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFiles::open(dir.path()).unwrap();
        let (subscriber, level) = subscriber(&log, tracing::Level::INFO);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(paths = 3, "captured");
            tracing::debug!("hidden");
            level.set(tracing::Level::DEBUG);
            tracing::debug!("shown");
        });
        let text = fs::read_to_string(dir.path().join("daemon.log")).unwrap();
        assert!(text.contains("captured") && text.contains("paths=3"), "{text}");
        assert!(!text.contains("hidden") && text.contains("shown"), "{text}");
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFiles::open(dir.path()).unwrap();
        log.write_all(b"before\n").unwrap();
        fs::rename(dir.path().join("daemon.log"), dir.path().join("taken")).unwrap();
        log.reopen().unwrap();
        log.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("daemon.log")).unwrap(), "after\n");
    }
}
