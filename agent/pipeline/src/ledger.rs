//! What was said, and who is told of it: history, turns, events, recording gate.

use std::time::Duration;

use providers::{
    Message, ProviderError,
    tools::{ToolCall, ToolResult, Toolbox},
};
use tokio::sync::mpsc;
use turns::UtteranceId;

use crate::CallerAudio;
use crate::RecordingPolicy;
use crate::report::{
    Caption, ConversationEvent, ConversationReport, EndReason, Said, Speaker, SpokenTurn, ToolUse,
};
use crate::stages::{Remedy, Stage, Troubled};
use crate::text::is_affirmative;
use crate::tools::{interrupted, under_way};
use crate::usage::Usage;

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
    exchanges: Vec<Exchange>,
    failures: Vec<Stage>,
    recoveries: Vec<(Stage, Remedy)>,
    recording: RecordingPolicy,
    recording_from: Option<Duration>,
}

/// Tools that were called at once, and what became of them.
struct Exchange {
    utterance: UtteranceId,
    place: Place,
    /// Whether it only tells once more of a call whose result came late.
    is_echo: bool,
    calls: Vec<Called>,
}

/// Where an exchange stands among the turns.
#[derive(Clone, Copy)]
enum Place {
    /// Before the agent's turn that is to come, when so many turns were over.
    Within(usize),
    /// Behind that turn, which is not over yet.
    Behind,
    /// Behind so many turns.
    After(usize),
}

impl Place {
    /// Whether its calls wait for the agent to be heard.
    fn waits(self) -> bool {
        !matches!(self, Self::Within(_))
    }

    /// Whether it comes before the turn `at`.
    fn is_before(self, at: usize, is_agents: bool) -> bool {
        match self {
            // What was called while nobody knew yet that the caller's turn was over, belongs behind it.
            Self::Within(turns) => turns < at || (turns == at && is_agents),
            Self::Behind => false,
            Self::After(turns) => turns <= at,
        }
    }
}

struct Called {
    call: ToolCall,
    /// Whether there is such a tool: what a model makes up is kept out of reports.
    is_known: bool,
    at: Duration,
    result: Option<ToolResult>,
    took: Option<Duration>,
    is_error: bool,
}

impl Called {
    fn tool_use(&self) -> ToolUse {
        ToolUse {
            name: if self.is_known {
                self.call.name.clone()
            } else {
                "unknown".to_owned()
            },
            called_at: self.at,
            took: self.took,
            is_error: self.is_error,
        }
    }

    fn waits_for(&self, result: &ToolResult) -> bool {
        self.call.id == result.id && self.result.is_none()
    }

    fn returned(&mut self, result: ToolResult, took: Duration) {
        self.took = Some(took);
        self.is_error = result.is_error;
        self.result = Some(result);
    }

    /// The same once more, with the result that came late.
    fn echo(&self, result: ToolResult) -> Self {
        let id = format!("{}_result", self.call.id);
        Self {
            call: ToolCall {
                id: id.clone(),
                ..self.call.clone()
            },
            is_known: self.is_known,
            at: self.at,
            is_error: result.is_error,
            result: Some(ToolResult { id, ..result }),
            took: self.took,
        }
    }
}

impl Ledger {
    pub(crate) fn new(
        events: mpsc::Sender<ConversationEvent>,
        recording: RecordingPolicy,
        mut earlier: Vec<Said>,
    ) -> Self {
        let too_many = earlier.len().saturating_sub(MAX_MESSAGES);
        earlier.drain(..too_many);
        let (turns, exchanges, failures) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            events,
            lost_events: 0,
            earlier,
            turns,
            exchanges,
            failures,
            recoveries: Vec::new(),
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

    /// Tells words while they are said, as long as there is ample room: what belongs into the record goes first.
    pub(crate) fn caption(&mut self, caption: Caption) {
        if self.events.capacity() > self.events.max_capacity() / 2 {
            self.tell(ConversationEvent::Caption(caption));
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

    pub(crate) fn failed(&mut self, stage: Stage, error: &ProviderError, at: Duration) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(stage);
        }
        self.tell(ConversationEvent::Failed {
            stage,
            provider: error.provider(),
            reason: error.to_string(),
            at,
        });
    }

    /// Notes a failure that was made up for.
    pub(crate) fn recovered(&mut self, troubled: Troubled, at: Duration) {
        let Troubled {
            stage,
            provider,
            reason,
            remedy,
        } = troubled;
        if self.recoveries.len() < MAX_FAILURES {
            self.recoveries.push((stage, remedy));
        }
        self.tell(ConversationEvent::Recovered {
            stage,
            provider,
            reason,
            remedy,
            at,
        });
    }

    /// Notes tools that the model called; those of `after` wait for the agent to be heard.
    pub(crate) fn called(
        &mut self,
        utterance: UtteranceId,
        calls: Vec<ToolCall>,
        after: &[ToolCall],
        tools: &Toolbox,
        at: Duration,
    ) {
        let (waiting, now): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| after.contains(call));
        let called = |call: ToolCall| Called {
            is_known: tools.has(&call.name),
            call,
            at,
            result: None,
            took: None,
            is_error: true,
        };
        let place = Place::Within(self.turns.len());
        for (calls, place) in [(now, place), (waiting, Place::Behind)] {
            if !calls.is_empty() {
                self.exchanges.push(Exchange {
                    utterance,
                    place,
                    is_echo: false,
                    calls: calls.into_iter().map(called).collect(),
                });
            }
        }
    }

