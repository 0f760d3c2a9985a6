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
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// What came of an attempt to claim a call.
pub(crate) enum Attempt {
    /// The call is this worker's.
    Won(Box<Held>),
    /// The claim of another worker, or of another holding by this one, is in force for so long.
    Held { for_another: Duration },
    /// The call is over.
    Closed,
    /// The call seems to be over, and nobody has ever claimed it.
    NeverHeld,
}

/// A claim in this worker's hands.
pub(crate) struct Held {
    key: String,
    /// The claim that was taken over; `None` for a call that nobody had claimed.
    last: Option<Claim>,
    claim: Claim,
    etag: ETag,
    /// When what made it this worker's was sent.
    since: Instant,
}

/// What one holding of a call is known by, over all attempts to begin it: an attempt may have won although nobody was told.
pub(crate) struct Seeking {
    nonce: u64,
    /// The claim that the last attempt wanted to take over.
    last: Option<Claim>,
    /// The generation of the claim that this worker had and could not renew in time.
    over: Option<u64>,
}

impl Seeking {
    pub(crate) fn new() -> Self {
        Self {
            nonce: rand::random(),
            last: None,
            over: None,
        }
    }

    /// After a claim of this generation has run out in this worker's hands: what was written while the store did not answer may have
    /// prolonged it, and nobody holds it.
    pub(crate) fn after(generation: u64) -> Self {
        Self {
            over: Some(generation),
            ..Self::new()
        }
    }

    fn is_over(&self, claim: &Claim, worker: &str) -> bool {
        claim.worker == worker && self.over == Some(claim.generation)
    }

    fn has_won(&self, claim: &Claim, worker: &str) -> bool {
        claim.worker == worker && claim.nonce == Some(self.nonce) && !claim.given_up
    }
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

    /// Tries to make the call of `job` this worker's. Nothing is watched any more once `hard` is cancelled.
    pub(crate) async fn take(
        &self,
        job: &CallJob,
        seeking: &mut Seeking,
        hard: &CancellationToken,
    ) -> Result<Attempt, StoreError> {
        let key = keys::claim(job.created_at, &job.call);
        let mut watched: Option<ETag> = None;
        // Further rounds are needed after a watch, and when somebody writes between the read and the write; then it is theirs, or this
        // worker's, whose store sent the write twice.
        for _ in 0..3 {
            let found = self.store.get_aged(&key).await?;
            let last = found.as_ref().map(|(object, _)| Claim::decode(&object.bytes));
            let mut ours = None;
            if let (Some(last), Some((object, age))) = (&last, &found) {
                if last.closed {
                    return Ok(Attempt::Closed);
                }
                if seeking.has_won(last, self.worker) {
                    ours = Some(self.renewed(last));
                } else if !seeking.is_over(last, self.worker) {
                    let for_another = self.in_force(last, *age);
                    if !for_another.is_zero() {
                        return Ok(Attempt::Held { for_another });
                    }
                    if self.is_to_be_watched(last, *age) && watched.as_ref() != Some(&object.etag) {
                        watched = Some(object.etag.clone());
                        // Whose age nobody knows is watched for as long as it can be in force.
                        let watch = if age.is_unknown() {
                            last.lease()
                        } else {
                            self.heartbeat
                        };
                        if hard.run_until_cancelled(sleep(watch + GRACE)).await.is_some() {
                            continue;
                        }
                        // The process ends: the call is for another one.
                        let for_another = Duration::ZERO;
                        return Ok(Attempt::Held { for_another });
                    }
                }
            }
            let claim = ours.unwrap_or_else(|| {
                seeking.last.clone_from(&last);
                let nonce = Some(seeking.nonce);
                let (generation, now) = (job.generation, self.now());
                let claim = Claim::succeed(last.as_ref(), generation, self.worker, now, self.lease);
                Claim { nonce, ..claim }
            });
            let (body, since) = (claim.encode().into(), Instant::now());
            let written = match &found {
                None => self.store.put_if_absent(&key, body).await?,
                Some((object, _)) => self.store.put_if_match(&key, &object.etag, body).await?,
            };
            if let Some(etag) = written {
                let last = seeking.last.clone();
                return Ok(Attempt::Won(Box::new(Held {
                    key,
                    last,
                    claim,
                    etag,
                    since,
                })));
            }
        }
        Ok(Attempt::Held {
            for_another: self.lease,
        })
    }

    /// For how much longer the claim may be in force, unless it is renewed; zero when it is over.
    ///
    /// Its age decides. Only where that is told in whole seconds, the clocks of holder and reader say which of the two it is.
    fn in_force(&self, claim: &Claim, age: Age) -> Duration {
        let lease = claim.lease();
        let left = lease.saturating_sub(age.at_least);
        if age.at_most < lease {
            return left;
        }
        let by_clocks = u64::try_from(claim.expires_at.ms_since(self.now())).unwrap_or(0);
        left.min(Duration::from_millis(by_clocks))
    }

    /// Nobody was free when it ended, or the store's clock was set forward, or the store does not tell its age and the clocks alone have
    /// said that it is over: then its holder may still renew it, and is seen to do so.
    fn is_to_be_watched(&self, claim: &Claim, age: Age) -> bool {
        let lease = claim.lease();
        !lease.is_zero() && (age.is_unknown() || age.at_least >= lease + self.heartbeat)
    }

    /// As its holder writes it anew.
    fn renewed(&self, claim: &Claim) -> Claim {
        Claim {
            expires_at: self.now().plus(self.lease),
            ..claim.clone()
        }
    }

    /// Moves the expiry of `held` on by one lease.
    pub(crate) async fn renew(&self, held: &mut Held) -> Result<(), ClaimError> {
        let claim = self.renewed(&held.claim);
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
    /// The moment from which on the claim that was taken lasts, by this process's own timer.
    pub(crate) fn since(&self) -> Instant {
        self.since
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
mod tests;
