//! What the events of a call say together.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    CallEvent, CallId, CallJob, CallRecord, Outcome, Party, Region, RoomName, Step, TimelineEntry, Timestamp,
    agents::NoMatch,
    livekit::{Attributes, DisconnectReason, Event, Participant, ParticipantKind, attribute},
    open_enum::open_enum,
};

/// The regions that read numbers without a country code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Regions {
    /// For trunks without their own region.
    pub default: Option<Region>,
    /// By the trunk's id, `ST_…`.
    pub trunks: BTreeMap<String, Region>,
}

impl Regions {
    /// The region of a trunk.
    pub fn of(&self, trunk: Option<&str>) -> Option<Region> {
        trunk
            .and_then(|trunk| self.trunks.get(trunk))
            .copied()
            .or(self.default)
    }
}

/// The two ends of a phone call, as the attributes of its participant tell them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    /// The remote party.
    pub caller: Party,
    /// The trunk's number: the called one on inbound calls.
    pub called: Party,
}

impl Parties {
    /// Reads the attributes of a participant of kind SIP. What the dispatch rule hides is anonymous.
    pub fn of(attributes: &Attributes, regions: &Regions) -> Self {
        let region = regions.of(attributes.get(attribute::SIP_TRUNK));
        let party = |name| Party::parse(attributes.get(name).unwrap_or_default(), region);
        Self {
            caller: party(attribute::SIP_NUMBER),
            called: party(attribute::SIP_TRUNK_NUMBER),
        }
    }
}

/// The moments of a call from before its room, as the attributes of its participant tell them: INVITE and ringing.
/// What is no moment is passed over.
pub fn signalling<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> impl Iterator<Item = TimelineEntry> {
    [
        (Step::Invite, attribute::INVITE_AT),
        (Step::Ringing, attribute::RINGING_AT),
    ]
    .into_iter()
    .filter_map(move |(step, name)| Some(TimelineEntry::new(step, Timestamp::parse(attribute(name)?)?)))
}

open_enum! {
    /// Why the gateway ended a call: the value of the participant's attribute [`attribute::END`].
    pub enum EndCause {
        /// No agent answered in time.
        NoAgent = "no_agent",
        /// The caller gave up before the call was answered.
        Cancelled = "cancelled",
        /// The caller hung up.
        CallerHungUp = "caller_hung_up",
        /// The agent hung up, or has left for good.
        AgentHungUp = "agent_hung_up",
        /// The phone's sound did not come, or came no more.
        MediaTimeout = "media_timeout",
        /// The answer was never acknowledged.
        NotAcknowledged = "not_acknowledged",
        /// The session was not refreshed in time (RFC 4028): the phone is no longer there.
        SessionExpired = "session_expired",
        /// The longest duration was reached.
        MaxDuration = "max_duration",
        /// The gateway failed.
        Failed = "failed",
    }
}

impl EndCause {
    /// The outcome of a call that had an agent and was ended by the gateway for this; `None` where the phone or the agent ended it.
    pub fn outcome(&self) -> Option<Outcome> {
        let failed = |reason: &str| Outcome::Failed {
            reason: reason.to_owned(),
        };
        match self {
            Self::NoAgent => Some(Outcome::NoAgent),
            Self::MediaTimeout | Self::NotAcknowledged | Self::SessionExpired => Some(failed(self.as_str())),
            // As when the agent itself gives up after its longest duration.
            Self::MaxDuration => Some(Outcome::AgentHungUp),
            Self::Failed => Some(failed("gateway")),
            Self::Cancelled | Self::CallerHungUp | Self::AgentHungUp | Self::Unknown(_) => None,
        }
    }
}

/// The state of a call: the fold of its events, whatever of them has arrived and in whatever order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallState {
    /// The call.
    pub call: CallId,
    /// The room's name.
    pub room: RoomName,
    /// When the room was created.
    pub started_at: Timestamp,
    /// The first participant of kind SIP, else of kind STANDARD.
    pub caller: Option<Leg>,
    /// Whether the room has been closed, and when.
    pub finished_at: Option<Timestamp>,
    /// What happened, in the order of time.
    pub timeline: Vec<TimelineEntry>,
}

/// The caller's participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// It, as the last event showed it.
    pub participant: Participant,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it left.
    pub left_at: Option<Timestamp>,
}

