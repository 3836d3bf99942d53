//! A store to use, whoever has it: its daemon over the socket, or this program alone.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tl_core::{ObjectSource, Objects, RepoPath};
use tl_journal::{Repository, RepositoryConfig};
use tl_watcher::IgnoreRules;
use vfs::{DiskVfs, Lock, Vfs};

use crate::capture::{Runs, is_ignored};
use crate::client::{self, Client, Fetched};
use crate::connection::ConnectionError;
use crate::daemon::take_place;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::metrics::Metrics;
use crate::place::Place;
use crate::service::{Peer, Recorder, Replies, Service, Unanswered, recover};
use crate::settings::Settings;
use crate::wire::{Answer, DATA_LEN_MAX, Damage, Item, ObjectId, Repaired, Request};

/// Memory for trees that are read from a daemon.
const TREE_MEMORY: usize = 8 << 20;
/// For how long to wait while a daemon has the store that does not listen.
const HANDOVER_MAX: Duration = Duration::from_secs(10);

/// True if another process has the store.
fn is_taken(error: &Error) -> bool {
    use tl_journal::Error as Journal;
    matches!(
        error,
        Error::AlreadyRunning { .. }
            | Error::Repository(
                Journal::Engine(granite::Error::Locked { .. })
                    | Journal::Objects(tl_core::Error::Database(granite::Error::Locked { .. }))
            )
    )
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Questions only.
    Read,
    /// Anything.
    Write,
}

/// An open store.
#[derive(Debug)]
pub enum Session {
    /// Its daemon carries requests out.
    Remote(Box<Remote>),
    /// This program does.
    Local(Box<Local>),
}

/// A store that a daemon has.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    place: Place,
}

/// A store that this program has, under a lock.
#[derive(Debug)]
pub struct Local {
    service: Service,
    peer: Peer,
    /// Held when the store is open for writing: no daemon begins meanwhile.
    _place: Option<Box<dyn Lock>>,
}

