//! Listing, reading and ending.

use std::sync::Arc;

use access::{Caller, Fail, Params, Path, page};
use axum::{Json, extract::State};
use events::EgressId;
use platform::livekit::{LiveKitError, proto};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{RecordingsState, view::EgressView};

/// Which egresses.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this room.
    room: Option<String>,
    /// Only those that start, run or end. Default false.
    active: Option<bool>,
    /// 1 to 100, default 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of egresses, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct EgressPage {
    egresses: Vec<EgressView>,
    /// For `cursor`; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The egresses of the caller's rooms of the last day, as LiveKit knows them.
#[utoipa::path(get, path = "/v1/egress", tag = "recordings", params(Which), security(("bearer" = ["recordings:read"])),
    responses(
        (status = 200, description = "A page", body = EgressPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "Another caller's room"),
    ))]
pub(crate) async fn list(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<EgressPage>, Fail> {
    if let Some(room) = &which.room {
        caller.owns_room(room)?;
    }
    let request = proto::ListEgressRequest {
        room_name: which.room.unwrap_or_default(),
        active: which.active.unwrap_or_default(),
        ..proto::ListEgressRequest::default()
    };
    let mut found = state.livekit.list_egress(&request).await?;
    found.retain(|info| caller.rooms.own(&info.room_name));
    let (found, next) = page(
        found,
        |info| &info.egress_id,
        which.limit,
        which.cursor.as_deref(),
    )?;
    let egresses = found.into_iter().map(EgressView::from).collect();
    Ok(Json(EgressPage { egresses, next }))
}

/// One egress.
#[utoipa::path(get, path = "/v1/egress/{egress}", tag = "recordings", params(("egress" = String, Path, description = "`EG_…`")),
    security(("bearer" = ["recordings:read"])),
    responses(
        (status = 200, description = "It", body = EgressView),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such egress, or another caller's"),
    ))]
pub(crate) async fn read(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<EgressView>, Fail> {
    own(&state, &caller, &id).await.map(|info| Json(info.into()))
}

/// End an egress: what was recorded is kept.
#[utoipa::path(delete, path = "/v1/egress/{egress}", tag = "recordings", params(("egress" = String, Path, description = "`EG_…`")),
    security(("bearer" = ["recordings:write"])),
    responses(
        (status = 200, description = "It ends", body = EgressView),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such egress, or another caller's"),
        (status = 409, description = "It has ended"),
        (status = 503, description = "The process that ran it does not answer"),
    ))]
pub(crate) async fn stop(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<EgressView>, Fail> {
    let info = own_running(&state, &caller, &id).await?;
    let stopped = state.livekit.stop_egress(&info.egress_id).await;
    Ok(Json(stopped.map_err(of_process)?.into()))
}

/// One of the caller's egresses.
async fn own(state: &RecordingsState, caller: &Caller, id: &str) -> Result<proto::EgressInfo, Fail> {
    let id = EgressId::new(id).map_err(|_| Fail::not_found("no_egress_id"))?;
    let request = proto::ListEgressRequest {
        egress_id: id.as_str().to_owned(),
        ..proto::ListEgressRequest::default()
    };
    let found = state.livekit.list_egress(&request).await?;
    let info = found.into_iter().find(|info| info.egress_id == id.as_str());
    let info = info.ok_or_else(|| Fail::not_found("unknown_egress"))?;
    caller.owns_room(&info.room_name)?;
    Ok(info)
}

/// One of the caller's egresses that LiveKit believes to go on: of one that has ended LiveKit would say so only after 3 s.
pub(crate) async fn own_running(
    state: &RecordingsState,
    caller: &Caller,
    id: &str,
) -> Result<proto::EgressInfo, Fail> {
    let info = own(state, caller, id).await?;
    match info.status() {
        proto::EgressStatus::EgressStarting
        | proto::EgressStatus::EgressActive
        | proto::EgressStatus::EgressEnding => Ok(info),
        _ => Err(has_ended()),
    }
}

fn has_ended() -> Fail {
    Fail::conflict(
        "egress_ended",
        "the egress has ended",
        "look at what is left of it by GET /v1/egress/{egress}",
    )
}

/// What LiveKit says of an egress that it asked the process of.
pub(crate) fn of_process(error: LiveKitError) -> Fail {
    match &error {
        LiveKitError::Refused { code, .. } if code == "failed_precondition" => has_ended().because(&error),
        LiveKitError::Unavailable { .. } => Fail::unavailable(
            "egress_gone",
            "the egress process that runs it does not answer",
            "when its process is gone, its record says `lost` in a few minutes; it can be started anew",
        )
        .because(&error)
        .retry_after(60),
        _ => error.into(),
    }
}
