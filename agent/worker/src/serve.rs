//! One job, from the claim to the closed record.

use std::{sync::Arc, time::Duration};

use events::{CallJob, CallRecord, CallState, Claim, Step};
use platform::{
    queue::Received,
    store::{StoreError, call_events, put_reports},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Setup,
    call::{self, Call},
    cause,
    claim::{Attempt, Held},
    lease::Lease,
    progress::{self, Journal},
    recording,
};

/// How long a job that could not be served waits for its next attempt: two more fit into the time that a phone rings.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Serves `job`. Whatever comes of it, the queue is told: the job is deleted when the call's record is written, and
/// comes again when it is not.
pub(crate) async fn job(
    setup: &Arc<Setup>,
    job: CallJob,
    received: &Received,
    hard: &CancellationToken,
    tasks: &TaskTracker,
) {
    let is_open = is_open(setup, &job).await;
    let attempt = match attempt(setup, &job, is_open).await {
        Ok(attempt) => attempt,
        Err(error) => {
            tracing::error!(
                error = cause(&error),
                "the call could not be claimed; the job comes again"
            );
            return;
        }
    };
    match attempt {
        Attempt::Won(held) => {
            let ours = Ours { job, is_open, held };
            owned(setup, ours, received, hard, tasks).await;
        }
        Attempt::NeverHeld => {
            tracing::info!(
                "the room is gone and nobody has held the call; its webhooks close it, or the sweep"
            );
            acknowledge(setup, received).await;
        }
        Attempt::Closed => {
            tracing::debug!("the call is over; the job is dropped");
            acknowledge(setup, received).await;
        }
        Attempt::HeldByOther { for_another } => {
            tracing::info!(?for_another, "another worker holds the call");
            let visibility = for_another.max(Duration::from_millis(100));
            if let Err(error) = setup.terms.queue.extend(&received.receipt, visibility).await {
                tracing::debug!(%error, "the job comes again by itself");
            }
        }
    }
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

/// A call that ended before anybody held it is not claimed: its webhooks, which may still be on their way, know how it ended.
async fn attempt(setup: &Setup, job: &CallJob, is_open: Option<bool>) -> Result<Attempt, StoreError> {
    if progress::is_closed(setup.terms.store.as_ref(), job.created_at, &job.call).await? {
        return Ok(Attempt::Closed);
    }
    let claims = setup.terms.claims();
    if is_open == Some(false) && !claims.exists(job).await? {
        return Ok(Attempt::NeverHeld);
    }
    claims.take(job).await
}

/// A call that was claimed.
struct Ours {
    job: CallJob,
    is_open: Option<bool>,
    held: Held,
}

/// The call is this worker's.
async fn owned(
    setup: &Arc<Setup>,
    ours: Ours,
    received: &Received,
    hard: &CancellationToken,
    tasks: &TaskTracker,
) {
    let Ours { job, is_open, held } = ours;
    let generation = held.generation();
    let last = held.last().cloned();
    let lease = Lease::start(setup.terms.clone(), held, received.receipt.clone(), tasks);
    let takeover = Takeover {
        generation,
        last,
        is_open,
    };
    let ended = conversation(setup, &job, &takeover, &lease, hard, tasks).await;
    let Some(mut held) = lease.stop().await else {
        tracing::warn!("the call was lost; nothing more is written");
        // Where no other worker has taken it, as after an outage of the store, somebody is to do so soon.
        give_back(setup, received).await;
        return;
    };
    match ended {
        Ok(record) => {
            if let Err(error) = archive(setup, &record, &mut held).await {
                tracing::error!(
                    error = cause(&error),
                    "the call could not be closed; the job comes again"
                );
                return;
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
            give_back(setup, received).await;
        }
    }
}

async fn give_back(setup: &Setup, received: &Received) {
    if let Err(error) = setup.terms.queue.extend(&received.receipt, RETRY_AFTER).await {
        tracing::debug!(%error, "the job comes again by itself");
    }
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
    hard: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<CallRecord, call::CallError> {
    let generation = takeover.generation;
    let now = setup.now();
    let store = setup.terms.store.clone();
    let mut journal = Journal::open(store, job, generation, &setup.name, now).await?;
    journal.step(Step::Claimed, now);
    journal.write(now).await?;
    let is_open = match takeover.is_open {
        Some(is_open) => is_open,
        None => setup.room_is_open(job).await?,
    };
    if !is_open {
        tracing::info!(generation, "the room is gone; closing the call");
        let left = journal.left();
        let recording_ms = recording_ms(setup, &left).await;
        return Ok(left.orphaned(takeover.last.as_ref(), recording_ms));
    }
    let call = Call {
        setup: setup.clone(),
        job: job.clone(),
        generation,
        journal,
        fenced: lease.fenced.clone(),
        hard: hard.clone(),
        tasks: tasks.clone(),
    };
    call.run().await
}

/// How long the recording plays that a worker that died has left without a length.
async fn recording_ms(setup: &Setup, record: &CallRecord) -> Option<u64> {
    let recording = record
        .recording
        .as_ref()
        .filter(|_| record.lacks_recording_length())?;
    let store = setup.terms.store.as_ref();
    if let Err(error) = store.recover(&recording.key).await {
        tracing::warn!(
            error = cause(&error),
            "what a dead worker recorded is not complete in the store yet"
        );
    }
    Some(recording::length_ms(store, &recording.key).await)
}

/// Report, transcript, record, claim, marker: in this order, so that a crash in between leaves a job that comes again and completes.
async fn archive(
    setup: &Setup,
    record: &CallRecord,
    held: &mut Held,
) -> Result<(), crate::claim::ClaimError> {
    let store = setup.terms.store.as_ref();
    let mut record = record.clone();
    if let (Some(ms), Some(recording)) = (recording_ms(setup, &record).await, &mut record.recording) {
        recording.duration_ms = ms;
    }
    if record.answered_at.is_none() {
        complete(setup, &mut record).await;
    }
    record.transcript = put_reports(store, record.started_at, &record).await?;
    if !progress::close(store, &record).await? {
        tracing::warn!("the call was closed by somebody else before");
    }
    tracing::info!(
        outcome = record.outcome.kind(),
        reason = record.outcome.reason(),
        "call closed"
    );
    setup.terms.claims().close(held).await?;
    progress::unmark(store, &record.call).await;
    Ok(())
}

/// What the webhooks have told of a call that was never answered: the agent has hardly seen it. Their events inform, and decide nothing.
async fn complete(setup: &Setup, record: &mut CallRecord) {
    let store = setup.terms.store.as_ref();
    match call_events(store, record.started_at, &record.call).await {
        Ok(events) => {
            if let Some(state) = CallState::fold(&events) {
                state.complete(record, &setup.regions);
            }
        }
        Err(error) => tracing::warn!(
            error = cause(&error),
            "the record lacks what the call's webhooks have told"
        ),
    }
}

async fn acknowledge(setup: &Setup, received: &Received) {
    if let Err(error) = setup.terms.queue.delete(&received.receipt).await {
        // The next worker finds the record and drops the job.
        tracing::debug!(%error, "the job was not deleted and comes again");
    }
}