impl CallState {
    /// Folds `events`, which have to be of one call; `None` when there are none.
    ///
    /// The server tells leaves and closes in whole seconds; the moment of the receipt stands in when it lies within that second.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> Option<Self> {
        let mut events: Vec<&CallEvent> = events.into_iter().collect();
        events.sort_by_key(|event| (event.received_at, event.at));
        let first = *events.first()?;
        let mut state = Self {
            call: first.call.clone(),
            room: first.room.clone(),
            started_at: first.room_created_at,
            caller: None,
            finished_at: None,
            // Every event tells when the room was created, also where `room_started` was lost.
            timeline: vec![
                TimelineEntry::new(Step::RoomStarted, first.room_created_at),
                TimelineEntry::new(Step::Webhook, first.received_at),
            ],
        };
        for event in events {
            state.apply(event);
        }
        state.timeline.sort_by_key(|entry| entry.at);
        Some(state)
    }

    fn apply(&mut self, event: &CallEvent) {
        match &event.event {
            Event::RoomFinished { .. } => {
                let at = self.not_before_join(to_the_ms(event));
                // Twice where the sweep has made one up for a webhook that came after all.
                let at = self.finished_at.map_or(at, |before| before.min(at));
                self.finished_at = Some(at);
                self.timeline.retain(|entry| entry.step != Step::RoomFinished);
                self.step(Step::RoomFinished, at);
            }
            Event::ParticipantJoined { participant, .. } => self.joined(participant, event),
            Event::ParticipantLeft { participant, .. }
            | Event::ParticipantConnectionAborted { participant, .. } => self.left(participant, event),
            _ => {}
        }
    }

    fn joined(&mut self, participant: &Participant, event: &CallEvent) {
        let joined_at = participant.joined_at.unwrap_or(event.at);
        match participant.kind {
            ParticipantKind::Agent => self.step(Step::AgentJoined, joined_at),
            ParticipantKind::Sip | ParticipantKind::Standard if self.takes(participant) => {
                self.caller = Some(Leg {
                    participant: participant.clone(),
                    joined_at,
                    left_at: None,
                });
                self.step(Step::CallerJoined, joined_at);
                if participant.kind == ParticipantKind::Sip {
                    let attributes = &participant.attributes;
                    self.timeline.extend(signalling(|name| attributes.get(name)));
                }
            }
            _ => {}
        }
    }

    fn left(&mut self, participant: &Participant, event: &CallEvent) {
        if !matches!(participant.kind, ParticipantKind::Sip | ParticipantKind::Standard) {
            return;
        }
        if self.takes(participant) {
            // The join was lost, but the leave says when it was.
            self.joined(participant, event);
        }
        let at = self.not_before_join(to_the_ms(event));
        if let Some(leg) = self
            .caller
            .as_mut()
            .filter(|leg| leg.participant.sid == participant.sid)
        {
            leg.participant = participant.clone();
            leg.left_at = Some(at);
            self.step(Step::CallerLeft, at);
        }
    }

    /// Whether `participant` becomes the caller: the first one does, and the first one by phone in any case.
    fn takes(&self, participant: &Participant) -> bool {
        self.caller.as_ref().is_none_or(|leg| {
            participant.kind == ParticipantKind::Sip && leg.participant.kind != ParticipantKind::Sip
        })
    }

    fn not_before_join(&self, at: Timestamp) -> Timestamp {
        self.caller.as_ref().map_or(at, |leg| at.max(leg.joined_at))
    }

    fn step(&mut self, step: Step, at: Timestamp) {
        self.timeline.push(TimelineEntry { step, at });
    }

    /// The record of a call that no agent ever claimed, closed at `now` if the events do not say when it ended.
    ///
    /// - There was a job: see [`CallState::unanswered`].
    /// - There was none: no match, for the reason that was kept, else `not_listed`, or `no_caller` when nobody of kind SIP or STANDARD
    ///   joined.
    pub fn close_unclaimed(
        &self,
        job: Option<&CallJob>,
        no_match: Option<NoMatch>,
        policy: &ClosePolicy,
        now: Timestamp,
    ) -> CallRecord {
        let outcome = if job.is_some() {
            self.unanswered(policy.no_agent_after)
        } else {
            let unknown = match self.caller {
                Some(_) => NoMatch::NotListed,
                None => NoMatch::NoCaller,
            };
            Outcome::NoMatch {
                reason: no_match.unwrap_or(unknown).to_string(),
            }
        };
        let ended_at = self
            .caller
            .as_ref()
            .and_then(|leg| leg.left_at)
            .or(self.finished_at)
            .unwrap_or(now);
        let mut record = CallRecord::new(
            self.call.clone(),
            self.room.clone(),
            outcome,
            self.started_at,
            ended_at,
        );
        record.timeline.clone_from(&self.timeline);
        if let Some(job) = job {
            record.profile = Some(job.profile.clone());
            // The join may have been lost after it had brought the job about.
            record.caller.clone_from(&job.caller);
            record.called.clone_from(&job.called);
            let enqueued = job
                .timeline
                .iter()
                .filter(|entry| entry.step == Step::JobEnqueued);
            record.timeline.extend(enqueued.cloned());
            record.timeline.sort_by_key(|entry| entry.at);
        }
        if let Some(leg) = self
            .caller
            .as_ref()
            .filter(|leg| leg.participant.kind == ParticipantKind::Sip)
        {
            let attributes = &leg.participant.attributes;
            let parties = Parties::of(attributes, &policy.regions);
            let text = |name| attributes.get(name).map(str::to_owned);
            record.caller = Some(parties.caller);
            record.called = Some(parties.called);
            record.trunk = text(attribute::SIP_TRUNK);
            record.rule = text(attribute::SIP_RULE);
            record.sip_call = text(attribute::SIP_CALL);
        }
        record
    }

    /// Adds to `record` what its closer did not see: an agent that comes when the phone has given up already meets nobody.
    pub fn complete(&self, record: &mut CallRecord, regions: &Regions) {
        if let Some(leg) = self
            .caller
            .as_ref()
            .filter(|leg| leg.participant.kind == ParticipantKind::Sip)
        {
            let attributes = &leg.participant.attributes;
            let Parties { caller, called } = Parties::of(attributes, regions);
            record.caller.get_or_insert(caller);
            record.called.get_or_insert(called);
            for (known, name) in [
                (&mut record.trunk, attribute::SIP_TRUNK),
                (&mut record.rule, attribute::SIP_RULE),
                (&mut record.sip_call, attribute::SIP_CALL),
            ] {
                if known.is_none() {
                    *known = attributes.get(name).map(str::to_owned);
                }
            }
        }
        for entry in &self.timeline {
            let is_known = record.timeline.iter().any(|known| known.step == entry.step);
            // The end of the room is a step of calls without an agent only.
            if !is_known && entry.step != Step::RoomFinished {
                record.timeline.push(entry.clone());
            }
        }
        record.timeline.sort_by_key(|entry| entry.at);
    }

    /// How a call ended that had a job and no agent: `cancelled` when the caller gave up, `no_agent` otherwise.
    ///
    /// Our gateway says which ([`attribute::END`]); for other gateways the time tells: a caller that left by itself within
    /// `no_agent_after` gave up, and later the gateway did. Deleted rooms, lost connections and the like are `no_agent`, too: an
    /// agent was wanted and none came.
    pub fn unanswered(&self, no_agent_after: Duration) -> Outcome {
        let Some(leg) = &self.caller else {
            return Outcome::NoAgent;
        };
        match leg.participant.attributes.get(attribute::END).map(EndCause::from) {
            Some(EndCause::Cancelled | EndCause::CallerHungUp) => return Outcome::Cancelled,
            Some(EndCause::NoAgent | EndCause::AgentHungUp | EndCause::MaxDuration) => {
                return Outcome::NoAgent;
            }
            Some(cause) => {
                if let Some(outcome) = cause.outcome() {
                    return outcome;
                }
            }
            None => {}
        }
        let by_itself = leg.participant.disconnect_reason == Some(DisconnectReason::ClientInitiated);
        // Leaves are cut to the second, so that one of at most a second less than the limit counts as at the limit.
        let limit_ms = i64::try_from(no_agent_after.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_sub(999);
        let in_time = leg
            .left_at
            .is_some_and(|left_at| left_at.ms_since(leg.joined_at) < limit_ms);
        if by_itself && in_time {
            Outcome::Cancelled
        } else {
            Outcome::NoAgent
        }
    }
}

