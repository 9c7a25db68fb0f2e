//! Hybrid logical clock: wall time that never runs backwards, with a counter for ties.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// UTC milliseconds in the upper 48 bits, a counter in the lower 16. On the wire it is the text
/// `<milliseconds>-<counter>`, because JavaScript cannot hold 64-bit integers.
///
/// Two writes with equal clocks are ordered by device id, so ties cannot occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(i64);

const COUNTER_BITS: u32 = 16;
const MAX_WALL_MS: i64 = (1 << (63 - COUNTER_BITS)) - 1;

impl Hlc {
    /// The clock at a wall time in UTC milliseconds, clamped to what the format can hold.
    pub fn at(wall_ms: i64) -> Self {
        Self(wall_ms.clamp(0, MAX_WALL_MS) << COUNTER_BITS)
    }

    /// The wall part, UTC milliseconds.
    pub fn wall_ms(self) -> i64 {
        self.0 >> COUNTER_BITS
    }

    /// The number SQLite stores; its order is the clock's order.
    pub fn to_i64(self) -> i64 {
        self.0
    }

    /// The reverse of [`Hlc::to_i64`].
    pub fn from_i64(raw: i64) -> Self {
        Self(raw.max(0))
    }

    /// The clock of the next local write at `wall_ms`: later than every clock seen before, also
    /// when the wall clock was turned back.
    pub fn next(self, wall_ms: i64) -> Self {
        Self::at(wall_ms).max(Self(self.0.saturating_add(1)))
    }

    /// Takes a clock seen from elsewhere into account. One more than `max_ahead_ms` ahead of
    /// `wall_ms` is clamped, so that a device set to 2099 cannot drag the others along.
    pub fn observe(self, seen: Self, wall_ms: i64, max_ahead_ms: i64) -> Self {
        self.max(seen.clamped(wall_ms, max_ahead_ms))
    }

    /// This clock, or the latest that is believed at `wall_ms`.
    pub fn clamped(self, wall_ms: i64, max_ahead_ms: i64) -> Self {
        self.min(Self::at(wall_ms.saturating_add(max_ahead_ms)))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.wall_ms(), self.0 & ((1 << COUNTER_BITS) - 1))
    }
}

/// The text is not `<milliseconds>-<counter>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseHlcError;

impl fmt::Display for ParseHlcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hybrid clock is <milliseconds>-<counter>")
    }
}

impl std::error::Error for ParseHlcError {}

impl FromStr for Hlc {
    type Err = ParseHlcError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (wall, counter) = text.split_once('-').ok_or(ParseHlcError)?;
        let wall: i64 = wall.parse().map_err(|_| ParseHlcError)?;
        let counter: u16 = counter.parse().map_err(|_| ParseHlcError)?;
        if !(0..=MAX_WALL_MS).contains(&wall) {
            return Err(ParseHlcError);
        }
        Ok(Self((wall << COUNTER_BITS) | i64::from(counter)))
    }
}

impl Serialize for Hlc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hlc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_later_even_when_the_wall_clock_was_turned_back() {
        let first = Hlc::default().next(1_000);
        let second = first.next(10);
        assert!(second > first);
        assert_eq!(second.wall_ms(), 1_000);
    }

    #[test]
    fn observe_does_not_follow_a_clock_far_ahead() {
        let seen = Hlc::at(4_000_000_000_000);
        let after = Hlc::at(1_000).observe(seen, 2_000, 86_400_000);
        assert_eq!(after, Hlc::at(2_000 + 86_400_000));
    }

    #[test]
    fn text_form_round_trips() {
        let clock = Hlc::at(1_763_600_000_000).next(0);
        assert_eq!(clock.to_string(), "1763600000000-1");
        assert_eq!(clock.to_string().parse(), Ok(clock));
        for bad in ["", "-1-0", "1", "1-", "1-65536", "x-1", "999999999999999999-0"] {
            assert_eq!(bad.parse::<Hlc>(), Err(ParseHlcError), "{bad}");
        }
    }
}
