//! The conversation of a meeting: how it begins, with what, and what its end means.

use std::sync::Arc;

use events::Step;
use pipeline::{
    Conversation, ConversationReport, EarshotDetector, EndReason, Profile, RecordingPolicy, Said,
};
use providers::tools::Toolbox;
use tokio::sync::mpsc;

use super::super::{
    End,
    observe::Observer,
    tools::{Line, collect_dtmf, send_dtmf},
};
use super::{Meeting, WAITING_KEYS};
use crate::recording::Recorder;

impl Meeting<'_> {
    /// Starts the conversation, once.
    pub(super) fn begin_to_talk(&mut self) -> Option<End> {
        let (pre_roll, heard) = self.heard.begin()?;
        let mut profile = self.agent.profile.clone();
        let now = self.call.setup.now();
        // An heir may come to a call whose answer nobody saw; it knows then that the caller is heard.
        if self.call.journal.record().answered_at.is_none() {
            self.call.journal.record_mut().answered_at = Some(now);
            self.call.journal.step(Step::Answered, now);
        }
        let earlier = self.earlier();
        if earlier.is_some() && self.call.journal.record().recording.is_some() {
            // The recording goes on where its gate was open.
            profile.recording = RecordingPolicy::Always;
        }
        let tap = self.recorder(profile.recording);
        let (controls, controlled) = mpsc::channel(WAITING_KEYS);
        self.controls = Some(controls);
        let setup = pipeline::Setup {
            profile: Arc::new(profile),
            earlier,
            stt: self.agent.stt.clone(),
            llm: self.agent.llm.clone(),
            tts: self.agent.tts.clone(),
            tools: self.tools(),
            phrases: self.agent.phrases.clone(),
            detector: Box::new(EarshotDetector::default()),
            turn_hint: None,
            controls: Some(controlled),
            heard,
            pre_roll,
            audio_out: Box::new(self.room.speaker.clone()),
            tap,
            events: self.news.0.clone(),
            cancel: self.cancel.clone(),
        };
        let conversation = match Conversation::new(setup) {
            Ok(conversation) => conversation,
            Err(error) => return Some(End::Broken(error.to_string())),
        };
        self.observer
            .began(self.call.setup.now(), self.call.journal.record());
        self.talk.spawn(conversation.run());
        None
    }

    /// What the agent can do in every call, and what it can do in this one.
    fn tools(&self) -> Toolbox {
        let Profile { transfers, dtmf, .. } = &self.agent.profile;
        let mut tools = Vec::new();
        if let Some(transfers) = transfers {
            let line = Line {
                livekit: self.call.setup.livekit.clone(),
                policy: self.call.setup.targets.clone(),
                room: self.call.job.room.as_str().to_owned(),
                phone: self.presence.phone(),
            };
            tools.push(self.transfer.tool(line, transfers.clone()));
        }
        if *dtmf {
            tools.push(send_dtmf(self.room.room.clone()));
            tools.push(collect_dtmf(self.keypad.clone()));
        }
        // Names that two have were a fault of the profile, before any call.
        self.agent.tools.with(tools).unwrap_or_else(|faults| {
            tracing::error!(%faults, "the agent goes without tools");
            self.agent.tools.clone()
        })
    }

    /// What an earlier holder of the call left of the conversation; `None` when it had not begun.
    fn earlier(&self) -> Option<Vec<Said>> {
        let record = self.call.journal.record();
        let is_taken_over = self.call.generation > 1;
        let began = |entry: &events::TimelineEntry| {
            matches!(
                entry.step,
                Step::GreetingStarted | Step::AgentTurn | Step::UserTurn
            )
        };
        (is_taken_over && record.timeline.iter().any(began)).then(|| Observer::said(record))
    }

    fn recorder(&mut self, policy: RecordingPolicy) -> Option<Box<dyn pipeline::Tap>> {
        if policy == RecordingPolicy::Off {
            return None;
        }
        let key = events::keys::recording(self.call.job.created_at, &self.call.job.call);
        let store = self.call.setup.terms.store.clone();
        let (recorder, tap) =
            Recorder::start(store, key, self.call.generation, self.delays, &self.call.tasks);
        self.recorder = Some(recorder);
        Some(Box::new(tap))
    }

    pub(super) fn talked(&mut self, report: Result<ConversationReport, tokio::task::JoinError>) -> End {
        let Ok(report) = report else {
            return End::Broken("the conversation's task has panicked or was aborted".to_owned());
        };
        self.observer.reported(&mut self.call.journal, &report);
        match report.reason {
            EndReason::AgentEnded => End::Goodbye,
            EndReason::Idle | EndReason::CallerAway | EndReason::TimeUp => End::GaveUp,
            EndReason::CallerGone => End::CallerLeft { cause: None },
            EndReason::ProvidersFailed => End::Broken("providers failed too often".to_owned()),
            EndReason::AudioOutFailed => End::Broken("the agent's audio had nowhere to go".to_owned()),
            EndReason::Cancelled => End::Stopped,
        }
    }
}
