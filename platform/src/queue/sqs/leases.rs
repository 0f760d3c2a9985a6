//! What this process has leased, and until when by its own clocks.
//!
//! SQS refuses most uses of a receipt whose lease is over, but not all: a heartbeat that comes late may still be accepted
//! while nobody else has received the body, and a second delete succeeds. Here a lease that is over stays over.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    clock::SharedClock,
    queue::{MAX_VISIBILITY, QueueError, Receipt},
};

/// A moment by both clocks. The monotonic one stands still while the machine sleeps; the wall clock can be set back. So
/// that much time has passed as either says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    monotonic: Instant,
    wall_ms: i64,
}

impl Moment {
    fn since(self, earlier: Self) -> Duration {
        let wall_ms = u64::try_from(self.wall_ms.saturating_sub(earlier.wall_ms)).unwrap_or(0);
        self.monotonic
            .saturating_duration_since(earlier.monotonic)
            .max(Duration::from_millis(wall_ms))
    }
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    received: Moment,
    /// When it was last renewed, or received.
    renewed: Moment,
    visibility: Duration,
}

impl Lease {
    fn is_over(&self, now: Moment) -> bool {
        now.since(self.renewed) >= self.visibility
    }
}

/// The leases that this process holds.
pub(super) struct Leases {
    /// Tells receipts of this process from others'.
    process: String,
    clock: SharedClock,
    next: AtomicU64,
    held: Mutex<HashMap<u64, Lease>>,
}

/// A receipt, taken apart.
pub(super) struct Handle<'a> {
    /// What SQS knows it by.
    pub(super) text: &'a str,
    /// `None`: another process received it, and SQS alone knows about its lease.
    number: Option<u64>,
}

impl Leases {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self {
            process: format!("{:016x}", rand::random::<u64>()),
            clock,
            next: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment {
            monotonic: Instant::now(),
            wall_ms: self.clock.now_ms(),
        }
    }

    /// Notes a lease that begins now, and forgets those that are over.
    pub(super) fn begin(&self, handle: &str, visibility: Duration) -> Receipt {
        let now = self.now();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lease = Lease {
            received: now,
            renewed: now,
            visibility,
        };
        let mut held = self.held.lock();
        held.retain(|_, lease| !lease.is_over(now));
        held.insert(number, lease);
        Receipt::new(format!("{}.{number}.{handle}", self.process))
    }

    /// The handle of a receipt whose lease still runs, as far as this process knows.
    pub(super) fn handle<'a>(&self, receipt: &'a Receipt) -> Result<Handle<'a>, QueueError> {
        let mut parts = receipt.as_str().splitn(3, '.');
        let (Some(process), Some(number), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(QueueError::StaleReceipt);
        };
        if process != self.process {
            return Ok(Handle { text, number: None });
        }
        let number: u64 = number.parse().map_err(|_| QueueError::StaleReceipt)?;
        let now = self.now();
        let mut held = self.held.lock();
        match held.get(&number) {
            Some(lease) if !lease.is_over(now) => Ok(Handle {
                text,
                number: Some(number),
            }),
            _ => {
                held.remove(&number);
                Err(QueueError::StaleReceipt)
            }
        }
    }

    /// What `visibility` becomes under the ceiling of 12 hours from the receive, and the whole seconds to ask for.
    pub(super) fn allowed(
        &self,
        handle: &Handle<'_>,
        visibility: Duration,
    ) -> Result<(Duration, i32), QueueError> {
        let received = handle
            .number
            .and_then(|number| self.held.lock().get(&number).map(|lease| lease.received));
        let Some(received) = received else {
            return Ok((visibility, whole_seconds(visibility)));
        };
        // A second less, since SQS counts by its own clock.
        let left = MAX_VISIBILITY
            .saturating_sub(self.now().since(received))
            .saturating_sub(Duration::from_secs(1));
        match i32::try_from(left.as_secs()) {
            Ok(seconds @ 1..) => Ok((visibility.min(left), whole_seconds(visibility).min(seconds))),
            _ => Err(QueueError::StaleReceipt),
        }
    }

    /// Notes that the lease was renewed. `asked` is when that was asked for: it counts from no later.
    pub(super) fn renew(&self, handle: &Handle<'_>, asked: Moment, visibility: Duration) {
        if let Some(number) = handle.number
            && let Some(lease) = self.held.lock().get_mut(&number)
        {
            lease.renewed = asked;
            lease.visibility = visibility;
        }
    }

    /// Notes that the lease has ended.
    pub(super) fn end(&self, handle: &Handle<'_>) {
        if let Some(number) = handle.number {
            self.held.lock().remove(&number);
        }
    }
}

/// SQS counts in whole seconds: up, so that a body does not come back early.
pub(super) fn whole_seconds(time: Duration) -> i32 {
    let up = u64::from(time.subsec_nanos() > 0);
    i32::try_from(time.as_secs().saturating_add(up)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    const LEASE: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_over_by_either_clock_and_stays_over() {
        let clock = ManualClock::default();
        let leases = Leases::new(Arc::new(clock.clone()));
        for by_wall in [true, false] {
            let receipt = leases.begin("AQEB.x", LEASE);
            assert_eq!(leases.handle(&receipt).unwrap().text, "AQEB.x");
            if by_wall {
                clock.advance(LEASE);
            } else {
                tokio::time::advance(LEASE).await;
            }
            assert!(leases.handle(&receipt).is_err());
            assert!(leases.handle(&receipt).is_err());
        }
        assert!(leases.held.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_counts_from_when_it_was_asked_for() {
        let leases = Leases::new(Arc::new(ManualClock::default()));
        let receipt = leases.begin("h", LEASE);
        let asked = leases.now();
        tokio::time::advance(LEASE / 3).await;
        let handle = leases.handle(&receipt).unwrap();
        leases.renew(&handle, asked, LEASE);
        tokio::time::advance(LEASE / 3 * 2).await;
        assert!(leases.handle(&receipt).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn no_lease_outlasts_twelve_hours() {
        let leases = Leases::new(Arc::new(ManualClock::default()));
        let receipt = leases.begin("h", MAX_VISIBILITY);
        tokio::time::advance(MAX_VISIBILITY.saturating_sub(Duration::from_secs(100))).await;
        let handle = leases.handle(&receipt).unwrap();
        assert_eq!(leases.allowed(&handle, LEASE).unwrap(), (LEASE, 9));
        let (allowed, seconds) = leases.allowed(&handle, Duration::from_mins(10)).unwrap();
        assert_eq!((allowed, seconds), (Duration::from_secs(99), 99));
        tokio::time::advance(Duration::from_secs(99)).await;
        let handle = leases.handle(&receipt).unwrap();
        assert!(leases.allowed(&handle, LEASE).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_ended_is_forgotten_and_another_process_is_believed() {
        let clock = ManualClock::default();
        let leases = Leases::new(Arc::new(clock.clone()));
        for _ in 0..100 {
            leases.begin("h", LEASE);
        }
        clock.advance(LEASE);
        let receipt = leases.begin("h", LEASE);
        assert_eq!(leases.held.lock().len(), 1);
        let others = Leases::new(Arc::new(clock));
        assert_eq!(others.handle(&receipt).unwrap().number, None);
        assert!(others.handle(&Receipt::new("nothing")).is_err());
    }

    #[test]
    fn seconds_round_up() {
        for (ms, seconds) in [(1, 1), (600, 1), (1_000, 1), (1_001, 2), (9_000, 9)] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds);
        }
    }
}