    /// Notes what a tool has given back that ran within the utterance.
    pub(crate) fn returned(&mut self, utterance: UtteranceId, result: ToolResult, took: Duration) {
        let own = self.exchanges.iter_mut();
        let own = own.filter(|it| it.utterance == utterance && !it.place.waits());
        let mut calls = own.flat_map(|exchange| &mut exchange.calls);
        let Some(called) = calls.find(|called| called.waits_for(&result)) else {
            return;
        };
        called.returned(result, took);
        let tool_use = called.tool_use();
        self.tell(ConversationEvent::Tool(tool_use));
    }

    /// Whether a tool that runs within the utterance has not come back.
    pub(crate) fn awaits(&self, utterance: UtteranceId) -> bool {
        let own = self.exchanges.iter();
        let own = own.filter(|it| it.utterance == utterance && !it.place.waits());
        own.flat_map(|exchange| &exchange.calls)
            .any(|called| called.result.is_none())
    }

    /// Notes what a tool has given back that had waited for the agent to be heard. `current`: what the agent says or is about to say.
    pub(crate) fn acted(&mut self, current: Option<UtteranceId>, result: ToolResult, took: Duration) {
        let turns = self.turns.len();
        let mut waiting = self.exchanges.iter_mut().filter(|it| it.place.waits());
        let found = waiting.find_map(|exchange| {
            let (own, place) = (exchange.utterance, exchange.place);
            let mut calls = exchange.calls.iter_mut();
            let called = calls.find(|called| called.waits_for(&result))?;
            Some((own, place, called))
        });
        let Some((own, place, called)) = found else { return };
        let has_gone_on = current.is_some() || !matches!(place, Place::After(after) if after == turns);
        called.returned(result.clone(), took);
        let tool_use = called.tool_use();
        if has_gone_on {
            // A result far behind would not be seen.
            called.result = Some(under_way(&called.call));
            let echo = called.echo(result);
            let place = current.map_or(Place::After(turns), |_| Place::Behind);
            self.exchanges.push(Exchange {
                utterance: current.unwrap_or(own),
                place,
                is_echo: true,
                calls: vec![echo],
            });
        }
        self.tell(ConversationEvent::Tool(tool_use));
    }

    /// The utterance is over: what it announced stands behind it, and what has not come back within it will not. Unless it `was_heard` to
    /// its end, what waited for that will not either.
    pub(crate) fn over(&mut self, utterance: UtteranceId, was_heard: bool) {
        let turns = self.turns.len();
        let mut uses = Vec::new();
        for exchange in self.exchanges.iter_mut().filter(|it| it.utterance == utterance) {
            let waits = exchange.place.waits();
            if matches!(exchange.place, Place::Behind) {
                exchange.place = Place::After(turns);
            }
            if waits && was_heard {
                continue;
            }
            for called in exchange.calls.iter_mut().filter(|called| called.result.is_none()) {
                called.result = Some(interrupted(&called.call, !waits));
                uses.push(called.tool_use());
            }
        }
        for tool_use in uses {
            self.tell(ConversationEvent::Tool(tool_use));
        }
    }

    /// The history for the model, which ends with `words`, the caller's, if there are any.
    pub(crate) fn messages(&self, words: Option<&str>) -> Vec<Message> {
        let message = |(speaker, text): (Speaker, &str)| match speaker {
            Speaker::User => Message::User(text.to_owned()),
            Speaker::Agent => Message::Assistant(text.to_owned()),
        };
        let earlier = self.earlier.iter().map(|said| (said.speaker, said.text.as_str()));
        let mut messages: Vec<_> = earlier.map(message).collect();
        let mut exchanges = self.exchanges.iter().peekable();
        for (at, turn) in self.turns.iter().enumerate() {
            let is_agents = turn.speaker == Speaker::Agent;
            while let Some(exchange) = exchanges.next_if(|it| it.place.is_before(at, is_agents)) {
                exchange.tell(&mut messages);
            }
            messages.push(message((turn.speaker, &turn.text)));
        }
        exchanges.for_each(|exchange| exchange.tell(&mut messages));
        messages.extend(words.map(|words| Message::User(words.to_owned())));
        messages.retain(|message| !message.is_empty());
        let skipped = messages.len().saturating_sub(MAX_MESSAGES);
        // A result without its call is no history.
        let skipped = skipped
            + messages
                .iter()
                .skip(skipped)
                .take_while(|message| matches!(message, Message::Result(_)))
                .count();
        messages.drain(..skipped);
        messages
    }

    /// Everything, oldest first.
    fn said(&self) -> impl Iterator<Item = (Speaker, &str)> {
        let earlier = self.earlier.iter().map(|said| (said.speaker, said.text.as_str()));
        earlier.chain(self.turns.iter().map(|turn| (turn.speaker, turn.text.as_str())))
    }

    fn tools(&self) -> Vec<ToolUse> {
        let own = self.exchanges.iter().filter(|it| !it.is_echo);
        own.flat_map(|it| &it.calls).map(Called::tool_use).collect()
    }

    pub(crate) fn close(
        mut self,
        reason: EndReason,
        (usage, caller_audio): (Usage, CallerAudio),
        at: Duration,
    ) -> ConversationReport {
        self.tell(ConversationEvent::Ended { reason, at });
        let tools = self.tools();
        ConversationReport {
            reason,
            duration: at,
            turns: self.turns,
            tools,
            recording_from: self.recording_from,
            usage,
            caller_audio,
            failures: self.failures,
            recoveries: self.recoveries,
            lost_events: self.lost_events,
        }
    }
}

impl Exchange {
    /// Each call with its result, also when there is none yet.
    fn tell(&self, messages: &mut Vec<Message>) {
        messages.push(Message::Calls(
            self.calls.iter().map(|called| called.call.clone()).collect(),
        ));
        let results = self.calls.iter().map(|called| {
            let result = called.result.clone();
            Message::Result(result.unwrap_or_else(|| under_way(&called.call)))
        });
        messages.extend(results);
    }
}
