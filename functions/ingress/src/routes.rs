//! The routes.

use std::{sync::Arc, time::Duration};

use access::{Body, Caller, Fail, Params, Path, outside::OutsideUrl, page};
use axum::{Json, extract::State};
use http::StatusCode;
use platform::livekit::{LiveKitError, proto};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    IngressState,
    view::{IngressView, Input},
};

const SCHEMES: [&str; 3] = ["https", "http", "srt"];
/// A URL ingress starts at once, and LiveKit tries for as long as with an egress until it says that no process is there.
const CREATE_DEADLINE: Duration = Duration::from_secs(28);

/// An ingress to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateIngress {
    input: Input,
    /// One of the caller's rooms.
    room: String,
    /// The identity that it publishes as.
    participant_identity: String,
    /// The name that others see.
    participant_name: Option<String>,
    /// What lists call it.
    name: Option<String>,
    /// For `url`: what to fetch, `https://`, `http://` or `srt://`. HLS, MP4, OGG, MP3 and the like; no WAV.
    url: Option<String>,
    /// For `whip`: whether the media is decoded and encoded anew. Default false.
    transcoding: Option<bool>,
}

/// Make an ingress.
#[utoipa::path(post, path = "/v1/ingress", tag = "ingress", request_body = CreateIngress, security(("bearer" = ["ingress:write"])),
    responses(
        (status = 201, description = "It, with its stream key, which is never shown again", body = IngressView),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or the URL is refused by policy"),
        (status = 404, description = "Another caller's room"),
        (status = 503, description = "No ingress process runs, or livekit-server has no Redis"),
    ))]
pub(crate) async fn create(
    State(state): State<Arc<IngressState>>,
    caller: Caller,
    Body(wanted): Body<CreateIngress>,
) -> Result<(StatusCode, Json<IngressView>), Fail> {
    caller.owns_room(&wanted.room)?;
    check_identity(&wanted.participant_identity)?;
    let (name, shown) = (
        wanted.name.unwrap_or_default(),
        wanted.participant_name.unwrap_or_default(),
    );
    bounded("name", &name)?;
    bounded("participant_name", &shown)?;
    let url = match (wanted.input, wanted.url) {
        (Input::Url, Some(url)) => {
            let checked = OutsideUrl::parse(&url, &SCHEMES, &state.config.private_hosts).await;
            checked.map_err(|error| error.fail("url"))?.as_str().to_owned()
        }
        (Input::Url, None) => {
            return Err(Fail::invalid(
                "url",
                "it is missing",
                "set it to what is to be fetched",
            ));
        }
        (_, Some(_)) => return Err(Fail::invalid("url", "only a url ingress fetches", "leave it out")),
        (_, None) => String::new(),
    };
    if wanted.transcoding.is_some() && wanted.input != Input::Whip {
        return Err(Fail::invalid(
            "transcoding",
            "only WHIP can go without",
            "leave it out",
        ));
    }
    let request = proto::CreateIngressRequest {
        input_type: proto::IngressInput::from(wanted.input).into(),
        url,
        name,
        room_name: wanted.room,
        participant_identity: wanted.participant_identity,
        participant_name: shown,
        enable_transcoding: (wanted.input == Input::Whip).then(|| wanted.transcoding.unwrap_or(false)),
        ..proto::CreateIngressRequest::default()
    };
    let made = state
        .livekit
        .within(CREATE_DEADLINE)
        .create_ingress(&request)
        .await;
    let made = made.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(IngressView::with_key(made))))
}

/// What LiveKit says of an ingress that a process has to begin, to change or to end.
fn refused(error: LiveKitError) -> Fail {
    match error {
        LiveKitError::Unavailable { .. } => Fail::unavailable(
            "no_ingress",
            "no ingress process is free, or none runs",
            "start livekit-ingress with the Redis address and database of the LiveKit server, or give it more CPU; then ask again",
        )
        .because(&error)
        .retry_after(5),
        other => other.into(),
    }
}

/// Which ingresses.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this room.
    room: Option<String>,
    /// 1 to 100, default 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of ingresses, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct IngressPage {
    ingresses: Vec<IngressView>,
    /// For `cursor`; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The ingresses of the caller's rooms.
#[utoipa::path(get, path = "/v1/ingress", tag = "ingress", params(Which), security(("bearer" = ["ingress:read"])),
    responses(
        (status = 200, description = "A page", body = IngressPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "Another caller's room"),
    ))]
pub(crate) async fn list(
    State(state): State<Arc<IngressState>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<IngressPage>, Fail> {
    if let Some(room) = &which.room {
        caller.owns_room(room)?;
    }
    let request = proto::ListIngressRequest {
        room_name: which.room.unwrap_or_default(),
        ..proto::ListIngressRequest::default()
    };
    let mut found = state.livekit.list_ingress(&request).await?;
    found.retain(|info| caller.rooms.own(&info.room_name));
    let (found, next) = page(
        found,
        |info| &info.ingress_id,
        which.limit,
        which.cursor.as_deref(),
    )?;
    let ingresses = found.into_iter().map(IngressView::from).collect();
    Ok(Json(IngressPage { ingresses, next }))
}

/// One ingress.
#[utoipa::path(get, path = "/v1/ingress/{ingress}", tag = "ingress", params(("ingress" = String, Path, description = "`IN_…`")),
    security(("bearer" = ["ingress:read"])),
    responses(
        (status = 200, description = "It", body = IngressView),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such ingress, or another caller's"),
    ))]
