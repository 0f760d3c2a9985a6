//! Rooms.

use std::sync::Arc;

use access::{Body, Caller, Fail, Params, Path, page};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::livekit::proto;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Shared,
    hang_up::{self, Ending},
    locate,
};

const EMPTY_TIMEOUT_S: u32 = 300;
const DEPARTURE_TIMEOUT_S: u32 = 20;
const MAX_METADATA_BYTES: usize = 16 * 1024;

/// A room.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoomView {
    /// The session's id, `RM_…`: the call's id.
    sid: String,
    name: String,
    /// Seconds since 1970.
    created_at_s: i64,
    participants: u32,
    publishers: u32,
    /// 0: no limit.
    max_participants: u32,
    /// How long it stays when nobody joins.
    empty_timeout_s: u32,
    /// How long it stays when everybody has left.
    departure_timeout_s: u32,
    metadata: String,
    /// Whether an egress is active.
    recording: bool,
}

impl From<proto::Room> for RoomView {
    fn from(room: proto::Room) -> Self {
        Self {
            sid: room.sid,
            name: room.name,
            created_at_s: room.creation_time,
            participants: room.num_participants,
            publishers: room.num_publishers,
            max_participants: room.max_participants,
            empty_timeout_s: room.empty_timeout,
            departure_timeout_s: room.departure_timeout,
            metadata: room.metadata,
            recording: room.active_recording,
        }
    }
}

/// Which rooms.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// 1 to 100, default 100.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of rooms, in the order of their names.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoomPage {
    rooms: Vec<RoomView>,
    /// For `cursor`; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The caller's rooms.
#[utoipa::path(get, path = "/v1/rooms", tag = "rooms", params(Which), security(("bearer" = ["rooms:read"])),
    responses(
        (status = 200, description = "A page", body = RoomPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
    ))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<RoomPage>, Fail> {
    let mut rooms = shared.state.livekit.list_rooms(&[]).await?;
    rooms.retain(|room| caller.rooms.own(&room.name));
    let (rooms, next) = page(rooms, |room| &room.name, which.limit, which.cursor.as_deref())?;
    let rooms = rooms.into_iter().map(RoomView::from).collect();
    Ok(Json(RoomPage { rooms, next }))
}

/// A room to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRoom {
    /// One of the caller's, at most 256 bytes. Default: a new one.
    #[schema(max_length = 256)]
    name: Option<String>,
    /// How long it stays when nobody joins: at most 86,400, default 300.
    #[schema(maximum = 86_400)]
    empty_timeout_s: Option<u32>,
    /// How long it stays when everybody has left: at most 3,600, default 20.
    #[schema(maximum = 3_600)]
    departure_timeout_s: Option<u32>,
    /// At most 1,000; default: no limit.
    #[schema(maximum = 1_000)]
    max_participants: Option<u32>,
    /// At most 16 KiB.
    #[schema(max_length = 16_384)]
    metadata: Option<String>,
}

/// Make a room, or get the one that has the name already.
#[utoipa::path(post, path = "/v1/rooms", tag = "rooms", request_body = Option<CreateRoom>, security(("bearer" = ["rooms:write"])),
    responses(
        (status = 201, description = "The room", body = RoomView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "The name is another caller's"),
    ))]
pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Body(wanted): Body<CreateRoom>,
) -> Result<(StatusCode, Json<RoomView>), Fail> {
    let drawn = || caller.rooms.name(&format!("{:016x}", rand::random::<u64>()));
    let name = wanted
        .name
        .or_else(drawn)
        .ok_or_else(|| Fail::invalid("name", "it is missing", "name one of the caller's rooms"))?;
    bounded("name", &name, 256)?;
    caller.owns_room(&name)?;
    let metadata = wanted.metadata.unwrap_or_default();
    bounded("metadata", &metadata, MAX_METADATA_BYTES)?;
    let request = proto::CreateRoomRequest {
        name,
        empty_timeout: at_most("empty_timeout_s", wanted.empty_timeout_s, EMPTY_TIMEOUT_S, 86_400)?,
        departure_timeout: at_most(
            "departure_timeout_s",
            wanted.departure_timeout_s,
            DEPARTURE_TIMEOUT_S,
            3_600,
        )?,
        max_participants: at_most("max_participants", wanted.max_participants, 0, 1_000)?,
        metadata,
        ..proto::CreateRoomRequest::default()
    };
    let room = shared.state.livekit.create_room(request).await?;
    Ok((StatusCode::CREATED, Json(room.into())))
}

/// One room.
#[utoipa::path(get, path = "/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path, description = "Its name")),
    security(("bearer" = ["rooms:read"])),
    responses(
        (status = 200, description = "The room", body = RoomView),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such room, or another caller's"),
    ))]
pub(crate) async fn read(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RoomView>, Fail> {
    caller.owns_room(&name)?;
    let rooms = shared.state.livekit.list_rooms(&[&name]).await?;
    let room = rooms
        .into_iter()
        .next()
        .ok_or_else(|| Fail::not_found("unknown_room"))?;
    Ok(Json(room.into()))
}

/// What to change of a room.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateRoom {
    /// At most 16 KiB.
    #[schema(max_length = 16_384)]
    metadata: String,
}

/// Set a room's metadata.
#[utoipa::path(patch, path = "/v1/rooms/{room}", tag = "rooms", request_body = UpdateRoom,
    params(("room" = String, Path, description = "Its name")), security(("bearer" = ["rooms:write"])),
    responses(
        (status = 200, description = "The room", body = RoomView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such room, or another caller's"),
    ))]
pub(crate) async fn update(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(name): Path<String>,
    Body(wanted): Body<UpdateRoom>,
) -> Result<Json<RoomView>, Fail> {
    caller.owns_room(&name)?;
    bounded("metadata", &wanted.metadata, MAX_METADATA_BYTES)?;
    let room = shared
        .state
        .livekit
        .update_room_metadata(&name, &wanted.metadata)
        .await?;
    Ok(Json(room.into()))
}

/// End a room: everybody is sent away. One that is gone is no error, and a phone that is being dialled is put out as soon as it comes.
#[utoipa::path(delete, path = "/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path, description = "Its name")),
    security(("bearer" = ["rooms:write"])),
    responses(
        (status = 204, description = "It is gone"),
        (status = 202, description = "It is gone but for a phone of which LiveKit has not said yet whether it came; it is put out when it does"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "Another caller's"),
    ))]
pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Fail> {
    caller.owns_room(&name)?;
    if let Some(call) = locate::by_room(&shared, &name).await? {
        return hang_up::end(&shared, &call, Ending::Call).await;
    }
    shared.state.livekit.delete_room(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn at_most(field: &str, wanted: Option<u32>, default: u32, most: u32) -> Result<u32, Fail> {
    match wanted {
        None => Ok(default),
        Some(value) if value <= most => Ok(value),
        Some(_) => Err(Fail::invalid(
            field,
            "it is out of bounds",
            format!("set it to at most {most}"),
        )),
    }
}

/// Names have no control characters; metadata, which is mostly JSON, may have line breaks.
pub(crate) fn bounded(field: &str, text: &str, most: usize) -> Result<(), Fail> {
    let wild = |c: char| c.is_control() && (most <= 256 || !"\n\r\t".contains(c));
    if text.len() > most || text.chars().any(wild) {
        return Err(Fail::invalid(
            field,
            format!("it is longer than {most} bytes, or has control characters"),
            "shorten it",
        ));
    }
    Ok(())
}
