//! Links to the recordings of agents, and to the files of egresses.

use std::{sync::Arc, time::Duration};

use access::{Caller, Fail, Path};
use axum::{Json, extract::State};
use events::{CallId, Timestamp, keys};
use platform::store::{Store, StoreError, link_to_file};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{RecordingsState, call::Located};

const VALID: Duration = Duration::from_mins(10);

/// A link to a recording.
#[derive(Serialize, ToSchema)]
pub(crate) struct Link {
    /// Opens without a key: a URL at the store, or a path and query at this API. A secret as long as it is good.
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
    ))]
pub(crate) async fn recording(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Link>, Fail> {
    let call = Located::of(&state, &caller, &id).await?;
    let record = call.record(&state).await?;
    if record.is_none_or(|record| record.recording.is_none()) {
        return Err(Fail::not_found("no_recording"));
    }
    let expires_at = Timestamp::from(state.clock.now()).plus(VALID);
    let url = url(&state, &call, expires_at).await?;
    let expires_at = expires_at.to_string();
    Ok(Json(Link { url, expires_at }))
}

/// A link to a file that an egress has written to `recordings.s3`, good for ten minutes. `file` counts from 0, in the order of
/// `GET /v1/calls/{call}/recordings`.
#[utoipa::path(get, path = "/v1/calls/{call}/egress/{egress}/files/{file}", tag = "recordings",
    params(("call" = String, Path, description = "`RM_…`"), ("egress" = String, Path, description = "`EG_…`"),
        ("file" = u32, Path, description = "Its place in `files`")),
    security(("bearer" = ["recordings:read"])),
    responses(
        (status = 200, description = "The link", body = Link),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call, egress or file, the file was not stored, or another caller's"),
        (status = 409, description = "`recordings.s3` is not configured"),
    ))]
pub(crate) async fn egress_file(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path((id, egress, file)): Path<(String, String, String)>,
) -> Result<Json<Link>, Fail> {
    let call = Located::of(&state, &caller, &id).await?;
    let record = call.egress(&state, &egress).await?;
    let file: Option<usize> = file.parse().ok();
    let file = file.and_then(|at| record.files.get(at));
    let file = file.ok_or_else(|| Fail::not_found("no_such_file"))?;
    if file.size_bytes == 0 {
        return Err(Fail::not_found("file_was_not_stored"));
    }
    let s3 = crate::output::target(&state.config)?;
    let expires_at = Timestamp::from(state.clock.now()).plus(VALID).to_string();
    let url = link_to_file(s3, &file.filename, VALID).await?;
    Ok(Json(Link {
        url: url.expose().to_owned(),
        expires_at,
    }))
}

/// The store's own link where it has some, else one to our own route. Nothing else makes links.
async fn url(state: &RecordingsState, call: &Located, expires_at: Timestamp) -> Result<String, Fail> {
    let key = keys::recording(call.created_at, &call.id);
    if let Some(url) = state.store.link(&key, VALID).await? {
        return Ok(url.expose().to_owned());
    }
    let expires = expires_at.unix_ms() / 1_000;
    let signature = state.signer.sign(&call.id, expires);
    Ok(format!(
        "/v1/recordings/{}?expires={expires}&signature={signature}",
        call.id
    ))
}

/// Where the call that a link opens has its recording; `None` when there is no such call.
pub(crate) async fn key_of(store: &dyn Store, call: &CallId) -> Result<Option<String>, StoreError> {
    let entry = crate::call::index(store, call).await?;
    Ok(entry.map(|entry| keys::recording(entry.created_at, call)))
}
