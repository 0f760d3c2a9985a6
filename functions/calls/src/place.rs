//! Dials a phone, and sees to it that nothing rings on that nobody wants.

use std::time::Duration;

use access::{Caller, Fail, caps::Counted, idempotency::Once};
use axum::response::Response;
use events::{CallId, IndexEntry, Timestamp, keys};
use platform::{
    livekit::{LiveKit, LiveKitError, proto},
    store::Store,
};

use crate::{
    CallOutcome, CallStarted, Shared,
    dial::Dial,
    legs::{self, Kept, Outbound},
    locate::{self, Located},
    resume::Place,
    start::answered,
};

/// Hosts and clouds cut a request off after 30 s; what is dialled must have come out by then.
const DIAL_DEADLINE: Duration = Duration::from_secs(27);
/// How long the room stays when the phone has left.
const DEPARTURE_TIMEOUT_S: u32 = 20;

/// Makes the room and dials into it what was counted.
pub(crate) async fn place(
    shared: &Shared,
    caller: &Caller,
    dial: Dial,
    mut once: Once,
    counted: Counted,
) -> Result<Response, Fail> {
    let store = &*shared.state.store;
    let call = match make_room(shared, &dial).await {
        Ok(made) => made,
        Err(fail) => {
            once.undone(store).await;
            forget(shared, &counted).await;
            return Err(fail);
        }
    };
    let (mut kept, is_there) = match keep(shared, caller, &dial, &call, counted.clone()).await {
        Ok(kept) => kept,
        Err(fail) => {
            once.undone(store).await;
            end(shared, &dial, &counted, false).await;
            return Err(fail);
        }
    };
    if is_there && let Err(fail) = once.commit(store, &Place::of(&call, &dial)).await {
        settle(store, &mut kept, &Ok(Rung::of(CallOutcome::Cancelled))).await;
        end(shared, &dial, &counted, false).await;
        return Err(fail);
    }
    let rung = if is_there {
        ring(shared, &dial).await
    } else {
        Ok(Rung::of(CallOutcome::Cancelled))
    };
    let is_open = rung.as_ref().is_err_and(LiveKitError::leaves_outcome_open);
    if !is_open {
        settle(store, &mut kept, &rung).await;
    }
    let leg = kept.leg;
    if !is_there {
        forget(shared, &counted).await;
    } else if rung.is_err()
        || leg
            .outcome
            .is_some_and(|outcome| outcome != CallOutcome::Answered)
    {
        // Whether it rings or not: without its room, or put out of it, it ends.
        end(shared, &dial, &counted, is_open).await;
    }
    if let Err(error) = rung
        && leg.outcome.is_none()
    {
        if never_sent(&error) {
            once.undone(store).await;
        }
        return Err(not_dialled(error));
    }
    let answer = CallStarted::of(&call, leg);
    once.done(store, &answer).await;
    Ok(answered(&answer))
}

/// Keeps the leg before it is dialled, so that whoever hangs up finds its place in the caps, whatever becomes of this request; and says
/// whether the call's room is still there. Whoever has hung up too early to find the leg has deleted it: a phone would come into another.
async fn keep(
    shared: &Shared,
    caller: &Caller,
    dial: &Dial,
    call: &Located,
    counted: Counted,
) -> Result<(Kept, bool), Fail> {
    let leg = Outbound {
        caller: caller.name.clone(),
        leg: dial.leg.clone(),
        participant_identity: dial.participant.participant_identity.clone(),
        dialled_at: Timestamp::from(shared.state.clock.now()),
        counted,
        room_is_ours: dial.room_is_ours,
        settled: false,
        hung_up_at: None,
        sip_call_id: None,
        outcome: None,
        sip_status: None,
    };
    let key = keys::outbound(call.entry.created_at, &call.id, &dial.leg);
    let kept = Kept::new(&*shared.state.store, key, leg).await?;
    let room = locate::live_room(&shared.state.livekit, call).await?;
    Ok((kept, room.is_some()))
}

/// What LiveKit has answered.
struct Rung {
    sip_call_id: Option<String>,
    outcome: Option<CallOutcome>,
    status: Option<u16>,
}

impl Rung {
    fn of(outcome: CallOutcome) -> Self {
        Self {
            sip_call_id: None,
            outcome: Some(outcome),
            status: None,
        }
    }

