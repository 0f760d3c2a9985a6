//! The heartbeat of one call: renews the claim and the queue's lease, and raises the fence when the call is lost.

use std::{sync::Arc, time::Duration};

use platform::{
    clock::SharedClock,
    queue::{Queue, QueueError, Receipt},
    store::Store,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    cause,
    claim::{ClaimError, Claims, Held},
};

/// After a sleep of the whole process that outlasted the claim, how long the one attempt to renew it may take: if nobody has taken the
/// call meanwhile, it goes on.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);
/// How long the attempt at the very end of the claim may take, where the process was awake: from then on another worker may take the call.
const LAST_WORD: Duration = Duration::from_millis(100);

/// What a lease needs to renew itself.
#[derive(Clone)]
pub(crate) struct LeaseTerms {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) clock: SharedClock,
    pub(crate) worker: Arc<str>,
    /// How long the claim lasts without a renewal.
    pub(crate) lease: Duration,
    /// How often it is renewed; at most a third of the lease.
    pub(crate) heartbeat: Duration,
}

impl LeaseTerms {
    pub(crate) fn claims(&self) -> Claims<'_> {
        Claims {
            store: self.store.as_ref(),
            clock: &self.clock,
            worker: &self.worker,
            lease: self.lease,
            heartbeat: self.heartbeat,
        }
    }

    /// How long a claim surely lasts from when it was sent: a store that tells ages roughly lets another worker have it sooner. Two
    /// lost heartbeats cost no call all the same.
    fn sure(&self) -> Duration {
        let sure = self.lease.saturating_sub(self.store.age_slack());
        sure.max(self.heartbeat * 2).min(self.lease)
    }
}

/// Why a call is no longer this worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The claim could not be renewed in time; nobody may have taken it.
    Expired,
    /// Another worker has it.
    ToAnother,
}

/// A running heartbeat.
pub(crate) struct Lease {
    /// Cancelled when the call is no longer this worker's. Whoever sees it falls silent, at once and for good.
    pub(crate) fenced: CancellationToken,
    /// Also when the call's task has panicked: nobody serves it then.
    stop: DropGuard,
    task: JoinHandle<Result<Held, Lost>>,
}

impl Lease {
    /// Starts to renew `held` and `receipt`.
    pub(crate) fn start(terms: LeaseTerms, held: Held, receipt: Receipt, tasks: &TaskTracker) -> Self {
        let fenced = CancellationToken::new();
        let stop = CancellationToken::new();
        let task = tasks.spawn(beat(terms, held, receipt, fenced.clone(), stop.clone()));
        Self {
            fenced,
            stop: stop.drop_guard(),
            task,
        }
    }

    /// Ends the heartbeat and hands the claim back, or says how it was lost.
    pub(crate) async fn stop(self) -> Result<Held, Lost> {
        drop(self.stop);
        self.task.await.unwrap_or(Err(Lost::ToAnother))
    }
}

async fn beat(
    terms: LeaseTerms,
    mut held: Held,
    receipt: Receipt,
    fenced: CancellationToken,
    stop: CancellationToken,
) -> Result<Held, Lost> {
    let mut ticks = interval_at(Instant::now() + terms.heartbeat, terms.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expires = held.since() + terms.sure();
    loop {
        tokio::select! {
            biased;
            // All are cancel-safe.
            () = stop.cancelled() => return Ok(held),
            _ = ticks.tick() => {}
            () = sleep_until(expires) => {}
        }
        // A renewal that is sent and not answered may have happened: the expiry counts from before it was sent.
        let began = Instant::now();
        let deadline = if began < expires {
            expires.min(began + terms.heartbeat)
        } else if began < expires + terms.heartbeat {
            expires + LAST_WORD
        } else {
            began + LAST_ATTEMPT
        };
        let claims = terms.claims();
        let (renewed, extended) = tokio::join!(
            timeout_at(deadline, claims.renew(&mut held)),
            timeout_at(deadline, terms.queue.extend(&receipt, terms.lease))
        );
        match renewed {
            Ok(Ok(())) => expires = began + terms.sure(),
            Ok(Err(ClaimError::Lost)) => {
                tracing::error!("the call was taken by another worker; this one is silent from here on");
                fenced.cancel();
                return Err(Lost::ToAnother);
            }
            Ok(Err(ClaimError::Store(error))) => {
                tracing::warn!(error = cause(&error), "the claim was not renewed");
            }
            Err(_) => tracing::warn!("the claim was not renewed: the store did not answer in time"),
        }
        match extended {
            Ok(Ok(())) => {}
            // The claim decides: whoever is woken by the redelivery finds it held.
            Ok(Err(QueueError::StaleReceipt)) => tracing::warn!("the queue has handed the job out again"),
            Ok(Err(error)) => tracing::warn!(error = cause(&error), "the queue's lease was not renewed"),
            Err(_) => tracing::warn!("the queue's lease was not renewed in time"),
        }
        if Instant::now() >= expires {
            tracing::error!("the claim has expired; this worker is silent from here on");
            fenced.cancel();
            return Err(Lost::Expired);
        }
    }
}

#[cfg(test)]
mod tests;
