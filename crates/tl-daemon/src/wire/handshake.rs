//! The first bytes of a connection, whose layout never changes: it lets programs of any two versions understand at least that they differ, and lets a newer
//! program end an older daemon.

use super::value::StoreId;

/// The version of everything that follows the handshake. Both sides must speak the same.
pub const VERSION: u32 = 1;
/// Length of a [`Hello`] in bytes.
pub const HELLO_LEN: usize = 32;
/// Length of a [`Greeting`] in bytes.
pub const WELCOME_LEN: usize = 40;

const MAGIC: [u8; 8] = *b"TLIPC\r\n\0";

/// What a program wants of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To send requests.
    Talk,
    /// That the daemon ends, whatever version either is of.
    Stop,
}

/// What a program sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The version it speaks.
    pub version: u32,
    /// What it wants.
    pub wish: Wish,
    /// The store that it wants to use.
    pub store: StoreId,
}

impl Hello {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let wish = match self.wish {
            Wish::Talk => 0,
            Wish::Stop => 1,
        };
        let mut out = [0; HELLO_LEN];
        let [b0, b1, b2, b3] = self.version.to_le_bytes();
        let parts = MAGIC.into_iter().chain([b0, b1, b2, b3, wish, 0, 0, 0]).chain(self.store.0);
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads the bytes; `None` if they are of something else. A wish that is not known is one to talk, which the version decides about.
    #[must_use]
    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let ([wish, _, _, _], rest) = rest.split_first_chunk()?;
        let store = rest.first_chunk()?;
        let wish = if *wish == 1 { Wish::Stop } else { Wish::Talk };
        (*magic == MAGIC).then_some(Self { version: u32::from_le_bytes(*version), wish, store: StoreId(*store) })
    }
}

/// What a daemon makes of a [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Requests may follow.
    Welcome,
    /// It speaks another version; the greeting says which. The connection ends.
    OtherVersion,
    /// It serves another store. The connection ends.
    OtherStore,
    /// It has as many peers as it takes. The connection ends.
    TooManyPeers,
    /// It is ending, by this wish or for another reason. The connection ends when the daemon has given up its store.
    Ending,
}

impl Verdict {
    const ALL: [Self; 5] = [Self::Welcome, Self::OtherVersion, Self::OtherStore, Self::TooManyPeers, Self::Ending];
}

/// What a daemon sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The version it speaks.
    pub version: u32,
    /// What it makes of the hello.
    pub verdict: Verdict,
    /// Its process id.
    pub pid: u32,
    /// The store that it serves.
    pub store: StoreId,
}

impl Greeting {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; WELCOME_LEN] {
        let verdict =
            Verdict::ALL.iter().zip(0..).find_map(|(verdict, code)| (*verdict == self.verdict).then_some(code));
        let mut out = [0; WELCOME_LEN];
        let parts = MAGIC
            .into_iter()
            .chain(self.version.to_le_bytes())
            .chain([verdict.unwrap_or(0_u8), 0, 0, 0])
            .chain(self.pid.to_le_bytes())
            .chain([0; 4])
            .chain(self.store.0);
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads the bytes; `None` if they are of something else. A verdict that is not known is a refusal.
    #[must_use]
    pub fn decode(bytes: &[u8; WELCOME_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let ([verdict, _, _, _], rest) = rest.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (_reserved, rest) = rest.split_first_chunk::<4>()?;
        let store = rest.first_chunk()?;
        let verdict = Verdict::ALL.get(usize::from(*verdict)).copied().unwrap_or(Verdict::OtherVersion);
        let (version, pid) = (u32::from_le_bytes(*version), u32::from_le_bytes(*pid));
        (*magic == MAGIC).then_some(Self { version, verdict, pid, store: StoreId(*store) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId([0xab; 16]);

    /// If it fails, programs of released versions no longer understand each other's first bytes.
    #[test]
    fn the_layout_is_the_documented_one() {
        let hello = Hello { version: 1, wish: Wish::Stop, store: STORE }.encode();
        assert_eq!(hello[..16], *b"TLIPC\r\n\0\x01\0\0\0\x01\0\0\0");
        assert_eq!(hello[16..], [0xab; 16]);
        let greeting = Greeting { version: 1, verdict: Verdict::Ending, pid: 258, store: STORE }.encode();
        assert_eq!(greeting[..24], *b"TLIPC\r\n\0\x01\0\0\0\x04\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(greeting[24..], [0xab; 16]);
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for wish in [Wish::Talk, Wish::Stop] {
            let hello = Hello { version: 7, wish, store: STORE };
            assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        }
        for verdict in Verdict::ALL {
            let greeting = Greeting { version: 9, verdict, pid: 77, store: STORE };
            assert_eq!(Greeting::decode(&greeting.encode()), Some(greeting));
        }
    }

    #[test]
    fn other_protocols_are_told_apart() {
        assert_eq!(Hello::decode(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n     "), None);
        assert_eq!(Greeting::decode(&[0; WELCOME_LEN]), None);
    }

    /// If it fails, a newer daemon's refusal would be taken for a welcome.
    #[test]
    fn an_unknown_verdict_is_a_refusal() {
        let mut bytes = Greeting { version: 1, verdict: Verdict::Welcome, pid: 1, store: STORE }.encode();
        bytes[12] = 200;
        assert_eq!(Greeting::decode(&bytes).unwrap().verdict, Verdict::OtherVersion);
    }
}
