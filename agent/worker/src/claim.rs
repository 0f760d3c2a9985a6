//! Who owns a call: `claim.json`, written by conditional writes only.
//!
//! The queue wakes a worker; this decides. A claim names its holder, a generation and the moment it expires. It is taken
//! when there is none, or when the last one has expired: then the generation goes up by one, and of several workers
//! that try, the store lets one win. A holder whose renewal is refused has lost the call and must fall silent.

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
    /// Another worker holds it until then.
    HeldByOther { for_another: Duration },
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
}

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
        // A second round is needed when somebody writes between the read and the write; a third says that it is theirs.
        for _ in 0..2 {
            let found = self.store.get(&key).await?;
            let last = found.as_ref().map(|object| Claim::decode(&object.bytes));
            match last.as_ref().map(|last| last.standing(self.now())) {
                Some(Standing::Closed) => return Ok(Attempt::Closed),
                Some(Standing::Held { for_another }) => return Ok(Attempt::HeldByOther { for_another }),
                Some(Standing::Expired) | None => {}
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
        Ok(Attempt::HeldByOther {
            for_another: self.lease,
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

        fn claims<'a>(&'a self, worker: &'a str) -> Claims<'a> {
            Claims {
                store: &self.store,
                clock: &self.clock,
                worker,
                lease: LEASE,
            }
        }
    }

    async fn won(claims: &Claims<'_>) -> Held {
        match claims.take(&job()).await.unwrap() {
            Attempt::Won(held) => held,
            Attempt::HeldByOther { .. } => panic!("held by another"),
            Attempt::Closed | Attempt::NeverHeld => panic!("closed"),
        }
    }

    #[tokio::test]
    async fn a_live_claim_keeps_others_away_for_the_rest_of_its_lease() {
        let bench = Bench::new().await;
        let held = won(&bench.claims("a")).await;
        assert_eq!(held.generation(), 1);
        bench.manual.advance(Duration::from_secs(4));
        let Attempt::HeldByOther { for_another } = bench.claims("b").take(&job()).await.unwrap() else {
            panic!("b must not get it");
        };
        assert_eq!(for_another, Duration::from_secs(5));
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
        assert!(matches!(
            bench.claims("b").take(&job()).await.unwrap(),
            Attempt::HeldByOther { .. }
        ));
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
        bench.manual.advance(LEASE.saturating_sub(Duration::from_secs(1)));
        assert!(matches!(
            bench.claims("b").take(&job()).await.unwrap(),
            Attempt::HeldByOther { .. }
        ));
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

    #[tokio::test]
    async fn of_many_workers_one_wins() {
        let bench = Bench::new().await;
        let names: Vec<String> = (0..16).map(|n| format!("w{n}")).collect();
        let attempts = names.iter().map(|name| {
            let claims = bench.claims(name);
            async move { matches!(claims.take(&job()).await.unwrap(), Attempt::Won(_)) }
        });
        let winners = futures_util::future::join_all(attempts)
            .await
            .into_iter()
            .filter(|won| *won)
            .count();
        assert_eq!(winners, 1);
    }
}
