//! One job, from the claim to the closed record.

use std::{sync::Arc, time::Duration};

use events::{CallJob, CallRecord, Claim, Step};
use platform::{
    lifecycle::Lifecycle,
    queue::{MAX_RECEIVES, Received},
    store::StoreError,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Setup, archive,
    call::{self, Call},
    cause,
    claim::{Attempt, Held, Seeking},
    hand_back::{acknowledge, give_back, put_off, renew, spare, wait},
    lease::{Lease, Lost},
    progress::{self, Journal},
};

/// For how long a worker whose claim ran out tries to have the call back itself: no longer than a phone is kept without an agent
/// (`sip.agent_gone_grace`). The job alone would come too late: where the store was away, the queue often was too.
const RECLAIM_WITHIN: Duration = Duration::from_secs(15);
/// For how long a job is tried whose claim the store did not take, before it is left to another worker, whose store may work.
const CLAIM_WITHIN: Duration = Duration::from_secs(2);
/// Before another worker may have the job.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Before a room that LiveKit does not list is looked for once more.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Before each further attempt.
const RECLAIM_PAUSE: Duration = Duration::from_millis(500);

/// What came of a job.
enum Served {
    /// All is done that this worker can do about it.
    Done,
    /// The claim ran out, of this generation.
    Lost(u64),
    /// A claim is in force, and not in the hands of this task.
    Held,
}

/// Serves `job`. Whatever comes of it, the queue is told: the job is deleted when the call's record is written, and
/// comes again when it is not.
pub(crate) async fn job(setup: &Arc<Setup>, job: CallJob, received: &Received, life: &Lifecycle) {
    let Some(_served) = setup.serving.begin(&job.call) else {
        tracing::info!("the call is served here already; the copy of its job waits");
        put_off(setup, &job, received, setup.terms.lease).await;
        return;
    };
    if let Some(protection) = &setup.protection
        && !protection.is_in_place(life).await
    {
        tracing::info!("told to end before the call was begun; the job is for another worker");
        wait(setup, received, AT_ONCE).await;
        return;
    }
    let mut lost_at: Option<Instant> = None;
    let mut seeking = Seeking::new();
    let claims_until = Instant::now() + CLAIM_WITHIN;
    loop {
        let patience = lost_at.map_or(claims_until, |at| at + RECLAIM_WITHIN);
        match once(setup, &job, received, &mut seeking, life).await {
            Ok(Served::Held) => {
                renew(setup, &job, received).await;
                return;
            }
            Ok(Served::Done) => return,
            Ok(Served::Lost(generation)) => {
                tracing::warn!("the call was lost; nothing more is written, unless it can be claimed anew");
                lost_at = Some(Instant::now());
                // What was held is over, and is not to be held again as if it were not.
                seeking = Seeking::after(generation);
            }
            Err(error) if Instant::now() < patience => {
                tracing::debug!(error = cause(&error), "the call could not be claimed yet");
            }
            Err(error) => {
                tracing::error!(
                    error = cause(&error),
                    "the call could not be claimed; the job comes again"
                );
                spare(setup, &job, received).await;
                return;
            }
        }
        // Cancel-safe.
        if life
            .hard
            .run_until_cancelled(sleep(RECLAIM_PAUSE))
            .await
            .is_none()
        {
            give_back(setup, received).await;
            return;
        }
    }
}

async fn once(
    setup: &Arc<Setup>,
    job: &CallJob,
    received: &Received,
    seeking: &mut Seeking,
    life: &Lifecycle,
) -> Result<Served, StoreError> {
    let is_open = is_open(setup, job).await;
    let is_last = received.receive_count >= MAX_RECEIVES;
    match attempt(setup, job, is_open, is_last, seeking, &life.hard).await? {
        Attempt::Won(held) => {
            let (job, held) = (job.clone(), *held);
            return Ok(owned(setup, Ours { job, is_open, held }, received, life).await);
        }
        Attempt::NeverHeld => {
            tracing::info!(
                "LiveKit does not list the room, and nobody has held the call; the job comes again"
            );
            give_back(setup, received).await;
        }
        Attempt::Closed => {
            tracing::debug!("the call is over; the job is dropped");
            acknowledge(setup, received).await;
        }
        Attempt::Held { for_another } => {
            tracing::info!(?for_another, "another worker holds the call");
            wait(setup, received, for_another.max(AT_ONCE)).await;
            return Ok(Served::Held);
        }
    }
    Ok(Served::Done)
}

