//! What tasks, types and leases are called. Whoever holds one of these holds a valid one.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, Result};
use super::limits::{DEDUPE_KEY_LEN_MAX, TYPE_LEN_MAX};
use crate::id::TxnId;

/// A task. Ids rise in the order of enqueuing, and none is given twice. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What tells one lease on a task from the others on it: the transaction of the claim. A later lease on the same task has a greater one, so
/// whatever a task's work changes outside of the queue can refuse those who come late by comparing tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    pub(super) const fn of(txn: TxnId) -> Self {
        Self(txn.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of work a task is: 1 to 255 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskType(Box<str>);

impl TaskType {
    /// The type of this name.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn new(name: &str) -> Result<Self> {
        check_name("task type", name, TYPE_LEN_MAX)?;
        Ok(Self(name.into()))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl fmt::Display for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes two enqueued tasks of a type the same one: 1 to 255 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupeKey(Box<str>);

impl DedupeKey {
    /// The key of this name.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn new(name: &str) -> Result<Self> {
        check_name("dedupe key", name, DEDUPE_KEY_LEN_MAX)?;
        Ok(Self(name.into()))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_name(what: &'static str, name: &str, len_max: usize) -> Result<()> {
    if name.is_empty() || name.len() > len_max {
        return Err(Error::invalid(what, format!("it has {} bytes and must have 1 to {len_max}", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(what, "it has a control character"));
    }
    Ok(())
}
