//! `POST /v1/calls`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use access::{
    Body, Caller, Fail,
    caps::Counted,
    idempotency::{self, Asked, Once, Turn},
};
use axum::{extract::State, response::Response};
use events::{CallId, IndexEntry, Timestamp, keys};
use http::HeaderMap;
use platform::livekit::{LiveKit, LiveKitError, proto};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CallOutcome, Shared, dial::Dial, view::Outbound};

/// Hosts and clouds cut a request off after 30 s; what is dialled must have come out by then.
const DIAL_DEADLINE: Duration = Duration::from_secs(27);
/// How long the room stays when the phone has left.
const DEPARTURE_TIMEOUT_S: u32 = 20;

/// A call to start.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartCall {
    /// Whom to call: a number in E.164, or `sip:user@host` with a listed host.
    #[schema(max_length = 256, example = "+14155552671")]
    pub to: String,
    /// The number to show; one of the trunk's. Default: one of those. Required when a SIP URI is called, which goes over no trunk.
    #[schema(pattern = "^[A-Za-z0-9+._-]{0,64}$")]
    pub from: Option<String>,
    /// LiveKit's id of the outbound trunk, one of `calls.trunks`. Default: the only one there.
    pub trunk: Option<String>,
    /// The room, one of the caller's. Default: a new one.
    #[schema(max_length = 256)]
    pub room: Option<String>,
    /// The room's metadata, at most 16 KiB.
    #[schema(max_length = 16_384)]
    pub metadata: Option<String>,
    /// The phone's identity in the room. Default: drawn.
    #[schema(max_length = 256)]
    pub participant_identity: Option<String>,
    /// The name that the phone shows to others in the room.
    #[schema(max_length = 256)]
    pub participant_name: Option<String>,
    /// The name that is shown on the phone called.
    #[schema(max_length = 128)]
    pub display_name: Option<String>,
    /// SIP headers, `X-…` only, at most 16.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Digits that are sent after the answer; `w` is a pause of half a second.
    #[schema(pattern = "^[0-9*#A-Da-dw]{0,32}$")]
    pub dtmf: Option<String>,
    /// Whether those in the room hear it ring.
    #[serde(default)]
    pub play_dialtone: bool,
    /// Whether to answer this request only when the phone was answered, or was not.
    #[serde(default)]
    pub wait_until_answered: bool,
    /// In seconds, at most `calls.ringing_timeout`, which is the default; with `wait_until_answered` at most 20.
    #[schema(minimum = 5, maximum = 80)]
    pub ringing_timeout_s: Option<u32>,
    /// In seconds, at most `calls.max_duration`, which is the default.
    #[schema(minimum = 10, maximum = 86_400)]
    pub max_duration_s: Option<u32>,
}

/// A call that was started.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallStarted {
    /// The call's id, `RM_…`.
    #[schema(value_type = String)]
    pub call: CallId,
    /// Its room.
    pub room: String,
    /// The phone in the room.
    pub participant_identity: String,
    /// LiveKit's id of the SIP call; none when it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_call_id: Option<String>,
    /// What became of it; none while the phone is being dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<CallOutcome>,
    /// The telephone network's answer, when the call came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
}

/// Call a phone.
///
/// Makes the room, then dials. With `Idempotency-Key`, a repeat is answered with the first answer and dials nothing.
#[utoipa::path(
    post, path = "/v1/calls", tag = "calls", request_body = StartCall,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, good for a day")),
    security(("bearer" = ["calls:write"])),
    responses(
        (status = 201, description = "It was dialled; `outcome` says what came of it", body = CallStarted),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "Refused by policy: target, trunk, room or cap"),
        (status = 409, description = "The first request with this key is under way"),
        (status = 503, description = "No gateway takes part, or LiveKit does not know the trunk"),
        (status = 504, description = "The outcome is not known; the call was ended"),
    )
)]
pub(crate) async fn start(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<StartCall>,
) -> Result<Response, Fail> {
    let state = &shared.state;
    let dial = Dial::new(&shared, &caller, wanted)?;
    let now = Timestamp::from(state.clock.now());
    let asked = Asked {
        what: "calls",
        body: &dial.request,
        room: dial.room.as_str(),
    };
    let turn = idempotency::once(&*state.store, &caller, &headers, asked, now).await?;
    let once = match turn {
        Turn::First(once) => once,
        Turn::Done(answer) => return Ok(idempotency::replayed(answered(&answer))),
    };
    let counted = match shared.caps.count(&dial.counted_as(&shared, &caller)).await {
        Ok(counted) => counted,
        Err(error) => {
            once.undone(&*state.store).await;
            return Err(error.into());
        }
    };
    // Owned by this request, as the whole of it is: when the client goes away, the ledger's line ends with its longest duration.
    place(&shared, &caller, dial, once, counted).await
}

fn answered(answer: &CallStarted) -> Response {
    idempotency::created(&format!("/v1/calls/{}", answer.call), answer)
}

