//! What becomes of a request that was left by who was at it, for whoever sends its idempotency key again.

use access::{
    Caller, Fail,
    idempotency::{Once, replayed, under_way},
};
use axum::response::Response;
use events::{CallId, CallRecord, IndexEntry, RoomName, Timestamp, keys, livekit::attribute};
use platform::livekit::proto;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    CallOutcome, CallStarted, Shared,
    dial::Dial,
    legs::{self, Kept, LEG, Outbound},
    locate::{self, Located},
    start::answered,
};

/// `sip.callStatus` of a phone that was answered.
const ACTIVE: &str = "active";

/// Where a phone is found that may have been dialled.
#[derive(Serialize, Deserialize)]
pub(crate) struct Place {
    call: CallId,
    created_at: Timestamp,
    room: RoomName,
    leg: String,
}

impl Place {
    pub(crate) fn of(call: &Located, dial: &Dial) -> Self {
        Self {
            call: call.id.clone(),
            created_at: call.entry.created_at,
            room: call.entry.room.clone(),
            leg: dial.leg.clone(),
        }
    }
}

/// The phone may have been dialled: says what is known of it, and keeps that as the answer. It is a minute since it was dialled, so it is in
/// its room, or was, or never will be.
pub(crate) async fn find_out(shared: &Shared, place: Value, once: Once) -> Result<Response, Fail> {
    let store = &*shared.state.store;
    let place: Place = serde_json::from_value(place).map_err(|_| under_way())?;
    let key = keys::outbound(place.created_at, &place.call, &place.leg);
    let (created_at, room) = (place.created_at, place.room);
    let call = Located {
        id: place.call,
        entry: IndexEntry { created_at, room },
    };
    let mut kept = Kept::read(store, key).await?.ok_or_else(under_way)?;
    if !kept.leg.is_settled() {
        close(shared, &call, &mut kept).await?;
    }
    let answer = CallStarted::of(&call, kept.leg);
    once.done(store, &answer).await;
    Ok(replayed(answered(&answer)))
}

async fn close(shared: &Shared, call: &Located, kept: &mut Kept) -> Result<(), Fail> {
    let (store, livekit, leg) = (&*shared.state.store, &shared.state.livekit, &kept.leg);
    let who = livekit
        .participant(call.room(), &leg.participant_identity)
        .await?
        .filter(|who| is_leg(who, leg));
    let (sip_call_id, outcome) = match who {
        Some(who) if leg.hung_up_at.is_none() => {
            let of = |name: &str| who.attributes.get(name).cloned();
            let is_active = of(attribute::SIP_CALL_STATUS).is_some_and(|status| status == ACTIVE);
            let outcome = is_active.then_some(CallOutcome::Answered);
            return kept.close(store, of(attribute::SIP_CALL), outcome).await;
        }
        Some(_) => {
            legs::send_away(livekit, call.room(), &leg.participant_identity, leg.room_is_ours).await?;
            (None, CallOutcome::Cancelled)
        }
        None if was_answered(shared, call).await? => (None, CallOutcome::Answered),
        None => (None, CallOutcome::Cancelled),
    };
    kept.close(store, sip_call_id, Some(outcome)).await?;
    Ok(shared.caps.ended(&kept.leg.counted).await?)
}

fn is_leg(who: &proto::ParticipantInfo, leg: &Outbound) -> bool {
    who.attributes.get(LEG).is_some_and(|of| *of == leg.leg)
}

/// Whether the call's record says so, which is written when it is over.
async fn was_answered(shared: &Shared, call: &Located) -> Result<bool, Fail> {
    let key = keys::record(call.entry.created_at, &call.id);
    let object = shared.state.store.get(&key).await?;
    let record = object.and_then(|object| CallRecord::decode(&object.bytes).ok());
    Ok(record.is_some_and(|record| record.answered_at.is_some()))
}

/// The phone was not dialled, and will not be: what the attempt has left is cleared away, so that it stands in nobody's way.
pub(crate) async fn clear(shared: &Shared, caller: &Caller, room: &str, attempt: &str) -> Result<(), Fail> {
    let store = &*shared.state.store;
    if let Some(call) = locate::by_room(shared, room).await? {
        let key = keys::outbound(call.entry.created_at, &call.id, attempt);
        if let Some(mut kept) = Kept::read(store, key).await? {
            kept.close(store, None, Some(CallOutcome::Cancelled)).await?;
            shared.caps.ended(&kept.leg.counted).await?;
        }
    }
    // The room that was drawn for it has nobody else in it.
    if caller.rooms.name(attempt).as_deref() == Some(room) {
        shared.state.livekit.delete_room(room).await?;
    }
    Ok(())
}
