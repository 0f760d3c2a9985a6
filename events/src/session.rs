//! The report of a session: what happened in a conversation beside what was said, and what it took.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};

use crate::{
    CallId, CallRecord, Outcome, ProfileRef, Recording, RoomName, Speaker, Timestamp, ToolRecord,
    TurnLatency, TurnRecord, open_enum::open_enum,
};

/// What is known of a conversation beside its turns and tools, while it goes on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// What happened, in the order of time; at most [`Session::MAX_EVENTS`].
    pub events: Vec<SessionEvent>,
    /// Events beyond that.
    #[serde(skip_serializing_if = "is_zero")]
    pub events_left_out: u64,
    /// What it took.
    pub usage: Usage,
    /// How the caller's sound was, as far as the conversation's last worker heard it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_audio: Option<CallerAudio>,
}

/// How somebody's sound was. Levels are root mean squares relative to full scale.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerAudio {
    /// How much of it there was, in milliseconds.
    pub heard_ms: u64,
    /// How much of that was digital silence.
    pub silent_ms: u64,
    /// How much of that held voice.
    pub voiced_ms: u64,
    /// The level of the voice, in dBFS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_dbfs: Option<f32>,
    /// The level between the words, in dBFS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_dbfs: Option<f32>,
    /// The share of the voice's samples that were clipped, in percent.
    pub clipped_percent: f32,
    /// What was wrong: `clipped`, `quiet`, `noisy`, `silent`.
    pub faults: Vec<String>,
}

impl Session {
    /// The most events that are kept.
    pub const MAX_EVENTS: usize = 2_000;

    /// Notes an event.
    pub fn note(&mut self, kind: SessionEventKind, detail: Option<&str>, at: Timestamp) {
        if self.events.len() >= Self::MAX_EVENTS {
            self.events_left_out += 1;
            return;
        }
        let detail = detail.map(str::to_owned);
        self.events.push(SessionEvent { at, kind, detail });
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(rename = "type")]
    pub kind: SessionEventKind,
    /// The new state; the tool; the stage and the provider that failed, with the one that was asked instead behind it; or the reason of
    /// the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

open_enum! {
    /// What can happen in a conversation.
    pub enum SessionEventKind {
        /// The agent listens, thinks or speaks from now on.
        AgentStateChanged = "agent_state_changed",
        /// The caller speaks, listens or is away from now on.
        UserStateChanged = "user_state_changed",
        /// The agent fell silent because the caller spoke over it.
        AgentPaused = "agent_paused",
        /// It went on: that was no interruption.
        AgentFalseInterruption = "agent_false_interruption",
        /// A tool that the model called came back, or was interrupted.
        FunctionToolsExecuted = "function_tools_executed",
        /// A provider has failed, and the caller heard of it.
        Error = "error",
        /// A provider has failed, and was asked again.
        ProviderRetry = "provider_retry",
        /// A provider has failed, and another was asked instead.
        ProviderFallback = "provider_fallback",
        /// A provider has failed in the middle of a sentence, which was begun again.
        ProviderRepeat = "provider_repeat",
        /// Nothing comes of the caller's sound, silence neither, or it comes again: `lost`, `back`.
        OneWayAudio = "one_way_audio",
        /// The conversation is over.
        Close = "close",
    }
}

/// What a conversation took of its providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Requests to the language model.
    pub llm_requests: u64,
    /// Tokens that it read, as far as it says so.
    pub llm_prompt_tokens: u64,
    /// Of those, the ones that it had read before and kept.
    pub llm_prompt_cached_tokens: u64,
    /// Tokens that it wrote, as far as it says so.
    pub llm_completion_tokens: u64,
    /// Characters that were synthesised.
    pub tts_characters_count: u64,
    /// The sound of them, whether it was heard or not, in milliseconds.
    pub tts_audio_duration_ms: u64,
    /// Speech that was sent to be recognised, in milliseconds.
    pub stt_audio_duration_ms: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            llm_requests: self.llm_requests + more.llm_requests,
            llm_prompt_tokens: self.llm_prompt_tokens + more.llm_prompt_tokens,
            llm_prompt_cached_tokens: self.llm_prompt_cached_tokens + more.llm_prompt_cached_tokens,
            llm_completion_tokens: self.llm_completion_tokens + more.llm_completion_tokens,
            tts_characters_count: self.tts_characters_count + more.tts_characters_count,
            tts_audio_duration_ms: self.tts_audio_duration_ms + more.tts_audio_duration_ms,
            stt_audio_duration_ms: self.stt_audio_duration_ms + more.stt_audio_duration_ms,
        }
    }
}

