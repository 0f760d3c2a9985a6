//! Does what was planned. Killed anywhere, each act is completed by the next run.

use std::time::Duration;

use bytes::Bytes;
use events::{
    CallId, CallJob, CallRecord, Claim, IndexEntry, Outcome, Progress, Standing, Timestamp, keys,
    livekit::WebhookEvent, recording_ms,
};
use platform::{
    queue::Sent,
    store::{Object, StoreError, put_reports},
};

use crate::{Act, Done, Look, Repair, State, SweepError, Wrong};

/// Whose name stands in a claim that the sweep takes.
const NAME: &str = "sweep";
/// How long closing a call may take: reading a recording, and four writes.
const LEASE: Duration = Duration::from_secs(30);
/// For how long a call is kept open for a recording which the store does not complete.
const COMPLETE_WITHIN: Duration = Duration::from_hours(24);

/// Does it; `None` when somebody else had done it before, or is about to.
pub(crate) async fn act(state: &State, look: &Look, repair: &Repair) -> Result<Option<Done>, SweepError> {
    match &repair.act {
        Act::Unmark => {
            let removed = state.store().delete(&keys::open(&look.call)).await?;
            Ok(removed.then_some(Done::Unmarked))
        }
        Act::Tell(webhooks) => tell(state, look, webhooks).await,
        Act::CloseAsHeir => close_as_heir(state, look).await,
        Act::EnqueueAgain => {
            revive(state, look).await;
            enqueue_again(state, look).await.map(Some)
        }
        Act::Revive => {
            revive(state, look).await;
            Ok((repair.wrong != Wrong::Old).then_some(Done::Reported))
        }
    }
}

async fn revive(state: &State, look: &Look) {
    if let Err(error) = state.livekit.revive(&look.entry.room).await {
        tracing::debug!(%error, call_id = look.call.as_str(), "LiveKit did not take the room up");
    }
}

/// Once for each claim that is over, and a queue's memory of dedup ids: while a job waits, another one adds nothing.
async fn enqueue_again(state: &State, look: &Look) -> Result<Done, SweepError> {
    let key = keys::job(look.entry.created_at, &look.call);
    let kept = state.store().get(&key).await?;
    let body = kept.and_then(|object| String::from_utf8(object.bytes.to_vec()).ok());
    let job = body
        .as_ref()
        .and_then(|body| CallJob::decode(body.as_bytes()).ok());
    let (Some(body), Some(job)) = (body, job) else {
        return Ok(Done::Reported);
    };
    // One for each holder that was lost; the first holder is 1.
    let lost = look.stored.claim.as_ref().map_or(0, |claim| claim.generation);
    let dedup_id = format!("{}:again:{lost}", job.dedup_id());
    let sent = state.webhook.queue.send(job.group(), &dedup_id, &body).await;
    match sent.map_err(webhook::DeliverError::from)? {
        Sent::Enqueued | Sent::Accepted => Ok(Done::Enqueued),
        Sent::Duplicate => Ok(Done::Reported),
    }
}

/// Marker and index, and then all that the webhooks would have brought about.
async fn tell(state: &State, look: &Look, webhooks: &[WebhookEvent]) -> Result<Option<Done>, SweepError> {
    let mut done = None;
    if !look.marked {
        for key in [keys::open(&look.call), keys::index(&look.call)] {
            let put = state.store().put_if_absent(&key, json(&look.entry)).await?;
            done = put.map(|_| Done::Marked).or(done);
        }
    }
    for webhook in webhooks {
        let outcome = webhook::deliver(webhook.clone(), &state.webhook).await?;
        tracing::debug!(
            call_id = look.call.as_str(),
            event = webhook.event.name(),
            outcome = outcome.name(),
            "made up for"
        );
        done = match outcome {
            webhook::Outcome::JobEnqueued => Some(Done::Enqueued),
            webhook::Outcome::Closed(outcome) => Some(Done::Closed(outcome)),
            _ if done == Some(Done::Enqueued) => done,
            webhook::Outcome::NoMatch(reason) => Some(Done::NoMatch(reason)),
            webhook::Outcome::Kept => Some(Done::Kept),
            webhook::Outcome::Ignored
            | webhook::Outcome::Replay
            | webhook::Outcome::JobPresent
            | webhook::Outcome::LeftToHolder => done,
        };
    }
    Ok(done)
}

