//! What is wrong with a call, and what is done about it. Pure: the same looks always give the same repair.

use std::time::Duration;

use events::{
    Standing, Timestamp,
    livekit::{ParticipantKind, Room, WebhookEvent},
};
use webhook::Policy;

use crate::{Look, look::since, told};

/// How long a call may be without anybody who serves it before that is an alert: workers have had their attempts then, two seconds apart.
const ALERT_AFTER: Duration = Duration::from_secs(30);
/// How long a job may be without anybody who claims its call before it is enqueued again: the queue has put it aside then, unless all
/// slots are busy, and one job too many finds the call held.
pub(crate) const ENQUEUE_AFTER: Duration = Duration::from_mins(2);
/// How many may have held a call that is enqueued again: a call that ends every worker which takes it is let go in the end.
const MOST_HOLDERS: u64 = 9;
/// How old a room must be that nobody serves and that needs no repair, before LiveKit is asked whether it lives at all.
const OLD: Duration = Duration::from_mins(10);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The call is closed, and its marker is still there: somebody died between the two.
    MarkerLeft,
    /// The call has no marker: it is older than markers are.
    MarkerMissing,
    /// The call lives, and nobody has heard of its room or of its caller.
    WebhookLost,
    /// The room is gone, nobody ever claimed the call, and it has no record: `room_finished` was lost.
    Unclosed,
    /// The room is gone, and whoever served the call is, too.
    Orphaned,
    /// The room is there, and whoever served the call is gone. Its job brings no other worker.
    Stranded,
    /// The room is there, and no worker claims the call.
    Waiting,
    /// The room is there, old, and nobody's: perhaps only in LiveKit's list.
    Old,
    /// The egress goes on, and nobody has heard of it.
    EgressUnheard,
    /// The egress is over and lacks nothing, and its marker is still there.
    EgressMarkerLeft,
    /// LiveKit says that the egress has ended, and it has no record: `egress_ended` was lost.
    EgressWebhookLost,
    /// LiveKit says that the egress goes on, but it is not in the room: it may be storing its file, or its process is gone.
    EgressMissing,
    /// It has been missing for too long, or LiveKit has forgotten it. Its process is gone.
    EgressDead,
    /// A file is missing, the call is closed, and nothing stands in for the file yet.
    EgressUnfilled,
}

impl Wrong {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::MarkerLeft => "marker_left",
            Self::MarkerMissing => "marker_missing",
            Self::WebhookLost => "webhook_lost",
            Self::Unclosed => "unclosed",
            Self::Orphaned => "orphaned",
            Self::Stranded => "stranded",
            Self::Waiting => "waiting",
            Self::Old => "old",
            Self::EgressUnheard => "egress_unheard",
            Self::EgressMarkerLeft => "egress_marker_left",
            Self::EgressWebhookLost => "egress_webhook_lost",
            Self::EgressMissing => "egress_missing",
            Self::EgressDead => "egress_dead",
            Self::EgressUnfilled => "egress_unfilled",
        }
    }
}

/// What is done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Remove the marker.
    Unmark,
    /// Put the marker and the index, if the marker is missing, then deliver these webhooks.
    Tell(Vec<WebhookEvent>),
    /// Take the claim and close the call as its heir would.
    CloseAsHeir,
    /// As `Revive`, and enqueue the call's job again: somebody is there who waits to be served.
    EnqueueAgain,
    /// Make sure that the room is not only in LiveKit's list, and report. Nothing is done about the call.
    Revive,
}

/// A finding and its repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What is wrong.
    pub wrong: Wrong,
    /// What is done about it.
    pub act: Act,
}

/// What a call needs that looks like this at the moment `now`; `None` when all is well, or will be by itself.
pub fn plan(look: &Look, policy: &Policy, now: Timestamp) -> Option<Repair> {
    let standing = look.stored.standing(now);
    if look.stored.record || standing == Some(Standing::Closed) {
        return look.marked.then(|| Repair::new(Wrong::MarkerLeft, Act::Unmark));
    }
    match (&look.room, standing) {
        (None, None) => {
            let finished = told::room_finished(&look.call, &look.entry, now)?;
            Some(Repair::new(Wrong::Unclosed, Act::Tell(vec![finished])))
        }
        (None, Some(Standing::Expired { .. })) => Some(Repair::new(Wrong::Orphaned, Act::CloseAsHeir)),
        (None, Some(_)) => None,
        (Some(_), Some(_)) => claimed(look, now),
        (Some(room), None) => unclaimed(look, room, policy, now),
    }
}

