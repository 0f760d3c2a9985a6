//! Who owns a call: `claim.json`, written by conditional writes only.
//!
//! The queue wakes a worker; this decides. A claim names its holder, a generation and the moment it expires. It is taken
//! when there is none, or when the last one has expired: then the generation goes up by one, and of several workers
//! that try, the store lets one win. A holder whose renewal is refused has lost the call and must fall silent.
//!
//! The clocks of two workers may be minutes apart. So whoever reads a claim goes by its age, which the store tells by its own clock, and
//! its holder by the time since it sent the last renewal that was answered: the longer of the two.

use std::time::Duration;

use events::{CallJob, Claim, Timestamp, keys};
use platform::{
    clock::SharedClock,
    store::{Age, ETag, Store, StoreError},
};

/// What came of an attempt to claim a call.
pub(crate) enum Attempt {
    /// The call is this worker's.
    Won(Held),
    /// The claim is in force until then: another worker's, or one that this worker has made before and does not hold any more.
    Held { for_another: Duration, by_us: bool },
    /// The call is over.
    Closed,
    /// The call is over, and nobody has ever claimed it.
    NeverHeld,
}

/// A claim in this worker's hands.
pub(crate) struct Held {
    key: String,
    /// The claim that was taken over; `None` for a call that nobody had claimed.
    last: Option<Claim>,
    claim: Claim,
    etag: ETag,
}

/// Why a claim could not be renewed or closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// Another worker has taken the call. Fall silent; do not retry.
    #[error("another worker has taken the call")]
    Lost,
    /// The store does not answer. Retry while the claim has not expired.
    #[error("the claim could not be written")]
    Store(#[from] StoreError),
}

/// Takes claims in the name of one worker.
pub(crate) struct Claims<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) clock: &'a SharedClock,
    pub(crate) worker: &'a str,
    /// How long a claim lasts without a renewal.
    pub(crate) lease: Duration,
    /// How often its holder renews it.
    pub(crate) heartbeat: Duration,
}

/// Beyond a heartbeat: what a renewal may take to arrive.
const GRACE: Duration = Duration::from_secs(1);

