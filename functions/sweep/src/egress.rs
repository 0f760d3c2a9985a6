//! Egresses: those whose end nobody was told of, and those whose missing files want a stand-in.
//!
//! An egress that is not done with has a marker, `open/egress/<EgressId>`. It is compared with LiveKit's own list, and with who is in the
//! room: a process that is killed with its service stays active in the list for ever, but its participant goes.

use std::{collections::BTreeSet, time::Duration};

use events::{
    EgressId, EgressRecord, IndexEntry, OpenEgress, Timestamp, keys,
    livekit::{Egress, EgressStatus, Event, WebhookEvent},
};
use futures_util::FutureExt as _;

use crate::{
    Done, Finding, MAX_SUSPECTS, Report, State, SweepError, Wrong, marked, some_at_a_time, told, turned,
};

/// How long an egress that starts or records may be missing from its room: it joins within 3 s, a browser takes some more, and one that
/// has reached a limit leaves before it stores its file.
const MAY_BE_MISSING: Duration = Duration::from_mins(2);
/// How long one that ends may: it has left the room, and stores what may be a long file.
const MAY_STORE: Duration = Duration::from_mins(15);

/// One look at an egress that has a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressLook {
    /// The egress.
    pub egress: EgressId,
    /// Its marker.
    pub open: OpenEgress,
    /// Its record.
    pub record: Option<EgressRecord>,
    /// Whether anything will still be written about its call. Looked at only where the record waits for that.
    pub call_is_open: bool,
    /// What LiveKit says of it, if it has no record; `None` when that knows it no more.
    pub listed: Option<Egress>,
    /// Whether its participant is in the room. Looked at only while LiveKit says that it goes on.
    pub is_in_room: bool,
}

/// What is wrong with an egress that looks like this at the moment `now`. Pure.
pub fn plan_egress(look: &EgressLook, now: Timestamp) -> Option<Wrong> {
    if let Some(record) = &look.record {
        return match (record.wants_stand_in(), look.call_is_open) {
            (false, _) => Some(Wrong::EgressMarkerLeft),
            (true, true) => None,
            (true, false) => Some(Wrong::EgressUnfilled),
        };
    }
    match &look.listed {
        None => Some(Wrong::EgressDead),
        Some(listed) => {
            let patience = match &listed.status {
                EgressStatus::Starting | EgressStatus::Active => MAY_BE_MISSING,
                EgressStatus::Ending => MAY_STORE,
                _ => return Some(Wrong::EgressWebhookLost),
            };
            match look.open.missed_at {
                _ if look.is_in_room => None,
                None => Some(Wrong::EgressMissing),
                Some(missed_at) => (missed_at.plus(patience) <= now).then_some(Wrong::EgressDead),
            }
        }
    }
}

/// Looks at the egresses that have a marker; those with which something is wrong.
pub(crate) async fn suspects(state: &State, report: &mut Report) -> Result<Vec<EgressLook>, SweepError> {
    let marked = marked(state.store(), keys::OPEN_EGRESS, keys::open_egress_id).await?;
    mark_unheard(state, &marked, report).await?;
    let marked = turned(marked.iter(), MAX_SUSPECTS, state.now());
    let looks = marked.iter().map(|egress| look(state, egress).boxed());
    let soon = state.now().plus(state.patience);
    let mut suspects = Vec::new();
    for look in some_at_a_time(looks.collect()).await {
        match look {
            Ok(Some(look)) if plan_egress(&look, soon).is_some() => suspects.push(look),
            Ok(_) => {}
            Err(error) => report.failed(None, &error),
        }
    }
    Ok(suspects)
}

/// Marks the egresses that go on and have neither marker nor record. No second look is wanted: a webhook that is on its way does the same.
async fn mark_unheard(
    state: &State,
    marked: &BTreeSet<EgressId>,
    report: &mut Report,
) -> Result<(), SweepError> {
    let active = state.livekit.active_egresses().await;
    let active = active.map_err(SweepError::LiveKit)?.into_iter();
    for egress in active
        .filter(|egress| !marked.contains(&egress.id))
        .take(MAX_SUSPECTS)
    {
        let Egress {
            id,
            call: Some(call),
            room: Some(room),
            files,
            ..
        } = egress
        else {
            continue;
        };
        let index = state.store().get(&keys::index(&call)).await?;
        let entry = index.and_then(|object| serde_json::from_slice::<IndexEntry>(&object.bytes).ok());
        // Its call is not known yet: the next run finds both.
        let Some(entry) = entry else { continue };
        let open = OpenEgress {
            call: call.clone(),
            room,
            created_at: entry.created_at,
            since: state.now(),
            missed_at: None,
            files,
        };
        if webhook::watch_egress(state.store(), &id, &open).await? {
            report
                .findings
                .push(Finding::new(&call, Wrong::EgressUnheard, Done::Marked));
        }
    }
    Ok(())
}

