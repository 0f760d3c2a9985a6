//! What is told of a call beside its record.

use events::{CallRecord, Progress, SessionReport, Timestamp, Transcript, keys};

use super::{Store, StoreError};

/// Puts the report of the call's session, and its transcript, once for programs and once for people. Returns the key of the one for
/// programs; `None` when nothing was said. Events and usage are those that the agent has left in `agent.json`.
///
/// # Errors
/// The store's. Done again, it puts the same.
pub async fn put_reports(
    store: &dyn Store,
    created_at: Timestamp,
    record: &CallRecord,
) -> Result<Option<String>, StoreError> {
    let call = &record.call;
    let left = store.get(&keys::agent(created_at, call)).await?;
    let left = left.and_then(|object| Progress::decode(&object.bytes));
    let session = left.map(|left| left.session).unwrap_or_default();
    if let Some(report) = SessionReport::of(record, &session) {
        let key = keys::report(created_at, call);
        store.put(&key, report.encode().into()).await?;
    }
    let Some(transcript) = Transcript::of(record) else {
        return Ok(None);
    };
    let readable = keys::readable_transcript(created_at, call);
    store.put(&readable, transcript.readable().into()).await?;
    let key = keys::transcript(created_at, call);
    store.put(&key, transcript.encode().into()).await?;
    Ok(Some(key))
}
