//! A daemon's life: lock, recover, listen, watch, reconcile, serve, and a clean end.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use parking_lot::RwLock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tl_core::ObjectId;
use tl_journal::{Repository, RepositoryConfig};
use tl_watcher::{IgnoreRules, RelPath, WatchConfig, Watcher};
use vfs::{DiskVfs, Lock, LockKind, Vfs};

use crate::capture::{CaptureHandle, Cycle, Ended, Shared, is_recorded};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::logs::{LogFiles, LogLevel};
use crate::metrics::Metrics;
use crate::place::Place;
use crate::server::{Control, Server, bind};
use crate::service::{Recorder, Service, recover};
use crate::settings::Settings;
use crate::stores::{StoreDir, write_atomically};
use crate::upkeep::Upkeep;

/// For how long the last capture may take at the end, and then the answers under way. What is not recorded by then is found by the next start.
const LAST_CAPTURE_MAX: Duration = Duration::from_secs(20);
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);
/// Waits before a store that failed is opened again, at first and at most.
const REOPEN_FIRST: Duration = Duration::from_millis(500);
const REOPEN_LAST: Duration = Duration::from_secs(60);
/// Memory for the storage engine and for trees. A burst needs more than rest, and gives it back.
const ENGINE_MEMORY: usize = 4 << 20;
const TREE_MEMORY: usize = 1 << 20;

/// The log of a daemon, so that a signal can have it opened anew.
#[derive(Debug)]
pub struct DaemonLog {
    /// Where it is written.
    pub files: LogFiles,
    /// How much is written.
    pub level: LogLevel,
}

/// Takes the place of a store's daemon, or says who has it.
///
/// # Errors
/// [`Error::AlreadyRunning`], or an error of the system.
pub(crate) fn take_place(vfs: &dyn Vfs, store: &StoreDir) -> Result<Box<dyn Lock>> {
    let path = store.daemon_lock();
    vfs.lock(&path, LockKind::Exclusive).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::AlreadyRunning { id: store.id() },
        _ => Error::io("lock", &path, error),
    })
}

/// Serves a store until it is told to end, by a signal, by a peer, or because the root is gone. `ready` is called once connections are taken; what was written by
/// then may still have to be compared.
///
/// `SIGTERM` and `SIGINT` record what is left, sync and end. `SIGHUP` opens the log anew and reads settings and ignore rules again.
///
/// # Errors
/// [`Error::AlreadyRunning`] if another daemon has the store; why the store cannot be opened, the socket not be bound, or the root not be watched.
pub fn run(config: &Place, log: Option<&DaemonLog>, ready: impl FnOnce()) -> Result<()> {
    crate::memory::keep_little();
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs::new());
    let _place = take_place(&*vfs, &config.store)?;
    let signals = Signals::register().map_err(|error| Error::io("handle signals for", config.store.path(), error))?;
    let mut ready = Some(ready);
    let mut wait = REOPEN_FIRST;
    loop {
        let life = Life::begin(config, &vfs)?;
        if let Some(ready) = ready.take() {
            ready();
        }
        let (ended, farewells) = life.serve(&signals, log);
        match ended {
            Ended::StoreFailed => {
                tracing::error!(ms = wait.as_millis() as u64, "the store failed: it is opened again");
                drop(farewells);
                if signals.wait_for_end(wait) {
                    return Ok(());
                }
                wait = (wait * 2).min(REOPEN_LAST);
            }
            Ended::Stopped | Ended::RootGone => {
                tracing::info!(?ended, "ended");
                // The place is free before whoever waits for it learns of it.
                drop(_place);
                drop(farewells);
                return Ok(());
            }
        }
    }
}

/// One opening of the store.
struct Life {
    config: Place,
    listener: UnixListener,
    server: Arc<Server>,
    rules: Arc<IgnoreRules>,
    over: Receiver<Ended>,
}

