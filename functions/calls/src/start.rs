//! `POST /v1/calls`.

use std::{collections::BTreeMap, sync::Arc};

use access::{
    Body, Caller, Fail,
    idempotency::{self, Asked, HowFar, Turn},
};
use axum::{extract::State, response::Response};
use events::{CallId, Timestamp};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CallOutcome, Shared, dial::Dial, legs::Outbound, locate::Located, place::place, resume};

/// A call to start.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartCall {
    /// Whom to call: a number in E.164, or `sip:user@host` with a listed host.
    #[schema(max_length = 256, example = "+14155552671")]
    pub to: String,
    /// The number to show: one of the trunk's, or of `calls.from`. Default: one of the trunk's. Required when a SIP URI is called, which goes
    /// over no trunk: one of `calls.from`.
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
    /// The name that is shown on the phone called; without `"` and `\`.
    #[schema(max_length = 128, pattern = r#"^[^"\\]*$"#)]
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
    /// What became of it; none while the phone is being dialled, or rings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<CallOutcome>,
    /// The telephone network's answer, when the call came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
}

impl CallStarted {
    pub(crate) fn of(call: &Located, leg: Outbound) -> Self {
        Self {
            call: call.id.clone(),
            room: call.entry.room.as_str().to_owned(),
            participant_identity: leg.participant_identity,
            sip_call_id: leg.sip_call_id,
            outcome: leg.outcome,
            sip_status: leg.sip_status,
        }
    }
}

/// Call a phone.
///
/// Makes the room, then dials, also when the client goes. With `Idempotency-Key`, a repeat is answered with the first answer and dials
/// nothing; where the process died that dialled, a repeat is answered a minute later with what came of it, or dials what surely was not
/// dialled.
#[utoipa::path(
    post, path = "/v1/calls", tag = "calls", request_body = StartCall,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, good for a day")),
    security(("bearer" = ["calls:write"])),
    responses(
        (status = 201, description = "It was dialled; `outcome` says what came of it", body = CallStarted),
        (status = 400, description = "A field is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "Refused by policy: target, trunk, number to show, room or cap"),
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
        attempt: Some(&dial.leg),
    };
    let turn = idempotency::once(&*state.store, &caller, &headers, asked, now).await?;
    let once = match turn {
        Turn::First(once) => once,
        Turn::Left(left) => match left.how_far {
            HowFar::Committed(place) => return resume::find_out(&shared, place, left.once).await,
            HowFar::Begun(attempt) => {
                if let Err(fail) = resume::clear(&shared, &caller, &left.room, &attempt).await {
                    left.once.undone(&*state.store).await;
                    return Err(fail);
                }
                left.once
            }
        },
        Turn::Done(answer) => return Ok(idempotency::replayed(answered(&answer))),
    };
    if let Err(fail) = dial.check_from(&shared).await {
        once.undone(&*state.store).await;
        return Err(fail);
    }
    let counted = match shared.caps.count(&dial.counted_as(&shared, &caller)).await {
        Ok(counted) => counted,
        Err(error) => {
            once.undone(&*state.store).await;
            return Err(error.into());
        }
    };
    // The host lets it run on when the client goes away; where the process dies, a repeat of the key sees to what is left.
    place(&shared, &caller, dial, once, counted).await
}

pub(crate) fn answered(answer: &CallStarted) -> Response {
    idempotency::created(&format!("/v1/calls/{}", answer.call), answer)
}
