//! A dialogue as the language model of a conversation.

use std::sync::Arc;

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Action, Dialogue, Intent, words};
use crate::{
    ChatRequest, Llm, LlmEvent, Message, ProviderError,
    tools::{ToolCall, ToolResult},
};

/// Further back nothing is remembered.
const MAX_TURNS: usize = 200;

/// A [`Dialogue`] that answers. Clones share it.
#[derive(Debug, Clone)]
pub struct Scripted {
    dialogue: Arc<Dialogue>,
}

impl Scripted {
    /// Answers by `dialogue`.
    pub fn new(dialogue: Arc<Dialogue>) -> Self {
        Self { dialogue }
    }
}

impl Llm for Scripted {
    fn name(&self) -> &'static str {
        "dialogue"
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, ProviderError>> {
        let (text, action) = if let Some(Message::Result(result)) = request.messages.last() {
            (self.dialogue.after(&request.messages, result), None)
        } else {
            let (text, action) = self.dialogue.answer(&request.messages);
            (text.to_owned(), action)
        };
        let words = text
            .split_inclusive(' ')
            .map(|word| LlmEvent::Text(word.to_owned()));
        let call = action.map(|Action { tool, arguments }| {
            LlmEvent::Call(ToolCall {
                // One in each message of the history at most, so its place tells it apart.
                id: format!("call_{}", request.messages.len()),
                name: tool.clone(),
                arguments: arguments.clone(),
            })
        });
        let events: Vec<_> = words.chain(call).collect();
        let delay = self.dialogue.word_delay;
        stream::iter(events)
            .then(move |event| async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok(event)
            })
            .boxed()
    }
}

impl Dialogue {
    /// The answer to the last of the caller's messages. The earlier ones tell what is expected, and how often each
    /// reply was given already.
    fn answer(&self, history: &[Message]) -> (&str, Option<&Action>) {
        let mut understood = self.understood(history);
        let last = understood.pop().flatten();
        let before = understood.iter().filter(|intent| **intent == last).count();
        let intent = last.and_then(|at| self.intents.get(at));
        let replies = intent.map_or(&self.fallback, |intent| &intent.replies);
        let text = replies.iter().cycle().nth(before).map_or("", String::as_str);
        (text, intent.and_then(|intent| intent.action.as_ref()))
    }

    /// What is said when the tool that the last answer called has come back.
    fn after(&self, history: &[Message], result: &ToolResult) -> String {
        let tool = history.iter().rev().find_map(|message| match message {
            Message::Calls(calls) => calls.iter().find(|call| call.id == result.id),
            _ => None,
        });
        let called = |intent: &&Intent| {
            let action = intent.action.as_ref();
            action.is_some_and(|action| tool.is_some_and(|tool| tool.name == action.tool))
        };
        let understood = self.understood(history).into_iter().rev().flatten();
        let mut intents = understood.filter_map(|at| self.intents.get(at));
        let intent: Option<&Intent> = intents.find(called);
        let text = if result.is_error {
            let own = intent.and_then(|intent| intent.after_failure.as_ref());
            own.or(self.fallback.first())
        } else {
            intent.and_then(|intent| intent.after.as_ref())
        };
        text.map_or_else(String::new, |text| text.replace("{result}", &result.content))
    }