impl Life {
    fn begin(config: &Place, vfs: &Arc<dyn Vfs>) -> Result<Self> {
        let settings = Settings::load(&config.store)?;
        let mut opening = RepositoryConfig::new(config.store.path(), Some(config.root.path.clone()));
        opening.vfs = Arc::clone(vfs);
        opening.memory_budget = ENGINE_MEMORY;
        opening.tree_cache_bytes = TREE_MEMORY;
        let repository = Arc::new(Repository::open(opening)?);
        if let Some(how) = recover(&repository, false)? {
            tracing::warn!("{how}");
        }
        tracing::info!(version = %config.version, store = %config.store.id(), report = ?repository.start_report(), "opened");
        let rules = Arc::new(IgnoreRules::open(&config.root.path, config.excludes.clone())?);
        let listener = bind(&config.socket)?;
        let watcher = Arc::new(Watcher::start(watch_config(config, &settings, &repository, &rules))?);
        let metrics = Arc::new(Metrics::default());
        let settings = Arc::new(RwLock::new(settings));
        let shared = Arc::new(Shared::new(Arc::clone(&metrics)));
        let handle = CaptureHandle::new(Arc::clone(&shared), Arc::clone(&watcher));
        let home = Home::new(config.stores.clone(), config.store.clone(), config.root.clone());
        let failed = |error| Error::io("begin to serve", config.store.path(), error);
        let control = Arc::new(Control::new().map_err(failed)?);
        let service = Arc::new(Service {
            home: home.clone(),
            repository: Arc::clone(&repository),
            settings: Arc::clone(&settings),
            recorder: Recorder::Daemon(handle.clone()),
            metrics: Arc::clone(&metrics),
            version: config.version.clone(),
            started: vfs.now(),
        });
        let upkeep = Upkeep::new(Arc::clone(&repository), settings, metrics);
        let cycle = Cycle::new(home, repository, watcher, Arc::clone(&rules), shared, upkeep);
        let (tell, over) = channel();
        let waking = Arc::clone(&control);
        let body = move || {
            let ended = cycle.run();
            // Whoever waited may have gone.
            let _ = tell.send(ended);
            waking.wake();
        };
        std::thread::Builder::new().name("capture".into()).spawn(body).map_err(failed)?;
        let server = Arc::new(Server { service, handle, control, timeouts: config.timeouts });
        Ok(Self { config: config.clone(), listener, server, rules, over })
    }

    /// Serves until the end, and returns why it came, with what says farewell when it is dropped.
    fn serve(self, signals: &Signals, log: Option<&DaemonLog>) -> (Ended, Vec<UnixStream>) {
        let control = Arc::clone(&self.server.control);
        let mut ended = None;
        while ended.is_none() && !control.is_stopping() {
            match self.wait(signals) {
                Ok(()) => {}
                Err(errno) => {
                    tracing::error!(%errno, "waiting failed");
                    break;
                }
            }
            if signals.take_end() {
                tracing::info!("told to end by a signal");
                break;
            }
            if signals.take_hangup() {
                self.renew(log);
            }
            self.server.accept(&self.listener);
            // Nothing yet, or the capture thread is gone: the last capture finds that out.
            ended = self.over.try_recv().ok();
        }
        control.stop();
        let ended = ended.unwrap_or_else(|| self.last_capture());
        let farewells = control
            .send_everybody_away(self.config.timeouts.between, LAST_ANSWERS_MAX, || self.server.accept(&self.listener));
        self.write_metrics();
        if let Err(error) = std::fs::remove_file(&self.config.socket) {
            tracing::warn!(%error, "the socket could not be removed");
        }
        (ended, farewells)
    }

