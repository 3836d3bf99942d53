//! The settings of a store: `config.toml`, read strictly, written so that comments stay.
//!
//! No setting names a command or a path outside of the root: whoever can write the file gains nothing by it.

use std::time::Duration;

use tl_journal::RetentionPolicy;
use tl_watcher::Backend;
use toml_edit::{DocumentMut, Item, Value};

use crate::error::{Error, Result};
use crate::stores::{StoreDir, read_private, write_atomically};
use crate::wire::Setting;

/// More than all settings with a page of comments.
const CONFIG_LEN_MAX: usize = 256 << 10;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

/// What a value may be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A whole number in a range.
    Number { min: u64, max: u64, default: u64 },
    /// True or false.
    Flag { default: bool },
    /// One of some words.
    Word { words: &'static [&'static str], default: &'static str },
}

/// One setting that there is.
struct Known {
    key: &'static str,
    about: &'static str,
    kind: Kind,
}

const fn number(key: &'static str, about: &'static str, min: u64, max: u64, default: u64) -> Known {
    Known { key, about, kind: Kind::Number { min, max, default } }
}

const KNOWN: &[Known] = &[
    number(
        "capture.window_ms",
        "How long a path rests during bursts before it is captured, in milliseconds.",
        200,
        500,
        300,
    ),
    Known {
        key: "watch.backend",
        about: "How changes are noticed.",
        kind: Kind::Word { words: &["auto", "native", "portable", "scan"], default: "auto" },
    },
    number("watch.scan_interval_s", "Seconds between two scans of what cannot be watched.", 1, 86_400, 10),
    number(
        "watch.directories_max",
        "Most directories to watch; the others are scanned. 0 for as many as the system allows.",
        0,
        1 << 32,
        0,
    ),
    number("retention.newest", "Checkpoints that are kept whatever their age.", 1, 1 << 32, 2000),
    number("retention.dense_hours", "Hours for which every checkpoint is kept.", 0, 1 << 20, 24),
    number("retention.hourly_days", "Days for which the last checkpoint of each hour is kept.", 0, 1 << 20, 30),
    number(
        "retention.daily_days",
        "Days for which the last checkpoint of each day is kept. 0 for ever.",
        0,
        1 << 20,
        0,
    ),
    Known {
        key: "retention.keep_imported",
        about: "Whether imported checkpoints are kept until you say otherwise.",
        kind: Kind::Flag { default: true },
    },
    number(
        "retention.budget_mb",
        "Megabytes (of 1,000,000 bytes) that the store may take. 0 for any number.",
        0,
        1 << 40,
        0,
    ),
    number("gc.idle_minutes", "Minutes without a change after which the daemon collects. 0 for never.", 0, 1 << 20, 15),
    Known {
        key: "log.level",
        about: "What is logged.",
        kind: Kind::Word { words: &["error", "warn", "info", "debug", "trace"], default: "info" },
    },
];

/// The settings of a store.
#[derive(Debug, Clone)]
pub struct Settings {
    document: DocumentMut,
}

impl Default for Settings {
    fn default() -> Self {
        Self { document: DocumentMut::new() }
    }
}

