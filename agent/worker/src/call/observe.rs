//! Folds what the conversation tells into the call's record.

use std::collections::BTreeMap;
use std::time::Duration;

use events::{
    CallRecord, Parties, Recording, RecordingPolicy as Policy, Regions, SessionEventKind as Kind, Speaker,
    Step, Timestamp, ToolRecord, TurnLatency, TurnRecord, Usage, keys,
    livekit::{Attributes, attribute},
};
use livekit::{participant::ParticipantKind, prelude::RemoteParticipant};
use pipeline::{
    AgentState, ConversationEvent, ConversationReport, EndReason, Latency, RecordingPolicy, Remedy, Said,
    SpokenTurn, ToolUse, UserState,
};

use crate::progress::Journal;

/// Knows when the conversation began, in wall-clock time, and what stood in the record before.
pub(super) struct Observer {
    began: Timestamp,
    /// Turns of earlier holders of the call.
    earlier: Vec<TurnRecord>,
    earlier_tools: Vec<ToolRecord>,
}

impl Observer {
    /// An observer of a conversation that has not begun at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            began: now,
            earlier: Vec::new(),
            earlier_tools: Vec::new(),
        }
    }

    /// The conversation begins.
    pub(super) fn began(&mut self, at: Timestamp, record: &CallRecord) {
        self.began = at;
        self.earlier.clone_from(&record.turns);
        self.earlier_tools.clone_from(&record.tools);
    }

    /// The caller is in the room: who it is, by LiveKit's attributes of a SIP participant.
    pub(super) fn caller(record: &mut CallRecord, participant: &RemoteParticipant, regions: &Regions) {
        let attributes: BTreeMap<_, _> = participant.attributes().into_iter().collect();
        let attributes = Attributes::from(attributes);
        if participant.kind() == ParticipantKind::Sip {
            phoned(record, &attributes, regions);
        }
        signalled(record, &attributes);
    }

    /// One piece of news; true when it belongs into the record.
    pub(super) fn on(
        &self,
        journal: &mut Journal,
        news: &ConversationEvent,
        policy: RecordingPolicy,
    ) -> bool {
        match news {
            ConversationEvent::AgentStarted { is_greeting, at } => {
                let step = if *is_greeting {
                    Step::GreetingStarted
                } else {
                    Step::AgentTurn
                };
                journal.step(step, self.at(*at));
            }
            ConversationEvent::Turn(turn) => {
                let record = self.turn(turn);
                match turn.speaker {
                    pipeline::Speaker::User => journal.step(Step::UserTurn, record.ended_at),
                    pipeline::Speaker::Agent if turn.interrupted => {
                        journal.step(Step::Interruption, record.ended_at);
                    }
                    pipeline::Speaker::Agent => {}
                }
                journal.record_mut().turns.push(record);
            }
            ConversationEvent::Tool(used) => {
                let record = self.tool(used);
                let ended = self.at(used.called_at + used.took.unwrap_or_default());
                let name = Some(record.name.as_str());
                journal
                    .session_mut()
                    .note(Kind::FunctionToolsExecuted, name, ended);
                journal.record_mut().tools.push(record);
            }
            ConversationEvent::RecordingGateOpened { at } => {
                let at = self.at(*at);
                journal.step(Step::RecordingStarted, at);
                let record = journal.record_mut();
                let key = keys::recording(record.started_at, &record.call);
                let policy = named(policy);
                record.recording.get_or_insert(Recording {
                    key,
                    duration_ms: 0,
                    policy,
                    gate_opened_at: at,
                });
            }
            other => {
                self.note(journal, other);
                return false;
            }
        }
        true
    }

    /// What belongs into the report of the session alone. It is written with the next thing that belongs into the record.
    pub(super) fn note(&self, journal: &mut Journal, news: &ConversationEvent) {
        let failure;
        let (kind, detail, at) = match news {
            ConversationEvent::Agent { state, at } => {
                (Kind::AgentStateChanged, Some(agent_state(*state)), at)
            }
            ConversationEvent::User { state, at } => (Kind::UserStateChanged, Some(user_state(*state)), at),
            ConversationEvent::Paused { at } => (Kind::AgentPaused, None, at),
            ConversationEvent::Resumed { at } => (Kind::AgentFalseInterruption, None, at),
            ConversationEvent::Failed {
                stage,
                provider,
                reason,
                at,
            } => {
                tracing::warn!(?stage, reason, "a provider failed");
                failure = format!("{} {provider}", stage.name());
                (Kind::Error, Some(failure.as_str()), at)
            }
            ConversationEvent::Recovered {
                stage,
                provider,
                reason,
                remedy,
                at,
            } => {
                tracing::warn!(?stage, reason, ?remedy, "a provider failed, and it goes on");
                failure = match remedy {
                    Remedy::Fallback(instead) => format!("{} {provider} {instead}", stage.name()),
                    Remedy::Retry | Remedy::Repeat => format!("{} {provider}", stage.name()),
                };
                (recovery(*remedy), Some(failure.as_str()), at)
            }
            ConversationEvent::Ended { reason, at } => (Kind::Close, Some(end_reason(*reason)), at),
            ConversationEvent::AgentStarted { .. }
            | ConversationEvent::Turn(_)
            | ConversationEvent::Caption(_)
            | ConversationEvent::Tool(_)
            | ConversationEvent::RecordingGateOpened { .. } => return,
        };
        tracing::debug!(kind = kind.as_str(), detail, "event");
        journal.session_mut().note(kind, detail, self.at(*at));
    }

    /// The conversation's own account, which holds every turn, also those whose news did not fit.
    pub(super) fn reported(&self, journal: &mut Journal, report: &ConversationReport) {
        let session = journal.session_mut();
        session.usage = session.usage.and(usage(report.usage));
        session.caller_audio = Some(caller_audio(&report.caller_audio));
        let record = journal.record_mut();
        let mut turns: Vec<TurnRecord> = report.turns.iter().map(|turn| self.turn(turn)).collect();
        turns.sort_by_key(|turn| turn.started_at);
        // An earlier worker's come first, whatever its clock said.
        record.turns.clone_from(&self.earlier);
        record.turns.append(&mut turns);
        record.tools.clone_from(&self.earlier_tools);
        record
            .tools
            .extend(report.tools.iter().map(|used| self.tool(used)));
        if report.lost_events > 0 {
            tracing::warn!(lost = report.lost_events, "news of the conversation did not fit");
        }
    }

    /// The turns of the record as the conversation's next worker needs them.
    pub(super) fn said(record: &CallRecord) -> Vec<Said> {
        let said = |turn: &TurnRecord| Said {
            speaker: match turn.speaker {
                Speaker::Caller => pipeline::Speaker::User,
                // Whatever a later version may add, it was not the caller.
                Speaker::Agent | Speaker::Unknown(_) => pipeline::Speaker::Agent,
            },
            text: turn.text.as_str().to_owned(),
        };
        record.turns.iter().map(said).collect()
    }

    /// The recording is closed.
    pub(super) fn recorded(record: &mut CallRecord, ms: u64) {
        if let Some(recording) = &mut record.recording {
            recording.duration_ms += ms;
        }
    }

    fn at(&self, since_began: Duration) -> Timestamp {
        self.began.plus(since_began)
    }

    fn tool(&self, used: &ToolUse) -> ToolRecord {
        ToolRecord {
            name: used.name.clone(),
            called_at: self.at(used.called_at),
            took_ms: used
                .took
                .map(|took| u32::try_from(took.as_millis()).unwrap_or(u32::MAX)),
            is_error: used.is_error,
        }
    }

    fn turn(&self, turn: &SpokenTurn) -> TurnRecord {
        TurnRecord {
            speaker: match turn.speaker {
                pipeline::Speaker::User => Speaker::Caller,
                pipeline::Speaker::Agent => Speaker::Agent,
            },
            text: turn.text.as_str().into(),
            started_at: self.at(turn.started_at),
            ended_at: self.at(turn.ended_at),
            interrupted: turn.interrupted,
            latency: latency(&turn.latency),
        }
    }
}