/// Looks again at each of `suspects`, and repairs what is still wrong in the same way.
pub(crate) async fn repair(state: &State, suspects: &[EgressLook], report: &mut Report) {
    let repairs = suspects.iter().map(|before| {
        async move {
            let Some(after) = look(state, &before.egress).await? else {
                return Ok(None);
            };
            let now = state.now();
            match plan_egress(&after, now) {
                Some(wrong) if Some(wrong) == plan_egress(before, now) => act(state, &after, wrong).await,
                _ => Ok(None),
            }
        }
        .boxed()
    });
    let repaired = some_at_a_time(repairs.collect()).await;
    for (before, repaired) in suspects.iter().zip(repaired) {
        match repaired {
            Ok(finding) => report.findings.extend(finding),
            Err(error) => report.failed(Some(&before.open.call), &error),
        }
    }
}

async fn look(state: &State, egress: &EgressId) -> Result<Option<EgressLook>, SweepError> {
    let store = state.store();
    let Some(marker) = store.get(&keys::open_egress(egress)).await? else {
        return Ok(None);
    };
    let open = OpenEgress::decode(&marker.bytes).ok_or(SweepError::EgressMarker)?;
    let record = store
        .get(&keys::egress(open.created_at, &open.call, egress))
        .await?
        .and_then(|object| EgressRecord::decode(&object.bytes).ok());
    let mut look = EgressLook {
        egress: egress.clone(),
        call_is_open: false,
        record,
        listed: None,
        is_in_room: false,
        open,
    };
    match &look.record {
        Some(record) if record.wants_stand_in() => {
            look.call_is_open = call_is_open(state, &look.open).await?;
        }
        Some(_) => {}
        None => {
            look.listed = state.livekit.egress(egress).await.map_err(SweepError::LiveKit)?;
            let participants = state.livekit.participants(&look.open.room).await;
            let participants = participants.map_err(SweepError::LiveKit)?;
            look.is_in_room = participants
                .iter()
                .any(|participant| participant.identity.as_str() == egress.as_str());
        }
    }
    Ok(Some(look))
}

/// The marker goes behind the record. A call that nobody has heard of gets its marker while its room lives.
async fn call_is_open(state: &State, open: &OpenEgress) -> Result<bool, SweepError> {
    if state
        .store()
        .get(&keys::record(open.created_at, &open.call))
        .await?
        .is_some()
    {
        return Ok(false);
    }
    if state.store().get(&keys::open(&open.call)).await?.is_some() {
        return Ok(true);
    }
    let rooms = state.livekit.list().await.map_err(SweepError::LiveKit)?;
    Ok(rooms.iter().any(|room| room.call == open.call))
}

async fn act(state: &State, look: &EgressLook, wrong: Wrong) -> Result<Option<Finding>, SweepError> {
    let (store, created_at) = (state.store(), look.open.created_at);
    let marker = keys::open_egress(&look.egress);
    let done = match wrong {
        Wrong::EgressMarkerLeft => store.delete(&marker).await?.then_some(Done::Unmarked),
        Wrong::EgressWebhookLost => {
            let Some(ended) = ended(look, state.now()) else {
                return Ok(None);
            };
            webhook::deliver(ended, &state.webhook).await?;
            kept(state, look)
                .await?
                .map(|record| Done::EgressClosed(record.end))
        }
        Wrong::EgressMissing => miss(state, look).await?.then_some(Done::Marked),
        Wrong::EgressDead => {
            let record = EgressRecord::lost(look.egress.clone(), &look.open, state.now());
            let record = webhook::close_egress(store, created_at, record).await?;
            webhook::tell_of_egress(&record);
            Some(Done::EgressClosed(record.end))
        }
        Wrong::EgressUnfilled => {
            let Some(record) = look.record.clone() else {
                return Ok(None);
            };
            let record = webhook::close_egress(store, created_at, record).await?;
            // Where the call has no record, and will have none, nothing stands in.
            store.delete(&marker).await?;
            Some(if record.stand_in.is_some() {
                Done::Filled
            } else {
                Done::Unmarked
            })
        }
        _ => None,
    };
    Ok(done.map(|done| Finding::new(&look.open.call, wrong, done)))
}

/// Notes in the marker that it is missing; false when somebody has changed the marker or removed it.
async fn miss(state: &State, look: &EgressLook) -> Result<bool, SweepError> {
    let key = keys::open_egress(&look.egress);
    let Some(object) = state.store().get(&key).await? else {
        return Ok(false);
    };
    let open = OpenEgress {
        missed_at: Some(state.now()),
        ..look.open.clone()
    };
    let bytes = open.encode().into();
    let put = state.store().put_if_match(&key, &object.etag, bytes).await?;
    Ok(put.is_some())
}

/// The webhook that was lost, as LiveKit's own list has it.
fn ended(look: &EgressLook, now: Timestamp) -> Option<WebhookEvent> {
    let mut egress = look.listed.clone()?;
    egress.call = Some(look.open.call.clone());
    egress.room = Some(look.open.room.clone());
    Some(WebhookEvent {
        id: told::id(egress.id.as_str())?,
        created_at: egress.updated_at.unwrap_or(now),
        event: Event::EgressEnded { egress },
    })
}

async fn kept(state: &State, look: &EgressLook) -> Result<Option<EgressRecord>, SweepError> {
    let key = keys::egress(look.open.created_at, &look.open.call, &look.egress);
    let object = state.store().get(&key).await?;
    Ok(object.and_then(|object| EgressRecord::decode(&object.bytes).ok()))
}
