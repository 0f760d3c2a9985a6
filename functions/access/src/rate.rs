//! How often a caller may ask: a brake against runaway clients, per process.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Callers of an identity provider come and go. Beyond so many within a minute, newcomers are refused until one of them has been idle for
/// long enough to be forgotten.
const MAX_CALLERS: usize = 10_000;

/// A token bucket for each caller: a minute's worth at once, refilled evenly.
pub(crate) struct Rate {
    per_minute: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn per_minute(requests: u32) -> Self {
        Self {
            per_minute: f64::from(requests),
            buckets: Mutex::default(),
        }
    }

    pub(crate) fn admits(&self, caller: &str) -> bool {
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        if !buckets.contains_key(caller) && buckets.len() >= MAX_CALLERS {
            let full = |bucket: &Bucket| self.filled(bucket, now) >= self.per_minute;
            buckets.retain(|_, bucket| !full(bucket));
            if buckets.len() >= MAX_CALLERS {
                return false;
            }
        }
        let bucket = buckets.entry(caller.to_owned()).or_insert(Bucket {
            left: self.per_minute,
            at: now,
        });
        bucket.left = self.filled(bucket, now);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }

    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let gained = (now - bucket.at).as_secs_f64() / 60.0 * self.per_minute;
        (bucket.left + gained).min(self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_at_once_and_then_as_it_refills_each_caller_for_itself() {
        let rate = Rate::per_minute(60);
        let admitted = (0..100).filter(|_| rate.admits("a")).count();
        assert_eq!(admitted, 60);
        assert!(rate.admits("b"));
        tokio::time::advance(Duration::from_secs(2)).await;
        let admitted = (0..10).filter(|_| rate.admits("a")).count();
        assert_eq!(admitted, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_stays_bounded_and_idle_callers_make_room() {
        let rate = Rate::per_minute(1);
        for at in 0..MAX_CALLERS {
            assert!(rate.admits(&at.to_string()));
        }
        assert!(!rate.admits("one more"));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(rate.admits("one more"));
        assert_eq!(rate.buckets.lock().len(), 1);
    }
}
