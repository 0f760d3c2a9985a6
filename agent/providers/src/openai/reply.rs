//! A reply of a language model, put together from what its stream brings.

use std::collections::VecDeque;

use super::{
    NAME, failure,
    wire::{ChatChunk, Delta, Function, TokenUsage},
};
use crate::{LlmEvent, ProviderError, tools::ToolCall};

/// Tool calls that a reply may have.
const MAX_TOOL_CALLS: usize = 16;
/// A longer name or id is of no tool.
const MAX_NAME_BYTES: usize = 256;
/// More than any tool takes.
const MAX_ARGUMENTS_BYTES: usize = 256 << 10;
/// Opens and closes what reasoning models think aloud where a server does not separate it.
const THOUGHT: (&str, &str) = ("<think>", "</think>");

/// The text comes out as it comes in; the tool calls, if there are any, at the end.
#[derive(Default)]
pub(super) struct Reply {
    calls: Vec<Building>,
    thought: Thought,
    has_text: bool,
    usage: Option<TokenUsage>,
    finished: bool,
}

/// A tool call whose pieces come one after the other.
struct Building {
    index: u32,
    call: ToolCall,
}

impl Reply {
    /// Whether the model has said that it is finished.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes the data of one event.
    pub(super) fn take(&mut self, data: &str, out: &mut VecDeque<LlmEvent>) -> Result<(), ProviderError> {
        if data == "[DONE]" {
            self.finished = true;
            return Ok(());
        }
        // Such as `ping` and `: processing`.
        if !data.starts_with('{') {
            return Ok(());
        }
        let chunk: ChatChunk = serde_json::from_str(data).map_err(|error| ProviderError::Protocol {
            provider: NAME,
            // The error's own text would quote the reply.
            reason: format!("an event that is no JSON, at byte {}", error.column()),
        })?;
        if let Some(error) = chunk.error.into_error() {
            return Err(failure::in_stream(&error));
        }
        self.usage = chunk.usage.or(self.usage);
        // Only one was asked for. There is none in the event that tells the usage.
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        // Some servers write an empty one into every event.
        self.finished |= choice.finish_reason.is_some_and(|reason| !reason.is_empty());
        if let Some(delta) = choice.delta.or(choice.message) {
            self.take_delta(delta, out);
        }
        Ok(())
    }

    /// What is left when the stream has ended. A reply with neither text nor call is a failure: it would leave the
    /// caller in silence.
    pub(super) fn finish(&mut self, out: &mut VecDeque<LlmEvent>) -> Result<(), ProviderError> {
        let rest = self.thought.finish();
        self.say(rest, out);
        let mut has_calls = false;
        for (at, Building { mut call, .. }) in self.calls.drain(..).enumerate() {
            if call.name.is_empty() {
                continue;
            }
            if call.id.is_empty() {
                call.id = format!("call_{at}");
            }
            has_calls = true;
            out.push_back(LlmEvent::Call(call));
        }
        if !has_calls && !self.has_text {
            return Err(ProviderError::Protocol {
                provider: NAME,
                reason: "an empty reply".to_owned(),
            });
        }
        if let Some(usage) = self.usage.take() {
            out.push_back(LlmEvent::Usage {
                prompt: usage.prompt_tokens,
                cached: usage.prompt_tokens_details.cached_tokens,
                completion: usage.completion_tokens,
            });
        }
        Ok(())
    }

    fn take_delta(&mut self, delta: Delta, out: &mut VecDeque<LlmEvent>) {
        let Delta {
            content,
            refusal,
            tool_calls,
            function_call,
        } = delta;
        for text in [content, refusal] {
            let text = self.thought.leave_out(text);
            self.say(text, out);
        }
        for call in tool_calls {
            self.take_call(call.index, &call.id, &call.function);
        }
        if let Some(function) = function_call {
            self.take_call(u32::MAX, "", &function);
        }
    }

