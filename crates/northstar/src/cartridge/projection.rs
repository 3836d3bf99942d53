//! How changes become entries: what a kind of cartridge is.

use super::error::{Error, Result};
use super::header::{KEY_LEN_MAX, Kind, VALUE_LEN_MAX};

/// The rules of one kind of cartridge. They see one change at a time and nothing else: no clock, no state, no other change. So the same changes give the same entries,
/// wherever and in whatever pieces they come.
///
/// Whoever changes the rules raises the version, and cartridges of the former one are built again.
pub trait Projection {
    /// What a stream of this kind is made of.
    type Change<'a>;

    /// Name and version.
    fn kind() -> Kind;

    /// What the change with the number `sequence` does to the entries.
    ///
    /// # Errors
    /// [`Error::InvalidChange`] for a change that cannot be indexed, and those of `edits`.
    fn project(sequence: u64, change: &Self::Change<'_>, edits: &mut Edits<'_>) -> Result<()>;
}

/// Where edits go: a key, and its value or `None` for its removal.
pub(crate) type Sink<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<()> + 'a;

/// Takes what a projection does to the entries.
pub struct Edits<'a> {
    sink: &'a mut Sink<'a>,
}

impl<'a> Edits<'a> {
    pub(crate) fn new(sink: &'a mut Sink<'a>) -> Self {
        Self { sink }
    }

    /// Gives `key` this value, whether it had one or not.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; those of the disk when sorted edits are written.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check(key, value)?;
        (self.sink)(key, Some(value))
    }

    /// Removes `key`, if it is there.
    ///
    /// # Errors
    /// As for [`Edits::put`].
    pub fn remove(&mut self, key: &[u8]) -> Result<()> {
        check(key, &[])?;
        (self.sink)(key, None)
    }
}

pub(crate) fn check(key: &[u8], value: &[u8]) -> Result<()> {
    let too_large = |what, len: usize, max: usize| Error::TooLarge { what, len: len as u64, max: max as u64 };
    match () {
        () if key.is_empty() => Err(Error::InvalidChange { what: "a key of no bytes" }),
        () if key.len() > KEY_LEN_MAX => Err(too_large("a key", key.len(), KEY_LEN_MAX)),
        () if value.len() > VALUE_LEN_MAX => Err(too_large("a value", value.len(), VALUE_LEN_MAX)),
        () => Ok(()),
    }
}

/// Passes if a position can follow another one: numbers rise, and changes of one number that come in pieces have one anchor.
pub(crate) fn check_order(last: &super::Position, given: &super::Position) -> Result<()> {
    if given.sequence > last.sequence || given == last {
        return Ok(());
    }
    Err(Error::OutOfOrder { last: last.sequence, given: given.sequence })
}
