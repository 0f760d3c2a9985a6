//! Token buckets, one per source address, in a table of bounded size.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Sources remembered at once. Beyond them, sources share one bucket.
const MAX_SOURCES: usize = 4096;

/// A rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    /// What a source may send at once after a pause; at least 1.
    pub burst: f64,
}

#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    sources: HashMap<IpAddr, Bucket>,
    shared: Option<Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

impl Buckets {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            sources: HashMap::new(),
            shared: None,
        }
    }

    /// Whether `source` may send one more datagram now.
    pub(super) fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        let rate = self.rate;
        let full = Bucket {
            tokens: rate.burst,
            at: now,
        };
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            self.forget_rested(now);
            if self.sources.len() >= MAX_SOURCES {
                return self.shared.get_or_insert(full).take(rate, now);
            }
        }
        self.sources.entry(source).or_insert(full).take(rate, now)
    }

    /// A source whose bucket has filled up again is the same as one never seen.
    fn forget_rested(&mut self, now: Instant) {
        let rate = self.rate;
        self.sources.retain(|_, bucket| {
            bucket.refill(rate, now);
            bucket.tokens < rate.burst
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate {
        per_second: 10.0,
        burst: 5.0,
    };

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let (mut buckets, start) = (Buckets::new(RATE), start());
        let source = IpAddr::from([10, 0, 0, 1]);
        let granted = (0..20).filter(|_| buckets.take(source, start)).count();
        assert_eq!(granted, 5);
        let later = start + Duration::from_millis(300);
        assert_eq!((0..20).filter(|_| buckets.take(source, later)).count(), 3);
        assert!(
            buckets.take(IpAddr::from([10, 0, 0, 2]), start),
            "another source pays for the first"
        );
    }

    #[test]
    fn the_table_stays_bounded_under_forged_sources() {
        let (mut buckets, start) = (Buckets::new(RATE), start());
        let sources = 0..u32::try_from(MAX_SOURCES).expect("fits") * 2;
        let granted = sources
            .filter(|i| buckets.take(IpAddr::from(i.to_be_bytes()), start))
            .count();
        assert_eq!(buckets.sources.len(), MAX_SOURCES);
        assert_eq!(granted, MAX_SOURCES + 5, "beyond the table all share one bucket");
        assert!(buckets.take(IpAddr::from([255, 0, 0, 1]), start + Duration::from_secs(1)));
        assert_eq!(buckets.sources.len(), 1, "rested sources are forgotten");
    }
}