impl Settings {
    /// Reads the settings of a store; a missing file stands for the defaults.
    ///
    /// # Errors
    /// [`Error::Setting`] for a file that is not understood as a whole, or an error of the system.
    pub fn load(store: &StoreDir) -> Result<Self> {
        let Some(content) = read_private(&store.config(), CONFIG_LEN_MAX)? else { return Ok(Self::default()) };
        let text = String::from_utf8(content).map_err(|_| wrong("config.toml", "it is no text"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| wrong("config.toml", error.to_string().trim_end()))?;
        let settings = Self { document };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        for (section, item) in self.document.iter() {
            let Some(table) = item.as_table_like() else {
                return Err(wrong(section, "there is no such setting outside of a section"));
            };
            for (name, item) in table.iter() {
                let key = format!("{section}.{name}");
                let known = find(&key)?;
                let value = item.as_value().ok_or_else(|| wrong(&key, "it has no value"))?;
                known.check(value)?;
            }
        }
        Ok(())
    }

    /// Changes a setting, or takes it back to its default, and writes the file.
    ///
    /// # Errors
    /// [`Error::Setting`] for an unknown setting or a value that is not possible, or an error of the system.
    pub fn set(&mut self, store: &StoreDir, key: &str, value: Option<&str>) -> Result<()> {
        let changed = self.changed(key, value)?;
        write_atomically(&store.config(), changed.to_string().as_bytes())?;
        self.document = changed;
        Ok(())
    }

    /// The document with a setting changed.
    fn changed(&self, key: &str, value: Option<&str>) -> Result<DocumentMut> {
        let known = find(key)?;
        let (section, name) = known.parts();
        let mut changed = self.document.clone();
        match value {
            None => {
                if let Some(table) = changed.get_mut(section).and_then(Item::as_table_like_mut) {
                    table.remove(name);
                }
            }
            Some(text) => {
                let value = known.read(text)?;
                let table = changed.entry(section).or_insert_with(toml_edit::table);
                let table = table.as_table_like_mut().ok_or_else(|| wrong(section, "it is no section"))?;
                table.insert(name, Item::Value(value));
            }
        }
        Ok(changed)
    }

    /// All settings with their values.
    #[must_use]
    pub fn list(&self) -> Vec<Setting> {
        KNOWN
            .iter()
            .map(|known| {
                let set = self.value(known);
                let value = set.map_or_else(|| known.default_text(), shown);
                Setting { key: known.key.into(), value, is_default: set.is_none(), about: known.about.into() }
            })
            .collect()
    }

    fn value(&self, known: &Known) -> Option<&Value> {
        let (section, name) = known.parts();
        self.document.get(section)?.as_table_like()?.get(name)?.as_value()
    }

    fn number(&self, key: &str) -> u64 {
        let Ok(known) = find(key) else { return 0 };
        let Kind::Number { default, .. } = known.kind else { return 0 };
        // What is in the document was checked when it came in.
        self.value(known).and_then(Value::as_integer).and_then(|number| number.try_into().ok()).unwrap_or(default)
    }

    fn word(&self, key: &str) -> &str {
        let Ok(known) = find(key) else { return "" };
        let Kind::Word { default, .. } = known.kind else { return "" };
        self.value(known).and_then(Value::as_str).unwrap_or(default)
    }

    /// How long a path rests during bursts.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.number("capture.window_ms"))
    }

    /// How changes are noticed.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.word("watch.backend") {
            "native" => Backend::Native,
            "portable" => Backend::Portable(tl_watcher::Fidelity::Full),
            "scan" => Backend::Scan,
            _ => Backend::Auto,
        }
    }

    /// Time between two scans of what cannot be watched.
    #[must_use]
    pub fn scan_interval(&self) -> Duration {
        Duration::from_secs(self.number("watch.scan_interval_s"))
    }

    /// Most directories to watch.
    #[must_use]
    pub fn watches_max(&self) -> usize {
        match self.number("watch.directories_max") {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(usize::MAX),
        }
    }

    /// Which checkpoints are kept.
    #[must_use]
    pub fn retention(&self) -> RetentionPolicy {
        let days = |key| DAY.saturating_mul(u32::try_from(self.number(key)).unwrap_or(u32::MAX));
        let keep_imported =
            find("retention.keep_imported").ok().and_then(|known| self.value(known)).and_then(Value::as_bool);
        RetentionPolicy {
            newest: usize::try_from(self.number("retention.newest")).unwrap_or(usize::MAX),
            dense_for: HOUR.saturating_mul(u32::try_from(self.number("retention.dense_hours")).unwrap_or(u32::MAX)),
            hourly_for: days("retention.hourly_days"),
            daily_for: Some(days("retention.daily_days")).filter(|age| !age.is_zero()),
            keep_imported: keep_imported.unwrap_or(true),
            budget_bytes: Some(self.number("retention.budget_mb").saturating_mul(1_000_000)).filter(|&bytes| bytes > 0),
        }
    }

    /// Time without a change after which the daemon collects; `None` for never.
    #[must_use]
    pub fn idle_before_gc(&self) -> Option<Duration> {
        Some(self.number("gc.idle_minutes"))
            .filter(|&minutes| minutes > 0)
            .map(|minutes| Duration::from_secs(minutes * 60))
    }

    /// What is logged.
    #[must_use]
    pub fn log_level(&self) -> tracing::Level {
        self.word("log.level").parse().unwrap_or(tracing::Level::INFO)
    }
}

impl Known {
    fn parts(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }

    fn default_text(&self) -> String {
        match self.kind {
            Kind::Number { default, .. } => default.to_string(),
            Kind::Flag { default } => default.to_string(),
            Kind::Word { default, .. } => format!("\"{default}\""),
        }
    }

    fn check(&self, value: &Value) -> Result<()> {
        match self.kind {
            Kind::Number { min, max, .. } => {
                let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
                match number.filter(|number| (min..=max).contains(number)) {
                    Some(_) => Ok(()),
                    None => {
                        Err(wrong(self.key, &format!("{}: a number from {min} to {max} is possible", shown(value))))
                    }
                }
            }
            Kind::Flag { .. } => match value.as_bool() {
                Some(_) => Ok(()),
                None => Err(wrong(self.key, "true or false is possible")),
            },
            Kind::Word { words, .. } => match value.as_str().filter(|word| words.contains(word)) {
                Some(_) => Ok(()),
                None => Err(wrong(self.key, &format!("{}: one of {} is possible", shown(value), words.join(", ")))),
            },
        }
    }