/// How one latency was spread, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many there were.
    pub count: usize,
    /// The median.
    pub p50_ms: u32,
    /// The 95th percentile.
    pub p95_ms: u32,
    /// The longest.
    pub max_ms: u32,
}

impl Spread {
    /// By nearest rank; `None` of nothing.
    fn of(mut all: Vec<u32>) -> Option<Self> {
        all.sort_unstable();
        let rank = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100);
            all.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            count: all.len(),
            p50_ms: rank(50)?,
            p95_ms: rank(95)?,
            max_ms: rank(100)?,
        })
    }
}

/// Failures of each stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Errors {
    /// Of recognisers.
    pub stt: u32,
    /// Of language models.
    pub llm: u32,
    /// Of synthesisers.
    pub tts: u32,
}

impl Errors {
    /// Counts the events of failures; their details begin with the stage.
    fn of(events: &[SessionEvent]) -> Self {
        let mut errors = Self::default();
        for event in events
            .iter()
            .filter(|event| event.kind == SessionEventKind::Error)
        {
            let stage = event
                .detail
                .as_deref()
                .and_then(|detail| detail.split(' ').next());
            match stage {
                Some("stt") => errors.stt += 1,
                Some("llm") => errors.llm += 1,
                Some("tts") => errors.tts += 1,
                _ => {}
            }
        }
        errors
    }
}

/// The body of `report.json`.
#[derive(Debug, Serialize)]
pub struct SessionReport<'a> {
    /// The version of this format: 1.
    pub version: u32,
    /// The version of the program that wrote it.
    pub sdk_version: &'static str,
    /// The call.
    pub call: &'a CallId,
    /// The room that it took place in.
    pub room: &'a RoomName,
    /// The agent's profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<&'a ProfileRef>,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// When the room was created.
    pub started_at: Timestamp,
    /// When the call was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// From the answer, or else the room's creation, to the end.
    pub duration_ms: i64,
    /// Why the conversation was over, as its last `close` says; `None` when its worker died.
    pub close_reason: Option<&'a str>,
    /// The recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<&'a Recording>,
    /// Turns of the caller.
    pub user_turns: usize,
    /// Turns of the agent that the caller cut off.
    pub interruptions: usize,
    /// Failures of which the caller heard, by stage.
    pub errors: Errors,
    /// What was said, in the order of its start, with the latencies of each turn.
    pub turns: &'a [TurnRecord],
    /// The tools that were called.
    pub tools: &'a [ToolRecord],
    /// Events and usage.
    #[serde(flatten)]
    pub session: &'a Session,
    /// Each latency over all turns, under the names by which turns have them.
    pub latency: BTreeMap<&'static str, Spread>,
}