impl Session {
    /// Opens a store: through its daemon if one runs, through a new one if `daemon` says how to start it, else directly.
    ///
    /// # Errors
    /// As for [`client::start`] and [`Session::open_directly`].
    pub fn open(place: &Place, access: Access, mut daemon: Option<&mut Command>) -> Result<Self> {
        let until = Instant::now() + HANDOVER_MAX;
        loop {
            match Client::connect_to_lasting(&place.socket, place.store.id(), place.timeouts) {
                Ok(client) => return Ok(Self::remote(client, place)),
                Err(Error::NoDaemon { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(program) = daemon.as_deref_mut() {
                let client = client::start(program, &place.socket, place.store.id(), place.timeouts)?;
                return Ok(Self::remote(client, place));
            }
            match Self::open_directly(place, access) {
                // A daemon that ends gives its socket up before its store, and one that begins has its store before it listens.
                Err(error) if is_taken(&error) && Instant::now() < until => std::thread::sleep(client::ENDING_POLL),
                opened => return opened,
            }
        }
    }

    fn remote(client: Client, place: &Place) -> Self {
        Self::Remote(Box::new(Remote { client, place: place.clone() }))
    }

    /// Opens a store in this program: under a shared lock for reading, in the daemon's place for writing.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] if a daemon runs after all; why the store cannot be opened.
    pub fn open_directly(place: &Place, access: Access) -> Result<Self> {
        let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs::new());
        let settings = Settings::load(&place.store)?;
        let root = place.root.is_in_place().then(|| place.root.path.clone());
        let mut config = RepositoryConfig::new(place.store.path(), root.clone());
        config.vfs = Arc::clone(&vfs);
        let (repository, recorder, lock) = match access {
            Access::Read => (Repository::open_read_only(config)?, Recorder::Nobody, None),
            Access::Write => {
                let lock = take_place(&*vfs, &place.store)?;
                let rules = root.map(|root| IgnoreRules::open(&root, place.excludes.clone())).transpose()?;
                let recorder = Recorder::Alone { rules: rules.map(Arc::new), runs: Runs::default() };
                let repository = Repository::open(config)?;
                if repository.config().root.is_some()
                    && let Some(how) = recover(&repository, false)?
                {
                    tracing::warn!("{how}");
                }
                (repository, recorder, Some(lock))
            }
        };
        let service = Service {
            home: Home::new(place.stores.clone(), place.store.clone(), place.root.clone()),
            repository: Arc::new(repository),
            settings: Arc::new(RwLock::new(settings)),
            recorder,
            metrics: Arc::new(Metrics::default()),
            version: place.version.clone(),
            started: vfs.now(),
        };
        Ok(Self::Local(Box::new(Local { service, peer: Peer::default(), _place: lock })))
    }

    /// Process id of the daemon; `None` if this program has the store.
    #[must_use]
    pub fn daemon(&self) -> Option<u32> {
        match self {
            Self::Remote(remote) => Some(remote.client.pid()),
            Self::Local(_) => None,
        }
    }

    /// Has a request carried out. What comes before its answer goes to `on_item`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason, or what happened to the connection.
    pub fn call(&mut self, request: Request, on_item: &mut dyn FnMut(Item)) -> Result<Answer> {
        match self {
            Self::Remote(remote) => remote.client.call(request, on_item),
            Self::Local(local) => {
                let mut replies = InProcess { on_item, data: Vec::new(), contents: &[] };
                ended(local.service.answer(&mut local.peer, request, &mut replies))
            }
        }
    }

    /// Puts a content for a restore of chosen parts; it is kept as long as the session lasts.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub fn put_blob(&mut self, content: &[u8]) -> Result<ObjectId> {
        match self {
            Self::Remote(remote) => remote.client.put_blob(content),
            Self::Local(local) => {
                let request = Request::PutBlob { len: content.len() as u64 };
                let mut replies = InProcess { on_item: &mut |_| {}, data: Vec::new(), contents: content };
                match ended(local.service.answer(&mut local.peer, request, &mut replies))? {
                    Answer::Object { id, .. } => Ok(id),
                    _ => Err(wrong_answer()),
                }
            }
        }
    }

    /// The objects of the store, to be read independently of the session: over a connection of their own if a daemon has it.
    ///
    /// # Errors
    /// As for [`Client::connect`].
    pub fn objects(&self) -> Result<Objects> {
        match self {
            Self::Remote(remote) => {
                let place = &remote.place;
                let client = Client::connect(&place.socket, place.store.id(), place.timeouts)?;
                Ok(Objects::new(Arc::new(FromDaemon { client: Mutex::new(client) }), TREE_MEMORY))
            }
            Self::Local(local) => Ok(local.service.repository.store().objects().clone()),
        }
    }

    /// The connection, for what only a daemon can do; `None` if this program has the store.
    #[must_use]
    pub fn into_client(self) -> Option<Client> {
        match self {
            Self::Remote(remote) => Some(remote.client),
            Self::Local(_) => None,
        }
    }
}

/// Repairs a store that nobody has open, and says what is lost. The daemon has to be stopped; a store that is too damaged to be opened is repaired too.
///
/// # Errors
/// [`Error::AlreadyRunning`] if it is in use; why nothing can be done about it.
pub fn repair(place: &Place, on_item: &mut dyn FnMut(Item)) -> Result<Repaired> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs::new());
    let _place = take_place(&*vfs, &place.store)?;
    let root = place.root.is_in_place().then(|| place.root.path.clone());
    let rules = root.as_ref().map(|root| IgnoreRules::open(root, place.excludes.clone())).transpose()?;
    let mut config = RepositoryConfig::new(place.store.path(), root);
    config.vfs = vfs;
    let ignored =
        |path: &RepoPath, is_directory: bool| rules.as_ref().is_some_and(|rules| is_ignored(rules, path, is_directory));
    let report = Repository::repair(&config, &ignored)?;
    let mut repaired = Repaired::default();
    let mut tell = |what: String, reason: String, mended: bool| {
        repaired.found += 1;
        *(if mended { &mut repaired.mended } else { &mut repaired.lost }) += 1;
        on_item(Item::Damage(Damage { what, reason, mended }));
    };
    if let Some(engine) = &report.engine {
        tell("the database".to_owned(), format!("{engine:?}"), true);
    }
    for (id, reason) in &report.lost_checkpoints {
        tell(format!("checkpoint {id}"), reason.clone(), false);
    }
    for name in &report.dangling_refs {
        tell(format!("reference {name}"), "what it names is not there; it was removed".to_owned(), true);
    }
    for lost in &report.lost_objects {
        let what = format!("{} in checkpoint {} (object {})", lost.path, lost.checkpoint, lost.id);
        tell(what, lost.reason.clone(), lost.recovered);
    }
    if report.damaged_and_unused > 0 {
        let reason = "no checkpoint needs them; they were removed".to_owned();
        tell(format!("{} damaged objects", report.damaged_and_unused), reason, true);
    }
    if report.index_entries_replaced > 0 {
        let reason = "not those of the newest tree; they were replaced".to_owned();
        tell(format!("{} entries of the index", report.index_entries_replaced), reason, true);
    }
    Ok(repaired)
}

/// An answer of another kind than the request has.
pub(crate) fn wrong_answer() -> Error {
    let unexpected = crate::wire::WireError::Unexpected { found: "another answer", expected: "that of the request" };
    ConnectionError::from(unexpected).into()
}

fn ended(answered: Result<Answer, Unanswered>) -> Result<Answer> {
    answered.map_err(|unanswered| match unanswered {
        Unanswered::Failed(failure) => failure.into(),
        Unanswered::Gone(error) => error.into(),
    })
}

struct InProcess<'a> {
    on_item: &'a mut dyn FnMut(Item),
    data: Vec<u8>,
    contents: &'a [u8],
}

impl Replies for InProcess<'_> {
    fn item(&mut self, item: Item) -> Result<(), ConnectionError> {
        (self.on_item)(item);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<u8>, ConnectionError> {
        let (next, rest) = self.contents.split_at(self.contents.len().min(DATA_LEN_MAX));
        self.contents = rest;
        Ok(next.to_vec())
    }
}

/// Objects that a daemon hands out.
#[derive(Debug)]
struct FromDaemon {
    client: Mutex<Client>,
}

impl ObjectSource for FromDaemon {
    fn load(&self, id: &tl_core::ObjectId) -> tl_core::Result<Vec<u8>> {
        let unavailable = |reason: String| tl_core::Error::Unavailable { id: *id, reason };
        let fetched = self.client.lock().objects(&[ObjectId(*id.as_bytes())]);
        match fetched.map_err(|error| unavailable(error.to_string()))?.pop() {
            Some(Fetched::Stored(bytes)) => Ok(bytes),
            Some(Fetched::Missing) => Err(tl_core::Error::Missing { id: *id }),
            Some(Fetched::Purged { len }) => Err(tl_core::Error::Purged { id: *id, len }),
            None => Err(unavailable("nothing came".to_owned())),
        }
    }
}
