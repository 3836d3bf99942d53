//! The kinds of cartridges that are known here, with what each is asked.
//!
//! A kind belongs into the lowest layer that can say what its changes are: a task is a matter of the queue, and a touched path is bytes and a number. What feeds them,
//! and what it calls its numbers, is known above.

pub mod path_history;
pub mod pending_tasks;

use std::ops::Bound;

use super::error::Result;
use super::projection::Projection;
use super::reader::Cartridge;
use super::scan::{Entry, Order};
use super::view::View;

/// Entries to ask: those of a cartridge, or of a view, which is fresh.
pub trait Entries {
    /// The entries in a range of keys, in either order.
    fn entries<'a>(
        &'a self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
    ) -> Box<dyn Iterator<Item = Result<Entry>> + 'a>;

    /// How many there are in a range of keys.
    ///
    /// # Errors
    /// [`Error::Damaged`](super::Error::Damaged).
    fn entry_count(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<u64>;
}

impl Entries for Cartridge {
    fn entries<'a>(
        &'a self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
    ) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        Box::new(self.scan(range, order))
    }

    fn entry_count(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<u64> {
        self.count(range)
    }
}

impl<P: Projection> Entries for View<P> {
    fn entries<'a>(
        &'a self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
    ) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        Box::new(self.scan(range, order))
    }

    fn entry_count(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<u64> {
        self.count(range)
    }
}
