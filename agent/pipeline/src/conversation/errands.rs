//! Tools, as the conversation sees them: those within an utterance, and those that run beside it.

use std::time::Duration;

use providers::tools::{ToolCall, ToolResult};
use tokio::time::Instant;
use turns::{Input, UtteranceId};

use super::{Conversation, replies::HANDOVER};
use crate::stages::StageEvent;

impl Conversation {
    pub(super) fn called(&mut self, utterance: UtteranceId, calls: Vec<ToolCall>, after: &[ToolCall]) {
        let waiting = match (&mut self.preparing, &mut self.playing) {
            (Some(preparing), _) if preparing.utterance == utterance => &mut preparing.after,
            (_, Some(playing)) if playing.utterance == utterance => &mut playing.after,
            // It was cut off in this moment, before the model was asked anything else.
            _ => return,
        };
        self.was_handed_over |= after.iter().any(|call| call.id == HANDOVER);
        waiting.extend_from_slice(after);
        let limit = self.longest(calls.iter().filter(|call| !after.contains(call)));
        let at = self.started.elapsed();
        self.ledger.called(utterance, calls, after, &self.tools, at);
        let utterance = Some(utterance);
        self.input(Input::Tools { utterance, limit });
    }

    /// A tool within the utterance has come back.
    pub(super) fn returned(&mut self, utterance: UtteranceId, result: ToolResult, took: Duration) {
        self.ledger.returned(utterance, result, took);
        if !self.ledger.awaits(utterance) {
            let (utterance, limit) = (Some(utterance), Duration::ZERO);
            self.input(Input::Tools { utterance, limit });
        }
    }

    /// Runs tools that have waited for the agent to be heard, side by side.
    pub(super) fn run_tools(&mut self, calls: Vec<ToolCall>) {
        let limit = self.longest(calls.iter());
        if !calls.is_empty() {
            let utterance = None;
            self.errands += calls.len();
            self.input(Input::Tools { utterance, limit });
        }
        for call in calls {
            let (tools, events, token) = (
                self.tools.clone(),
                self.stage_events.0.clone(),
                self.cancel.child_token(),
            );
            self.tasks.spawn(async move {
                let called = Instant::now();
                if let Some(result) = token.run_until_cancelled(tools.call(&call)).await {
                    let took = called.elapsed();
                    let _ = events.send(StageEvent::Acted { result, took }).await;
                }
            });
        }
    }

    /// A tool beside the conversation has come back.
    pub(super) fn acted(&mut self, result: ToolResult, took: Duration) {
        // An empty result is one that nothing is to be said about. Otherwise, if somebody speaks just now, the next reply knows of it,
        // or else it is said afterwards.
        self.has_news |= !result.content.is_empty();
        let current = self.playing.as_ref().map(|it| it.utterance);
        let current = current.or(self.preparing.as_ref().map(|it| it.utterance));
        self.ledger.acted(current, result, took);
        self.errands = self.errands.saturating_sub(1);
        if self.errands == 0 {
            let (utterance, limit) = (None, Duration::ZERO);
            self.input(Input::Tools { utterance, limit });
        }
        self.act();
    }

    fn longest<'a>(&self, calls: impl Iterator<Item = &'a ToolCall>) -> Duration {
        let limits = calls.map(|call| self.tools.limit(&call.name));
        limits.max().unwrap_or_default()
    }
}
