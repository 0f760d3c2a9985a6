//! Wall-clock time as it is stored and sent.

use std::fmt;

use serde::{Deserialize, Serialize, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// A moment of wall-clock time in UTC, to the millisecond, between 1970 and 9999.
///
/// Written as RFC 3339 with three decimals, `2026-11-21T09:00:00.123Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_ms: i64,
}

/// The last millisecond of the year 9999.
const MAX_UNIX_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the earliest.
    pub const EPOCH: Self = Self { unix_ms: 0 };

    /// From milliseconds since 1970-01-01T00:00:00Z; `None` outside of 1970–9999.
    pub const fn from_unix_ms(unix_ms: i64) -> Option<Self> {
        if unix_ms < 0 || unix_ms > MAX_UNIX_MS {
            None
        } else {
            Some(Self { unix_ms })
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn unix_ms(self) -> i64 {
        self.unix_ms
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.unix_ms - earlier.unix_ms
    }

    /// This moment, later by `duration` (cut to milliseconds; it stays within the year 9999).
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(MAX_UNIX_MS);
        Self {
            unix_ms: self.unix_ms.saturating_add(ms).min(MAX_UNIX_MS),
        }
    }

    /// Reads RFC 3339, cut to the millisecond; `None` when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339).ok().map(Self::from)
    }

    /// The day in UTC, `YYYY-MM-DD`: the first level of the storage keys.
    pub fn day(self) -> String {
        let date = self.to_offset().date();
        format!(
            "{:04}-{:02}-{:02}",
            date.year(),
            u8::from(date.month()),
            date.day()
        )
    }

    /// As a value of the `time` crate.
    pub fn to_offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.unix_ms) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// Cut to the millisecond, and to the range of the type.
impl From<OffsetDateTime> for Timestamp {
    fn from(at: OffsetDateTime) -> Self {
        let ms = (at.unix_timestamp_nanos() / 1_000_000).clamp(0, i128::from(MAX_UNIX_MS));
        Self {
            unix_ms: i64::try_from(ms).unwrap_or(0),
        }
    }
}

/// Cut to the millisecond, and to the range of the type.
impl From<std::time::SystemTime> for Timestamp {
    fn from(at: std::time::SystemTime) -> Self {
        OffsetDateTime::from(at).into()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        f.write_str(&self.to_offset().format(format).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339)
            .map(Self::from)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_milliseconds_and_read_back() {
        let at = Timestamp::from_unix_ms(1_795_196_401_568).unwrap();
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "\"2026-11-20T17:40:01.568Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
        assert_eq!(at.day(), "2026-11-20");
    }

    #[test]
    fn the_range_ends_with_the_year_9999() {
        assert!(Timestamp::from_unix_ms(-1).is_none());
        let last = Timestamp::from_unix_ms(MAX_UNIX_MS).unwrap();
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999Z");
        assert!(Timestamp::from_unix_ms(MAX_UNIX_MS + 1).is_none());
        assert_eq!(last.plus(std::time::Duration::MAX), last);
    }

    #[test]
    fn other_offsets_are_read_as_utc() {
        let at: Timestamp = serde_json::from_str("\"2026-11-20T23:30:00.5-01:00\"").unwrap();
        assert_eq!(at.day(), "2026-11-21");
    }
}