impl<'a> SessionReport<'a> {
    /// The report of a call with an agent; `None` when there was no conversation.
    pub fn of(record: &'a CallRecord, session: &'a Session) -> Option<Self> {
        if record.turns.is_empty() && session.events.is_empty() {
            return None;
        }
        let of = |speaker: Speaker| record.turns.iter().filter(move |turn| turn.speaker == speaker);
        let closed = session
            .events
            .iter()
            .rfind(|event| event.kind == SessionEventKind::Close);
        let begun = record.answered_at.unwrap_or(record.started_at);
        Some(Self {
            version: 1,
            sdk_version: env!("CARGO_PKG_VERSION"),
            call: &record.call,
            room: &record.room,
            profile: record.profile.as_ref(),
            outcome: &record.outcome,
            started_at: record.started_at,
            answered_at: record.answered_at,
            ended_at: record.ended_at,
            duration_ms: record.ended_at.ms_since(begun).max(0),
            close_reason: closed.and_then(|event| event.detail.as_deref()),
            recording: record.recording.as_ref(),
            user_turns: of(Speaker::Caller).count(),
            interruptions: of(Speaker::Agent).filter(|turn| turn.interrupted).count(),
            errors: Errors::of(&session.events),
            turns: &record.turns,
            tools: &record.tools,
            session,
            latency: latency(&record.turns),
        })
    }

    /// The stored object: JSON, indented, since people read it too.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

/// The caller's turns tell when they were understood and over, the agent's when they began; each counts once.
fn latency(turns: &[TurnRecord]) -> BTreeMap<&'static str, Spread> {
    type Part = fn(&TurnLatency) -> Option<u32>;
    let parts: [(&'static str, Speaker, Part); 5] = [
        ("transcription_delay", Speaker::Caller, |it| {
            it.transcription_delay_ms
        }),
        ("end_of_turn_delay", Speaker::Caller, |it| it.end_of_turn_delay_ms),
        ("llm_ttft", Speaker::Agent, |it| it.llm_ttft_ms),
        ("tts_ttfb", Speaker::Agent, |it| it.tts_ttfb_ms),
        ("e2e_latency", Speaker::Agent, |it| it.e2e_latency_ms),
    ];
    let spread = |(name, speaker, part): (&'static str, Speaker, Part)| {
        let own = turns.iter().filter(|turn| turn.speaker == speaker);
        let all = own.filter_map(|turn| part(&turn.latency)).collect();
        Spread::of(all).map(|spread| (name, spread))
    };
    parts.into_iter().filter_map(spread).collect()
}

/// What was said, for people to read: a line a turn, with minutes and seconds since `begun`.
pub(crate) fn readable(call: &CallId, begun: Timestamp, turns: &[TurnRecord]) -> String {
    let mut text = format!("Call {call}, {begun}\n\n");
    for turn in turns {
        let seconds = turn.started_at.ms_since(begun).max(0) / 1000;
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let cut = if turn.interrupted { " (interrupted)" } else { "" };
        let words = turn
            .text
            .as_str()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        // Writing into a string has no way to fail.
        let _ = writeln!(
            text,
            "{minutes:02}:{seconds:02}  {:<6}  {words}{cut}",
            turn.speaker.as_str()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_196_401_000 + ms).unwrap()
    }

    fn turn(speaker: Speaker, text: &str, ms: i64, e2e: Option<u32>) -> TurnRecord {
        TurnRecord {
            speaker,
            text: text.into(),
            started_at: at(ms),
            ended_at: at(ms + 500),
            interrupted: text.ends_with("un"),
            latency: TurnLatency {
                e2e_latency_ms: e2e,
                ..TurnLatency::default()
            },
        }
    }

    fn record(turns: Vec<TurnRecord>) -> CallRecord {
        let (call, room) = ("RM_x".parse().unwrap(), "call-x".parse().unwrap());
        let mut record = CallRecord::new(call, room, Outcome::Completed, at(0), at(90_000));
        record.answered_at = Some(at(1_000));
        record.turns = turns;
        record
    }

    #[test]
    fn a_transcript_is_a_line_a_turn() {
        let turns = [
            turn(Speaker::Agent, "Hello.", 1_200, None),
            turn(Speaker::Caller, "what time\ndo you open", 9_000, None),
            turn(Speaker::Agent, "Tomorrow from nine un", 75_999, None),
        ];
        let text = readable(&"RM_x".parse().unwrap(), at(1_000), &turns);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("Call RM_x, 2026-"), "{}", lines[0]);
        assert_eq!(
            &lines[2..],
            [
                "00:00  agent   Hello.",
                "00:08  caller  what time do you open",
                "01:14  agent   Tomorrow from nine un (interrupted)",
            ]
        );
    }

