//! What the webhooks of a call have left.

use events::{CallEvent, CallId, Timestamp, keys};

use super::{Page, Store, StoreError};

/// The most events that are read. A call without an agent has some ten.
const MAX_EVENTS: usize = 200;

/// The events of a call that was never answered. One that cannot be read is left out: the others still tell.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn call_events(
    store: &dyn Store,
    created_at: Timestamp,
    call: &CallId,
) -> Result<Vec<CallEvent>, StoreError> {
    events_at(store, &call_event_keys(store, created_at, call).await?).await
}

/// Where they are: an event is written once, so the same keys are the same events.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn call_event_keys(
    store: &dyn Store,
    created_at: Timestamp,
    call: &CallId,
) -> Result<Vec<String>, StoreError> {
    let page = Page {
        after: None,
        limit: MAX_EVENTS,
    };
    let listing = store.list(&keys::events(created_at, call), page).await?;
    Ok(listing.entries.into_iter().map(|entry| entry.key).collect())
}

/// The events at `keys`; one that cannot be read is left out.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn events_at(store: &dyn Store, keys: &[String]) -> Result<Vec<CallEvent>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(object) = store.get(key).await? {
            found.extend(CallEvent::decode(&object.bytes).ok());
        }
    }
    Ok(found)
}
