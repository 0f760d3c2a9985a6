//! Starting, changing, ending and listing.

use std::sync::Arc;

use access::{Body, Caller, Fail, Params};
use axum::{
    Json,
    extract::{Path, State},
};
use events::EgressId;
use http::StatusCode;
use platform::livekit::{EgressStart, proto};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    RecordingsState, START_DEADLINE,
    output::{self, Outputs},
    view::EgressView,
};

/// What to record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartEgress {
    /// One of the caller's rooms. It must exist.
    room: String,
    /// One participant of it, with its video; MP4, HLS or streams only. Default: the whole room, mixed.
    participant_identity: Option<String>,
    /// One track of it, as it is: `TR_…`. `outputs.file.path` names the file.
    track: Option<String>,
    /// Of a whole room: sound only, which needs no browser on the egress machine. Default true.
    audio_only: Option<bool>,
    /// Of a whole room with sound only: the agent left, everybody else right. Default false.
    #[serde(default)]
    agent_left: bool,
    /// Where it goes.
    outputs: Outputs,
}

/// Record a room, a participant or a track, or stream it.
///
/// Where no egress process is free this takes up to 24 s to say so.
#[utoipa::path(post, path = "/v1/egress", tag = "recordings", request_body = StartEgress, security(("bearer" = ["recordings:write"])),
    responses(
        (status = 201, description = "It starts", body = EgressView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or a URL is refused by policy"),
        (status = 404, description = "No such room, or another caller's"),
        (status = 409, description = "There is no place for files"),
        (status = 503, description = "No egress process is free, or none runs. It was asked for once"),
        (status = 504, description = "The outcome is not known: list before starting another"),
    ))]
pub(crate) async fn start(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Body(wanted): Body<StartEgress>,
) -> Result<(StatusCode, Json<EgressView>), Fail> {
    caller.owns_room(&wanted.room)?;
    let start = request(wanted, &state).await?;
    let started = state.livekit.within(START_DEADLINE).start_egress(&start).await?;
    Ok((StatusCode::CREATED, Json(started.into())))
}

async fn request(wanted: StartEgress, state: &RecordingsState) -> Result<EgressStart, Fail> {
    let StartEgress { room: room_name, .. } = &wanted;
    let room_name = room_name.clone();
    match (wanted.participant_identity, wanted.track) {
        (Some(_), Some(_)) => Err(Fail::invalid(
            "track",
            "a participant is named too",
            "name one of them",
        )),
        (None, Some(track_id)) => track(room_name, track_id, wanted.outputs, state),
        (Some(identity), None) => {
            let is_ogg = |file: &output::FileOutput| file.kind == output::FileKind::Ogg;
            if wanted.outputs.file.as_ref().is_some_and(is_ogg) {
                return Err(Fail::invalid(
                    "outputs.file.kind",
                    "a participant has video, which OGG has not",
                    "use mp4, or record its track",
                ));
            }
            let outputs = output::check(wanted.outputs, &state.config).await?;
            Ok(EgressStart::Participant(Box::new(
                proto::ParticipantEgressRequest {
                    room_name,
                    identity,
                    file_outputs: outputs.files,
                    segment_outputs: outputs.segments,
                    stream_outputs: outputs.streams,
                    ..proto::ParticipantEgressRequest::default()
                },
            )))
        }
        (None, None) => {
            let outputs = output::check(wanted.outputs, &state.config).await?;
            let mixing = if wanted.agent_left {
                proto::AudioMixing::DualChannelAgent
            } else {
                proto::AudioMixing::DefaultMixing
            };
            Ok(EgressStart::Room(Box::new(proto::RoomCompositeEgressRequest {
                room_name,
                audio_only: wanted.audio_only.unwrap_or(true),
                audio_mixing: mixing.into(),
                file_outputs: outputs.files,
                segment_outputs: outputs.segments,
                stream_outputs: outputs.streams,
                ..proto::RoomCompositeEgressRequest::default()
            })))
        }
    }
}

