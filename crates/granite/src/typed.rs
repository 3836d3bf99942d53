//! Keys and values as Rust types instead of bytes.
//!
//! A [`Key`] is encoded so that the order of the bytes is the order of the type; scans then come in the type's order. A [`Value`] only
//! has to come back as it went in. [`TypedKeyspace`] is a keyspace seen through two such types.
//!
//! | key | bytes |
//! | --- | --- |
//! | unsigned integer | big endian |
//! | signed integer | big endian, sign bit flipped |
//! | `[u8; N]` | as they are |
//! | `String`, `Vec<u8>` | each 0 as 0 255, then the end: 0 1 |
//! | tuple of two or three | one after the other |
//!
//! No encoding is the beginning of another one of the same type, so that parts of tuples never run into each other.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use crate::error::{Error, Result};
use crate::iter::Iter;
use crate::keyspace::Keyspace;

/// A type that can be a key: its encoding keeps its order, and none is the beginning of another.
pub trait Key: Sized + Ord {
    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes an encoding off the front of `input`; `None` if none stands there.
    fn decode(input: &mut &[u8]) -> Option<Self>;
}

/// A type that can be a value.
pub trait Value: Sized {
    /// The encoding.
    fn to_bytes(&self) -> Vec<u8>;

    /// What was encoded; `None` if the bytes are no encoding.
    fn from_bytes(bytes: Vec<u8>) -> Option<Self>;
}

macro_rules! integers {
    ($($unsigned:ty, $signed:ty;)*) => {$(
        impl Key for $unsigned {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                <[u8; size_of::<Self>()]>::decode(input).map(Self::from_be_bytes)
            }
        }

        impl Key for $signed {
            fn encode(&self, out: &mut Vec<u8>) {
                (self.cast_unsigned() ^ Self::MIN.cast_unsigned()).encode(out);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                <$unsigned>::decode(input).map(|bits| (bits ^ Self::MIN.cast_unsigned()).cast_signed())
            }
        }

        impl Value for $unsigned {
            fn to_bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }

            fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_le_bytes)
            }
        }

        impl Value for $signed {
            fn to_bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }

            fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_le_bytes)
            }
        }
    )*};
}

integers! {
    u8, i8;
    u16, i16;
    u32, i32;
    u64, i64;
    u128, i128;
}

impl<const N: usize> Key for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (head, rest) = input.split_first_chunk()?;
        *input = rest;
        Some(*head)
    }
}

impl Key for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        for &byte in self {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
        // Less than whatever a longer key goes on with, be it an escaped zero.
        out.extend_from_slice(&[0, 1]);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut bytes = Self::new();
        loop {
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            if byte != 0 {
                bytes.push(byte);
                continue;
            }
            let (&mark, rest) = input.split_first()?;
            *input = rest;
            match mark {
                0xff => bytes.push(0),
                1 => return Some(bytes),
                _ => return None,
            }
        }
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().to_vec().encode(out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(Vec::decode(input)?).ok()
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Some((A::decode(input)?, B::decode(input)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
        self.2.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Some((A::decode(input)?, B::decode(input)?, C::decode(input)?))
    }
}

impl Value for Vec<u8> {
    fn to_bytes(&self) -> Vec<u8> {
        self.clone()
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        Some(bytes)
    }
}

impl Value for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        Self::from_utf8(bytes).ok()
    }
}

/// A keyspace whose keys are of type `K` and whose values are of type `V`. Everything in it must have been written through these types.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use granite::typed::TypedKeyspace;
/// use granite::{Db, KeyspaceOptions, Options};
///
/// let db = Db::open(dir.path(), &Options::new())?;
/// let scores = TypedKeyspace::<(String, i64), u32>::new(db.keyspace("scores", KeyspaceOptions::new())?);
/// scores.put(&("ann".into(), -5), &1)?;
/// scores.put(&("ann".into(), 3), &2)?;
/// scores.put(&("bob".into(), 0), &3)?;
/// let of_ann = scores.scan(("ann".to_owned(), i64::MIN)..("bob".to_owned(), i64::MIN))?;
/// assert_eq!(of_ann.map(|entry| Ok(entry?.0.1)).collect::<granite::Result<Vec<_>>>()?, [-5, 3]);
/// # Ok::<(), granite::Error>(())
/// ```
pub struct TypedKeyspace<K, V> {
    keyspace: Keyspace,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> Clone for TypedKeyspace<K, V> {
    fn clone(&self) -> Self {
        Self { keyspace: self.keyspace.clone(), types: PhantomData }
    }
}

impl<K, V> std::fmt::Debug for TypedKeyspace<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypedKeyspace").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

fn encoded<K: Key>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

impl<K: Key, V: Value> TypedKeyspace<K, V> {
    /// Sees `keyspace` through the types.
    #[must_use]
    pub const fn new(keyspace: Keyspace) -> Self {
        Self { keyspace, types: PhantomData }
    }

