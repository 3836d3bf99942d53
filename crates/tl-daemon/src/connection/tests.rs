use std::thread;

use super::*;
use crate::wire::FRAME_LEN_MAX;

fn timeouts(millis: u64) -> Timeouts {
    let limit = Duration::from_millis(millis);
    Timeouts { handshake: limit, frame: limit, ..Timeouts::default() }
}

fn pair(timeouts: Timeouts) -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Connection::new(ours, timeouts).unwrap(), theirs)
}

#[test]
fn messages_arrive_in_order_and_the_end_is_clean() {
    let (mut ours, theirs) = pair(Timeouts::default());
    let sender = thread::spawn(move || {
        let mut theirs = Connection::new(theirs, Timeouts::default()).unwrap();
        theirs.send_request(Request::Status).unwrap();
        // More than the socket holds, so that both sides wait for each other.
        theirs.send_data(&vec![7; 3 * FRAME_LEN_MAX]).unwrap();
        theirs.send_end(Ok(Answer::Done)).unwrap();
    });
    assert_eq!(ours.receive().unwrap(), Some(Message::Request(Request::Status.into())));
    let mut data = 0;
    let end = loop {
        match ours.receive().unwrap().unwrap() {
            Message::Data(bytes) => {
                assert!(bytes.len() <= DATA_LEN_MAX && bytes.iter().all(|&byte| byte == 7));
                data += bytes.len();
            }
            end => break end,
        }
    };
    assert_eq!((data, end), (3 * FRAME_LEN_MAX, Message::Answer(Answer::Done.into())));
    assert_eq!(ours.receive().unwrap(), None);
    sender.join().unwrap();
}

/// If it fails, one small frame can make the daemon take any amount of memory.
#[test]
fn an_announced_length_takes_no_memory() {
    let (mut ours, mut theirs) = pair(timeouts(20));
    theirs.write_all(&(FRAME_LEN_MAX as u32).to_le_bytes()).unwrap();
    theirs.write_all(&[1, 0, 0]).unwrap();
    assert!(matches!(ours.receive(), Err(ConnectionError::Slow { .. })));
    assert!(ours.inbound.capacity() <= 4 * READ_LEN, "{}", ours.inbound.capacity());
    let (mut ours, mut theirs) = pair(timeouts(20));
    theirs.write_all(&[255, 255, 255, 255, 1]).unwrap();
    assert!(matches!(ours.receive(), Err(ConnectionError::Wire(WireError::FrameLength { .. }))));
}

/// If it fails, a peer that sends a byte now and then holds a thread for ever.
#[test]
fn a_frame_that_trickles_in_is_given_up() {
    let (mut ours, mut theirs) = pair(timeouts(60));
    let dripping = thread::spawn(move || {
        let header = (1000_u32).to_le_bytes().into_iter().chain([3]);
        // Ends when the other side has closed, which it does only if it gives up.
        for byte in header.chain(std::iter::repeat(0)) {
            if theirs.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(matches!(ours.receive(), Err(ConnectionError::Slow { action: "finish a frame", .. })));
    drop(ours);
    dripping.join().unwrap();
}

/// If it fails, a peer that takes nothing holds a thread for ever.
#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (mut ours, theirs) = pair(timeouts(20));
    let sent = ours.send_data(&vec![0; 8 << 20]);
    assert!(matches!(sent, Err(ConnectionError::Slow { action: "take a frame", .. })));
    drop(theirs);
}

#[test]
fn a_connection_that_ends_inside_a_frame_is_an_error() {
    for cut in 1..6 {
        let (mut ours, mut theirs) = pair(Timeouts::default());
        let frame = Message::Request(Request::Status.into()).encode().unwrap();
        theirs.write_all(&frame[..cut]).unwrap();
        drop(theirs);
        assert!(matches!(ours.receive(), Err(ConnectionError::Closed)), "cut at {cut}");
    }
}

#[test]
fn the_handshake_has_a_limit_of_its_own() {
    let (mut ours, mut theirs) = pair(timeouts(20));
    theirs.write_all(b"TLIPC").unwrap();
    assert!(matches!(ours.receive_bytes::<32>(), Err(ConnectionError::Slow { action: "greet", .. })));
}

#[test]
fn garbage_is_refused_at_once() {
    let (mut ours, mut theirs) = pair(Timeouts::default());
    theirs.write_all(b"\x05\0\0\0\x09junk").unwrap();
    assert!(matches!(ours.receive(), Err(ConnectionError::Wire(WireError::UnknownKind { kind: 9 }))));
}
