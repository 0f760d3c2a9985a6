//! What is shown of a call.

use access::Fail;
use events::{CallRecord, IndexEntry, Party, keys};
use platform::store::Store;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    CallOutcome,
    legs::{self, Outbound},
    locate::Located,
};

/// So many phones of a call are shown.
const MAX_LEGS: usize = 20;

/// A call.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallView {
    /// Its id, `RM_…`.
    pub(crate) call: String,
    /// Its room.
    pub(crate) room: String,
    /// RFC 3339.
    pub(crate) started_at: String,
    /// Whether its record has been written, which is the last thing that happens to a call.
    pub(crate) closed: bool,
    /// How it ended: a word, once it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// Why, where the outcome has a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The remote number or SIP user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<String>,
    /// The number or name that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) called: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// The agent's profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// Whether there is a recording of the agent's.
    pub(crate) recorded: bool,
    /// Phones that were dialled into it over this API; the first 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) outbound: Vec<OutboundView>,
}

/// A phone that was dialled into a call.
#[derive(Serialize, ToSchema)]
pub(crate) struct OutboundView {
    /// The phone in the room.
    pub(crate) participant_identity: String,
    /// RFC 3339.
    pub(crate) dialled_at: String,
    /// LiveKit's id of the SIP call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sip_call_id: Option<String>,
    /// What became of it, when that was known while it was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<CallOutcome>,
    /// The telephone network's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sip_status: Option<u16>,
}

/// Reads what there is of the call.
pub(crate) async fn of(store: &dyn Store, call: &Located) -> Result<CallView, Fail> {
    let IndexEntry { created_at, room } = &call.entry;
    let record = store.get(&keys::record(*created_at, &call.id)).await?;
    let record = record.and_then(|object| CallRecord::decode(&object.bytes).ok());
    let (legs, _) = legs::page(store, call, None, MAX_LEGS).await?;
    let mut view = CallView {
        call: call.id.to_string(),
        room: room.as_str().to_owned(),
        started_at: created_at.to_string(),
        closed: record.is_some(),
        outcome: None,
        reason: None,
        caller: None,
        called: None,
        answered_at: None,
        ended_at: None,
        profile: None,
        recorded: false,
        outbound: legs.into_iter().map(|kept| outbound(kept.leg)).collect(),
    };
    if let Some(record) = record {
        let party = |party: &Option<Party>| party.as_ref().and_then(Party::as_str).map(str::to_owned);
        view.outcome = Some(record.outcome.kind().to_owned());
        view.reason = record.outcome.reason().map(str::to_owned);
        view.caller = party(&record.caller);
        view.called = party(&record.called);
        view.answered_at = record.answered_at.map(|at| at.to_string());
        view.ended_at = Some(record.ended_at.to_string());
        view.profile = record.profile.map(|profile| profile.name.as_str().to_owned());
        view.recorded = record.recording.is_some();
    }
    Ok(view)
}

fn outbound(leg: Outbound) -> OutboundView {
    OutboundView {
        participant_identity: leg.participant_identity,
        dialled_at: leg.dialled_at.to_string(),
        sip_call_id: leg.sip_call_id,
        outcome: leg.outcome,
        sip_status: leg.sip_status,
    }
}
