//! What was said, and who is told of it: history, turns, events, recording gate.

use std::time::Duration;

use providers::{Message, Role};
use tokio::sync::mpsc;

use crate::RecordingPolicy;
use crate::report::{ConversationEvent, ConversationReport, EndReason, Said, Speaker, SpokenTurn};
use crate::stages::Stage;
use crate::text::is_affirmative;

/// The most recent messages that a model is asked with; older ones stay in the report.
const MAX_MESSAGES: usize = 200;
/// Failures that a report lists.
const MAX_FAILURES: usize = 1000;

/// The conversation's memory. Only what was recognised and what was heard gets in.
pub(crate) struct Ledger {
    events: mpsc::Sender<ConversationEvent>,
    lost_events: u64,
    /// What was said before this conversation began.
    earlier: Vec<Said>,
    turns: Vec<SpokenTurn>,
    failures: Vec<Stage>,
    recording: RecordingPolicy,
    recording_from: Option<Duration>,
}

impl Ledger {
    pub(crate) fn new(
        events: mpsc::Sender<ConversationEvent>,
        recording: RecordingPolicy,
        mut earlier: Vec<Said>,
    ) -> Self {
        let too_many = earlier.len().saturating_sub(MAX_MESSAGES);
        earlier.drain(..too_many);
        let (turns, failures) = (Vec::new(), Vec::new());
        Self {
            events,
            lost_events: 0,
            earlier,
            turns,
            failures,
            recording,
            recording_from: None,
        }
    }

    /// Tells without waiting: a listener that is slow loses events, the caller loses nothing.
    pub(crate) fn tell(&mut self, event: ConversationEvent) {
        if self.events.try_send(event).is_err() {
            self.lost_events += 1;
        }
    }

    /// Notes a turn. Returns true when the caller's words have opened the recording gate.
    pub(crate) fn turn(&mut self, turn: SpokenTurn, at: Duration) -> bool {
        let is_first = turn.speaker == Speaker::User && !self.said().any(|(who, _)| who == Speaker::User);
        let consents =
            is_first && self.recording == RecordingPolicy::AfterConsent && is_affirmative(&turn.text);
        self.turns.push(turn.clone());
        self.tell(ConversationEvent::Turn(turn));
        consents && self.open_gate(at)
    }

    /// Notes that the conversation begins; true when the recording gate opens with it.
    pub(crate) fn begin(&mut self, at: Duration) -> bool {
        self.recording == RecordingPolicy::Always && self.open_gate(at)
    }

    /// Notes that the whole greeting was played out; true when that has opened the recording gate.
    pub(crate) fn greeted(&mut self, at: Duration) -> bool {
        self.recording == RecordingPolicy::AfterNotice && self.open_gate(at)
    }

    fn open_gate(&mut self, at: Duration) -> bool {
        if self.recording_from.is_some() {
            return false;
        }
        self.recording_from = Some(at);
        self.tell(ConversationEvent::RecordingGateOpened { at });
        true
    }

    pub(crate) fn failed(&mut self, stage: Stage, reason: String, at: Duration) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(stage);
        }
        self.tell(ConversationEvent::Failed { stage, reason, at });
    }

    /// The history for the model, which ends with `words`, the caller's.
    pub(crate) fn messages(&self, words: &str) -> Vec<Message> {
        let earlier = self.said().map(|(speaker, text)| {
            let role = match speaker {
                Speaker::User => Role::User,
                Speaker::Agent => Role::Assistant,
            };
            Message {
                role,
                text: text.to_owned(),
            }
        });
        let skipped = (self.earlier.len() + self.turns.len()).saturating_sub(MAX_MESSAGES);
        let last = Message {
            role: Role::User,
            text: words.to_owned(),
        };
        earlier
            .skip(skipped)
            .chain([last])
            .filter(|message| !message.text.is_empty())
            .collect()
    }

    /// Everything, oldest first.
    fn said(&self) -> impl Iterator<Item = (Speaker, &str)> {
        let earlier = self.earlier.iter().map(|said| (said.speaker, said.text.as_str()));
        earlier.chain(self.turns.iter().map(|turn| (turn.speaker, turn.text.as_str())))
    }

    pub(crate) fn close(mut self, reason: EndReason, at: Duration) -> ConversationReport {
        self.tell(ConversationEvent::Ended { reason, at });
        ConversationReport {
            reason,
            duration: at,
            turns: self.turns,
            recording_from: self.recording_from,
            failures: self.failures,
            lost_events: self.lost_events,
        }
    }
}