    fn take_call(&mut self, index: u32, id: &str, function: &Function) {
        // Calls without an index all count as the first. Another id, or a name after whole arguments, begins another call.
        let continues = |Building { index: known, call }: &Building| {
            let is_same = id.is_empty() || call.id.is_empty() || call.id == id;
            let is_open = function.name.is_empty() || call.arguments.is_empty();
            *known == index && is_same && is_open
        };
        let at = self.calls.iter().rposition(continues).unwrap_or(self.calls.len());
        if at == self.calls.len() && at < MAX_TOOL_CALLS {
            let call = ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            };
            self.calls.push(Building { index, call });
        }
        let Some(Building { call, .. }) = self.calls.get_mut(at) else {
            return;
        };
        if call.id.is_empty() && id.len() <= MAX_NAME_BYTES {
            id.clone_into(&mut call.id);
        }
        // A name that is repeated whole with every piece is no name in pieces.
        if call.name != function.name && call.name.len() + function.name.len() <= MAX_NAME_BYTES {
            call.name.push_str(&function.name);
        }
        if call.arguments.len() + function.arguments.len() <= MAX_ARGUMENTS_BYTES {
            call.arguments.push_str(&function.arguments);
        }
    }

    fn say(&mut self, text: String, out: &mut VecDeque<LlmEvent>) {
        if !text.is_empty() {
            self.has_text |= !text.trim().is_empty();
            out.push_back(LlmEvent::Text(text));
        }
    }
}

/// Leaves out a thought at the beginning of a reply.
#[derive(Default)]
enum Thought {
    /// What has come may still turn out to be one.
    #[default]
    Unknown,
    Beginning(String),
    Within(String),
    Over,
}

impl Thought {
    /// `text` without what belongs to the thought.
    fn leave_out(&mut self, text: String) -> String {
        let (open, close) = THOUGHT;
        let so_far = match std::mem::take(self) {
            Self::Over => {
                *self = Self::Over;
                return text;
            }
            Self::Unknown => text,
            Self::Beginning(so_far) => so_far + &text,
            Self::Within(so_far) => return self.look_for_end(&(so_far + &text), close),
        };
        let start = so_far.trim_start();
        if let Some(thought) = start.strip_prefix(open) {
            let thought = thought.to_owned();
            return self.look_for_end(&thought, close);
        }
        if open.starts_with(start) {
            *self = Self::Beginning(so_far);
            return String::new();
        }
        *self = Self::Over;
        so_far
    }

    /// What looked like the beginning of a thought and was none.
    fn finish(&mut self) -> String {
        match std::mem::replace(self, Self::Over) {
            Self::Beginning(text) => text,
            _ => String::new(),
        }
    }

    fn look_for_end(&mut self, thought: &str, close: &str) -> String {
        if let Some((_, after)) = thought.split_once(close) {
            let after = after.trim_start().to_owned();
            *self = if after.is_empty() {
                Self::Unknown
            } else {
                Self::Over
            };
            return after;
        }
        // Only as much as may be the beginning of the end is kept.
        let tail: String = thought.chars().rev().take(close.len() - 1).collect();
        *self = Self::Within(tail.chars().rev().collect());
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&str]) -> String {
        let mut thought = Thought::default();
        let mut said: String = pieces
            .iter()
            .map(|piece| thought.leave_out((*piece).to_owned()))
            .collect();
        said.push_str(&thought.finish());
        said
    }

    #[test]
    fn a_thought_at_the_beginning_is_not_said() {
        assert_eq!(
            said(&["Hello", " <think>you</think>"]),
            "Hello <think>you</think>"
        );
        assert_eq!(
            said(&["\n<thi", "nk>The caller", " says </thi", "nk>\n\nHel", "lo"]),
            "Hello"
        );
        assert_eq!(said(&["<think>", "</think>", "\n\n", "Hello"]).trim(), "Hello");
        assert_eq!(said(&["<th"]), "<th");
        assert_eq!(said(&["<think>never ending"]), "");
    }
}