/// Whether the call's room is there; `None`: LiveKit does not say, and is asked again by whoever gets the call.
async fn is_open(setup: &Setup, job: &CallJob) -> Option<bool> {
    match setup.room_is_open(job).await {
        Ok(is_open) => Some(is_open),
        Err(error) => {
            tracing::debug!(
                error = cause(&error),
                "LiveKit does not tell whether the room is there"
            );
            None
        }
    }
}

/// A call that ended before anybody held it is not claimed: its webhooks, which may still be on their way, know how it ended. But what
/// LiveKit lists may be old, and the webhooks may be lost: the last attempt claims it, and closes it if the room is still not there.
async fn attempt(
    setup: &Setup,
    job: &CallJob,
    is_open: Option<bool>,
    is_last: bool,
    seeking: &mut Seeking,
    hard: &CancellationToken,
) -> Result<Attempt, StoreError> {
    if progress::is_closed(setup.terms.store.as_ref(), job.created_at, &job.call).await? {
        return Ok(Attempt::Closed);
    }
    let claims = setup.terms.claims();
    if is_open == Some(false) && !is_last && !claims.exists(job).await? {
        return Ok(Attempt::NeverHeld);
    }
    claims.take(job, seeking, hard).await
}

/// A call that was claimed.
struct Ours {
    job: CallJob,
    is_open: Option<bool>,
    held: Held,
}

/// The call is this worker's.
async fn owned(setup: &Arc<Setup>, ours: Ours, received: &Received, life: &Lifecycle) -> Served {
    let Ours { job, is_open, held } = ours;
    let generation = held.generation();
    let last = held.last().cloned();
    let lease = Lease::start(setup.terms.clone(), held, received.receipt.clone(), &life.tasks);
    let takeover = Takeover {
        generation,
        last,
        is_open,
    };
    let ended = conversation(setup, &job, &takeover, &lease, life).await;
    let mut held = match lease.stop().await {
        Ok(held) => held,
        Err(Lost::Expired) => return Served::Lost(generation),
        Err(Lost::ToAnother) => {
            tracing::warn!("the call was lost; nothing more is written");
            return Served::Done;
        }
    };
    match ended {
        Ok(record) => {
            if let Err(error) = archive::close(setup, &record, &mut held).await {
                tracing::error!(
                    error = cause(&error),
                    "the call could not be closed; the job comes again"
                );
                return Served::Done;
            }
            acknowledge(setup, received).await;
        }
        Err(error) => {
            tracing::error!(
                error = cause(&error),
                "the call could not be served; the job goes back"
            );
            if let Err(error) = setup.terms.claims().give_up(&mut held).await {
                tracing::warn!(
                    error = cause(&error),
                    "the claim could not be given up; it expires by itself"
                );
            }
            // Not at once: what failed, such as a server that restarts, may need a moment, and attempts are counted.
            if matches!(error, call::CallError::Store(_)) {
                spare(setup, &job, received).await;
            } else {
                give_back(setup, received).await;
            }
        }
    }
    Served::Done
}

/// What is known of the holders before.
struct Takeover {
    /// Above 1 there was one.
    generation: u64,
    /// Its claim.
    last: Option<Claim>,
    /// Whether the room was there shortly before.
    is_open: Option<bool>,
}

/// Holds the conversation, or finds that there is none to hold, and returns what is known of the call at its end.
async fn conversation(
    setup: &Arc<Setup>,
    job: &CallJob,
    takeover: &Takeover,
    lease: &Lease,
    life: &Lifecycle,
) -> Result<CallRecord, call::CallError> {
    let generation = takeover.generation;
    let now = setup.now();
    let store = setup.terms.store.clone();
    let mut journal = Journal::open(store, job, generation, &setup.name, now).await?;
    journal.step(Step::Claimed, now);
    journal.write(now).await?;
    let is_open = match takeover.is_open {
        Some(true) => true,
        None => setup.room_is_open(job).await?,
        // What LiveKit lists may be old, and who still speaks there would be left alone.
        Some(false) => {
            sleep(LOOK_AGAIN_AFTER).await;
            setup.room_is_open(job).await?
        }
    };
    if !is_open {
        tracing::info!(generation, "the room is gone; closing the call");
        let left = journal.left();
        let recording_ms = archive::recording_ms(setup, &left).await;
        return Ok(left.orphaned(takeover.last.as_ref(), recording_ms));
    }
    let call = Call {
        setup: setup.clone(),
        job: job.clone(),
        generation,
        journal,
        fenced: lease.fenced.clone(),
        hard: life.hard.clone(),
        tasks: life.tasks.clone(),
    };
    call.run().await
}

#[cfg(test)]
mod tests;