    #[test]
    fn latencies_are_spread_by_nearest_rank_over_the_turns_that_have_them() {
        let answer = |e2e| turn(Speaker::Agent, "Yes.", 0, e2e);
        let turns = (1..=20)
            .rev()
            .map(|n| answer(Some(n * 100)))
            .chain([answer(None)]);
        let record = record(turns.collect());
        let session = Session::default();
        let report = SessionReport::of(&record, &session).unwrap();
        let spread = Spread {
            count: 20,
            p50_ms: 1_000,
            p95_ms: 1_900,
            max_ms: 2_000,
        };
        assert_eq!(report.latency, BTreeMap::from([("e2e_latency", spread)]));
    }

    #[test]
    fn a_report_has_events_and_usage_beside_the_turns_and_there_is_none_without_a_conversation() {
        let mut session = Session::default();
        assert!(SessionReport::of(&record(Vec::new()), &session).is_none());
        for ms in 0..2_001 {
            session.note(SessionEventKind::AgentStateChanged, Some("listening"), at(ms));
        }
        session.usage = Usage {
            llm_requests: 1,
            ..Usage::default()
        }
        .and(Usage {
            llm_requests: 2,
            tts_characters_count: 7,
            ..Usage::default()
        });
        let record = record(Vec::new());
        let report = SessionReport::of(&record, &session).unwrap().encode();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["events"].as_array().unwrap().len(), 2_000);
        assert_eq!(report["events_left_out"], 1);
        assert_eq!(report["events"][0]["type"], "agent_state_changed");
        assert_eq!(report["events"][0]["detail"], "listening");
        assert_eq!(report["usage"]["llm_requests"], 3);
        assert_eq!(report["usage"]["tts_characters_count"], 7);
        assert_eq!(report["outcome"]["kind"], "completed");
    }

    #[test]
    fn a_report_counts_turns_interruptions_and_failures_and_says_why_and_when_it_was_over() {
        let turns = vec![
            turn(Speaker::Agent, "Hello.", 1_200, None),
            turn(Speaker::Caller, "When do you open", 3_000, None),
            turn(Speaker::Agent, "Tomorrow from nine un", 4_000, Some(700)),
        ];
        let record = record(turns);
        let mut session = Session::default();
        for (kind, detail) in [
            (SessionEventKind::Error, "llm openai"),
            (SessionEventKind::ProviderFallback, "stt openai pocketsphinx"),
            (SessionEventKind::Error, "tts flite"),
            (SessionEventKind::Error, "llm dialogue"),
            (SessionEventKind::FunctionToolsExecuted, "close"),
            (SessionEventKind::Close, "caller_gone"),
        ] {
            session.note(kind, Some(detail), at(5_000));
        }
        let report = SessionReport::of(&record, &session).unwrap().encode();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(
            (&report["user_turns"], &report["interruptions"]),
            (&1.into(), &1.into())
        );
        assert_eq!(
            report["errors"],
            serde_json::json!({"stt": 0, "llm": 2, "tts": 1})
        );
        assert_eq!(report["close_reason"], "caller_gone");
        // From the answer after one second.
        assert_eq!(report["duration_ms"], 89_000);
        assert_eq!(
            (&report["room"], &report["version"]),
            (&"call-x".into(), &1.into())
        );
        assert_eq!(report["sdk_version"], env!("CARGO_PKG_VERSION"));

        // Its worker died.
        session.events.clear();
        let report = SessionReport::of(&record, &session).unwrap().encode();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["close_reason"], serde_json::Value::Null);
    }
}
