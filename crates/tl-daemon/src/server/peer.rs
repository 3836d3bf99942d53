//! One connection, from the handshake to its end.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::control::Entered;
use super::{PEERS_MAX, Server, subscriber};
use crate::connection::{Connection, ConnectionError};
use crate::service::{Peer, Replies, Unanswered};
use crate::wire::{Answer, Greeting, HELLO_LEN, Hello, Item, Message, Request, VERSION, Verdict, WireError, Wish};

const SUPERUSER: u32 = 0;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherEnd {
    pub(crate) user: u32,
    pub(crate) process: i32,
}

/// Who is at the other end of a connection; `None` where the system does not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn other_end(stream: &UnixStream) -> io::Result<Option<OtherEnd>> {
    let told = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(Some(OtherEnd { user: told.uid.as_raw(), process: told.pid.as_raw_nonzero().get() }))
}

/// Who is at the other end of a connection; `None` where the system does not tell: then the directory's permissions alone decide.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn other_end(_stream: &UnixStream) -> io::Result<Option<OtherEnd>> {
    Ok(None)
}

/// True if whoever is there may use the daemon.
fn is_welcome(other: Option<OtherEnd>) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    other.is_none_or(|other| other.user == ours || other.user == SUPERUSER)
}

/// True if the process at the other end has another connection: it is to get through with what it does, even if the daemon ends.
fn is_at_work(server: &Server, other: Option<OtherEnd>, entered: &Entered) -> bool {
    other.is_some_and(|other| server.control.is_welcome_elsewhere(other.process, entered))
}

/// Serves a connection until its end.
pub(super) fn serve(server: &Arc<Server>, stream: UnixStream, entered: &Entered) -> Result<(), ConnectionError> {
    let other = other_end(&stream)?;
    if !is_welcome(other) {
        tracing::warn!(?other, "a connection of another user was refused");
        return Ok(());
    }
    let again = stream.try_clone()?;
    let mut connection = Connection::new(stream, server.timeouts)?;
    let malformed = || ConnectionError::Wire(WireError::Malformed { what: "greeting" });
    let hello = Hello::decode(&connection.receive_bytes::<HELLO_LEN>()?).ok_or_else(malformed)?;
    let store = server.service.home.store.id();
    let verdict = match hello.wish {
        _ if hello.store != store => Verdict::OtherStore,
        Wish::Stop => Verdict::Ending,
        Wish::Talk if server.control.is_stopping() && !is_at_work(server, other, entered) => Verdict::Ending,
        Wish::Talk if hello.version != VERSION => Verdict::OtherVersion,
        Wish::Talk if entered.count > PEERS_MAX => Verdict::TooManyPeers,
        Wish::Talk => Verdict::Welcome,
    };
    connection.send_bytes(&Greeting { version: VERSION, verdict, pid: std::process::id(), store }.encode())?;
    match verdict {
        Verdict::Welcome => entered.welcomed(other.map(|other| other.process)),
        Verdict::Ending => {
            server.control.farewell(again);
            if hello.wish == Wish::Stop {
                tracing::info!("asked to end");
                server.control.stop();
            }
            return Ok(());
        }
        _ => return Ok(()),
    }
    let mut peer = Peer::default();
    while let Some(message) = connection.receive()? {
        let Message::Request(request) = message else {
            return Err(WireError::Unexpected { found: message.name(), expected: "a request" }.into());
        };
        match *request {
            Request::Subscribe(subscribe) => {
                entered.subscribed();
                return subscriber::serve(server, &mut connection, &subscribe);
            }
            Request::Stop => {
                tracing::info!("asked to end");
                connection.send_end(Ok(Answer::Done))?;
                server.control.farewell(again);
                server.control.stop();
                return Ok(());
            }
            request => {
                entered.asked();
                answer(server, &mut connection, &mut peer, request)?;
                entered.answered();
            }
        }
    }
    Ok(())
}

fn answer(
    server: &Server,
    connection: &mut Connection,
    peer: &mut Peer,
    request: Request,
) -> Result<(), ConnectionError> {
    let mut replies = OverSocket { connection: &mut *connection };
    let end = match server.service.answer(peer, request, &mut replies) {
        Ok(answer) => Ok(answer),
        Err(Unanswered::Failed(failure)) => {
            tracing::debug!(?failure, "a request failed");
            Err(failure)
        }
        Err(Unanswered::Gone(error)) => return Err(error),
    };
    connection.send_end(end)
}

struct OverSocket<'a> {
    connection: &'a mut Connection,
}

impl Replies for OverSocket<'_> {
    fn item(&mut self, item: Item) -> Result<(), ConnectionError> {
        self.connection.send_item(item)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.connection.send_data(bytes)
    }

    fn receive(&mut self) -> Result<Vec<u8>, ConnectionError> {
        match self.connection.receive()? {
            Some(Message::Data(bytes)) => Ok(bytes),
            Some(other) => Err(WireError::Unexpected { found: other.name(), expected: "data" }.into()),
            None => Err(ConnectionError::Closed),
        }
    }
}
