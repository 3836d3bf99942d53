//! The handle that users hold, and how an operation becomes a transaction.

use std::sync::Arc;

use super::bell::Bell;
use super::clock::Clock;
use super::error::Result;
use super::rows::Rows;
use super::source::{self, Standing};
use super::view::View;
use crate::db::{At, Database, Tree};
use crate::options::Durability;

/// The name of the tree that [`Queue::open`] takes.
pub const TREE_NAME: &str = "queue";

/// A durable queue of tasks in a tree of a [`Database`]. Each call is one transaction, which is durable when the call returns; concurrent
/// calls share syncs.
///
/// Cloning is cheap: clones are the same queue. Open a queue once in a process and clone it: calls through another handle are as good, but do
/// not wake those who [wait](Queue::claim_wait) through this one.
///
/// ```
/// use northstar::queue::{Claim, NewTask, Queue, TaskType};
/// use northstar::{Database, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let db = Database::open(dir.path().join("work"), Options::new())?;
/// let queue = Queue::open(&db)?;
/// let mail = TaskType::new("mail")?;
/// queue.enqueue(&NewTask::new(mail.clone(), "to ada"))?;
///
/// for claimed in queue.claim(&Claim::new([mail], 10))? {
///     println!("{}", String::from_utf8_lossy(&claimed.payload));
///     queue.complete(claimed.task.id, claimed.token, b"sent")?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Queue {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: Database,
    tree: Tree,
    tree_name: Box<str>,
    pub(super) clock: Clock,
    pub(super) bell: Bell,
}

impl Queue {
    /// The queue in the tree `queue`, which is made if it is not there.
    ///
    /// # Errors
    /// An error of the database.
    pub fn open(db: &Database) -> Result<Self> {
        Self::open_tree(db, TREE_NAME)
    }

    /// The queue in a tree of this name, which is made if it is not there and must hold nothing but a queue.
    ///
    /// # Errors
    /// An error of the database, [`Error::NewerFormat`](super::Error::NewerFormat).
    pub fn open_tree(db: &Database, name: &str) -> Result<Self> {
        let snapshot = db.snapshot();
        let tree = match snapshot.tree(name) {
            Ok(tree) => tree,
            Err(crate::Error::UnknownTree { .. }) => db.write_with(Durability::Sync, |txn| txn.create_tree(name))?,
            Err(error) => return Err(error.into()),
        };
        let header = source::header(&Standing { snapshot: db.snapshot(), tree: Some(tree) })?;
        let clock = Clock::new(Arc::clone(db.vfs()), header.clock_us.max(snapshot.time().0));
        let inner = Inner { db: db.clone(), tree, tree_name: name.into(), clock, bell: Bell::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The database that it is in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.inner.db
    }

    /// The time by which runs and leases are judged, in microseconds since the Unix epoch. It follows the machine's clock, and goes on when
    /// that one steps back.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.inner.clock.read().now_us
    }

    /// The queue as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        View::new(self.inner.db.snapshot(), &self.inner.tree_name)
    }

    /// The queue as it was after a transaction, or at a time, as far as [`Options::retention`](crate::Options::retention) keeps it.
    ///
    /// # Errors
    /// As for [`Database::as_of`].
    pub fn as_of(&self, at: impl Into<At>) -> Result<View> {
        Ok(View::new(self.inner.db.as_of(at)?, &self.inner.tree_name))
    }

    /// Ends all waits for work, now and later.
    pub fn stop_waiting(&self) {
        self.inner.bell.close();
    }

    /// Runs `body` in a transaction. It is durable when this returns, and so is all that `body` has seen.
    pub(super) fn write<T>(&self, body: impl FnOnce(&mut Rows<'_, '_>) -> Result<T>) -> Result<T> {
        let db = &self.inner.db;
        let mut txn = db.begin()?;
        // Under the writer's lock, so that no later transaction has an earlier time.
        let reading = self.inner.clock.read();
        let mut rows = Rows::new(&mut txn, self.inner.tree, reading)?;
        let answer = body(&mut rows)?;
        let outcome = rows.finish()?;
        if outcome.has_changed {
            txn.commit_with(Durability::Sync)?;
            self.inner.bell.ring(&outcome.offers);
        } else {
            drop(txn);
            if outcome.must_be_durable {
                db.sync()?;
            }
        }
        Ok(answer)
    }
}
