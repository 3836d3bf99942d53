//! The ids of checkpoints: ULIDs that rise in the order of appending.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ulid::Ulid;

/// Digits of an id as text.
const TEXT_LEN: usize = 26;
/// 128 bits in digits of 5: the first digit holds three.
const FIRST_DIGIT_MAX: u8 = b'7';

/// The id of a checkpoint. Ids sort in the order in which checkpoints were appended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(u128);

/// A text that is no id and no beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of a checkpoint: {TEXT_LEN} digits and capital letters without I, L, O and U")]
pub struct InvalidId;

impl CheckpointId {
    /// Before every id that is given out.
    pub const MIN: Self = Self(0);
    /// After every id that is given out.
    pub const MAX: Self = Self(u128::MAX);

    /// The id that follows `last` at the time `now` (since 1970), with 80 bits of randomness where the time has moved on.
    /// `None` when ids are used up.
    #[must_use]
    pub fn after(last: Self, now: Duration, random: u128) -> Option<Self> {
        let fresh = Self(Ulid::from_parts(millis(now), random).0);
        Some(fresh.max(Self(last.0.checked_add(1)?)))
    }

    /// The first and the last id that the millisecond of `time` can have.
    #[must_use]
    pub fn bounds_at(time: Duration) -> (Self, Self) {
        let millis = millis(time);
        (Self(Ulid::from_parts(millis, 0).0), Self(Ulid::from_parts(millis, u128::MAX).0))
    }

    /// The time in the id, in milliseconds since 1970: never less than that of an older checkpoint.
    #[must_use]
    pub fn time(self) -> Duration {
        Duration::from_millis(Ulid(self.0).timestamp_ms())
    }

    /// Sixteen bytes that sort as the ids do.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`CheckpointId::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The ids that begin with `prefix` (1 to 26 digits in either case): the first and the last.
    ///
    /// # Errors
    /// [`InvalidId`] if none can.
    pub fn prefix_bounds(prefix: &str) -> Result<(Self, Self), InvalidId> {
        if prefix.is_empty() || prefix.len() > TEXT_LEN || prefix.as_bytes().first() > Some(&FIRST_DIGIT_MAX) {
            return Err(InvalidId);
        }
        let filled = |digit: &str| {
            let text = format!("{prefix}{}", digit.repeat(TEXT_LEN - prefix.len()));
            Ulid::from_string(&text).map(|id| Self(id.0)).map_err(|_| InvalidId)
        };
        Ok((filled("0")?, filled("Z")?))
    }
}

/// Milliseconds, at most those that fit an id's 48 bits.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min((1 << Ulid::TIME_BITS) - 1)
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LEN];
        f.pad(Ulid(self.0).array_to_str(&mut text))
    }
}

impl fmt::Debug for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CheckpointId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != TEXT_LEN {
            return Err(InvalidId);
        }
        Self::prefix_bounds(text).map(|(first, _)| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_rise_whatever_the_clock_does(times in prop::collection::vec(0u64..1 << 50, 1..50), random: u128) {
            let mut last = CheckpointId::MIN;
            for time in times {
                let next = CheckpointId::after(last, Duration::from_millis(time), random).unwrap();
                prop_assert!(next > last);
                prop_assert!(next.time() >= last.time());
                last = next;
            }
        }

        #[test]
        fn text_and_bytes_name_the_same_id(value: u128, len in 1usize..=26) {
            let id = CheckpointId(value);
            let text = id.to_string();
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(text.to_lowercase().parse(), Ok(id));
            prop_assert_eq!(CheckpointId::from_bytes(id.to_bytes()), id);
            let (first, last) = CheckpointId::prefix_bounds(&text[..len]).unwrap();
            prop_assert!(first <= id && id <= last);
            prop_assert!(first.to_string().starts_with(&text[..len]) && last.to_string().starts_with(&text[..len]));
        }
    }

    #[test]
    fn texts_that_fit_no_id_are_refused() {
        for text in ["", "U", "8", "zzzz", "01ARZ3NDEKTSV4RRFFQ69G5FAVX", "é", "01 "] {
            assert_eq!(CheckpointId::prefix_bounds(text), Err(InvalidId), "{text}");
        }
        assert_eq!("01ARZ3".parse::<CheckpointId>(), Err(InvalidId));
    }

    #[test]
    fn the_last_id_has_no_follower() {
        assert_eq!(CheckpointId::after(CheckpointId::MAX, Duration::ZERO, 0), None);
    }
}
