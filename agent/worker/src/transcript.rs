//! `transcript.json`: what was said, for people and for whatever reads calls afterwards.

use events::{CallRecord, TurnRecord, keys};
use platform::store::{Store, StoreError};
use serde::Serialize;

/// The body of `transcript.json`.
#[derive(Serialize)]
struct Transcript<'a> {
    version: u32,
    call: &'a str,
    turns: &'a [TurnRecord],
}

/// Writes the transcript of `record` and returns its key.
pub(crate) async fn write(store: &dyn Store, record: &CallRecord) -> Result<String, StoreError> {
    let key = keys::transcript(record.started_at, &record.call);
    let transcript = Transcript {
        version: 1,
        call: record.call.as_str(),
        turns: &record.turns,
    };
    let body = serde_json::to_vec_pretty(&transcript).unwrap_or_default();
    store.put(&key, body.into()).await?;
    Ok(key)
}