/// What a call needs that looked like `before` a patience ago and looks like `after` at the moment `now`: only what it needed then, too,
/// and nothing at all if somebody holds its claim.
pub fn confirm(before: &Look, after: &Look, policy: &Policy, now: Timestamp) -> Option<Repair> {
    let is_closed = after.stored.record;
    let room_changed = before.room.is_some() != after.room.is_some();
    if !is_closed && (room_changed || before.stored.claim != after.stored.claim) {
        return None;
    }
    let mut both = after.clone();
    both.participants.retain(|participant| {
        before
            .participants
            .iter()
            .any(|known| known.sid == participant.sid)
    });
    plan(&both, policy, now)
}

fn claimed(look: &Look, now: Timestamp) -> Option<Repair> {
    let (claim, age) = (look.stored.claim.as_ref()?, look.stored.claim_age);
    let nobody_for = if age.is_unknown() {
        since(claim.expires_at, now)
    } else {
        age.at_least.saturating_sub(claim.lease())
    };
    served_by_nobody(look, Wrong::Stranded, nobody_for, claim.generation < MOST_HOLDERS)
}

/// Whether there is somebody in the room to be served, and no agent.
fn is_waited_for(look: &Look) -> bool {
    let is_there = |wanted: ParticipantKind| look.participants.iter().any(|who| who.kind == wanted);
    let is_waiting = is_there(ParticipantKind::Sip) || is_there(ParticipantKind::Standard);
    is_waiting && !is_there(ParticipantKind::Agent)
}

fn unclaimed(look: &Look, room: &Room, policy: &Policy, now: Timestamp) -> Option<Repair> {
    if let Some(job_for) = look.stored.job_for {
        return served_by_nobody(look, Wrong::Waiting, job_for, job_for >= ENQUEUE_AFTER);
    }
    let lost = lost(look, room, policy);
    if !look.marked || !lost.is_empty() {
        return Some(Repair::new(Wrong::WebhookLost, Act::Tell(lost)));
    }
    let is_old = room
        .created_at
        .is_some_and(|created_at| created_at.plus(OLD) <= now);
    is_old.then(|| Repair::new(Wrong::Old, Act::Revive))
}

/// A call that the functions know, and that nobody has served for so long. `again`: its job may be enqueued again for whoever waits.
fn served_by_nobody(look: &Look, wrong: Wrong, nobody_for: Duration, again: bool) -> Option<Repair> {
    if !look.marked {
        return Some(Repair::new(Wrong::MarkerMissing, Act::Tell(Vec::new())));
    }
    let act = if again && is_waited_for(look) {
        Act::EnqueueAgain
    } else {
        Act::Revive
    };
    (nobody_for >= ALERT_AFTER).then(|| Repair::new(wrong, act))
}

/// The webhooks that would have brought about what is missing.
fn lost(look: &Look, room: &Room, policy: &Policy) -> Vec<WebhookEvent> {
    let mut lost = Vec::new();
    let by_room = policy.agents.for_room(&room.name, room.metadata.as_str());
    if by_room.is_some() {
        lost.extend(told::room_started(room));
    }
    let of_kind = |kind: ParticipantKind| look.participants.iter().filter(move |who| who.kind == kind);
    let callers: Vec<WebhookEvent> = of_kind(ParticipantKind::Sip)
        .chain(of_kind(ParticipantKind::Standard))
        .filter_map(|participant| told::participant_joined(room, participant))
        .collect();
    let taken = callers.iter().find(|joined| told::gets_a_job(joined, policy));
    // Whom no entry takes is told of once, for the reason to be kept.
    let first = callers.first().filter(|_| !look.stored.no_match);
    lost.extend(taken.or(first).cloned());
    lost
}

impl Repair {
    /// Whether it ends what is wrong, so that it goes before what can only be told again each minute.
    pub(crate) fn mends(&self) -> bool {
        self.act != Act::Revive
    }

    fn new(wrong: Wrong, act: Act) -> Self {
        Self { wrong, act }
    }
}
