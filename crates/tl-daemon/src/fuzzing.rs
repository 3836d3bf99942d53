//! Doors for a fuzzer: everything that is read from a socket or from the files of a store. Not for programs.
//!
//! What a decoder takes is exactly what the encoder writes for it, but for white space at the end of files that an editor may have touched; everything else is
//! refused, without a panic and with no more memory than the limits allow.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::connection::{Connection, Timeouts};
use crate::wire::{
    FRAME_LEN_MAX, Greeting, HEADER_LEN, HELLO_LEN, Hello, IDS_MAX, Message, PATHS_MAX, PICKED_MAX, Request,
    WELCOME_LEN, parse_header,
};

/// A socket holds as much without anybody reading.
const STREAM_LEN_MAX: usize = 32 << 10;

/// A message: the kind of its frame, then its payload.
pub fn message(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let Ok(message) = Message::decode(*kind, payload) else { return };
    match message.encode() {
        Ok(frame) => {
            debug_assert!(bytes.len() <= FRAME_LEN_MAX);
            debug_assert_eq!(frame.get(HEADER_LEN - 1..), Some(bytes), "a message with two encodings: {message:?}");
            let header = frame.first_chunk().map(|header| parse_header(*header));
            debug_assert_eq!(header, Some(Ok((payload.len(), *kind))));
        }
        Err(error) => debug_assert!(bytes.len() > FRAME_LEN_MAX, "{error}: {message:?}"),
    }
    if let Message::Request(request) = message
        && request.check().is_ok()
    {
        debug_assert!(is_within_limits(&request), "{request:?}");
    }
}

/// The limits of the document, counted anew.
fn is_within_limits(request: &Request) -> bool {
    match request {
        Request::Objects { ids } => ids.len() <= IDS_MAX,
        Request::Lease { checkpoints, roots } => checkpoints.len() + roots.len() <= IDS_MAX,
        Request::Log(query) => query.paths.len() <= PATHS_MAX,
        Request::Purge(purge) => purge.paths.len() <= PATHS_MAX,
        Request::Restore(restore) => restore.paths.len() <= PATHS_MAX && restore.picked.len() <= PICKED_MAX,
        _ => true,
    }
}

/// What a peer sends after the handshake: frames over a socket, up to the first that is none.
pub fn stream(bytes: &[u8]) {
    let bytes = bytes.get(..STREAM_LEN_MAX).unwrap_or(bytes);
    let pair = UnixStream::pair().and_then(|(ours, mut theirs)| {
        theirs.write_all(bytes)?;
        theirs.shutdown(Shutdown::Write)?;
        Ok((Connection::new(ours, Timeouts::default())?, theirs))
    });
    let Ok((mut connection, _theirs)) = pair else { return };
    let mut taken = Vec::new();
    while let Ok(Some(message)) = connection.receive() {
        let frame = message.encode();
        debug_assert!(frame.is_ok(), "{message:?}");
        taken.extend_from_slice(&frame.unwrap_or_default());
    }
    debug_assert!(bytes.starts_with(&taken), "other frames were received than were sent");
}

/// The first bytes of either side.
pub fn handshake(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk()
        && let Ok((len, _kind)) = parse_header(*header)
    {
        debug_assert!(len < FRAME_LEN_MAX);
    }
    if let Some(hello) = bytes.first_chunk::<HELLO_LEN>().and_then(Hello::decode) {
        debug_assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        if let Some([0 | 1, 0, 0, 0]) = bytes.get(12..16) {
            debug_assert_eq!(bytes.first_chunk(), Some(&hello.encode()));
        }
    }
    if let Some(greeting) = bytes.first_chunk::<WELCOME_LEN>().and_then(Greeting::decode) {
        debug_assert_eq!(Greeting::decode(&greeting.encode()), Some(greeting));
        if let (Some([0..=4, 0, 0, 0]), Some([0, 0, 0, 0])) = (bytes.get(12..16), bytes.get(20..24)) {
            debug_assert_eq!(bytes.first_chunk(), Some(&greeting.encode()));
        }
    }
}

/// A file of a store or of its root. The first byte says which: 0 `FORMAT`, 1 `ROOT` or a registration, 2 the marker or `ID`.
pub fn store_file(bytes: &[u8]) {
    if let Some((kind, content)) = bytes.split_first() {
        crate::stores::fuzz_file(*kind, content);
    }
}

/// `config.toml`.
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        crate::settings::fuzz(text);
    }
}

#[cfg(test)]
mod tests {
    type Target = (&'static str, fn(&[u8]));

    /// If it fails, an input that a fuzzer once found makes a decoder panic, or take what no encoder wrote.
    #[test]
    fn the_corpora_are_refused_or_decoded_to_what_encodes_to_them() {
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpora = std::path::Path::new(&crate_dir).join("../../fuzz/corpus");
        let targets: [Target; 5] = [
            ("message", super::message),
            ("stream", super::stream),
            ("handshake", super::handshake),
            ("store_file", super::store_file),
            ("settings", super::settings),
        ];
        for (target, decode) in targets {
            let files: Vec<_> = std::fs::read_dir(corpora.join(target)).unwrap().collect();
            assert!(!files.is_empty(), "the corpus of {target} is empty");
            for file in files {
                decode(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}
