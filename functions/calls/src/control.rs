//! What can be done to a call that is under way.

use std::{sync::Arc, time::Duration};

use access::{
    Body, Caller, Fail, Path,
    caps::{Counted, Wanted},
};
use axum::{Json, extract::State};
use events::livekit::{DTMF_TOPIC, attribute};
use http::StatusCode;
use platform::{
    livekit::{Data, LiveKit, LiveKitError, proto},
    targets::Target,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    CallOutcome, Shared,
    dial::{ringing, seconds},
    locate,
};

/// Beyond the longest ringing of a transfer.
const BEYOND_RINGING: Duration = Duration::from_secs(5);
const MAX_DIGITS: usize = 32;

/// Whom to mute.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mute {
    /// Whether it shall be mute.
    muted: bool,
    /// Default: the only phone in the call.
    participant_identity: Option<String>,
}

/// Mute a participant of a call, or let it be heard again.
///
/// LiveKit lets a track be heard again only when the server's `room.enable_remote_unmute` is set.
#[utoipa::path(post, path = "/v1/calls/{call}/mute", tag = "calls", request_body = Mute,
    params(("call" = String, Path, description = "`RM_…`")), security(("bearer" = ["calls:write"])),
    responses(
        (status = 204, description = "Done"),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call or participant, or another caller's"),
        (status = 409, description = "The call has ended, the participant publishes nothing, or LiveKit lets nobody be heard again"),
    ))]
pub(crate) async fn mute(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<Mute>,
) -> Result<StatusCode, Fail> {
    let livekit = &shared.state.livekit;
    let call = locate::call(&shared, &caller, &id).await?;
    let who = locate::participant(livekit, &call, wanted.participant_identity.as_deref()).await?;
    let audio = who
        .tracks
        .iter()
        .filter(|track| track.r#type() == proto::TrackType::Audio);
    let mut any = false;
    for track in audio {
        any = true;
        mute_track(livekit, call.room(), &who.identity, &track.sid, wanted.muted).await?;
    }
    if any {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Fail::conflict(
            "no_audio",
            "the participant publishes no sound",
            "try again when it does",
        ))
    }
}

/// Mutes a track, or lets it be heard again.
pub(crate) async fn mute_track(
    livekit: &LiveKit,
    room: &str,
    identity: &str,
    track: &str,
    muted: bool,
) -> Result<(), Fail> {
    let done = livekit.mute_track(room, identity, track, muted).await;
    done.map_err(|error| match (&error, error.remedy()) {
        (LiveKitError::Refused { .. }, Some(remedy)) => {
            Fail::conflict("unmute_off", "LiveKit lets nobody be heard again", remedy).because(&error)
        }
        _ => error.into(),
    })
}

/// Where to send a phone.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    /// A number in E.164, or `sip:user@host` with a listed host.
    #[schema(max_length = 256, example = "+14155552671")]
    to: String,
    /// Default: the only phone in the call.
    participant_identity: Option<String>,
    /// Whether the phone hears it ring.
    #[serde(default)]
    play_dialtone: bool,
    /// In seconds, at most `calls.ringing_timeout` and 20, which is the default.
    #[schema(minimum = 5, maximum = 20)]
    ringing_timeout_s: Option<u32>,
}

/// What became of a transfer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Transferred {
    /// `answered`: the phone has left the call. Anything else: the call goes on.
    outcome: CallOutcome,
    /// The telephone network's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_status: Option<u16>,
}

/// Send a phone of a call elsewhere, and wait for what comes of it.
#[utoipa::path(post, path = "/v1/calls/{call}/transfer", tag = "calls", request_body = Transfer,
    params(("call" = String, Path, description = "`RM_…`")), security(("bearer" = ["calls:write"])),
    responses(
        (status = 200, description = "What became of it", body = Transferred),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing, or the target is refused by policy"),
        (status = 404, description = "No such call or participant, or another caller's"),
        (status = 409, description = "The call has ended"),
        (status = 503, description = "No gateway holds this call"),
        (status = 504, description = "The outcome is not known"),
    ))]