fn track(
    room_name: String,
    track_id: String,
    outputs: Outputs,
    state: &RecordingsState,
) -> Result<EgressStart, Fail> {
    let Some(file) = outputs
        .file
        .filter(|_| outputs.hls.is_none() && outputs.streams.is_empty())
    else {
        return Err(Fail::invalid(
            "outputs",
            "a track goes into a file",
            "set outputs.file and nothing else",
        ));
    };
    let file = proto::DirectFileOutput {
        filepath: output::path("outputs.file.path", &file.path)?,
        output: Some(proto::direct_file_output::Output::S3(output::s3(&state.config)?)),
        ..proto::DirectFileOutput::default()
    };
    Ok(EgressStart::Track(Box::new(proto::TrackEgressRequest {
        room_name,
        track_id,
        output: Some(proto::track_egress_request::Output::File(file)),
        ..proto::TrackEgressRequest::default()
    })))
}

/// Which egresses.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this room.
    room: Option<String>,
    /// Only those that start, run or end. Default false.
    active: Option<bool>,
}

/// Egresses.
#[derive(Serialize, ToSchema)]
pub(crate) struct Egresses {
    egresses: Vec<EgressView>,
}

/// The egresses of the caller's rooms of the last day.
#[utoipa::path(get, path = "/v1/egress", tag = "recordings", params(Which), security(("bearer" = ["recordings:read"])),
    responses(
        (status = 200, description = "They", body = Egresses),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "Another caller's room"),
    ))]
pub(crate) async fn list(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<Egresses>, Fail> {
    if let Some(room) = &which.room {
        caller.owns_room(room)?;
    }
    let request = proto::ListEgressRequest {
        room_name: which.room.unwrap_or_default(),
        active: which.active.unwrap_or_default(),
        ..proto::ListEgressRequest::default()
    };
    let found = state.livekit.list_egress(&request).await?;
    let own = found.into_iter().filter(|info| caller.rooms.own(&info.room_name));
    Ok(Json(Egresses {
        egresses: own.map(EgressView::from).collect(),
    }))
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
    ))]
pub(crate) async fn stop(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<EgressView>, Fail> {
    let info = own(&state, &caller, &id).await?;
    let stopped = state.livekit.stop_egress(&info.egress_id).await?;
    Ok(Json(stopped.into()))
}

/// Where else to stream to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateStream {
    /// URLs to add, at most 4.
    #[serde(default)]
    add: Vec<String>,
    /// URLs to remove, exactly as they were added.
    #[serde(default)]
    remove: Vec<String>,
}

/// Add and remove URLs of a streaming egress. Whether a new one works shows in the egress' `streams`.
#[utoipa::path(post, path = "/v1/egress/{egress}/streams", tag = "recordings", request_body = UpdateStream,
    params(("egress" = String, Path, description = "`EG_…`")), security(("bearer" = ["recordings:write"])),
    responses(
        (status = 200, description = "It", body = EgressView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or a URL is refused by policy"),
        (status = 404, description = "No such egress, or another caller's"),
    ))]
pub(crate) async fn update_stream(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<UpdateStream>,
) -> Result<Json<EgressView>, Fail> {
    let info = own(&state, &caller, &id).await?;
    if wanted.remove.len() > 4 || wanted.remove.iter().any(|url| url.len() > 2_048) {
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
    let updated = state.livekit.update_stream(&request).await?;
    Ok(Json(updated.into()))
}

async fn own(state: &RecordingsState, caller: &Caller, id: &str) -> Result<proto::EgressInfo, Fail> {
    let id = EgressId::new(id).map_err(|_| Fail::not_found("no_egress_id"))?;
    let request = proto::ListEgressRequest {
        egress_id: id.as_str().to_owned(),
        ..proto::ListEgressRequest::default()
    };
    let found = state.livekit.list_egress(&request).await?.into_iter().next();
    let info = found.ok_or_else(|| Fail::not_found("unknown_egress"))?;
    caller.owns_room(&info.room_name)?;
    Ok(info)
}