    /// Reads a value as people type it: words may come without quotes.
    fn read(&self, text: &str) -> Result<Value> {
        let value = match self.kind {
            Kind::Word { .. } => Value::from(text.trim().trim_matches('"')),
            _ => text.trim().parse().map_err(|_| wrong(self.key, "its value is none"))?,
        };
        self.check(&value)?;
        Ok(value)
    }
}

fn find(key: &str) -> Result<&'static Known> {
    KNOWN.iter().find(|known| known.key == key).ok_or_else(|| wrong(key, "there is no such setting"))
}

/// A value as it stands in the file, without the comment behind it.
fn shown(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    value.to_string()
}

fn wrong(key: &str, reason: &str) -> Error {
    Error::Setting { key: key.to_owned(), reason: reason.to_owned() }
}

/// Settings, for a fuzzer: what is taken is in its ranges, is written as it was read, and can be changed.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(text: &str) {
    let Ok(settings) = Settings::parse(text) else { return };
    debug_assert!((200..=500).contains(&settings.number("capture.window_ms")));
    debug_assert!(settings.retention().newest >= 1);
    let (listed, written) = (settings.list(), settings.document.to_string());
    let again = Settings::parse(&written);
    debug_assert!(again.as_ref().is_ok_and(|again| again.list() == listed), "{again:?} was {settings:?}");
    for known in KNOWN {
        for value in [None, Some(known.default_text())] {
            let changed = settings.changed(known.key, value.as_deref()).map(|document| document.to_string());
            let read = changed.and_then(|text| Settings::parse(&text));
            let is_as_it_should_be = |settings: &Settings| {
                listed.iter().zip(settings.list()).all(|(before, after)| {
                    *before == after || (after.key == known.key && after.value == known.default_text())
                })
            };
            debug_assert!(read.as_ref().is_ok_and(is_as_it_should_be), "{} {value:?}: {read:?}", known.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_where_nothing_is_said() {
        let settings = Settings::default();
        assert_eq!(settings.retention(), RetentionPolicy::default());
        assert_eq!(settings.window(), Duration::from_millis(300));
        assert!(settings.list().iter().all(|setting| setting.is_default && setting.about.ends_with('.')));
        assert_eq!(settings.list().len(), KNOWN.len());
    }

    #[test]
    fn what_is_said_holds() {
        let text = "# mine\n[retention]\nnewest = 7 # few\nbudget_mb = 50\n[watch]\nbackend = \"scan\"\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.retention().newest, 7);
        let newest = settings.list().into_iter().find(|setting| setting.key == "retention.newest").unwrap();
        assert_eq!((&*newest.value, newest.is_default), ("7", false), "the comment is no part of the value");
        assert_eq!(settings.retention().budget_bytes, Some(50_000_000));
        assert_eq!(settings.backend(), Backend::Scan);
    }

    /// If it fails, a mistyped setting is silently without effect.
    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "nonsense",
            "newest = 7",
            "[retention]\nnewst = 7",
            "[retention]\nnewest = 0",
            "[retention]\nnewest = -1",
            "[retention]\nnewest = \"7\"",
            "[watch]\nbackend = \"telepathy\"",
            "[hooks]\ncommand = \"rm\"",
            "[capture]\nwindow_ms = 100",
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_change_keeps_comments_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreDir::for_tests(dir.path());
        std::fs::write(store.config(), "# mine\n[retention]\nnewest = 7 # few\n").unwrap();
        let mut settings = Settings::load(&store).unwrap();
        settings.set(&store, "retention.dense_hours", Some("48")).unwrap();
        settings.set(&store, "watch.backend", Some("scan")).unwrap();
        assert!(settings.set(&store, "retention.newest", Some("none")).is_err());
        assert!(settings.set(&store, "retention.nothing", Some("1")).is_err());
        let text = std::fs::read_to_string(store.config()).unwrap();
        assert!(text.contains("# mine") && text.contains("# few") && text.contains("dense_hours = 48"), "{text}");
        let mut again = Settings::load(&store).unwrap();
        assert_eq!(again.retention().dense_for, 48 * HOUR);
        again.set(&store, "retention.newest", None).unwrap();
        assert_eq!(Settings::load(&store).unwrap().retention().newest, 2000);
    }
}