fn caller_audio(audio: &pipeline::CallerAudio) -> events::CallerAudio {
    let faults: Vec<_> = audio
        .faults()
        .into_iter()
        .map(|fault| fault.as_str().to_owned())
        .collect();
    let tenths = |value: f32| (value * 10.0).round() / 10.0;
    let told = events::CallerAudio {
        heard_ms: audio.frames * 20,
        silent_ms: audio.silent_frames * 20,
        voiced_ms: audio.voiced_frames * 20,
        voice_dbfs: audio.voice_dbfs.map(tenths),
        noise_dbfs: audio.noise_dbfs.map(tenths),
        clipped_percent: tenths(audio.clipped * 100.0),
        faults,
    };
    if !told.faults.is_empty() {
        tracing::warn!(
            faults = told.faults.join(", "),
            voice_dbfs = told.voice_dbfs,
            noise_dbfs = told.noise_dbfs,
            clipped_percent = told.clipped_percent,
            "the caller's sound was poor; see docs/troubleshooting.md"
        );
    }
    told
}

fn usage(used: pipeline::Usage) -> Usage {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Usage {
        llm_requests: used.llm_requests,
        llm_prompt_tokens: used.llm_prompt_tokens,
        llm_prompt_cached_tokens: used.llm_prompt_cached_tokens,
        llm_completion_tokens: used.llm_completion_tokens,
        tts_characters_count: used.tts_characters,
        tts_audio_duration_ms: ms(used.tts_audio),
        stt_audio_duration_ms: ms(used.stt_audio),
    }
}

