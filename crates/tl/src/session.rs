//! The way to a store: requests and answers of the wire, whoever carries them out.
//!
//! While a daemon runs, it does. Otherwise this program opens the store itself, or starts a daemon first, as the command needs it.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};
use tl_core::Objects;
use tl_daemon::client::{self, Client};
use tl_daemon::stores::Located;
use tl_daemon::wire::{Answer, Checkpoint, Item, ObjectId, Request};
use tl_daemon::{Access, Error};

use crate::context::Context;
use crate::environment::zone_name;

/// A store that answers.
#[derive(Debug)]
pub struct Session {
    inner: tl_daemon::Session,
    located: Located,
}

impl Session {
    /// The store that the command is about, for questions. No daemon is started.
    pub fn open(context: &Context) -> Result<Self> {
        Self::with(context, Access::Read)
    }

    /// The store, for changes that have nothing to do with the working directory. No daemon is started.
    pub fn open_to_write(context: &Context) -> Result<Self> {
        Self::with(context, Access::Write)
    }

    fn with(context: &Context, access: Access) -> Result<Self> {
        Self::of_store(context, context.locate()?, access)
    }

    /// A store that is known. No daemon is started.
    pub fn of_store(context: &Context, located: Located, access: Access) -> Result<Self> {
        let inner = tl_daemon::Session::open(&context.place(&located)?, access, None)?;
        Ok(Self { inner, located })
    }

    /// The store, for commands about the working directory: a daemon is started if none runs, and goes on capturing afterwards. Where none can be started, this
    /// program records what there is itself.
    pub fn open_to_capture(context: &Context) -> Result<Self> {
        let located = context.locate()?;
        Self::start(context, located)
    }

    /// As [`Session::open_to_capture`], for a store that is known.
    pub fn start(context: &Context, located: Located) -> Result<Self> {
        let place = context.place(&located)?;
        // Without its root, a daemon would have nothing to watch.
        let may_start = !context.settings.no_daemon && located.root.is_in_place();
        let mut program = if may_start { Some(daemon_program(context, &located)?) } else { None };
        let inner = match tl_daemon::Session::open(&place, Access::Write, program.as_mut()) {
            Err(Error::NotStarted { reason }) => {
                eprintln!("tl: the daemon did not start, so that this program records what there is now: {reason}");
                tl_daemon::Session::open_directly(&place, Access::Write)?
            }
            opened => opened?,
        };
        Ok(Self { inner, located })
    }

    /// The store at a place, opened by this program under a shared lock.
    pub fn open_directly(context: &Context, located: Located, access: Access) -> Result<Self> {
        let inner = tl_daemon::Session::open_directly(&context.place(&located)?, access)?;
        Ok(Self { inner, located })
    }

    /// The store and its directory.
    pub const fn located(&self) -> &Located {
        &self.located
    }

    /// Process id of the daemon; `None` if this program has the store.
    pub fn daemon(&self) -> Option<u32> {
        self.inner.daemon()
    }

    /// Asks, when no items are expected before the answer.
    pub fn ask(&mut self, request: Request) -> Result<Answer> {
        self.ask_each(request, |_item| Ok(()))
    }

    /// Asks, and hands out each item that comes before the answer. After an error of `each` no more are handed out, and it is the result.
    pub fn ask_each(&mut self, request: Request, mut each: impl FnMut(Item) -> Result<()>) -> Result<Answer> {
        let mut handed_out = Ok(());
        let answer = self.inner.call(request, &mut |item| {
            if handed_out.is_ok() {
                handed_out = each(item);
            }
        });
        handed_out?;
        Ok(answer?)
    }

    /// Asks for something that is answered by its being done.
    pub fn done(&mut self, request: Request) -> Result<()> {
        match self.ask(request)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// The checkpoint that a name stands for.
    pub fn resolve(&mut self, name: &str) -> Result<Checkpoint> {
        match self.ask(Request::Resolve { name: name.to_owned(), zone: zone_name() })? {
            Answer::Checkpoint(checkpoint) => Ok(*checkpoint),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a content for a restore of chosen parts; it is kept as long as the session lasts.
    pub fn put_blob(&mut self, content: &[u8]) -> Result<ObjectId> {
        Ok(self.inner.put_blob(content)?)
    }

    /// The objects: trees, contents, differences. They are read independently of the session.
    pub fn objects(&self) -> Result<Objects> {
        Ok(self.inner.objects()?)
    }

    /// The connection to the daemon; `None` if this program has the store.
    pub fn into_client(self) -> Option<Client> {
        self.inner.into_client()
    }
}

/// Ends the daemon of a store, whatever its version. Returns its process id; `None` if there was none.
pub fn stop_daemon(context: &Context, located: &Located) -> Result<Option<u32>> {
    let place = context.place(located)?;
    Ok(client::stop(&place.socket, located.store.id(), place.timeouts)?)
}

/// How a daemon is started: this program itself, away from the directory in which the command runs.
fn daemon_program(context: &Context, located: &Located) -> Result<Command> {
    context.runtime().prepare_socket(located.store.id())?;
    let mut program = Command::new(env::current_exe().context("cannot tell where this program is")?);
    program.arg("--store").arg(located.store.id().to_string()).arg("daemon").current_dir("/");
    // It serves whoever comes, and not the command that started it.
    program.env_remove("TL_SESSION").env_remove("TL_ACTOR");
    Ok(program)
}

/// The error for an answer to another question.
pub fn unexpected(answer: &impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("the answer is to another question than was asked: {answer:?}")
}
