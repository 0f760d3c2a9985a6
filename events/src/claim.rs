//! Who owns a call: the body of `claim.json`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How long a claim of a version that did not say it lasts: what `worker.lease` was by default.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(9);

/// A claim to a call. It is written by conditional writes only; whoever wins one owns the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The fencing token: of two holders the one with the higher generation owns the call.
    pub generation: u64,
    /// The holder.
    pub worker: String,
    /// When it may be taken by another holder, unless it is renewed before: by the clock of its holder.
    pub expires_at: Timestamp,
    /// The same as the milliseconds from when it was written: for whoever knows its age by the store's clock. Zero: at once. Older
    /// versions did not say ([`DEFAULT_LEASE`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Drawn for each holding: whoever was not told that the store took its claim knows it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// The call is over and its record is written.
    pub closed: bool,
    /// The holder could not serve the call and let go of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

/// What a claim means to somebody else than its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The call is over.
    Closed,
    /// The holder may be alive.
    Held {
        /// For how much longer, unless it is renewed.
        for_another: Duration,
    },
    /// Nobody renews it: it can be taken.
    Expired {
        /// For how long; zero when its holder has let go of it.
        since: Duration,
    },
}

impl Claim {
    /// The claim of `worker` from `now` on to a call whose claim so far is `last`, of no lower a generation than `least_generation`.
    pub fn succeed(
        last: Option<&Self>,
        least_generation: u64,
        worker: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Self {
        Self {
            generation: last.map_or(least_generation, |last| {
                last.generation.max(least_generation).saturating_add(1)
            }),
            worker: worker.to_owned(),
            expires_at: now.plus(lease),
            lease_ms: Some(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
            nonce: None,
            closed: false,
            given_up: false,
        }
    }

    /// How long it is in force from when it was written.
    pub fn lease(&self) -> Duration {
        self.lease_ms.map_or(DEFAULT_LEASE, Duration::from_millis)
    }

    /// What it means at the moment `now`, by clocks that may be another's.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let left_ms = self.expires_at.ms_since(now);
        match u64::try_from(left_ms) {
            _ if self.closed => Standing::Closed,
            Ok(ms) if ms > 0 => Standing::Held {
                for_another: Duration::from_millis(ms),
            },
            _ if self.given_up => Standing::Expired {
                since: Duration::ZERO,
            },
            _ => Standing::Expired {
                since: Duration::from_millis(left_ms.unsigned_abs()),
            },
        }
    }

    /// The stored object.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored object. One that cannot be read is one that nobody can renew, and stands as expired.
    pub fn decode(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            generation: 0,
            worker: String::new(),
            expires_at: Timestamp::EPOCH,
            lease_ms: Some(0),
            nonce: None,
            closed: false,
            given_up: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_196_401_568 + ms).unwrap()
    }

    #[test]
    fn a_claim_is_held_until_the_moment_it_expires_and_for_ever_once_it_is_closed() {
        let mut claim = Claim::succeed(None, 1, "w", at(-9_000), Duration::from_secs(9));
        let left = |ms| Standing::Held {
            for_another: Duration::from_millis(ms),
        };
        assert_eq!(claim.standing(at(-4_000)), left(4_000));
        assert_eq!(claim.standing(at(-1)), left(1));
        let since = Duration::ZERO;
        assert_eq!(claim.standing(at(0)), Standing::Expired { since });
        let since = Duration::from_millis(7);
        assert_eq!(claim.standing(at(7)), Standing::Expired { since });
        claim.closed = true;
        assert_eq!(claim.standing(at(-1)), Standing::Closed);
        assert_eq!(claim.standing(at(0)), Standing::Closed);
    }

    #[test]
    fn a_successor_has_a_higher_generation_than_the_claim_and_the_job_before_it() {
        let succeed = |last, least| Claim::succeed(last, least, "w", at(0), Duration::from_secs(9));
        let first = succeed(None, 3);
        assert_eq!((first.generation, first.lease()), (3, Duration::from_secs(9)));
        assert_eq!(succeed(Some(&first), 1).generation, 4);
        assert_eq!(succeed(Some(&first), 7).generation, 8);
    }

    #[test]
    fn claims_of_older_versions_are_read_and_what_is_none_stands_as_expired() {
        let text = br#"{"generation":2,"worker":"w","expires_at":"2026-11-20T17:40:01.568Z","closed":false}"#;
        let claim = Claim::decode(text);
        assert_eq!((claim.generation, claim.given_up), (2, false));
        assert_eq!(claim.encode(), text);
        assert_eq!(claim.lease(), DEFAULT_LEASE);
        let torn = Claim::decode(b"{\"generation\"");
        assert!(torn.generation == 0 && matches!(torn.standing(at(0)), Standing::Expired { .. }));
    }
}