fn recovery(remedy: Remedy) -> Kind {
    match remedy {
        Remedy::Retry => Kind::ProviderRetry,
        Remedy::Fallback(_) => Kind::ProviderFallback,
        Remedy::Repeat => Kind::ProviderRepeat,
    }
}

pub(super) fn agent_state(state: AgentState) -> &'static str {
    match state {
        AgentState::Initializing => "initializing",
        AgentState::Idle => "idle",
        AgentState::Listening => "listening",
        AgentState::Thinking => "thinking",
        AgentState::Speaking => "speaking",
    }
}

fn user_state(state: UserState) -> &'static str {
    match state {
        UserState::Speaking => "speaking",
        UserState::Listening => "listening",
        UserState::Away => "away",
    }
}

fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::CallerGone => "caller_gone",
        EndReason::AgentEnded => "agent_ended",
        EndReason::ProvidersFailed => "providers_failed",
        EndReason::Idle => "idle",
        EndReason::CallerAway => "caller_away",
        EndReason::TimeUp => "time_up",
        EndReason::Cancelled => "cancelled",
        EndReason::AudioOutFailed => "audio_out_failed",
    }
}

/// The phone's part. The parties stay as the job has them, where it has them: it read them from the same attributes.
fn phoned(record: &mut CallRecord, attributes: &Attributes, regions: &Regions) {
    let Parties { caller, called } = Parties::of(attributes, regions);
    record.caller.get_or_insert(caller);
    record.called.get_or_insert(called);
    let text = |key: &str| attributes.get(key).filter(|value| !value.is_empty());
    for (known, key) in [
        (&mut record.trunk, attribute::SIP_TRUNK),
        (&mut record.rule, attribute::SIP_RULE),
        (&mut record.sip_call, attribute::SIP_CALL),
    ] {
        if let Some(told) = text(key) {
            *known = Some(told.to_owned());
        }
    }
}

/// What the gateway did before the room; an heir finds it in the record already.
fn signalled(record: &mut CallRecord, attributes: &Attributes) {
    for entry in events::signalling(|name| attributes.get(name)) {
        if !record.timeline.iter().any(|known| known.step == entry.step) {
            record.timeline.push(entry);
        }
    }
}

