//! The socket of a daemon: who may connect, and a thread for each who does.

mod control;
mod peer;
mod subscriber;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use crate::capture::CaptureHandle;
use crate::connection::Timeouts;
use crate::error::{Error, Result};
use crate::service::Service;

pub(crate) use control::Control;
pub(crate) use peer::other_end;

/// Most connections at once.
pub(crate) const PEERS_MAX: usize = 32;
/// Stack of a peer's thread.
const STACK_LEN: usize = 1 << 20;

/// What every peer's thread works with.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) service: Arc<Service>,
    pub(crate) handle: CaptureHandle,
    pub(crate) control: Arc<Control>,
    pub(crate) timeouts: Timeouts,
}

/// Binds the socket at `path`, which nobody else has while the daemon's lock is held.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    let failed = |error| Error::io("listen at", path, error);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The directory is the user's alone, so nobody gets in between.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

impl Server {
    /// Takes all connections that wait.
    pub(crate) fn accept(self: &Arc<Self>, listener: &UnixListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.begin(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return tracing::warn!(%error, "a connection could not be taken"),
            }
        }
    }

    fn begin(self: &Arc<Self>, stream: UnixStream) {
        let metrics = &self.service.metrics;
        let entered = match self.control.enter(&stream) {
            Ok(entered) => entered,
            Err(error) => return tracing::warn!(%error, "a connection could not be taken"),
        };
        metrics.peers(self.control.count());
        let server = Arc::clone(self);
        let serve = move || {
            let served = peer::serve(&server, stream, &entered);
            drop(entered);
            server.service.metrics.peers(server.control.count());
            if let Err(error) = served {
                server.service.metrics.refused();
                tracing::debug!(%error, "a connection ended");
            }
        };
        let spawned = std::thread::Builder::new().name("peer".into()).stack_size(STACK_LEN).spawn(serve);
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a connection");
        }
    }
}
