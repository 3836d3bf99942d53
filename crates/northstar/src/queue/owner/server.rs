//! The owner's side: a thread that lets clients in, and one for each of them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::connection::{Connection, failed};
use super::service::serve;
use super::wire::{Request, Response, VERSION, Verdict, decode, encode, greeting, parse_greeting};
use crate::queue::error::{Error, Result};
use crate::queue::queue::Queue;

/// Clients at a time.
const CLIENTS_MAX: usize = 64;
/// How long it waits before it lets somebody in again after that has failed.
const PAUSE: Duration = Duration::from_millis(10);
/// What the socket may be used for: by its owner alone.
const SOCKET_MODE: u32 = 0o600;

#[derive(Debug, Default)]
struct Clients {
    next: u64,
    open: HashMap<u64, (UnixStream, Option<JoinHandle<()>>)>,
    is_ending: bool,
}

#[derive(Debug)]
struct Hall {
    queue: Queue,
    clients: Mutex<Clients>,
}

/// Serves a queue until it is dropped; then requests that have arrived are answered, and clients told to look for another owner.
#[derive(Debug)]
pub(super) struct Server {
    hall: Arc<Hall>,
    socket: PathBuf,
    door: Option<JoinHandle<()>>,
}

impl Server {
    /// Whoever calls this has the database open for writing: a socket that is in the way is of an owner that died.
    pub(super) fn start(queue: Queue, socket: &Path) -> Result<Self> {
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace", error)),
            _ => {}
        }
        let listener = UnixListener::bind(socket).map_err(|error| failed("make", error))?;
        fs::set_permissions(socket, fs::Permissions::from_mode(SOCKET_MODE))
            .map_err(|error| failed("close off", error))?;
        let hall = Arc::new(Hall { queue, clients: Mutex::default() });
        let own = Arc::clone(&hall);
        let door = thread::Builder::new()
            .name("northstar-queue".to_owned())
            .spawn(move || own.let_in(&listener))
            .map_err(|error| failed("start a thread for", error))?;
        Ok(Self { hall, socket: socket.to_owned(), door: Some(door) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hall.clients.lock().is_ending = true;
        self.hall.queue.stop_waiting();
        // It wakes the door. If nobody can connect, the door has met an error and is gone already.
        let _woken = UnixStream::connect(&self.socket);
        // Before the database is let go, so that it is never the socket of the next owner.
        let _left_for_the_next_owner = fs::remove_file(&self.socket);
        if let Some(door) = self.door.take() {
            // A panic there was printed where it happened.
            let _joined = door.join();
        }
        let threads: Vec<_> = {
            let mut clients = self.hall.clients.lock();
            // What has arrived is still read and answered; nothing more can be sent.
            clients.open.values().for_each(|(stream, _)| drop(stream.shutdown(Shutdown::Read)));
            clients.open.values_mut().filter_map(|(_, thread)| thread.take()).collect()
        };
        for thread in threads {
            // As above.
            let _joined = thread.join();
        }
    }
}

impl Hall {
    fn let_in(self: &Arc<Self>, listener: &UnixListener) {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // A client that was gone before it was let in, or no descriptor left for it.
                Err(_) if !self.clients.lock().is_ending => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(_) => return,
            };
            let mut clients = self.clients.lock();
            if clients.is_ending {
                drop(clients);
                dismiss(stream, Verdict::Ending);
                return;
            }
            if clients.open.len() >= CLIENTS_MAX {
                drop(clients);
                dismiss(stream, Verdict::Full);
                continue;
            }
            // A client that cannot be served finds its connection closed.
            let Ok(handle) = stream.try_clone() else { continue };
            let number = clients.next;
            clients.next += 1;
            let own = Arc::clone(self);
            let spawned = thread::Builder::new().name("northstar-queue-client".to_owned()).spawn(move || {
                // A connection that fails concerns its client alone, who sees it closed.
                let _ended = own.attend(stream);
                own.clients.lock().open.remove(&number);
            });
            if let Ok(thread) = spawned {
                clients.open.insert(number, (handle, Some(thread)));
            }
        }
    }

    fn attend(&self, stream: UnixStream) -> Result<()> {
        if !is_welcome(&stream).map_err(|error| failed("look at", error))? {
            return Ok(());
        }
        let mut connection = Connection::new(stream)?;
        let Some((version, _)) = parse_greeting(&connection.receive_greeting()?) else {
            return Err(Error::Protocol { what: "a greeting of something else" });
        };
        if version != VERSION {
            return connection.send(&greeting(Verdict::OtherVersion));
        }
        connection.send(&greeting(Verdict::Welcome))?;
        while let Some(content) = connection.receive(None)? {
            let request: Request = decode(&content)?;
            drop(content);
            let response = encode(&serve(&self.queue, request));
            let response = response.or_else(|error| encode(&Response::Refused(error.into())))?;
            connection.send(&response)?;
        }
        // Either the client has closed and does not listen, or the owner ends.
        connection.send(&encode(&Response::Ending)?)?;
        connection.stream().shutdown(Shutdown::Both).map_err(|error| failed("close", error))
    }
}

fn dismiss(stream: UnixStream, verdict: Verdict) {
    if let Ok(mut connection) = Connection::new(stream) {
        // Whoever does not hear it finds the connection closed.
        let _told = connection.send(&greeting(verdict));
    }
}

/// True for this user's processes, and the superuser's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_welcome(stream: &UnixStream) -> io::Result<bool> {
    let user = rustix::net::sockopt::socket_peercred(stream)?.uid;
    Ok(user == rustix::process::geteuid() || user.is_root())
}

/// Where the system does not tell who is there, the permissions of the socket alone decide.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_welcome(_stream: &UnixStream) -> io::Result<bool> {
    Ok(true)
}
