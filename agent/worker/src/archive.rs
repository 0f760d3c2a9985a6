//! What is left of a call that is over.

use events::{CallRecord, CallState};
use platform::store::{call_events, put_reports};

use crate::{
    Setup, cause,
    claim::{ClaimError, Held},
    progress, recording,
};

/// Report, transcript, record, claim, marker: in this order, so that a crash in between leaves a job that comes again and completes.
pub(crate) async fn close(setup: &Setup, record: &CallRecord, held: &mut Held) -> Result<(), ClaimError> {
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

/// How long the recording plays that a worker that died has left without a length.
pub(crate) async fn recording_ms(setup: &Setup, record: &CallRecord) -> Option<u64> {
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
