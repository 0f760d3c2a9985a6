//! Participants of rooms.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use access::{Body, Caller, Fail, Path};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::livekit::{ParticipantUpdate, proto};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Shared,
    hang_up::{self, Ending},
    locate,
    rooms::bounded,
};

/// Attributes that LiveKit and this program read.
const RESERVED: [&str; 3] = ["sip.", "lk.", "trunkline."];
const MAX_ATTRIBUTES: usize = 32;

/// A participant.
#[derive(Serialize, ToSchema)]
pub(crate) struct ParticipantView {
    sid: String,
    identity: String,
    name: String,
    /// `standard`, `sip`, `agent`, `egress`, `ingress`, …
    kind: String,
    /// Seconds since 1970.
    joined_at_s: i64,
    metadata: String,
    attributes: BTreeMap<String, String>,
    tracks: Vec<TrackView>,
}

/// A track.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrackView {
    sid: String,
    name: String,
    /// `audio`, `video`, `data`.
    kind: String,
    muted: bool,
}

impl From<proto::ParticipantInfo> for ParticipantView {
    fn from(who: proto::ParticipantInfo) -> Self {
        let kind = who.kind().as_str_name().to_ascii_lowercase();
        Self {
            sid: who.sid,
            identity: who.identity,
            name: who.name,
            kind,
            joined_at_s: who.joined_at,
            metadata: who.metadata,
            attributes: who.attributes.into_iter().collect(),
            tracks: who.tracks.into_iter().map(TrackView::from).collect(),
        }
    }
}

impl From<proto::TrackInfo> for TrackView {
    fn from(track: proto::TrackInfo) -> Self {
        let kind = track.r#type().as_str_name().to_ascii_lowercase();
        Self {
            sid: track.sid,
            name: track.name,
            kind,
            muted: track.muted,
        }
    }
}

/// Everybody in a room; nobody when there is no such room.
#[utoipa::path(get, path = "/v1/rooms/{room}/participants", tag = "rooms",
    params(("room" = String, Path, description = "Its name")), security(("bearer" = ["rooms:read"])),
    responses(
        (status = 200, description = "They", body = Vec<ParticipantView>),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "Another caller's"),
    ))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Vec<ParticipantView>>, Fail> {
    caller.owns_room(&room)?;
    let found = shared.state.livekit.list_participants(&room).await?;
    Ok(Json(found.into_iter().map(ParticipantView::from).collect()))
}

/// One participant.
#[utoipa::path(get, path = "/v1/rooms/{room}/participants/{identity}", tag = "rooms",
    params(("room" = String, Path, description = "Its name"), ("identity" = String, Path, description = "The participant's")),
    security(("bearer" = ["rooms:read"])),
    responses(
        (status = 200, description = "The participant", body = ParticipantView),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such participant, or another caller's"),
    ))]
pub(crate) async fn read(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((room, identity)): Path<(String, String)>,
) -> Result<Json<ParticipantView>, Fail> {
    caller.owns_room(&room)?;
    there(&shared, &room, &identity).await.map(|who| Json(who.into()))
}

/// LiveKit takes ten seconds and more to say of a change that nobody is there to change; of a look it says so at once.
async fn there(shared: &Shared, room: &str, identity: &str) -> Result<proto::ParticipantInfo, Fail> {
    let found = shared.state.livekit.participant(room, identity).await?;
    found.ok_or_else(|| Fail::not_found("unknown_participant"))
}

/// What to change of a participant; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateParticipant {
    /// At most 256 bytes.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// At most 16 KiB.
    #[schema(max_length = 16_384)]
    metadata: Option<String>,
    /// At most 32; an empty value removes one. Names that begin with `sip.`, `lk.` or `trunkline.` are refused.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// Change a participant's name, metadata or attributes.
