//! Wall-clock time, for what is compared across processes and restarts: leases, dedup windows, records.
//!
//! Durations inside one process are measured with `tokio::time::Instant` instead: the wall clock may jump.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use time::OffsetDateTime;

/// A clock handle as it is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// By how much the clocks of LiveKit's machines and of ours may differ. No call is lost for a clock: tokens are dated back by as much, and
/// those of webhooks are taken so long before and after their time.
pub const SKEW: Duration = Duration::from_mins(2);

/// The wall clock.
pub trait Clock: Send + Sync {
    /// The current time, in UTC.
    fn now(&self) -> OffsetDateTime;

    /// The current time in milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64 {
        unix_ms(self.now())
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
pub fn unix_ms(at: OffsetDateTime) -> i64 {
    // ±292 million years fit; `OffsetDateTime` ends at the year 9999.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A clock that moves only when told to, for tests. Clones share the time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<OffsetDateTime>>);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: OffsetDateTime) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }

    /// Moves the clock back.
    pub fn set_back(&self, by: Duration) {
        *self.0.lock() -= by;
    }
}

impl Default for ManualClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at(time::macros::datetime!(2026-01-01 0:00 UTC))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_is_shared_by_its_clones() {
        let clock = ManualClock::default();
        let other = clock.clone();
        let start = clock.now_ms();
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(other.now_ms() - start, 1_500);
    }

    #[test]
    fn milliseconds_before_1970_round_down() {
        assert_eq!(
            unix_ms(time::macros::datetime!(1969-12-31 23:59:59.999_5 UTC)),
            -1
        );
    }
}
