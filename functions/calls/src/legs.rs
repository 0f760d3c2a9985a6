//! What is kept of the phones that were dialled into a call.
//!
//! Two write a leg: who dialled it tells what LiveKit has answered, and who hangs up leaves a mark. Both write conditionally, so whichever
//! comes second sees what the first has written, and does the rest: a phone that was hung up is put out by whoever learns that it came.
//! Until LiveKit's answer is written nobody knows whether the phone is still to come, and its place in the caps stays taken. Where whoever
//! dialled it died, the answer never comes: a repeat of the request says what is known, or who hangs up when the phone can come no more.

use std::time::Duration;

use access::{Fail, caps::Counted};
use axum::body::Bytes;
use events::{Timestamp, keys};
use platform::{
    livekit::{LiveKit, LiveKitError, proto},
    store::{ETag, Page, Store, StoreError},
};
use serde::{Deserialize, Serialize};

use crate::{CallOutcome, locate::Located};

/// Whoever dials gives LiveKit less than half a minute, and the gateway is in the room some seconds later or never.
const ANSWERED_WITHIN: Duration = Duration::from_mins(2);
/// Two write a leg, each once.
const ATTEMPTS: usize = 8;
const PAGE: usize = 100;

/// The participant's attribute that says which leg it is: before LiveKit has answered, nothing else tells two phones of one identity apart.
pub(crate) const LEG: &str = "trunkline.leg";

/// What is kept of a phone that was dialled into a call.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Outbound {
    pub(crate) caller: String,
    /// What the phone carries as the attribute [`LEG`]; empty for one that was dialled by a version which had no such.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) leg: String,
    pub(crate) participant_identity: String,
    pub(crate) dialled_at: Timestamp,
    pub(crate) counted: Counted,
    /// The room was made for this phone alone.
    #[serde(default)]
    pub(crate) room_is_ours: bool,
    /// LiveKit has answered: the phone has come into its room, or will never come.
    #[serde(default)]
    pub(crate) settled: bool,
    /// Somebody has hung up before LiveKit had answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hung_up_at: Option<Timestamp>,
    pub(crate) sip_call_id: Option<String>,
    pub(crate) outcome: Option<CallOutcome>,
    pub(crate) sip_status: Option<u16>,
}

impl Outbound {
    /// LiveKit's answer is known; also that of a leg which was kept before there was a word for it.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled || self.sip_call_id.is_some() || self.outcome.is_some()
    }

    /// The answer may still come.
    pub(crate) fn is_dialled(&self, now: Timestamp) -> bool {
        !self.is_settled() && now < self.dialled_at.plus(ANSWERED_WITHIN)
    }
}

/// A leg as it was read or written last.
pub(crate) struct Kept {
    key: String,
    etag: ETag,
    pub(crate) leg: Outbound,
}

impl Kept {
    /// Keeps a leg that is new.
    pub(crate) async fn new(store: &dyn Store, key: String, leg: Outbound) -> Result<Self, StoreError> {
        let etag = store.put(&key, encoded(&leg)).await?;
        Ok(Self { key, etag, leg })
    }

    /// Reads it again; `None` when it is gone, or is no leg.
    pub(crate) async fn read(store: &dyn Store, key: String) -> Result<Option<Self>, StoreError> {
        let Some(object) = store.get(&key).await? else {
            return Ok(None);
        };
        let leg = serde_json::from_slice(&object.bytes).ok();
        Ok(leg.map(|leg| Self {
            key,
            etag: object.etag,
            leg,
        }))
    }

    pub(crate) async fn again(self, store: &dyn Store) -> Result<Option<Self>, StoreError> {
        Self::read(store, self.key).await
    }

    /// Says what is known of a phone whose dialler is at it no more; what that one has said itself stays.
    pub(crate) async fn close(
        &mut self,
        store: &dyn Store,
        sip_call_id: Option<String>,
        outcome: Option<CallOutcome>,
    ) -> Result<(), Fail> {
        self.change(store, |leg| {
            let is_new = !leg.is_settled();
            if is_new {
                leg.settled = true;
                leg.sip_call_id.clone_from(&sip_call_id);
                leg.outcome = outcome;
            }
            is_new
        })
        .await
    }

    /// Changes what is kept, whoever has changed it meanwhile; `change` says whether there is anything to write.
    pub(crate) async fn change(
        &mut self,
        store: &dyn Store,
        change: impl Fn(&mut Outbound) -> bool,
    ) -> Result<(), Fail> {
        for _ in 0..ATTEMPTS {
            let mut leg = self.leg.clone();
            if !change(&mut leg) {
                return Ok(());
            }
            if let Some(etag) = store.put_if_match(&self.key, &self.etag, encoded(&leg)).await? {
                (self.etag, self.leg) = (etag, leg);
                return Ok(());
            }
            let Some(found) = Self::read(store, self.key.clone()).await? else {
                break;
            };
            *self = found;
        }
        Err(Fail::unavailable(
            "leg_contended",
            "what is kept of a phone changes all the time",
            "send it again",
        )
        .retry_after(1))
    }
}

/// Whether the participant is surely another leg than `leg`, of the same identity.
pub(crate) fn is_anothers(who: &proto::ParticipantInfo, leg: &str) -> bool {
    who.attributes
        .get(LEG)
        .is_some_and(|of| !leg.is_empty() && of != leg)
}

/// Sends a phone away: with its room, where that was made for it alone.
pub(crate) async fn send_away(
    livekit: &LiveKit,
    room: &str,
    phone: &str,
    room_is_ours: bool,
) -> Result<(), LiveKitError> {
    if room_is_ours {
        livekit.delete_room(room).await
    } else {
        livekit.remove_participant(room, phone).await
    }
}

/// The phones that were dialled into the call, in pages: those behind `after`, and where the next ones begin.
pub(crate) async fn page(
    store: &dyn Store,
    call: &Located,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<Kept>, Option<String>), StoreError> {
    let prefix = format!("{}outbound/", keys::call(call.entry.created_at, &call.id));
    let listing = store.list(&prefix, Page { after, limit }).await?;
    let mut legs = Vec::with_capacity(listing.entries.len());
    for entry in listing.entries {
        legs.extend(Kept::read(store, entry.key).await?);
    }
    Ok((legs, listing.next))
}

/// All phones that were dialled into the call. The caps bound how many there can be.
pub(crate) async fn all(store: &dyn Store, call: &Located) -> Result<Vec<Kept>, StoreError> {
    let (mut legs, mut next) = page(store, call, None, PAGE).await?;
    while next.is_some() {
        let (more, behind) = page(store, call, next, PAGE).await?;
        legs.extend(more);
        next = behind;
    }
    Ok(legs)
}

fn encoded(leg: &Outbound) -> Bytes {
    serde_json::to_vec(leg).unwrap_or_default().into()
}
