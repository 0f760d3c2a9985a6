//! `POST /v1/egress`.

use std::sync::Arc;

use access::{
    Body, Caller, Fail,
    idempotency::{self, Asked, Once, Turn},
};
use axum::{extract::State, response::Response};
use events::Timestamp;
use http::HeaderMap;
use platform::livekit::{EgressStart, LiveKitError, proto};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    RecordingsState, START_DEADLINE,
    output::{self, FileKind, FileOutput, Outputs},
    update,
    view::EgressView,
};

/// What to record.
#[derive(Deserialize, Serialize, ToSchema)]
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
    /// Of a whole room with its video: how the participants are arranged, `speaker`, `grid` or one of your template's own. Default: the
    /// template's.
    layout: Option<String>,
    /// Of a whole room with sound only: the agent left, everybody else right. Default false.
    #[serde(default)]
    agent_left: bool,
    /// Where it goes.
    outputs: Outputs,
}

/// Record a room, a participant or a track, or stream it.
///
/// Where no egress process is free this takes up to 24 s to say so. With `Idempotency-Key`, a repeat is answered with the first answer and
/// starts nothing.
#[utoipa::path(post, path = "/v1/egress", tag = "recordings", request_body = StartEgress, security(("bearer" = ["recordings:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, good for a day")),
    responses(
        (status = 201, description = "It starts", body = EgressView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or a URL is refused by policy"),
        (status = 404, description = "No such room, or another caller's"),
        (status = 409, description = "There is no place for files, or the first request with this key is under way"),
        (status = 503, description = "No egress process is free, or none runs. It was asked for once"),
        (status = 504, description = "The outcome is not known: list before starting another"),
    ))]
pub(crate) async fn start(
    State(state): State<Arc<RecordingsState>>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<StartEgress>,
) -> Result<Response, Fail> {
    caller.owns_room(&wanted.room)?;
    // Serializing plain structs into memory has no way to fail. Only its hash is kept: it may hold stream keys.
    let body = serde_json::to_string(&wanted).unwrap_or_default();
    let room = wanted.room.clone();
    let start = request(wanted, &state).await?;
    let asked = Asked {
        what: "egress",
        body: &body,
        room: &room,
        // LiveKit does not say which request an egress was started by.
        attempt: None,
    };
    let now = Timestamp::from(state.clock.now());
    match idempotency::once(&*state.store, &caller, &headers, asked, now).await? {
        Turn::First(once) => first(&state, &start, once).await,
        Turn::Left(_) => Err(idempotency::under_way()),
        Turn::Done(answer) => Ok(idempotency::replayed(answered(&answer))),
    }
}

async fn first(state: &RecordingsState, start: &EgressStart, once: Once) -> Result<Response, Fail> {
    match state.livekit.within(START_DEADLINE).start_egress(start).await {
        Ok(info) => {
            let view = EgressView::from(info);
            once.done(&*state.store, &view).await;
            Ok(answered(&view))
        }
        // It may run: the key stays undecided, so that a repeat does not start another.
        Err(error) if error.leaves_outcome_open() => Err(error.into()),
        Err(error) => {
            once.undone(&*state.store).await;
            Err(refused(error))
        }
    }
}

fn refused(error: LiveKitError) -> Fail {
    match error {
        LiveKitError::Unavailable { .. } => Fail::unavailable(
            "no_egress",
            "no egress process is free, or none runs; nothing was started",
            "start livekit-egress with the Redis address and database of the LiveKit server, or give it more CPU; then ask again",
        )
        .because(&error)
        .retry_after(5),
        other => other.into(),
    }
}

fn answered(view: &EgressView) -> Response {
    idempotency::created(&format!("/v1/egress/{}", view.id()), view)
}

async fn request(wanted: StartEgress, state: &RecordingsState) -> Result<EgressStart, Fail> {
    let of_room = wanted.participant_identity.is_none() && wanted.track.is_none();
    let audio_only = wanted.audio_only.unwrap_or(true);
    for (field, is_set, fits) in [
        ("audio_only", wanted.audio_only.is_some(), of_room),
        ("agent_left", wanted.agent_left, of_room && audio_only),
        ("layout", wanted.layout.is_some(), of_room && !audio_only),
    ] {
        if is_set && !fits {
            return Err(Fail::invalid(
                field,
                "it does not go with what is recorded",
                "leave it out",
            ));
        }
    }
    match (wanted.participant_identity, wanted.track) {
        (Some(_), Some(_)) => Err(Fail::invalid(
            "track",
            "a participant is named too",
            "name one of them",
        )),
        (None, Some(track_id)) => track(wanted.room, track_id, wanted.outputs, state),
        (Some(identity), None) => participant(wanted.room, identity, wanted.outputs, state).await,
        (None, None) => {
            let layout = update::layout("layout", wanted.layout)?;
            let outputs = output::check(wanted.outputs, &state.config).await?;
            let mixing = if wanted.agent_left {
                proto::AudioMixing::DualChannelAgent
            } else {
                proto::AudioMixing::DefaultMixing
            };
            Ok(EgressStart::Room(Box::new(proto::RoomCompositeEgressRequest {
                room_name: wanted.room,
                layout: layout.unwrap_or_default(),
                audio_only,
                audio_mixing: mixing.into(),
                file_outputs: outputs.files,
                segment_outputs: outputs.segments,
                stream_outputs: outputs.streams,
                ..proto::RoomCompositeEgressRequest::default()
            })))
        }
    }
}

async fn participant(
    room_name: String,
    identity: String,
    outputs: Outputs,
    state: &RecordingsState,
) -> Result<EgressStart, Fail> {
    if identity.is_empty() || identity.len() > 256 {
        return Err(Fail::invalid(
            "participant_identity",
            "it is empty, or longer than 256 bytes",
            "name a participant of the room",
        ));
    }
    let is_ogg = |file: &FileOutput| file.kind == FileKind::Ogg;
    if outputs.file.as_ref().is_some_and(is_ogg) {
        return Err(Fail::invalid(
            "outputs.file.kind",
            "a participant has video, which OGG has not",
            "use mp4, or record its track",
        ));
    }
    let outputs = output::check(outputs, &state.config).await?;
    let request = proto::ParticipantEgressRequest {
        room_name,
        identity,
        file_outputs: outputs.files,
        segment_outputs: outputs.segments,
        stream_outputs: outputs.streams,
        ..proto::ParticipantEgressRequest::default()
    };
    Ok(EgressStart::Participant(Box::new(request)))
}

fn track(
    room_name: String,
    track_id: String,
    outputs: Outputs,
    state: &RecordingsState,
) -> Result<EgressStart, Fail> {
    if !track_id.starts_with("TR_") || events::TrackSid::new(&track_id).is_err() {
        return Err(Fail::invalid("track", "it is no track's id", "set it to `TR_…`"));
    }
    let is_alone = outputs.hls.is_none() && outputs.streams.is_empty();
    let Some(file) = outputs.file.filter(|_| is_alone) else {
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
