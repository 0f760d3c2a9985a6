//! From a call's id to its room, for its owner.

use access::{Caller, Fail};
use events::{CallId, IndexEntry, keys};
use platform::livekit::{LiveKit, LiveKitError, proto};

use crate::Shared;

/// A call that the caller may see.
pub(crate) struct Located {
    pub(crate) id: CallId,
    pub(crate) entry: IndexEntry,
}

impl Located {
    pub(crate) fn room(&self) -> &str {
        self.entry.room.as_str()
    }
}

/// Finds the call; what is another caller's, and what is no id at all, is not found.
pub(crate) async fn call(shared: &Shared, caller: &Caller, id: &str) -> Result<Located, Fail> {
    let id = CallId::new(id).map_err(|_| Fail::not_found("no_call_id"))?;
    let object = shared.state.store.get(&keys::index(&id)).await?;
    let object = object.ok_or_else(|| Fail::not_found("unknown_call"))?;
    let entry: IndexEntry =
        serde_json::from_slice(&object.bytes).map_err(|_| Fail::not_found("unreadable_index"))?;
    caller.owns_room(entry.room.as_str())?;
    Ok(Located { id, entry })
}

/// The call that the room of this name is now; `None` when there is no such room, or nothing is kept of its call.
pub(crate) async fn by_room(shared: &Shared, name: &str) -> Result<Option<Located>, Fail> {
    let rooms = shared.state.livekit.list_rooms(&[name]).await?;
    let Some(id) = rooms.first().and_then(|room| CallId::new(&room.sid).ok()) else {
        return Ok(None);
    };
    let object = shared.state.store.get(&keys::index(&id)).await?;
    let entry = object.and_then(|object| serde_json::from_slice::<IndexEntry>(&object.bytes).ok());
    Ok(entry.map(|entry| Located { id, entry }))
}

/// The call's room as it is now; `None` when the call has ended, even if another call has a room of the same name.
pub(crate) async fn live_room(
    livekit: &LiveKit,
    call: &Located,
) -> Result<Option<proto::Room>, LiveKitError> {
    let rooms = livekit.list_rooms(&[call.room()]).await?;
    Ok(rooms.into_iter().find(|room| room.sid == call.id.as_str()))
}

/// The participant that is meant: the one that is named, else the only phone.
pub(crate) async fn participant(
    livekit: &LiveKit,
    call: &Located,
    identity: Option<&str>,
) -> Result<proto::ParticipantInfo, Fail> {
    if live_room(livekit, call).await?.is_none() {
        return Err(Fail::conflict(
            "call_ended",
            "the call has ended",
            "look at its outcome by GET /v1/calls/{call}",
        ));
    }
    let participants = livekit.list_participants(call.room()).await?;
    if let Some(identity) = identity {
        let found = participants.into_iter().find(|who| who.identity == identity);
        return found.ok_or_else(|| Fail::not_found("unknown_participant"));
    }
    let is_phone = |who: &proto::ParticipantInfo| who.kind() == proto::participant_info::Kind::Sip;
    let mut phones = participants.into_iter().filter(is_phone);
    match (phones.next(), phones.next()) {
        (Some(phone), None) => Ok(phone),
        (None, _) => Err(Fail::conflict(
            "no_phone",
            "there is no phone in this call",
            "name a participant_identity",
        )),
        (Some(_), Some(_)) => Err(Fail::invalid(
            "participant_identity",
            "there are several phones in this call",
            "name one of them",
        )),
    }
}
