//! Links to the recordings of agents.

use std::{sync::Arc, time::Duration};

use access::{Caller, Fail};
use async_trait::async_trait;
use axum::{
    Json,
    extract::{Path, State},
};
use events::{CallId, CallRecord, IndexEntry, Timestamp, keys};
use serde::Serialize;
use utoipa::ToSchema;

use crate::RecordingsState;

const VALID: Duration = Duration::from_mins(10);

/// Makes links to objects of the store that open without a key, for a while.
#[async_trait]
pub trait Links: Send + Sync {
    /// A URL that is good for `valid`.
    ///
    /// # Errors
    /// As [`LinkError`] says.
    async fn link(&self, key: &str, valid: Duration) -> Result<String, LinkError>;
}

/// Why there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkError {
    /// This store has none, such as a folder on the machine.
    Unsupported,
    /// Not now.
    Unavailable,
}

/// For stores that have no links.
pub struct NoLinks;

#[async_trait]
impl Links for NoLinks {
    async fn link(&self, _: &str, _: Duration) -> Result<String, LinkError> {
        Err(LinkError::Unsupported)
    }
}

/// A link to a recording.
#[derive(Serialize, ToSchema)]
pub struct Link {
    /// Opens without a key. A secret as long as it is good.
    url: String,
    /// RFC 3339.
    expires_at: String,
}

/// A link to the agent's recording of a call, good for ten minutes.
#[utoipa::path(get, path = "/v1/calls/{call}/recording", tag = "recordings",
    params(("call" = String, Path, description = "`RM_…`")), security(("bearer" = ["recordings:read"])),
    responses(
        (status = 200, description = "The link", body = Link),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call, no recording, or another caller's"),
        (status = 409, description = "This store has no links"),
    ))]
pub(crate) async fn recording(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Link>, Fail> {
    let id = CallId::new(id).map_err(|_| Fail::not_found("no_call_id"))?;
    let index = state.store.get(&keys::index(&id)).await?;
    let entry: Option<IndexEntry> = index.and_then(|object| serde_json::from_slice(&object.bytes).ok());
    let entry = entry.ok_or_else(|| Fail::not_found("unknown_call"))?;
    caller.owns_room(entry.room.as_str())?;
    let record = state.store.get(&keys::record(entry.created_at, &id)).await?;
    let record = record.and_then(|object| CallRecord::decode(&object.bytes).ok());
    if record.is_none_or(|record| record.recording.is_none()) {
        return Err(Fail::not_found("no_recording"));
    }
    let key = keys::recording(entry.created_at, &id);
    let url = state.links.link(&key, VALID).await.map_err(|error| match error {
        LinkError::Unsupported => Fail::conflict(
            "no_links",
            "this store has no links",
            "take the file from the store's folder, or use an S3 store",
        ),
        LinkError::Unavailable => {
            Fail::unavailable("store", "the store cannot be used at the moment", "send it again")
                .retry_after(1)
        }
    })?;
    let expires_at = Timestamp::from(state.clock.now()).plus(VALID).to_string();
    Ok(Json(Link { url, expires_at }))
}