    fn tell(&self, leg: &mut Outbound) {
        leg.sip_call_id.clone_from(&self.sip_call_id);
        (leg.outcome, leg.sip_status) = (self.outcome, self.status);
    }
}

/// Dials.
///
/// # Errors
/// What says nothing about the phone.
async fn ring(shared: &Shared, dial: &Dial) -> Result<Rung, LiveKitError> {
    let livekit = shared.state.livekit.within(DIAL_DEADLINE);
    match livekit.create_sip_participant(&dial.participant).await {
        Ok(phone) => Ok(Rung {
            sip_call_id: Some(phone.sip_call_id),
            outcome: dial
                .participant
                .wait_until_answered
                .then_some(CallOutcome::Answered),
            status: None,
        }),
        Err(error) => {
            let (outcome, status) = CallOutcome::of(&error).ok_or(error)?;
            Ok(Rung {
                status,
                ..Rung::of(outcome)
            })
        }
    }
}

/// Notes what LiveKit has answered. What the network said of the phone stays true of one that was hung up meanwhile; all else about it
/// (it came, it stopped ringing, it found no room) is that it was hung up.
async fn settle(store: &dyn Store, kept: &mut Kept, rung: &Result<Rung, LiveKitError>) {
    let settled = kept.change(store, |leg| {
        let is_new = !leg.settled;
        leg.settled = true;
        if let Ok(rung) = rung {
            rung.tell(leg);
        }
        let is_refused = leg.sip_status.is_some() && leg.outcome != Some(CallOutcome::NoAnswer);
        if leg.hung_up_at.is_some() && !is_refused {
            leg.outcome = Some(CallOutcome::Cancelled);
        }
        is_new
    });
    if let Err(fail) = settled.await {
        tracing::warn!(
            reason = fail.reason(),
            "the outcome of an outbound call was not kept; whoever hangs it up waits for it in vain"
        );
        if let Ok(rung) = rung {
            rung.tell(&mut kept.leg);
        }
    }
}

/// LiveKit has dialled nothing, so the same request may be sent again.
fn never_sent(error: &LiveKitError) -> bool {
    !error.leaves_outcome_open()
        && matches!(
            error,
            LiveKitError::NotFound { .. }
                | LiveKitError::Unavailable { .. }
                | LiveKitError::Unreachable { .. }
        )
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

/// Makes the room, and the index by which the call is found from now on, webhook or not.
async fn make_room(shared: &Shared, dial: &Dial) -> Result<Located, Fail> {
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
    let id = CallId::new(&room.sid).map_err(unreadable)?;
    let created_at =
        Timestamp::from_unix_ms(room.creation_time_ms).unwrap_or_else(|| Timestamp::from(state.clock.now()));
    let entry = IndexEntry {
        created_at,
        room: dial.room.clone(),
    };
    let bytes = serde_json::to_vec(&entry).unwrap_or_default();
    state.store.put_if_absent(&keys::index(&id), bytes.into()).await?;
    Ok(Located { id, entry })
}

/// The call came to nothing: a room that was made for it alone goes, the phone leaves any other. Only then its place is free, for what
/// could not be ended may ring on.
async fn end(shared: &Shared, dial: &Dial, counted: &Counted, may_still_come: bool) {
    match put_out(&shared.state.livekit, dial).await {
        Ok(was_there) if was_there || !may_still_come => forget(shared, counted).await,
        Ok(_) => tracing::warn!(
            "a phone of which nobody knows whether it was dialled was not in its room yet; it keeps its place in the caps until its longest duration is over"
        ),
        Err(error) => tracing::warn!(
            %error,
            "a call that came to nothing could not be ended, and keeps its place in the caps until its longest duration is over"
        ),
    }
}

/// Whether the phone was in the room, and is not any more.
async fn put_out(livekit: &LiveKit, dial: &Dial) -> Result<bool, LiveKitError> {
    let (room, phone) = (dial.room.as_str(), &dial.participant.participant_identity);
    let there = livekit.participant(room, phone).await?;
    if there
        .as_ref()
        .is_some_and(|who| legs::is_anothers(who, &dial.leg))
    {
        return Ok(false);
    }
    legs::send_away(livekit, room, phone, dial.room_is_ours).await?;
    Ok(there.is_some())
}

async fn forget(shared: &Shared, counted: &Counted) {
    if let Err(error) = shared.caps.ended(counted).await {
        tracing::warn!(%error, "a place in the caps stays taken until the call's longest duration is over");
    }
}
