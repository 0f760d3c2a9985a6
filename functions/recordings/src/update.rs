//! Changing an egress that goes on: its layout, and where it streams to.

use std::sync::Arc;

use access::{Body, Caller, Fail, Path};
use axum::{Json, extract::State};
use platform::livekit::proto;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    RecordingsState,
    egress::{of_process, own_running},
    output,
    view::EgressView,
};

const MAX_URLS: usize = 4;

/// What to change of an egress.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateEgress {
    /// How the participants are arranged: `speaker`, `grid` or one of your template's own.
    layout: String,
}

/// Change the layout of an egress of a whole room with its video.
#[utoipa::path(patch, path = "/v1/egress/{egress}", tag = "recordings", request_body = UpdateEgress,
    params(("egress" = String, Path, description = "`EG_…`")), security(("bearer" = ["recordings:write"])),
    responses(
        (status = 200, description = "It", body = EgressView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such egress, or another caller's"),
        (status = 409, description = "It has ended, or has no layout"),
    ))]
pub(crate) async fn update(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<UpdateEgress>,
) -> Result<Json<EgressView>, Fail> {
    let info = own_running(&state, &caller, &id).await?;
    let layout = layout("layout", Some(wanted.layout))?.unwrap_or_default();
    let has_layout = matches!(
        &info.request,
        Some(proto::egress_info::Request::RoomComposite(room)) if !room.audio_only
    );
    if !has_layout {
        return Err(Fail::conflict(
            "no_layout",
            "it has no layout: it is sound only, or not of a whole room",
            "start one with audio_only false",
        ));
    }
    let updated = state.livekit.update_layout(&info.egress_id, &layout).await;
    Ok(Json(updated.map_err(of_process)?.into()))
}

/// A template's name for a layout.
pub(crate) fn layout(field: &str, name: Option<String>) -> Result<Option<String>, Fail> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    match name {
        Some(name) if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) => Err(Fail::invalid(
            field,
            "it is no layout's name",
            "use 1 to 64 letters, digits, - and _, such as speaker or grid",
        )),
        name => Ok(name),
    }
}

/// Where else to stream to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateStreams {
    /// URLs to add, at most 4.
    #[serde(default)]
    add: Vec<String>,
    /// URLs to remove, exactly as they were added.
    #[serde(default)]
    remove: Vec<String>,
}

/// Add and remove URLs of a streaming egress. Whether a new one works shows in the egress' `streams`.
#[utoipa::path(post, path = "/v1/egress/{egress}/streams", tag = "recordings", request_body = UpdateStreams,
    params(("egress" = String, Path, description = "`EG_…`")), security(("bearer" = ["recordings:write"])),
    responses(
        (status = 200, description = "It", body = EgressView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or a URL is refused by policy"),
        (status = 404, description = "No such egress, or another caller's"),
        (status = 409, description = "It has ended"),
        (status = 503, description = "The process that ran it does not answer"),
    ))]
pub(crate) async fn update_streams(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<UpdateStreams>,
) -> Result<Json<EgressView>, Fail> {
    let info = own_running(&state, &caller, &id).await?;
    if wanted.add.is_empty() && wanted.remove.is_empty() {
        return Err(Fail::invalid(
            "add",
            "there is nothing to add and nothing to remove",
            "set add or remove",
        ));
    }
    if wanted.remove.len() > MAX_URLS || wanted.remove.iter().any(|url| url.len() > 2_048) {
        return Err(Fail::invalid(
            "remove",
            "there are too many, or one is too long",
            "send at most 4",
        ));
    }
    let request = proto::UpdateStreamRequest {
        egress_id: info.egress_id,
        add_output_urls: output::streams("add", wanted.add, &state.config).await?,
        remove_output_urls: wanted.remove,
    };
    let updated = state.livekit.update_stream(&request).await;
    Ok(Json(updated.map_err(of_process)?.into()))
}