fn latency(latency: &Latency) -> TurnLatency {
    let ms = |duration: Option<Duration>| duration.map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX));
    TurnLatency {
        transcription_delay_ms: ms(latency.transcription_delay),
        end_of_turn_delay_ms: ms(latency.end_of_turn_delay),
        llm_ttft_ms: ms(latency.llm_ttft),
        tts_ttfb_ms: ms(latency.tts_ttfb),
        e2e_latency_ms: ms(latency.e2e_latency),
    }
}

fn named(policy: RecordingPolicy) -> Policy {
    match policy {
        RecordingPolicy::Off => Policy::Off,
        RecordingPolicy::AfterNotice => Policy::AfterNotice,
        RecordingPolicy::AfterConsent => Policy::AfterConsent,
        RecordingPolicy::Always => Policy::Always,
    }
}

#[cfg(test)]
mod tests {
    use events::{Outcome, Party};

    use super::*;
    use crate::testing::job;

    fn record() -> CallRecord {
        let job = job();
        CallRecord::new(
            job.call,
            job.room,
            Outcome::Interrupted,
            job.created_at,
            job.created_at,
        )
    }

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.collect::<BTreeMap<_, _>>().into()
    }

    fn regions() -> Regions {
        Regions {
            default: Some("DE".parse().unwrap()),
            trunks: BTreeMap::from([("ST_gb".to_owned(), "GB".parse().unwrap())]),
        }
    }

    fn number(party: Option<&Party>) -> Option<&str> {
        match party {
            Some(Party::Phone(number)) => Some(number.as_str()),
            _ => None,
        }
    }

    #[test]
    fn numbers_without_a_country_are_read_by_the_region_of_the_trunk_or_of_the_configuration() {
        for (trunk, caller, expected) in [
            ("ST_any", "030 12345678", "+493012345678"),
            ("ST_gb", "020 7946 0018", "+442079460018"),
            ("ST_gb", "+1 415 555 2671", "+14155552671"),
        ] {
            let mut record = record();
            let told = attributes(&[
                (attribute::SIP_TRUNK, trunk),
                (attribute::SIP_NUMBER, caller),
                (attribute::SIP_TRUNK_NUMBER, "1000"),
                (attribute::SIP_RULE, ""),
            ]);
            phoned(&mut record, &told, &regions());
            assert_eq!(number(record.caller.as_ref()), Some(expected));
            // An extension is no number anywhere.
            assert!(matches!(&record.called, Some(Party::SipUser(user)) if user.as_str() == "1000"));
            assert_eq!((record.trunk.as_deref(), record.rule), (Some(trunk), None));
        }
    }

    #[test]
    fn what_the_job_told_of_the_parties_stays_and_what_is_hidden_is_anonymous() {
        let mut told = record();
        told.caller = Some(Party::parse("+15550123", None));
        phoned(
            &mut told,
            &attributes(&[(attribute::SIP_NUMBER, "+15550199")]),
            &regions(),
        );
        assert_eq!(number(told.caller.as_ref()), Some("+15550123"));
        assert_eq!(told.called, Some(Party::Anonymous));
    }

    #[test]
    fn the_gateways_moments_come_into_the_record_once() {
        let mut record = record();
        let attributes = attributes(&[
            (attribute::INVITE_AT, "2026-11-20T17:40:01.568Z"),
            (attribute::RINGING_AT, "2026-11-20T17:40:01.589Z"),
        ]);
        signalled(&mut record, &attributes);
        // An heir meets the same caller.
        signalled(&mut record, &attributes);
        let entries: Vec<_> = record
            .timeline
            .iter()
            .map(|entry| (entry.step.as_str(), entry.at.unix_ms()))
            .collect();
        assert_eq!(
            entries,
            [("invite", 1_795_196_401_568), ("ringing", 1_795_196_401_589)]
        );
    }
}
