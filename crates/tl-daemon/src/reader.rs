//! Reading a store, whoever has it.

use tl_core::Objects;

use crate::error::Result;
use crate::place::Place;
use crate::session::{Access, Session, wrong_answer};
use crate::wire::{Answer, Checkpoint, CheckpointId, Item, LogQuery, ObjectId, Pin, Request, Status};

/// A store to read: over the socket while a daemon has it, else directly under a shared lock, which is released when this is dropped.
#[derive(Debug)]
pub struct StoreReader {
    session: Session,
    objects: Objects,
}

impl StoreReader {
    /// Opens the store of `place`. No daemon is started.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub fn open(place: &Place) -> Result<Self> {
        Self::of(Session::open(place, Access::Read, None)?)
    }

    /// Reads through a session that is open already.
    ///
    /// # Errors
    /// As for [`Session::objects`].
    pub fn of(session: Session) -> Result<Self> {
        let objects = session.objects()?;
        Ok(Self { session, objects })
    }

    /// The objects: trees, contents, differences. They stay usable after the reader is gone, as long as the store is.
    #[must_use]
    pub const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// How things are.
    ///
    /// # Errors
    /// As for [`Session::call`], here and below.
    pub fn status(&mut self) -> Result<Status> {
        match self.ask(Request::Status)? {
            Answer::Status(status) => Ok(*status),
            _ => Err(wrong_answer()),
        }
    }

    /// The checkpoint that a name stands for; times without an offset are understood in the time zone `zone`.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) of kind `NotFound` or `Ambiguous`.
    pub fn resolve(&mut self, name: &str, zone: &str) -> Result<Checkpoint> {
        self.one(Request::Resolve { name: name.to_owned(), zone: zone.to_owned() })
    }

    /// The checkpoint with this id.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) of kind `NotFound`.
    pub fn checkpoint(&mut self, id: CheckpointId) -> Result<Checkpoint> {
        self.one(Request::Checkpoint { id })
    }

    /// Calls `visit` with each checkpoint that fits, in the order of the query, until it returns false or `limit` of the query is reached.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub fn log(&mut self, query: &LogQuery, visit: &mut dyn FnMut(Checkpoint) -> bool) -> Result<()> {
        let mut query = query.clone();
        let mut left = query.limit;
        loop {
            let (mut found, mut goes_on) = (0, true);
            let mut on_item = |item: Item| {
                if let Item::Checkpoint(checkpoint) = item {
                    found += 1;
                    goes_on = goes_on && visit(*checkpoint);
                }
            };
            let answer = self.session.call(Request::Log(query.clone()), &mut on_item)?;
            let Answer::Page(page) = answer else { return Err(wrong_answer()) };
            if query.limit > 0 {
                left = left.saturating_sub(found);
                if left == 0 {
                    return Ok(());
                }
                query.limit = left;
            }
            match page.next {
                Some(next) if goes_on => query.from = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// The parents of a checkpoint that are left.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub fn parents(&mut self, id: CheckpointId) -> Result<Vec<Checkpoint>> {
        let mut parents = Vec::new();
        let mut on_item = |item: Item| {
            if let Item::Checkpoint(checkpoint) = item {
                parents.push(*checkpoint);
            }
        };
        self.session.call(Request::Parents { id }, &mut on_item)?;
        Ok(parents)
    }

    /// The newest checkpoint that both come from.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub fn common_ancestor(&mut self, a: CheckpointId, b: CheckpointId) -> Result<Option<Checkpoint>> {
        match self.ask(Request::CommonAncestor { a, b })? {
            Answer::MaybeCheckpoint(found) => Ok(found.map(|found| *found)),
            _ => Err(wrong_answer()),
        }
    }

    /// All pins, by name.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub fn pins(&mut self) -> Result<Vec<Pin>> {
        match self.ask(Request::Pins)? {
            Answer::Pins(pins) => Ok(pins),
            _ => Err(wrong_answer()),
        }
    }

    /// Keeps checkpoints and root trees from being collected until the reader is dropped.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) of kind `NotFound` if one is gone.
    pub fn lease(&mut self, checkpoints: Vec<CheckpointId>, roots: Vec<ObjectId>) -> Result<()> {
        self.ask(Request::Lease { checkpoints, roots }).map(|_| ())
    }

    /// The session, for what else there is to ask.
    pub const fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn ask(&mut self, request: Request) -> Result<Answer> {
        self.session.call(request, &mut |_| {})
    }

    fn one(&mut self, request: Request) -> Result<Checkpoint> {
        match self.ask(request)? {
            Answer::Checkpoint(found) => Ok(*found),
            _ => Err(wrong_answer()),
        }
    }
}