impl Claims<'_> {
    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }

    /// Whether anybody has ever claimed the call of `job`.
    pub(crate) async fn exists(&self, job: &CallJob) -> Result<bool, StoreError> {
        let key = keys::claim(job.created_at, &job.call);
        Ok(self.store.get(&key).await?.is_some())
    }

    /// Tries to make the call of `job` this worker's.
    pub(crate) async fn take(&self, job: &CallJob) -> Result<Attempt, StoreError> {
        let key = keys::claim(job.created_at, &job.call);
        let mut watched: Option<ETag> = None;
        // Further rounds are needed after a watch, and when somebody writes between the read and the write; then it is theirs.
        for _ in 0..3 {
            let found = self.store.get_aged(&key).await?;
            let last = found.as_ref().map(|(object, _)| Claim::decode(&object.bytes));
            if let (Some(last), Some((object, age))) = (&last, &found) {
                if last.closed {
                    return Ok(Attempt::Closed);
                }
                let for_another = self.in_force(last, *age);
                if !for_another.is_zero() {
                    let by_us = last.worker == self.worker;
                    return Ok(Attempt::Held { for_another, by_us });
                }
                if self.is_long_over(last, *age) && watched.as_ref() != Some(&object.etag) {
                    watched = Some(object.etag.clone());
                    tokio::time::sleep(self.heartbeat + GRACE).await;
                    continue;
                }
            }
            let claim = Claim::succeed(last.as_ref(), job.generation, self.worker, self.now(), self.lease);
            let body = claim.encode().into();
            let written = match &found {
                None => self.store.put_if_absent(&key, body).await?,
                Some((object, _)) => self.store.put_if_match(&key, &object.etag, body).await?,
            };
            if let Some(etag) = written {
                return Ok(Attempt::Won(Held {
                    key,
                    last,
                    claim,
                    etag,
                }));
            }
        }
        Ok(Attempt::Held {
            for_another: self.lease,
            by_us: false,
        })
    }

    /// For how much longer the claim may be in force, unless it is renewed; zero when it is over.
    ///
    /// Its age decides. Only where that is told in whole seconds, the clocks of holder and reader say which of the two it is.
    fn in_force(&self, claim: &Claim, age: Age) -> Duration {
        let lease = claim.lease().unwrap_or(self.lease);
        let left = lease.saturating_sub(age.at_least);
        if age.at_most < lease {
            return left;
        }
        let by_clocks = u64::try_from(claim.expires_at.ms_since(self.now())).unwrap_or(0);
        left.min(Duration::from_millis(by_clocks))
    }

    /// Nobody was free when it ended, or the store's clock was set forward: then its holder still renews it, and is seen to do so.
    fn is_long_over(&self, claim: &Claim, age: Age) -> bool {
        let lease = claim.lease().unwrap_or(self.lease);
        !lease.is_zero() && age.at_least >= lease + self.heartbeat
    }

    /// Moves the expiry of `held` on by one lease.
    pub(crate) async fn renew(&self, held: &mut Held) -> Result<(), ClaimError> {
        let claim = Claim {
            expires_at: self.now().plus(self.lease),
            ..held.claim.clone()
        };
        self.write(held, claim).await
    }

    /// Marks the call as over, so that a job that comes again finds nothing to do.
    pub(crate) async fn close(&self, held: &mut Held) -> Result<(), ClaimError> {
        let claim = Claim {
            closed: true,
            ..held.claim.clone()
        };
        self.write(held, claim).await
    }

    /// Gives the call up, so that another worker can take it at once.
    pub(crate) async fn give_up(&self, held: &mut Held) -> Result<(), ClaimError> {
        let claim = Claim {
            expires_at: self.now(),
            lease_ms: Some(0),
            given_up: true,
            ..held.claim.clone()
        };
        self.write(held, claim).await
    }

    async fn write(&self, held: &mut Held, claim: Claim) -> Result<(), ClaimError> {
        // A second round is needed when an earlier write was carried out and its answer lost, or not waited for.
        for _ in 0..2 {
            let written = self
                .store
                .put_if_match(&held.key, &held.etag, claim.encode().into())
                .await?;
            if let Some(etag) = written {
                held.etag = etag;
                held.claim = claim;
                return Ok(());
            }
            let Some(found) = self.store.get(&held.key).await? else {
                break;
            };
            // Whoever takes the call raises the generation: with the same one, the claim is still this worker's.
            let now = Claim::decode(&found.bytes);
            if now.generation != held.claim.generation || now.worker != held.claim.worker {
                break;
            }
            held.etag = found.etag;
        }
        Err(ClaimError::Lost)
    }
}