    /// The intents behind the caller's messages, of which the last is the last.
    fn understood(&self, history: &[Message]) -> Vec<Option<usize>> {
        let said: Vec<&str> = history
            .iter()
            .filter_map(|message| match message {
                Message::User(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let recent = said
            .get(said.len().saturating_sub(MAX_TURNS)..)
            .unwrap_or_default();
        let mut expected: Option<&str> = None;
        let mut understood: Vec<Option<usize>> = Vec::with_capacity(recent.len());
        for text in recent {
            let intent = self.understand(&words(text), expected);
            if let Some(intent) = intent.and_then(|at| self.intents.get(at)) {
                if intent.then.is_some() {
                    expected = intent.then.as_deref();
                } else if intent.when.is_some() {
                    expected = None;
                }
            }
            understood.push(intent);
        }
        understood
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const YAML: &str = "
variables: {day: Monday}
intents:
  - {name: book, phrases: [a room], replies: 'On {day}?', then: day}
  - {name: accept, phrases: ['yes'], when: day, replies: Booked.}
  - {name: 'yes', phrases: ['yes'], replies: [Fine., Good.]}
  - {name: bye, phrases: [goodbye], replies: Bye now., action: end_call}
  - {name: order, phrases: [my order], replies: Let me see., action: {find: {number: A1}}, after: 'It is {result}.'}
  - name: sales
    phrases: [sales]
    replies: One moment.
    action: {transfer_call: {to: sales}}
    after_failure: Nobody is there.
fallback: [Pardon?, Sorry?]
";

    fn answers(said: &[&str]) -> Vec<String> {
        let dialogue = Dialogue::parse(YAML).unwrap();
        let mut history = Vec::new();
        let mut answers = Vec::new();
        for text in said {
            history.push(Message::User((*text).to_owned()));
            let answer = dialogue.answer(&history).0.to_owned();
            history.push(Message::Assistant(answer.clone()));
            answers.push(answer);
        }
        answers
    }

    #[test]
    fn what_is_expected_follows_from_the_history() {
        assert_eq!(
            answers(&["yes", "a room please", "hm", "yes", "yes", "yes"]),
            ["Fine.", "On Monday?", "Pardon?", "Booked.", "Good.", "Fine."]
        );
    }

    #[test]
    fn replies_take_turns() {
        assert_eq!(
            answers(&["x", "y", "", "yes"]),
            ["Pardon?", "Sorry?", "Pardon?", "Fine."]
        );
        assert_eq!(Dialogue::parse(YAML).unwrap().answer(&[]).0, "Pardon?");
    }

    #[tokio::test(start_paused = true)]
    async fn words_are_streamed_with_their_delay_and_the_action_comes_last() {
        let yaml = format!("{YAML}word_delay_ms: 100\n");
        let model = Scripted::new(Arc::new(Dialogue::parse(&yaml).unwrap()));
        let request = ChatRequest {
            system: String::new(),
            messages: vec![Message::User("goodbye".to_owned())],
            tools: Vec::new(),
            language: "en".to_owned(),
        };
        let start = tokio::time::Instant::now();
        let events: Vec<_> = model.chat(request).map(Result::unwrap).collect().await;
        let text = |text: &str| LlmEvent::Text(text.to_owned());
        assert_eq!(
            events,
            [
                text("Bye "),
                text("now."),
                LlmEvent::Call(ToolCall {
                    id: "call_1".to_owned(),
                    name: "end_call".to_owned(),
                    arguments: "{}".to_owned(),
                }),
            ]
        );
        assert_eq!(start.elapsed(), Duration::from_millis(300));
    }

    #[test]
    fn what_follows_a_tool_is_said_with_its_result() {
        let dialogue = Dialogue::parse(YAML).unwrap();
        let after = |said: &str, is_error| {
            let result = ToolResult {
                id: "call_1".to_owned(),
                content: "on its way".to_owned(),
                is_error,
            };
            let history = [Message::User(said.to_owned())];
            let (_, action) = dialogue.answer(&history);
            let call = ToolCall {
                id: result.id.clone(),
                name: action.unwrap().tool.clone(),
                arguments: String::new(),
            };
            let [said] = history;
            // The caller has gone on meanwhile.
            let history = [said, Message::Calls(vec![call]), Message::User("hm".to_owned())];
            dialogue.after(&history, &result)
        };
        let (reply, action) = dialogue.answer(&[Message::User("where is my order".to_owned())]);
        assert_eq!(reply, "Let me see.");
        let action = action.unwrap();
        assert_eq!(
            (action.tool.as_str(), action.arguments.as_str()),
            ("find", r#"{"number":"A1"}"#)
        );
        assert_eq!(after("where is my order", false), "It is on its way.");
        assert_eq!(after("where is my order", true), "Pardon?");
        assert_eq!(after("sales please", false), "");
        assert_eq!(after("sales please", true), "Nobody is there.");
    }
}