    fn wait(&self, signals: &Signals) -> Result<(), Errno> {
        let woken = self.server.control.woken();
        let mut ready = [
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&woken, PollFlags::IN),
            PollFd::new(&signals.end, PollFlags::IN),
            PollFd::new(&signals.hangup, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        drain(woken);
        Ok(())
    }

    fn last_capture(&self) -> Ended {
        self.server.handle.stop();
        match self.over.recv_timeout(LAST_CAPTURE_MAX) {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("the last capture takes too long: the next start goes on");
                Ended::Stopped
            }
            Err(RecvTimeoutError::Disconnected) => {
                tracing::error!("the capture thread panicked");
                Ended::StoreFailed
            }
        }
    }

    /// Reads again what can be changed while the daemon runs.
    fn renew(&self, log: Option<&DaemonLog>) {
        tracing::info!("settings, rules and log are taken anew");
        self.rules.reload();
        let reopened = log.map_or(Ok(()), |log| log.files.reopen());
        if let Err(error) = reopened {
            tracing::warn!(%error, "the log could not be opened anew");
        }
        match Settings::load(&self.config.store) {
            Ok(settings) => {
                if let Some(log) = log {
                    log.level.set(settings.log_level());
                }
                *self.server.service.settings.write() = settings;
            }
            Err(error) => tracing::warn!(%error, "the settings stay as they are"),
        }
    }

    fn write_metrics(&self) {
        let service = &self.server.service;
        let text = service.metrics.render(&service.repository);
        if let Err(error) = write_atomically(&self.config.store.state().join("metrics"), text.as_bytes()) {
            tracing::warn!(%error, "the metrics could not be written");
        }
    }
}

fn watch_config(
    config: &Place,
    settings: &Settings,
    repository: &Arc<Repository>,
    rules: &Arc<IgnoreRules>,
) -> WatchConfig {
    let mut watch = WatchConfig::new(&config.root.path, Arc::clone(rules));
    watch.backend = settings.backend();
    watch.settle.window = settings.window();
    watch.scan_interval = settings.scan_interval();
    watch.watches_max = settings.watches_max();
    let recorded = Arc::clone(repository);
    // What is recorded is watched although it is ignored: a change of rules counts as no deletion.
    watch.keeps = Arc::new(move |path: &RelPath| {
        let head = recorded.journal().head().map_or(ObjectId::EMPTY_TREE, |head| head.root);
        is_recorded(recorded.store().objects(), &head, path)
    });
    watch
}

/// Signals as descriptors to wait for.
struct Signals {
    end: UnixStream,
    hangup: UnixStream,
    registered: Vec<SigId>,
}

impl Signals {
    fn register() -> io::Result<Self> {
        let (end, end_writer) = UnixStream::pair()?;
        let (hangup, hangup_writer) = UnixStream::pair()?;
        for stream in [&end, &hangup] {
            stream.set_nonblocking(true)?;
        }
        let mut signals = Self { end, hangup, registered: Vec::new() };
        for signal in [SIGTERM, SIGINT] {
            signals.registered.push(signal_hook::low_level::pipe::register(signal, end_writer.try_clone()?)?);
        }
        signals.registered.push(signal_hook::low_level::pipe::register(SIGHUP, hangup_writer)?);
        Ok(signals)
    }

    fn take_end(&self) -> bool {
        drain(self.end.as_fd())
    }

    fn take_hangup(&self) -> bool {
        drain(self.hangup.as_fd())
    }

    /// Waits for a signal to end, for as long as `patience`.
    fn wait_for_end(&self, patience: Duration) -> bool {
        // A time that the system cannot count is none: it waits until something comes.
        let timeout = Timespec::try_from(patience).ok();
        // An interruption is a signal, which shows below.
        let _ = poll(&mut [PollFd::new(&self.end, PollFlags::IN)], timeout.as_ref());
        self.take_end()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// Takes what is in a non-blocking descriptor. True if there was anything.
fn drain(from: impl AsFd) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    // Nothing is there, or the other end is closed: either way there is no more.
    while rustix::io::read(&from, &mut buffer).is_ok_and(|count| count > 0) {
        any = true;
    }
    any
}
