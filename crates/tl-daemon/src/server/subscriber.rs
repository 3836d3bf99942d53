//! A connection that is told what happens.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::Server;
use crate::connection::{Connection, ConnectionError};
use crate::service::{failure, from_checkpoint};
use crate::wire::{Event, Failure, FailureKind, Item, Subscribe};

/// Serves a subscription until either side closes.
pub(super) fn serve(
    server: &Server,
    connection: &mut Connection,
    subscribe: &Subscribe,
) -> Result<(), ConnectionError> {
    // From here on nothing is missed; what was already told of is passed over below.
    let subscription = match server.handle.shared.hub.subscribe() {
        Ok(subscription) => subscription,
        Err(errno) => {
            let message = format!("the system gives no more descriptors: {errno}");
            return connection.send_end(Err(Failure::new(FailureKind::Retry, message)));
        }
    };
    let mut told = 0;
    connection.send_item(Item::Event(Event::Health(server.handle.shared.health())))?;
    if let Some(after) = subscribe.after_sequence {
        let walk = match server.service.repository.journal().since(after) {
            Ok(walk) => walk,
            Err(error) => return connection.send_end(Err(failure(&error))),
        };
        for found in walk {
            let found = match found {
                Ok(found) => found,
                Err(error) => return connection.send_end(Err(failure(&error))),
            };
            told = found.sequence;
            connection.send_item(Item::Event(Event::Checkpoint(Box::new(from_checkpoint(&found)))))?;
        }
    }
    loop {
        let (events, goes_on) = subscription.take();
        for event in events {
            if matches!(&event, Event::Checkpoint(checkpoint) if checkpoint.sequence <= told) {
                continue;
            }
            connection.send_item(Item::Event(event))?;
        }
        if !goes_on {
            return connection.send_end(Err(Failure::new(FailureKind::Stopping, "the daemon is ending")));
        }
        let mut ready = [PollFd::new(&subscription, PollFlags::IN), PollFd::new(connection.stream(), PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(ConnectionError::Io(errno.into())),
        }
        let [_, from_peer] = &ready;
        if !from_peer.revents().is_empty() {
            // A subscriber has nothing more to say: it is gone, or breaks the protocol.
            return Ok(());
        }
    }
}
