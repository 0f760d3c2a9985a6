//! How old an object is, by the clock of the store it lies in, and what that makes of a claim.

use std::time::Duration;

use events::{Claim, Standing, Timestamp};

/// How long ago an object was written, by the store's own clock: the clock of no process has a part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// No less than this,
    pub at_least: Duration,
    /// and no more. S3 tells times in whole seconds.
    pub at_most: Duration,
}

impl Default for Age {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Age {
    /// It may be any.
    pub const UNKNOWN: Self = Self {
        at_least: Duration::ZERO,
        at_most: Duration::MAX,
    };

    /// Nothing is known of it.
    pub fn is_unknown(self) -> bool {
        self.at_most == Duration::MAX
    }

    /// What it will be `by` later, if nobody writes.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        if self.is_unknown() {
            return self;
        }
        Self {
            at_least: self.at_least.saturating_add(by),
            at_most: self.at_most.saturating_add(by),
        }
    }

    /// What `claim`, which is so old, means to somebody else than its holder and is in no haste: within the rounding it is still held.
    /// Where the age is not known the clocks decide, and `now` is the reader's.
    pub fn standing(self, claim: &Claim, now: Timestamp) -> Standing {
        if self.is_unknown() || claim.closed {
            return claim.standing(now);
        }
        match claim.lease().checked_sub(self.at_least) {
            Some(left) if !left.is_zero() => Standing::Held { for_another: left },
            _ if claim.given_up => Standing::Expired {
                since: Duration::ZERO,
            },
            _ => Standing::Expired {
                since: self.at_least.saturating_sub(claim.lease()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(9);

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_196_401_568 + s * 1_000).unwrap()
    }

    fn age(at_least_s: u64, at_most_s: u64) -> Age {
        Age {
            at_least: Duration::from_secs(at_least_s),
            at_most: Duration::from_secs(at_most_s),
        }
    }

    #[test]
    fn a_claim_is_held_until_it_is_surely_a_lease_old_whatever_the_clock_says() {
        let claim = Claim::succeed(None, 1, "w", at(0), LEASE);
        for clock_s in [-3_600, -90, 0, 9, 90, 3_600] {
            let standing = |age: Age| age.standing(&claim, at(clock_s));
            let for_another = Duration::from_secs(1);
            assert_eq!(standing(age(8, 10)), Standing::Held { for_another }, "{clock_s}");
            let since = Duration::ZERO;
            assert_eq!(standing(age(9, 11)), Standing::Expired { since }, "{clock_s}");
            let since = Duration::from_secs(30);
            assert_eq!(standing(age(39, 41)), Standing::Expired { since }, "{clock_s}");
        }
    }

    #[test]
    fn only_without_an_age_the_clocks_decide() {
        let claim = Claim::succeed(None, 1, "w", at(0), LEASE);
        assert_eq!(Age::UNKNOWN.standing(&claim, at(8)), claim.standing(at(8)));
        assert_eq!(Age::UNKNOWN.standing(&claim, at(20)), claim.standing(at(20)));
        assert_eq!(Age::UNKNOWN.later(LEASE), Age::UNKNOWN);
        assert_eq!(age(1, 3).later(LEASE), age(10, 12));
    }

    #[test]
    fn a_closed_claim_is_closed_and_one_given_up_is_over_at_once() {
        let claim = Claim::succeed(None, 1, "w", at(0), LEASE);
        let closed = Claim {
            closed: true,
            ..claim.clone()
        };
        assert_eq!(age(90, 92).standing(&closed, at(0)), Standing::Closed);
        let given_up = Claim {
            given_up: true,
            lease_ms: Some(0),
            ..claim
        };
        let since = Duration::ZERO;
        assert_eq!(age(0, 0).standing(&given_up, at(0)), Standing::Expired { since });
    }
}
