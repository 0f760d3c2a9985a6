//! A dialogue as the language model of a conversation.

use std::sync::Arc;

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Dialogue, words};
use crate::{Action, ChatRequest, Llm, LlmEvent, Message, ProviderError, Role};

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
        let (text, action) = self.dialogue.answer(&request.messages);
        let words = text
            .split_inclusive(' ')
            .map(|word| LlmEvent::Text(word.to_owned()));
        let events: Vec<_> = words.chain(action.map(LlmEvent::Action)).collect();
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
    fn answer(&self, history: &[Message]) -> (&str, Option<Action>) {
        let said: Vec<&Message> = history
            .iter()
            .filter(|message| message.role == Role::User)
            .collect();
        let recent = said
            .get(said.len().saturating_sub(MAX_TURNS)..)
            .unwrap_or_default();
        let mut expected: Option<&str> = None;
        let mut understood: Vec<Option<usize>> = Vec::with_capacity(recent.len());
        for message in recent {
            let intent = self.understand(&words(&message.text), expected);
            if let Some(intent) = intent.and_then(|at| self.intents.get(at)) {
                if intent.then.is_some() {
                    expected = intent.then.as_deref();
                } else if intent.when.is_some() {
                    expected = None;
                }
            }
            understood.push(intent);
        }
        let last = understood.pop().flatten();
        let before = understood.iter().filter(|intent| **intent == last).count();
        let intent = last.and_then(|at| self.intents.get(at));
        let replies = intent.map_or(&self.fallback, |intent| &intent.replies);
        let text = replies.iter().cycle().nth(before).map_or("", String::as_str);
        (text, intent.and_then(|intent| intent.action))
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
fallback: [Pardon?, Sorry?]
";

    fn answers(said: &[&str]) -> Vec<String> {
        let dialogue = Dialogue::parse(YAML).unwrap();
        let mut history = Vec::new();
        let mut answers = Vec::new();
        for text in said {
            history.push(Message {
                role: Role::User,
                text: (*text).to_owned(),
            });
            let answer = dialogue.answer(&history).0.to_owned();
            history.push(Message {
                role: Role::Assistant,
                text: answer.clone(),
            });
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
            messages: vec![Message {
                role: Role::User,
                text: "goodbye".to_owned(),
            }],
            language: "en".to_owned(),
        };
        let start = tokio::time::Instant::now();
        let events: Vec<_> = model.chat(request).map(Result::unwrap).collect().await;
        let text = |text: &str| LlmEvent::Text(text.to_owned());
        assert_eq!(
            events,
            [text("Bye "), text("now."), LlmEvent::Action(Action::EndCall)]
        );
        assert_eq!(start.elapsed(), Duration::from_millis(300));
    }
}