/// Why the gateway ended the call, as its phone has said of itself when it left; `None` when it has not said so, or its leave is not among
/// `events`.
pub fn told_end<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> Option<EndCause> {
    let mut left: Vec<_> = events
        .into_iter()
        .filter_map(|event| match &event.event {
            Event::ParticipantLeft { participant, .. } if participant.kind == ParticipantKind::Sip => {
                let cause = participant.attributes.get(attribute::END)?;
                Some((event.received_at, EndCause::from(cause)))
            }
            _ => None,
        })
        .collect();
    left.sort_by_key(|(at, _)| *at);
    left.pop().map(|(_, cause)| cause)
}

fn to_the_ms(event: &CallEvent) -> Timestamp {
    let within_the_second = (0..1_000).contains(&event.received_at.ms_since(event.at));
    if within_the_second {
        event.received_at
    } else {
        event.at
    }
}

/// What closing a record depends on beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosePolicy {
    /// After how long without an agent the gateway ends a call. Default: 10 s, as `sip.no_agent_timeout`.
    pub no_agent_after: Duration,
    /// The regions of the trunks.
    pub regions: Regions,
}

impl Default for ClosePolicy {
    fn default() -> Self {
        Self {
            no_agent_after: Duration::from_secs(10),
            regions: Regions::default(),
        }
    }
}