impl Held {
    /// For how much longer the call is this worker's at the moment `now`, unless the claim is renewed.
    pub(crate) fn left(&self, now: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.claim.expires_at.ms_since(now)).unwrap_or(0))
    }

    /// The fencing token: above 1 the call was taken over from a worker that is gone.
    pub(crate) fn generation(&self) -> u64 {
        self.claim.generation
    }

    /// The claim that was taken over.
    pub(crate) fn last(&self) -> Option<&Claim> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform::{clock::ManualClock, store::FolderStore};

    use super::*;
    use crate::testing::job;

    const LEASE: Duration = Duration::from_secs(9);
    const HEARTBEAT: Duration = Duration::from_secs(3);

    struct Bench {
        store: FolderStore,
        manual: ManualClock,
        clock: SharedClock,
        folder: tempfile::TempDir,
    }

    impl Bench {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let manual = ManualClock::at(time::OffsetDateTime::UNIX_EPOCH + Duration::from_hours(24));
            let store = FolderStore::open(folder.path()).await.unwrap();
            Self {
                store,
                clock: Arc::new(manual.clone()),
                manual,
                folder,
            }
        }

        /// Lets time go by, for the clock and for the store.
        fn advance(&self, by: Duration) {
            self.manual.advance(by);
            let path = self
                .folder
                .path()
                .join(keys::claim(job().created_at, &job().call));
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let written = file.metadata().unwrap().modified().unwrap();
            file.set_modified(written - by).unwrap();
        }

        /// What another worker is told.
        async fn in_force(&self) -> Duration {
            match self.claims("another").take(&job()).await.unwrap() {
                Attempt::Held { for_another, .. } => for_another,
                _ => panic!("it is over"),
            }
        }

        /// A clock that runs beside the bench's, `seconds` off.
        fn clock_off_by(&self, seconds: i64) -> SharedClock {
            let now = self.clock.now() + time::Duration::seconds(seconds);
            Arc::new(ManualClock::at(now))
        }

        fn claims<'a>(&'a self, worker: &'a str) -> Claims<'a> {
            Claims {
                store: &self.store,
                clock: &self.clock,
                worker,
                lease: LEASE,
                heartbeat: HEARTBEAT,
            }
        }
    }

    async fn won(claims: &Claims<'_>) -> Held {
        match claims.take(&job()).await.unwrap() {
            Attempt::Won(held) => held,
            Attempt::Held { .. } => panic!("held by another"),
            Attempt::Closed | Attempt::NeverHeld => panic!("closed"),
        }
    }

    /// By how many seconds another worker's clock is off.
    const CLOCKS_S: [i64; 13] = [0, -1, 1, -5, 5, 9, 12, 17, -17, 90, -90, 3_600, -3_600];

    #[tokio::test]
    async fn a_live_claim_keeps_others_away_whatever_their_clocks_say() {
        for clock_of_b_s in CLOCKS_S {
            let bench = Bench::new().await;
            let mut held = won(&bench.claims("a")).await;
            assert_eq!(held.generation(), 1);
            let clock = bench.clock_off_by(clock_of_b_s);
            let b = Claims {
                clock: &clock,
                ..bench.claims("b")
            };
            // Just renewed, a heartbeat old, and all but over.
            for age_s in [0, 3, 8] {
                bench.claims("a").renew(&mut held).await.unwrap();
                bench.advance(Duration::from_secs(age_s));
                let Attempt::Held { for_another, by_us } = b.take(&job()).await.unwrap() else {
                    panic!("b must not get it at {clock_of_b_s} s");
                };
                let left = Duration::from_secs(9 - age_s);
                assert!(
                    !by_us && for_another <= left,
                    "{for_another:?} at {clock_of_b_s} s"
                );
                assert!(for_another + Duration::from_secs(1) > left, "{for_another:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_claim_that_nobody_renews_is_taken_after_a_lease_whatever_the_clock_says() {
        for clock_of_b_s in CLOCKS_S {
            let bench = Bench::new().await;
            let _dead = won(&bench.claims("a")).await;
            bench.advance(LEASE);
            let clock = bench.clock_off_by(clock_of_b_s);
            let b = Claims {
                clock: &clock,
                ..bench.claims("b")
            };
            assert_eq!(won(&b).await.generation(), 2, "at {clock_of_b_s} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_the_store_that_is_set_forward_costs_no_call() {
        let bench = Bench::new().await;
        let mut held = won(&bench.claims("a")).await;
        bench.advance(Duration::from_secs(90));
        let (a, b, job) = (bench.claims("a"), bench.claims("b"), job());
        let (renewed, attempt) = tokio::join!(
            async {
                tokio::time::sleep(HEARTBEAT).await;
                a.renew(&mut held).await
            },
            b.take(&job)
        );
        assert!(renewed.is_ok() && matches!(attempt.unwrap(), Attempt::Held { .. }));

        // And a dead one's is taken all the same.
        bench.advance(Duration::from_secs(90));
        assert_eq!(won(&b).await.generation(), 2);
    }

    #[tokio::test]
    async fn the_claim_says_itself_how_long_it_lasts() {
        let bench = Bench::new().await;
        let patient = Claims {
            lease: LEASE * 3,
            ..bench.claims("a")
        };
        let _held = won(&patient).await;
        bench.advance(LEASE);
        assert!(bench.in_force().await > LEASE);
    }

    #[tokio::test]
    async fn where_the_age_is_told_in_whole_seconds_the_clocks_say_which() {
        let bench = Bench::new().await;
        let (claims, second) = (bench.claims("b"), Duration::from_secs(1));
        let claim = Claim::succeed(None, 1, "a", claims.now(), LEASE);
        let in_force = |claims: &Claims<'_>, s: u64| {
            let age = Duration::from_secs(s);
            let age = Age {
                at_least: age.saturating_sub(second),
                at_most: age + second,
            };
            claims.in_force(&claim, age)
        };
        assert_eq!(in_force(&claims, 9), second, "by the clocks it was just written");
        bench.manual.advance(LEASE.checked_sub(second / 10).unwrap());
        assert_eq!(in_force(&claims, 9), second / 10, "no later than the clocks say");
        assert_eq!(in_force(&claims, 10), Duration::ZERO);
        let clock = bench.clock_off_by(90);
        let ahead = Claims {
            clock: &clock,
            ..claims
        };
        assert_eq!(
            in_force(&ahead, 7),
            second * 3,
            "the clocks decide within the rounding only"
        );
        assert_eq!(in_force(&ahead, 8), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_expired_claim_is_taken_with_a_higher_generation_and_its_old_holder_learns_it() {
        let bench = Bench::new().await;
        let mut zombie = won(&bench.claims("a")).await;
        bench.advance(LEASE);
        let heir = won(&bench.claims("b")).await;
        assert_eq!(heir.generation(), 2);
        assert!(matches!(
            bench.claims("a").renew(&mut zombie).await,
            Err(ClaimError::Lost)
        ));
        assert!(matches!(
            bench.claims("a").close(&mut zombie).await,
            Err(ClaimError::Lost)
        ));
    }

    #[tokio::test]
    async fn a_renewed_claim_does_not_expire() {
        let bench = Bench::new().await;
        let claims = bench.claims("a");
        let mut held = won(&claims).await;
        for _ in 0..5 {
            bench.advance(Duration::from_secs(6));
            claims.renew(&mut held).await.unwrap();
        }
        assert!(bench.in_force().await > Duration::from_secs(8));
    }

    #[tokio::test]
    async fn a_renewal_whose_answer_was_lost_does_not_lose_the_call() {
        let bench = Bench::new().await;
        let claims = bench.claims("a");
        let mut held = won(&claims).await;
        let before = held.etag.clone();
        bench.advance(Duration::from_secs(3));
        claims.renew(&mut held).await.unwrap();
        // As if the worker had not heard of it.
        held.etag = before;
        bench.advance(Duration::from_secs(3));
        claims.renew(&mut held).await.unwrap();
        assert!(bench.in_force().await > Duration::from_secs(8));
    }

    #[tokio::test]
    async fn a_closed_claim_is_never_taken_and_one_given_up_at_once() {
        let bench = Bench::new().await;
        let mut held = won(&bench.claims("a")).await;
        bench.claims("a").give_up(&mut held).await.unwrap();
        let mut heir = won(&bench.claims("b")).await;
        assert!(heir.last().is_some_and(|last| last.given_up) && !heir.claim.given_up);
        bench.claims("b").close(&mut heir).await.unwrap();
        bench.advance(Duration::from_hours(1));
        assert!(matches!(
            bench.claims("c").take(&job()).await.unwrap(),
            Attempt::Closed
        ));
    }

    #[tokio::test]
    async fn of_many_workers_one_wins() {
        let bench = Bench::new().await;
        let names: Vec<String> = (0..16).map(|n| format!("w{n}")).collect();
        let claims: Vec<_> = names.iter().map(|name| bench.claims(name)).collect();
        let job = job();
        let attempts = futures_util::future::join_all(claims.iter().map(|claims| claims.take(&job))).await;
        let won = |attempt: &Result<Attempt, StoreError>| matches!(attempt, Ok(Attempt::Won(_)));
        assert_eq!(attempts.iter().filter(|attempt| won(attempt)).count(), 1);
    }
}
