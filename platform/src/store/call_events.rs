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
    let page = Page {
        after: None,
        limit: MAX_EVENTS,
    };
    let listing = store.list(&keys::events(created_at, call), page).await?;
    let mut found = Vec::with_capacity(listing.entries.len());
    for entry in listing.entries {
        if let Some(object) = store.get(&entry.key).await? {
            found.extend(CallEvent::decode(&object.bytes).ok());
        }
    }
    Ok(found)
}
