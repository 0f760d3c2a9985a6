//! `DELETE /v1/calls/{call}`, and what else ends a call or sends a phone away.

use std::{sync::Arc, time::Duration};

use access::{Caller, Fail, Path};
use axum::extract::State;
use events::{Timestamp, livekit::attribute};
use http::StatusCode;
use platform::livekit::proto;
use tokio::time::{sleep, timeout};

use crate::{
    CallOutcome, Shared,
    legs::{self, Kept, Outbound},
    locate::{self, Located},
};

/// A phone that is being dialled is in the room at once, or within some seconds on a gateway that is busy. What is not out by then is put
/// out by whoever dials it.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// End a call: everybody is sent away. A call that has ended is no error.
///
/// A phone that is being dialled at that moment is put out as soon as it comes.
#[utoipa::path(delete, path = "/v1/calls/{call}", tag = "calls", params(("call" = String, Path, description = "`RM_…`")),
    security(("bearer" = ["calls:write"])),
    responses(
        (status = 204, description = "It has ended"),
        (status = 202, description = "It has ended but for a phone of which LiveKit has not said yet whether it came; it is put out when it does"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call, or another caller's"),
    ))]
pub(crate) async fn hang_up(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fail> {
    let call = locate::call(&shared, &caller, &id).await?;
    end(&shared, &call, Ending::Call).await
}

/// What is to end.
#[derive(Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// The call, with its room.
    Call,
    /// The stay of the participant of this identity.
    Stay(&'a str),
}

impl Ending<'_> {
    fn concerns(self, leg: &Outbound) -> bool {
        match self {
            Self::Call => true,
            Self::Stay(identity) => leg.participant_identity == identity,
        }
    }
}

/// Ends it, and every phone that is being dialled into it.
pub(crate) async fn end(shared: &Shared, call: &Located, ending: Ending<'_>) -> Result<StatusCode, Fail> {
    let livekit = &shared.state.livekit;
    // Before anything ends: whoever dials then knows why.
    mark(shared, call, ending).await?;
    if locate::live_room(livekit, call).await?.is_some() {
        match ending {
            Ending::Call => livekit.delete_room(call.room()).await?,
            Ending::Stay(identity) => livekit.remove_participant(call.room(), identity).await?,
        }
    }
    // Once more: a leg that is kept after this one looks for its room before it is dialled, and finds it gone.
    let legs = mark(shared, call, ending).await?;
    // Cancel-safe: every step may be done again, and a place is given back at most once.
    match timeout(PATIENCE, put_out(shared, call, ending, legs)).await {
        Ok(done) => done.map(|()| StatusCode::NO_CONTENT),
        Err(_) => Ok(StatusCode::ACCEPTED),
    }
}

/// Marks every leg that it concerns and whose answer is not known, for whoever dials it; returns all that it concerns.
async fn mark(shared: &Shared, call: &Located, ending: Ending<'_>) -> Result<Vec<Kept>, Fail> {
    let store = &*shared.state.store;
    let mut legs = legs::all(store, call).await?;
    legs.retain(|kept| ending.concerns(&kept.leg));
    let now = Timestamp::from(shared.state.clock.now());
    for kept in &mut legs {
        kept.change(store, |leg| {
            let is_new = !leg.is_settled() && leg.hung_up_at.is_none();
            leg.hung_up_at = leg.hung_up_at.or(is_new.then_some(now));
            is_new
        })
        .await?;
    }
    Ok(legs)
}

/// Puts every phone out, and gives its place back once LiveKit's answer is known; returns when no phone may come any more.
async fn put_out(
    shared: &Shared,
    call: &Located,
    ending: Ending<'_>,
    mut legs: Vec<Kept>,
) -> Result<(), Fail> {
    let state = &shared.state;
    loop {
        // The legs were read before: whoever has come by then is seen here.
        let there = state.livekit.list_participants(call.room()).await?;
        let mut awaited = Vec::new();
        for mut kept in legs {
            let leg = &kept.leg;
            let is_there = there.iter().any(|who| is_phone(who, leg));
            if is_there {
                let with_room = leg.room_is_ours && matches!(ending, Ending::Call);
                let phone = &leg.participant_identity;
                legs::send_away(&state.livekit, call.room(), phone, with_room).await?;
            }
            if leg.is_settled() {
                shared.caps.ended(&leg.counted).await?;
            } else if leg.is_dialled(Timestamp::from(state.clock.now())) {
                awaited.push(kept);
            } else {
                // Whoever dialled it died, and it can come no more.
                let outcome = (!is_there).then_some(CallOutcome::Cancelled);
                kept.close(&*state.store, None, outcome).await?;
                shared.caps.ended(&kept.leg.counted).await?;
            }
        }
        if awaited.is_empty() {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
        legs = Vec::with_capacity(awaited.len());
        for kept in awaited {
            legs.extend(kept.again(&*state.store).await?);
        }
    }
}

/// Whether this is the leg's phone, and not another one of the same identity, in this call or in a later one whose room has the same name.
fn is_phone(who: &proto::ParticipantInfo, leg: &Outbound) -> bool {
    who.identity == leg.participant_identity
        && match &leg.sip_call_id {
            Some(id) => who.attributes.get(attribute::SIP_CALL) == Some(id),
            None => !leg.is_settled() && !legs::is_anothers(who, &leg.leg),
        }
}