#[utoipa::path(patch, path = "/v1/rooms/{room}/participants/{identity}", tag = "rooms", request_body = UpdateParticipant,
    params(("room" = String, Path, description = "Its name"), ("identity" = String, Path, description = "The participant's")),
    security(("bearer" = ["rooms:write"])),
    responses(
        (status = 200, description = "The participant", body = ParticipantView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or an attribute is reserved"),
        (status = 404, description = "No such participant, or another caller's"),
    ))]
pub(crate) async fn update(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((room, identity)): Path<(String, String)>,
    Body(wanted): Body<UpdateParticipant>,
) -> Result<Json<ParticipantView>, Fail> {
    caller.owns_room(&room)?;
    bounded("name", wanted.name.as_deref().unwrap_or_default(), 256)?;
    bounded(
        "metadata",
        wanted.metadata.as_deref().unwrap_or_default(),
        16 * 1024,
    )?;
    if wanted.attributes.len() > MAX_ATTRIBUTES {
        return Err(Fail::invalid(
            "attributes",
            "there are more than 32",
            "send fewer",
        ));
    }
    for (name, value) in &wanted.attributes {
        bounded("attributes", name, 128)?;
        bounded("attributes", value, 2_048)?;
        let lower = name.trim().to_ascii_lowercase();
        if RESERVED.iter().any(|begin| lower.starts_with(begin)) {
            return Err(Fail::refused(
                "reserved_attribute",
                format!("attributes.{}", events::mask_digits(name)),
                "names with this beginning are LiveKit's and this program's",
                "choose another name",
            ));
        }
    }
    there(&shared, &room, &identity).await?;
    let update = ParticipantUpdate {
        metadata: wanted.metadata,
        name: wanted.name,
        attributes: wanted.attributes.into_iter().collect::<HashMap<_, _>>(),
    };
    let who = shared
        .state
        .livekit
        .update_participant(&room, &identity, update)
        .await?;
    Ok(Json(who.into()))
}

/// Send a participant away. One that is gone is no error, and a phone that is being dialled is put out as soon as it comes.
#[utoipa::path(delete, path = "/v1/rooms/{room}/participants/{identity}", tag = "rooms",
    params(("room" = String, Path, description = "Its name"), ("identity" = String, Path, description = "The participant's")),
    security(("bearer" = ["rooms:write"])),
    responses(
        (status = 204, description = "It is gone"),
        (status = 202, description = "It is a phone of which LiveKit has not said yet whether it came; it is put out when it does"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "Another caller's"),
    ))]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((room, identity)): Path<(String, String)>,
) -> Result<StatusCode, Fail> {
    caller.owns_room(&room)?;
    if let Some(call) = locate::by_room(&shared, &room).await? {
        return hang_up::end(&shared, &call, Ending::Stay(&identity)).await;
    }
    shared.state.livekit.remove_participant(&room, &identity).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a track is to be mute.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MuteTrack {
    muted: bool,
}

/// Mute a track for everybody, or let it be heard again.
///
/// LiveKit lets a track be heard again only when the server's `room.enable_remote_unmute` is set.
#[utoipa::path(post, path = "/v1/rooms/{room}/participants/{identity}/tracks/{track}/mute", tag = "rooms", request_body = MuteTrack,
    params(("room" = String, Path, description = "Its name"), ("identity" = String, Path, description = "The participant's"),
        ("track" = String, Path, description = "`TR_…`")),
    security(("bearer" = ["rooms:write"])),
    responses(
        (status = 204, description = "Done"),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such track, or another caller's"),
        (status = 409, description = "LiveKit lets nobody be heard again"),
    ))]
pub(crate) async fn mute_track(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((room, identity, track)): Path<(String, String, String)>,
    Body(wanted): Body<MuteTrack>,
) -> Result<StatusCode, Fail> {
    caller.owns_room(&room)?;
    let who = there(&shared, &room, &identity).await?;
    if !who.tracks.iter().any(|known| known.sid == track) {
        return Err(Fail::not_found("unknown_track"));
    }
    let livekit = &shared.state.livekit;
    crate::control::mute_track(livekit, &room, &identity, &track, wanted.muted).await?;
    Ok(StatusCode::NO_CONTENT)
}
