//! What has been recorded of a call.

use std::sync::Arc;

use access::{Caller, Fail, Path};
use axum::{Json, extract::State};
use events::{CallId, CallRecord, EgressId, EgressRecord, IndexEntry, Timestamp, keys};
use platform::store::{Page, Store, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::RecordingsState;

/// The most egresses that are shown of a call.
const MAX_EGRESSES: usize = 100;

/// A call that the caller may see.
pub(crate) struct Located {
    pub(crate) id: CallId,
    pub(crate) created_at: Timestamp,
}

impl Located {
    pub(crate) async fn of(state: &RecordingsState, caller: &Caller, id: &str) -> Result<Self, Fail> {
        let id = CallId::new(id).map_err(|_| Fail::not_found("no_call_id"))?;
        let entry = index(&*state.store, &id).await?;
        let entry = entry.ok_or_else(|| Fail::not_found("unknown_call"))?;
        caller.owns_room(entry.room.as_str())?;
        Ok(Self {
            id,
            created_at: entry.created_at,
        })
    }

    /// The call's record; `None` while it goes on.
    pub(crate) async fn record(&self, state: &RecordingsState) -> Result<Option<CallRecord>, Fail> {
        let key = keys::record(self.created_at, &self.id);
        let object = state.store.get(&key).await?;
        Ok(object.and_then(|object| CallRecord::decode(&object.bytes).ok()))
    }

    /// One egress that has ended.
    pub(crate) async fn egress(&self, state: &RecordingsState, id: &str) -> Result<EgressRecord, Fail> {
        let unknown = || Fail::not_found("unknown_egress");
        let id = EgressId::new(id).map_err(|_| unknown())?;
        let object = state
            .store
            .get(&keys::egress(self.created_at, &self.id, &id))
            .await?;
        let record = object.and_then(|object| EgressRecord::decode(&object.bytes).ok());
        record.ok_or_else(unknown)
    }

    async fn egresses(&self, state: &RecordingsState) -> Result<Vec<EgressRecord>, Fail> {
        let prefix = keys::egresses(self.created_at, &self.id);
        let page = Page {
            after: None,
            limit: MAX_EGRESSES,
        };
        let mut records = Vec::new();
        for entry in state.store.list(&prefix, page).await?.entries {
            if let Some(object) = state.store.get(&entry.key).await? {
                records.extend(EgressRecord::decode(&object.bytes).ok());
            }
        }
        records.sort_by_key(|record| record.ended_at);
        Ok(records)
    }
}

pub(crate) async fn index(store: &dyn Store, call: &CallId) -> Result<Option<IndexEntry>, StoreError> {
    let object = store.get(&keys::index(call)).await?;
    Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
}

/// What has been recorded of a call.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recordings {
    /// What the agent recorded; none while the call goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentRecording>,
    /// The egresses that have ended, in the order of their ends; at most 100.
    egresses: Vec<EndedEgress>,
}

/// What the agent recorded: OGG/Opus, caller left, agent right.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentRecording {
    duration_ms: u64,
    /// `off`, `after_notice`, `after_consent`, `always`.
    policy: String,
}

/// An egress that has ended, as the store has it.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndedEgress {
    /// `EG_…`.
    egress: String,
    /// `complete`, `limit_reached`, `aborted`, `failed`, or `lost` when its process died.
    end: String,
    /// 0: no error.
    error_code: i32,
    /// RFC 3339.
    ended_at: String,
    files: Vec<StoredFile>,
    /// Whether the agent's own recording stands in for a file that is missing.
    agent_stands_in: bool,
}

/// A file of an egress.
#[derive(Serialize, ToSchema)]
pub(crate) struct StoredFile {
    /// Its key in the bucket.
    path: String,
    /// Bytes; 0: it is missing.
    size_bytes: u64,
    duration_ms: u64,
}

impl From<EgressRecord> for EndedEgress {
    fn from(record: EgressRecord) -> Self {
        let file = |file: events::livekit::EgressFile| StoredFile {
            path: file.filename,
            size_bytes: file.size_bytes,
            duration_ms: file.duration_ms,
        };
        Self {
            egress: record.egress.to_string(),
            end: record.end.as_str().to_owned(),
            error_code: record.error_code,
            ended_at: record.ended_at.to_string(),
            files: record.files.into_iter().map(file).collect(),
            agent_stands_in: record.stand_in.is_some(),
        }
    }
}

/// What has been recorded of a call, by its agent and by egress.
#[utoipa::path(get, path = "/v1/calls/{call}/recordings", tag = "recordings",
    params(("call" = String, Path, description = "`RM_…`")), security(("bearer" = ["recordings:read"])),
    responses(
        (status = 200, description = "It", body = Recordings),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call, or another caller's"),
    ))]
pub(crate) async fn recordings(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Recordings>, Fail> {
    let call = Located::of(&state, &caller, &id).await?;
    let recording = call.record(&state).await?.and_then(|record| record.recording);
    let egresses = call.egresses(&state).await?;
    Ok(Json(Recordings {
        agent: recording.map(|recording| AgentRecording {
            duration_ms: recording.duration_ms,
            policy: recording.policy.as_str().to_owned(),
        }),
        egresses: egresses.into_iter().map(EndedEgress::from).collect(),
    }))
}