pub(crate) async fn transfer(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<Transfer>,
) -> Result<Json<Transferred>, Fail> {
    let state = &shared.state;
    let call = locate::call(&shared, &caller, &id).await?;
    let target = shared
        .targets
        .check(&wanted.to, &caller.numbers)
        .map_err(|error| Fail::target(error, "to"))?;
    let ringing = ringing(wanted.ringing_timeout_s, state.config.ringing_timeout, true)?;
    let who = locate::participant(&state.livekit, &call, wanted.participant_identity.as_deref()).await?;
    let counted = count(&shared, &caller, &who, &target, ringing).await?;
    let request = proto::TransferSipParticipantRequest {
        participant_identity: who.identity,
        room_name: call.room().to_owned(),
        transfer_to: target.uri(),
        play_dialtone: wanted.play_dialtone,
        ringing_timeout: Some(seconds(ringing)),
        ..proto::TransferSipParticipantRequest::default()
    };
    let deadline = Duration::from_secs(u64::from(ringing)) + BEYOND_RINGING;
    match state
        .livekit
        .within(deadline)
        .transfer_sip_participant(&request)
        .await
    {
        Ok(()) => Ok(Json(Transferred {
            outcome: CallOutcome::Answered,
            sip_status: None,
        })),
        Err(error) => {
            // An outcome that is not known may be a call: it keeps its place.
            let (outcome, sip_status) = CallOutcome::of(&error).ok_or_else(|| Fail::from(error))?;
            if let Err(error) = shared.caps.undone(&counted).await {
                tracing::warn!(%error, "a transfer that failed takes a place in the caps until its longest duration is over");
            }
            Ok(Json(Transferred { outcome, sip_status }))
        }
    }
}

/// Counts a transfer as the call that it makes: whoever is paid for it sees one. It has no room, so nobody learns when it ends.
async fn count(
    shared: &Shared,
    caller: &Caller,
    phone: &proto::ParticipantInfo,
    target: &Target,
    ringing_s: u32,
) -> Result<Counted, Fail> {
    let config = &shared.state.config;
    let trunk = match target {
        Target::Sip { host, .. } => host.as_str(),
        Target::Number(_) => phone
            .attributes
            .get(attribute::SIP_TRUNK)
            .map_or("", String::as_str),
    };
    let wanted = Wanted {
        caller: &caller.name,
        limits: caller.limits,
        trunk,
        per_trunk: config.per_trunk,
        number: target.as_str(),
        per_number: config.per_number,
        room: &format!("transfer-{:016x}", rand::random::<u64>()),
        longest: config.max_duration + Duration::from_secs(u64::from(ringing_s)),
    };
    Ok(shared.caps.count(&wanted).await?)
}

/// Digits to dial.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dtmf {
    /// 1 to 32 of `0-9 * # A-D`.
    #[schema(pattern = "^[0-9*#A-Da-d]{1,32}$", example = "12#")]
    digits: String,
    /// Default: the only phone in the call.
    participant_identity: Option<String>,
}

/// Dial digits on a phone of a call.
///
/// LiveKit has no API for that: the digits go to the phone's participant as data of the topic `trunkline.dtmf`, one each, which
/// Trunkline's own gateway dials and livekit-sip does not.
#[utoipa::path(post, path = "/v1/calls/{call}/dtmf", tag = "calls", request_body = Dtmf,
    params(("call" = String, Path, description = "`RM_…`")), security(("bearer" = ["calls:write"])),
    responses(
        (status = 204, description = "They were sent to the phone's participant"),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call or participant, or another caller's"),
        (status = 409, description = "The call has ended"),
    ))]
pub(crate) async fn send_dtmf(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(wanted): Body<Dtmf>,
) -> Result<StatusCode, Fail> {
    let livekit = &shared.state.livekit;
    let call = locate::call(&shared, &caller, &id).await?;
    check_digits("digits", &wanted.digits, false)?;
    if wanted.digits.is_empty() {
        return Err(Fail::invalid(
            "digits",
            "there are none",
            "send 1 to 32 of 0-9 * # A-D",
        ));
    }
    let who = locate::participant(livekit, &call, wanted.participant_identity.as_deref()).await?;
    for digit in wanted.digits.to_ascii_uppercase().bytes() {
        let data = Data {
            payload: vec![digit],
            topic: Some(DTMF_TOPIC.to_owned()),
            to: vec![who.identity.clone()],
            reliable: true,
        };
        livekit.send_data(call.room(), data).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `w` pauses half a second, where pauses can be sent.
pub(crate) fn check_digits(field: &str, digits: &str, pauses: bool) -> Result<(), Fail> {
    let known = |b: u8| b.is_ascii_digit() || b"*#ABCDabcd".contains(&b) || (pauses && b == b'w');
    if digits.len() <= MAX_DIGITS && digits.bytes().all(known) {
        Ok(())
    } else {
        Err(Fail::invalid(
            field,
            "there are too many, or one is no digit",
            "send at most 32 of 0-9 * # A-D",
        ))
    }
}
