//! The record of a call that nobody has claimed, which its webhooks tell alone.

use bytes::Bytes;
use events::{CallEvent, CallJob, CallRecord, CallState, agents::NoMatch, keys};
use platform::store::{call_event_keys, events_at};

use crate::{
    DeliverError, Outcome, WebhookState,
    effects::{put_once, read},
};

/// How often the record is written anew when other late events write it at the same time.
const COMPLETIONS: usize = 5;

/// Closes a call that has ended, unless somebody has claimed it: whoever did closes it.
pub(crate) async fn close(event: &CallEvent, state: &WebhookState) -> Result<Outcome, DeliverError> {
    let (store, created_at, call) = (&*state.store, event.room_created_at, &event.call);
    if store.get(&keys::claim(created_at, call)).await?.is_some() {
        return Ok(Outcome::LeftToHolder);
    }
    let known = call_event_keys(store, created_at, call).await?;
    let Some(record) = record_of(event, &known, state).await? else {
        return Ok(Outcome::Kept);
    };
    let won = put_once(store, &keys::record(created_at, call), record.encode()).await?;
    // Whoever wrote it may not know this event. And what has come between the look at the events and the write may have looked for the
    // record before it was there; what comes later finds it.
    if !won || call_event_keys(store, created_at, call).await? != known {
        complete(event, state).await?;
    }
    store.delete(&keys::open(call)).await?;
    Ok(if won {
        Outcome::Closed(record.outcome)
    } else {
        Outcome::LeftToHolder
    })
}

/// An event that comes after its call was closed, as one that LiveKit had to send again: the record of a call that nobody held then says
/// what it would say had the event come in time.
pub(crate) async fn complete(event: &CallEvent, state: &WebhookState) -> Result<(), DeliverError> {
    let (store, created_at, call) = (&*state.store, event.room_created_at, &event.call);
    let key = keys::record(created_at, call);
    for _ in 0..COMPLETIONS {
        let Some(kept) = store.get(&key).await? else {
            return Ok(());
        };
        if store.get(&keys::claim(created_at, call)).await?.is_some() {
            return Ok(());
        }
        let known = call_event_keys(store, created_at, call).await?;
        let Some(record) = record_of(event, &known, state).await? else {
            return Ok(());
        };
        let bytes = Bytes::from(record.encode());
        if bytes == kept.bytes || store.put_if_match(&key, &kept.etag, bytes).await?.is_some() {
            return Ok(());
        }
    }
    Err(DeliverError::Contended)
}

/// The record of a call that nobody has claimed, by this event and those at `event_keys`; `None` when none of them can be read.
async fn record_of(
    event: &CallEvent,
    event_keys: &[String],
    state: &WebhookState,
) -> Result<Option<CallRecord>, DeliverError> {
    let (store, created_at, call) = (&*state.store, event.room_created_at, &event.call);
    let job: Option<CallJob> = read(store, &keys::job(created_at, call)).await?;
    let no_match: Option<NoMatch> = read(store, &keys::no_match(created_at, call)).await?;
    let mut call_events = events_at(store, event_keys).await?;
    if call_events.iter().all(|kept| kept.id != event.id) {
        call_events.push(event.clone());
    }
    Ok(CallState::fold(&call_events).map(|call_state| {
        let now = state.clock.now().into();
        call_state.close_unclaimed(job.as_ref(), no_match, &state.policy.close, now)
    }))
}