    /// The keyspace with bytes for keys and values: for batches and snapshots.
    #[must_use]
    pub const fn raw(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// As for [`Keyspace::get`]; [`Error::WrongType`] if what stands there is no `V`.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let found = self.keyspace.get(&encoded(key))?;
        found.map(|bytes| V::from_bytes(bytes).ok_or_else(|| self.wrong_type())).transpose()
    }

    /// Writes `value` under `key`.
    ///
    /// # Errors
    /// As for [`Keyspace::put`].
    pub fn put(&self, key: &K, value: &V) -> Result<()> {
        self.keyspace.put(&encoded(key), &value.to_bytes())
    }

    /// Writes `value` under `key` unless the key has a value already; true if it was written.
    ///
    /// # Errors
    /// As for [`Keyspace::put_if_absent`].
    pub fn put_if_absent(&self, key: &K, value: &V) -> Result<bool> {
        self.keyspace.put_if_absent(&encoded(key), &value.to_bytes())
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// As for [`Keyspace::delete`].
    pub fn delete(&self, key: &K) -> Result<()> {
        self.keyspace.delete(&encoded(key))
    }

    /// A walk over `range` at the present moment, in the order of `K`.
    ///
    /// # Errors
    /// As for [`Keyspace::scan`]; each entry can be [`Error::WrongType`].
    pub fn scan(&self, range: impl RangeBounds<K>) -> Result<TypedIter<K, V>> {
        let bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>) =
            (range.start_bound().map(encoded), range.end_bound().map(encoded));
        let iter = self.keyspace.scan::<Vec<u8>, _>(bounds)?;
        Ok(TypedIter { iter, keyspace: self.clone() })
    }

    fn wrong_type(&self) -> Error {
        Error::WrongType { keyspace: self.keyspace.name().to_owned() }
    }
}

/// A walk over a [`TypedKeyspace`].
#[derive(Debug)]
pub struct TypedIter<K, V> {
    iter: Iter,
    keyspace: TypedKeyspace<K, V>,
}

impl<K: Key, V: Value> Iterator for TypedIter<K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = Iterator::next(&mut self.iter)?;
        Some(entry.and_then(|(key, value)| {
            let mut input = key.as_slice();
            let key = K::decode(&mut input).filter(|_| input.is_empty());
            key.zip(V::from_bytes(value)).ok_or_else(|| self.keyspace.wrong_type())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Debug;

    fn keeps_order<K: Key + Debug>(a: &K, b: &K) {
        let (bytes_a, bytes_b) = (encoded(a), encoded(b));
        assert_eq!(a.cmp(b), bytes_a.cmp(&bytes_b), "{a:?} and {b:?} change places");
        assert_eq!(K::decode(&mut bytes_a.as_slice()).as_ref(), Some(a));
        assert!(a == b || !bytes_b.starts_with(&bytes_a), "{a:?} is the beginning of {b:?}");
        assert!((0..bytes_a.len()).all(|len| K::decode(&mut &bytes_a[..len]).is_none()), "{a:?} can be cut off");
    }

    /// Bytes that are equal at many places and have many zeros.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff), any::<u8>()], 0..6)
    }

    proptest! {
        #[test]
        fn numbers_keep_their_order(a: (i8, i64), b: (i8, i64), c: (u16, i128), d: (u16, i128)) {
            keeps_order(&a.0, &b.0);
            keeps_order(&a.1, &b.1);
            keeps_order(&a, &b);
            keeps_order(&c.0, &d.0);
            keeps_order(&c, &d);
        }

        #[test]
        fn strings_and_tuples_keep_their_order(a in bytes(), b in bytes(), c in bytes(), d in bytes(), n: i32, m: i32) {
            keeps_order(&a, &b);
            keeps_order(&(a.clone(), c.clone()), &(b.clone(), d.clone()));
            keeps_order(&(a.clone(), n, c), &(b.clone(), m, d));
            keeps_order(&(n, a.clone()), &(n, b.clone()));
            keeps_order(&[n.to_be_bytes(), m.to_be_bytes()][0], &m.to_be_bytes());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            keeps_order(&text(&a), &text(&b));
        }

        #[test]
        fn values_come_back(a: i16, b: u128, c: String, d: Vec<u8>) {
            prop_assert_eq!(i16::from_bytes(a.to_bytes()), Some(a));
            prop_assert_eq!(u128::from_bytes(b.to_bytes()), Some(b));
            prop_assert_eq!(String::from_bytes(c.to_bytes()), Some(c));
            prop_assert_eq!(Vec::<u8>::from_bytes(d.to_bytes()), Some(d.clone()));
            prop_assert_eq!(u32::from_bytes(d.to_bytes()).is_some(), d.len() == 4);
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(input: Vec<u8>) {
            let _decoded = <(String, i64, Vec<u8>)>::decode(&mut input.as_slice());
        }
    }
}