pub(crate) async fn read(
    State(state): State<Arc<IngressState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<IngressView>, Fail> {
    own(&state, &caller, &id).await.map(|info| Json(info.into()))
}

/// What to change of an ingress; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateIngress {
    /// What lists call it.
    name: Option<String>,
    /// Another one of the caller's rooms.
    room: Option<String>,
    /// The identity that it publishes as.
    participant_identity: Option<String>,
    /// The name that others see.
    participant_name: Option<String>,
    /// Whether it may be used.
    enabled: Option<bool>,
}

impl UpdateIngress {
    fn is_empty(&self) -> bool {
        let texts = [
            &self.name,
            &self.room,
            &self.participant_identity,
            &self.participant_name,
        ];
        self.enabled.is_none() && texts.iter().all(|text| text.is_none())
    }
}

/// Change an ingress for RTMP or WHIP. Whatever is changed, a live session of it is cut.
#[utoipa::path(patch, path = "/v1/ingress/{ingress}", tag = "ingress", request_body = UpdateIngress,
    params(("ingress" = String, Path, description = "`IN_…`")), security(("bearer" = ["ingress:write"])),
    responses(
        (status = 200, description = "It", body = IngressView),
        (status = 400, description = "A field is wrong, or it is a url ingress"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such ingress or room, or another caller's"),
    ))]
pub(crate) async fn update(
    State(state): State<Arc<IngressState>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<UpdateIngress>,
) -> Result<Json<IngressView>, Fail> {
    let info = own(&state, &caller, &id).await?;
    if info.input_type() == proto::IngressInput::UrlInput {
        return Err(Fail::invalid(
            "ingress",
            "it fetches a URL, and cannot be changed",
            "delete it and make another one",
        ));
    }
    if wanted.is_empty() {
        // LiveKit would cut a live session all the same.
        return Err(Fail::invalid("body", "there is nothing to change", "set a field"));
    }
    if let Some(room) = &wanted.room {
        caller.owns_room(room)?;
    }
    if let Some(identity) = &wanted.participant_identity {
        check_identity(identity)?;
    }
    bounded("name", wanted.name.as_deref().unwrap_or_default())?;
    bounded(
        "participant_name",
        wanted.participant_name.as_deref().unwrap_or_default(),
    )?;
    let request = proto::UpdateIngressRequest {
        ingress_id: info.ingress_id,
        name: wanted.name.unwrap_or_default(),
        room_name: wanted.room.unwrap_or_default(),
        participant_identity: wanted.participant_identity.unwrap_or_default(),
        participant_name: wanted.participant_name.unwrap_or_default(),
        enabled: wanted.enabled,
        ..proto::UpdateIngressRequest::default()
    };
    let updated = state.livekit.update_ingress(&request).await;
    Ok(Json(updated.map_err(refused)?.into()))
}

/// Remove an ingress and end what it sends.
#[utoipa::path(delete, path = "/v1/ingress/{ingress}", tag = "ingress", params(("ingress" = String, Path, description = "`IN_…`")),
    security(("bearer" = ["ingress:write"])),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such ingress, or another caller's"),
    ))]
pub(crate) async fn delete(
    State(state): State<Arc<IngressState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fail> {
    let info = own(&state, &caller, &id).await?;
    let deleted = state.livekit.delete_ingress(&info.ingress_id).await;
    deleted.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn own(state: &IngressState, caller: &Caller, id: &str) -> Result<proto::IngressInfo, Fail> {
    // An empty id would list them all.
    if id.is_empty()
        || id.len() > 64
        || !id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    {
        return Err(Fail::not_found("no_ingress_id"));
    }
    let request = proto::ListIngressRequest {
        ingress_id: id.to_owned(),
        ..proto::ListIngressRequest::default()
    };
    let found = state.livekit.list_ingress(&request).await?;
    let info = found.into_iter().find(|info| info.ingress_id == id);
    let info = info.ok_or_else(|| Fail::not_found("unknown_ingress"))?;
    caller.owns_room(&info.room_name)?;
    Ok(info)
}

/// Identities of phones, agents and services are theirs.
fn check_identity(identity: &str) -> Result<(), Fail> {
    bounded("participant_identity", identity)?;
    let lower = identity.to_ascii_lowercase();
    let reserved = ["sip_", "sip-", "agent", "eg_"]
        .iter()
        .any(|begin| lower.starts_with(begin));
    if identity.is_empty() || reserved {
        return Err(Fail::invalid(
            "participant_identity",
            "it is empty, or stands for a phone, an agent or a service",
            "choose another one",
        ));
    }
    Ok(())
}

fn bounded(field: &str, text: &str) -> Result<(), Fail> {
    if text.len() > 256 || text.chars().any(char::is_control) {
        return Err(Fail::invalid(
            field,
            "it is longer than 256 bytes, or has control characters",
            "shorten it",
        ));
    }
    Ok(())
}