async fn place(
    shared: &Shared,
    caller: &Caller,
    dial: Dial,
    once: Once,
    counted: Counted,
) -> Result<Response, Fail> {
    let store = &*shared.state.store;
    let (room, call, created_at) = match make_room(shared, &dial).await {
        Ok(made) => made,
        Err(fail) => {
            once.undone(store).await;
            forget(shared, &counted).await;
            return Err(fail);
        }
    };
    let mut leg = Outbound {
        caller: caller.name.clone(),
        participant_identity: dial.participant.participant_identity.clone(),
        dialled_at: Timestamp::from(shared.state.clock.now()),
        counted,
        sip_call_id: None,
        outcome: None,
        sip_status: None,
    };
    let key = keys::outbound(created_at, &call, &dial.leg);
    // Before it is dialled: whoever hangs up must find its place in the caps, whatever becomes of this request.
    if let Err(error) = store.put(&key, encoded(&leg)).await {
        once.undone(store).await;
        end(shared, &dial, &leg.counted, false).await;
        return Err(error.into());
    }
    if let Err(error) = ring(shared, &dial, &mut leg).await {
        // Whether it rings or not: without its room, or put out of it, it ends.
        let is_open = error.leaves_outcome_open();
        end(shared, &dial, &leg.counted, is_open).await;
        if !is_open
            && matches!(
                error,
                LiveKitError::NotFound { .. }
                    | LiveKitError::Unavailable { .. }
                    | LiveKitError::Unreachable { .. }
            )
        {
            once.undone(store).await;
        }
        return Err(not_dialled(error));
    }
    let answer = CallStarted {
        call,
        room,
        participant_identity: leg.participant_identity.clone(),
        sip_call_id: leg.sip_call_id.clone(),
        outcome: leg.outcome,
        sip_status: leg.sip_status,
    };
    if leg
        .outcome
        .is_some_and(|outcome| outcome != CallOutcome::Answered)
    {
        end(shared, &dial, &leg.counted, false).await;
    }
    if let Err(error) = store.put(&key, encoded(&leg)).await {
        tracing::warn!(call_id = %answer.call, %error, "the outcome of an outbound call was not kept");
    }
    once.done(store, &answer).await;
    Ok(answered(&answer))
}

/// Dials, and notes what came of it.
///
/// # Errors
/// What says nothing about the phone.
async fn ring(shared: &Shared, dial: &Dial, leg: &mut Outbound) -> Result<(), LiveKitError> {
    let waits = dial.participant.wait_until_answered;
    let livekit = shared.state.livekit.within(DIAL_DEADLINE);
    match livekit.create_sip_participant(&dial.participant).await {
        Ok(phone) => {
            leg.sip_call_id = Some(phone.sip_call_id);
            leg.outcome = waits.then_some(CallOutcome::Answered);
        }
        Err(error) => {
            let Some((outcome, status)) = CallOutcome::of(&error) else {
                return Err(error);
            };
            leg.outcome = Some(outcome);
            leg.sip_status = status;
        }
    }
    Ok(())
}

/// The caller names no trunk that is not listed: what LiveKit does not find is the operator's matter.
fn not_dialled(error: LiveKitError) -> Fail {
    match error {
        LiveKitError::NotFound { .. } => Fail::unavailable(
            "trunk_unknown_to_livekit",
            "LiveKit does not know the trunk",
            "compare calls.trunks with LiveKit's outbound trunks",
        )
        .because(&error),
        error => error.into(),
    }
}

fn encoded(leg: &Outbound) -> axum::body::Bytes {
    serde_json::to_vec(leg).unwrap_or_default().into()
}

/// Makes the room, and the index by which the call is found from now on, webhook or not.
async fn make_room(shared: &Shared, dial: &Dial) -> Result<(String, CallId, Timestamp), Fail> {
    let state = &shared.state;
    let request = proto::CreateRoomRequest {
        name: dial.room.as_str().to_owned(),
        empty_timeout: dial.ringing_s + 30,
        departure_timeout: DEPARTURE_TIMEOUT_S,
        metadata: dial.metadata.clone(),
        ..proto::CreateRoomRequest::default()
    };
    let room = state.livekit.create_room(request).await?;
    let unreadable = |_| {
        Fail::unavailable(
            "livekit_disagrees",
            "LiveKit's room has no id that is known here",
            "compare the versions",
        )
    };
    let call = CallId::new(&room.sid).map_err(unreadable)?;
    let created_at =
        Timestamp::from_unix_ms(room.creation_time_ms).unwrap_or_else(|| Timestamp::from(state.clock.now()));
    let entry = IndexEntry {
        created_at,
        room: dial.room.clone(),
    };
    let bytes = serde_json::to_vec(&entry).unwrap_or_default();
    state
        .store
        .put_if_absent(&keys::index(&call), bytes.into())
        .await?;
    Ok((room.name, call, created_at))
}

/// The call came to nothing: a room that was made for it alone goes, the phone leaves any other. Only then its place is free, for what
/// could not be ended may ring on.
async fn end(shared: &Shared, dial: &Dial, counted: &Counted, may_still_come: bool) {
    let (livekit, room) = (&shared.state.livekit, dial.room.as_str());
    let ended = if dial.room_is_ours {
        livekit.delete_room(room).await.map(|()| true)
    } else {
        put_out(livekit, room, &dial.participant.participant_identity).await
    };
    match ended {
        Ok(true) => forget(shared, counted).await,
        Ok(false) if !may_still_come => forget(shared, counted).await,
        Ok(false) => tracing::warn!(
            "a phone of which nobody knows whether it was dialled was not in its room yet; it keeps its place in the caps until its longest duration is over"
        ),
        Err(error) => tracing::warn!(
            %error,
            "a call that came to nothing could not be ended, and keeps its place in the caps until its longest duration is over"
        ),
    }
}

/// Whether the phone was in the room, and is not any more.
async fn put_out(livekit: &LiveKit, room: &str, phone: &str) -> Result<bool, LiveKitError> {
    let is_there = livekit.participant(room, phone).await?.is_some();
    livekit.remove_participant(room, phone).await?;
    Ok(is_there)
}

async fn forget(shared: &Shared, counted: &Counted) {
    if let Err(error) = shared.caps.ended(counted).await {
        tracing::warn!(%error, "a place in the caps stays taken until the call's longest duration is over");
    }
}