/// Takes the claim, so that neither the holder before nor another sweep goes on, and closes the call as the next worker would.
async fn close_as_heir(state: &State, look: &Look) -> Result<Option<Done>, SweepError> {
    let (store, created_at, call) = (state.store(), look.entry.created_at, &look.call);
    let key = keys::claim(created_at, call);
    let Some((object, age)) = store.get_aged(&key).await? else {
        return Ok(None);
    };
    let last = Claim::decode(&object.bytes);
    if look.stored.claim.as_ref() != Some(&last)
        || !matches!(age.standing(&last, state.now()), Standing::Expired { .. })
    {
        return Ok(None);
    }
    let claim = Claim {
        // What the holder before left behind must not be lost if this sweep dies.
        given_up: last.given_up,
        ..Claim::succeed(Some(&last), 0, NAME, state.now(), LEASE)
    };
    let Some(etag) = store
        .put_if_match(&key, &object.etag, claim.encode().into())
        .await?
    else {
        return Ok(None);
    };
    let mut record = left(state, look).await?;
    let may_wait = state.now() < created_at.plus(COMPLETE_WITHIN);
    let recording_ms = length(state, &record, may_wait).await?;
    record = record.orphaned(Some(&last), recording_ms);
    let outcome = write(state, created_at, call, record).await?;
    let closed = Claim {
        closed: true,
        ..claim
    };
    store.put_if_match(&key, &etag, closed.encode().into()).await?;
    store.delete(&keys::open(call)).await?;
    Ok(outcome.map(Done::Closed))
}

/// What the holder before left, or at least what its job said.
async fn left(state: &State, look: &Look) -> Result<CallRecord, StoreError> {
    let (store, created_at, call) = (state.store(), look.entry.created_at, &look.call);
    let progress = store.get(&keys::agent(created_at, call)).await?;
    if let Some(progress) = progress.and_then(|object| Progress::decode(&object.bytes)) {
        return Ok(progress.record);
    }
    let job = store.get(&keys::job(created_at, call)).await?;
    let job = job.and_then(|object| CallJob::decode(&object.bytes).ok());
    let now = state.now();
    Ok(job.map_or_else(
        || {
            CallRecord::new(
                call.clone(),
                look.entry.room.clone(),
                Outcome::Interrupted,
                created_at,
                now,
            )
        },
        |job| CallRecord::of_job(&job, now),
    ))
}

/// How long the recording plays that the holder before could not measure. Where the store fails, the next run tries again, if that
/// `may_wait`.
async fn length(state: &State, record: &CallRecord, may_wait: bool) -> Result<Option<u64>, StoreError> {
    let Some(recording) = record
        .recording
        .as_ref()
        .filter(|_| record.lacks_recording_length())
    else {
        return Ok(None);
    };
    // Where a stream is no object before it is finished, who died has left none.
    match state.store().recover(&recording.key).await {
        Ok(_) => {}
        Err(error) if error.is_retryable() && may_wait => return Err(error),
        Err(error) => tracing::warn!(%error, "what a dead worker recorded is not complete in the store"),
    }
    let of = |object: Object| recording_ms(&object.bytes);
    match state.store().get(&recording.key).await {
        Ok(object) => Ok(Some(object.map_or(0, of))),
        // Too long to be read at once. The call is closed all the same.
        Err(StoreError::Refused { .. }) => Ok(None),
        Err(_) if !may_wait => Ok(None),
        Err(error) => Err(error),
    }
}

/// Report, transcript and record; the outcome, unless there was a record before.
async fn write(
    state: &State,
    created_at: Timestamp,
    call: &CallId,
    mut record: CallRecord,
) -> Result<Option<Outcome>, StoreError> {
    record.transcript = put_reports(state.store(), created_at, &record).await?;
    record.timeline.sort_by_key(|entry| entry.at);
    let key = keys::record(created_at, call);
    let won = state.store().put_if_absent(&key, record.encode().into()).await?;
    Ok(won.map(|_| record.outcome))
}

fn json(entry: &IndexEntry) -> Bytes {
    // Serializing plain structs with string keys into memory has no way to fail.
    serde_json::to_vec(entry).unwrap_or_default().into()
}
