//! Who owns a call: `claim.json`, written by conditional writes only.
//!
//! The queue wakes a worker; this decides. A claim names its holder, a generation and the moment it expires. It is taken
//! when there is none, or when the last one has expired: then the generation goes up by one, and of several workers
//! that try, the store lets one win. A holder whose renewal is refused has lost the call and must fall silent.
//!
//! When a claim expires is written by its holder's clock and read by another's, which may be minutes off. A claim that is in force for
//! longer than a lease, or has been expired for longer, says so: whoever reads it then waits, by its own clock, whether the holder renews it.

use std::time::Duration;

use events::{CallJob, Claim, Standing, Timestamp, keys};
use platform::{
    clock::SharedClock,
    store::{ETag, Store, StoreError},
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
        // Further rounds are needed after a wait, and when somebody writes between the read and the write; then it is theirs.
        for _ in 0..3 {
            let found = self.store.get(&key).await?;
            let last = found.as_ref().map(|object| Claim::decode(&object.bytes));
            let etag = found.as_ref().map(|object| &object.etag);
            let by_us = last.as_ref().is_some_and(|last| last.worker == self.worker);
            match last.as_ref().map(|last| last.standing(self.now())) {
                Some(Standing::Closed) => return Ok(Attempt::Closed),
                Some(Standing::Held { for_another }) if for_another <= self.lease => {
                    return Ok(Attempt::Held { for_another, by_us });
                }
                Some(Standing::Expired { since }) if since <= self.lease => {}
                None => {}
                Some(standing) => match &watched {
                    None => {
                        watched = etag.cloned();
                        tokio::time::sleep(self.heartbeat + GRACE).await;
                        continue;
                    }
                    Some(before) if Some(before) == etag => {
                        tracing::warn!(
                            ?standing,
                            "nobody renews the claim: its holder is long gone, or has another clock"
                        );
                    }
                    Some(_) => {
                        let for_another = self.lease;
                        return Ok(Attempt::Held { for_another, by_us });
                    }
                },
            }
            let expires_at = self.now().plus(self.lease);
            let claim = Claim::succeed(last.as_ref(), job.generation, self.worker, expires_at);
            let body = claim.encode().into();
            let written = match &found {
                None => self.store.put_if_absent(&key, body).await?,
                Some(object) => self.store.put_if_match(&key, &object.etag, body).await?,
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
        _folder: tempfile::TempDir,
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
                _folder: folder,
            }
        }

        /// What the claim means by its holder's clock.
        async fn standing(&self) -> Standing {
            let key = keys::claim(job().created_at, &job().call);
            let object = self.store.get(&key).await.unwrap().unwrap();
            Claim::decode(&object.bytes).standing(self.clock.now().into())
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

    /// Renews `held` as its holder does, for ever.
    async fn renewing(claims: Claims<'_>, held: &mut Held, manual: &ManualClock) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            manual.advance(HEARTBEAT);
            claims.renew(held).await.unwrap();
        }
    }

    async fn won(claims: &Claims<'_>) -> Held {
        match claims.take(&job()).await.unwrap() {
            Attempt::Won(held) => held,
            Attempt::Held { .. } => panic!("held by another"),
            Attempt::Closed | Attempt::NeverHeld => panic!("closed"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_claim_keeps_others_away_whatever_their_clocks_say() {
        for clock_of_b_s in [0, -5, 3, 90, -90] {
            let bench = Bench::new().await;
            let mut held = won(&bench.claims("a")).await;
            assert_eq!(held.generation(), 1);
            let clock = bench.clock_off_by(clock_of_b_s);
            let b = Claims {
                clock: &clock,
                ..bench.claims("b")
            };
            let job = job();
            let attempt = tokio::select! {
                () = renewing(bench.claims("a"), &mut held, &bench.manual) => unreachable!(),
                attempt = b.take(&job) => attempt.unwrap(),
            };
            let Attempt::Held { for_another, .. } = attempt else {
                panic!("b must not get it at {clock_of_b_s} s");
            };
            assert!(for_another <= LEASE, "{for_another:?} at {clock_of_b_s} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_nobody_renews_is_taken_within_a_lease_whatever_the_clock_says() {
        for clock_of_b_s in [90, 0, -5, -90, -3_600] {
            let bench = Bench::new().await;
            let _dead = won(&bench.claims("a")).await;
            let clock = bench.clock_off_by(clock_of_b_s);
            let b = Claims {
                clock: &clock,
                ..bench.claims("b")
            };
            let began = tokio::time::Instant::now();
            let heir = match b.take(&job()).await.unwrap() {
                Attempt::Won(heir) => heir,
                // As its job comes again then.
                Attempt::Held { for_another, .. } => {
                    assert!(for_another <= LEASE, "{for_another:?} at {clock_of_b_s} s");
                    let clock = bench.clock_off_by(clock_of_b_s + 9);
                    let b = Claims { clock: &clock, ..b };
                    won(&b).await
                }
                Attempt::Closed | Attempt::NeverHeld => panic!("closed at {clock_of_b_s} s"),
            };
            assert_eq!(heir.generation(), 2);
            assert!(began.elapsed() <= HEARTBEAT + GRACE, "{:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn an_expired_claim_is_taken_with_a_higher_generation_and_its_old_holder_learns_it() {
        let bench = Bench::new().await;
        let mut zombie = won(&bench.claims("a")).await;
        bench.manual.advance(LEASE);
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
            bench.manual.advance(Duration::from_secs(6));
            claims.renew(&mut held).await.unwrap();
        }
        assert_eq!(bench.standing().await, Standing::Held { for_another: LEASE });
    }

    #[tokio::test]
    async fn a_renewal_whose_answer_was_lost_does_not_lose_the_call() {
        let bench = Bench::new().await;
        let claims = bench.claims("a");
        let mut held = won(&claims).await;
        let before = held.etag.clone();
        bench.manual.advance(Duration::from_secs(3));
        claims.renew(&mut held).await.unwrap();
        // As if the worker had not heard of it.
        held.etag = before;
        bench.manual.advance(Duration::from_secs(3));
        claims.renew(&mut held).await.unwrap();
        assert_eq!(bench.standing().await, Standing::Held { for_another: LEASE });
    }

    #[tokio::test]
    async fn a_closed_claim_is_never_taken_and_one_given_up_at_once() {
        let bench = Bench::new().await;
        let mut held = won(&bench.claims("a")).await;
        bench.claims("a").give_up(&mut held).await.unwrap();
        let mut heir = won(&bench.claims("b")).await;
        assert!(heir.last().is_some_and(|last| last.given_up) && !heir.claim.given_up);
        bench.claims("b").close(&mut heir).await.unwrap();
        bench.manual.advance(Duration::from_hours(1));
        assert!(matches!(
            bench.claims("c").take(&job()).await.unwrap(),
            Attempt::Closed
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_workers_one_wins() {
        let bench = Bench::new().await;
        let names: Vec<String> = (0..16).map(|n| format!("w{n}")).collect();
        let attempts = names.iter().map(|name| {
            let claims = bench.claims(name);
            let manual = &bench.manual;
            async move {
                let Attempt::Won(mut held) = claims.take(&job()).await.unwrap() else {
                    return false;
                };
                // The others watch meanwhile.
                let renews = renewing(claims, &mut held, manual);
                tokio::time::timeout(LEASE, renews).await.is_err()
            }
        });
        let winners = futures_util::future::join_all(attempts)
            .await
            .into_iter()
            .filter(|won| *won)
            .count();
        assert_eq!(winners, 1);
    }
}
