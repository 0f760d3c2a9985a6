//! What the agent says: replies, the opening, prompts, apologies, each in a task of its own.

use std::time::Duration;

use providers::{ChatRequest, tools::ToolCall};
use tokio::sync::mpsc;
use turns::{Prompt, TurnId, UtteranceId};

use super::{Conversation, Opening, Preparing};
use crate::reply::{OnFailure, Reply, Script};
use crate::report::Latency;
use crate::speech::Speech;
use crate::tools::{MAX_STEPS, end_call};

/// The call by which the agent hands its caller to somebody else because it can no longer serve them.
pub(super) const HANDOVER: &str = "handover";
/// Sound that may wait between synthesis and playout, in pieces of 100 ms.
const WAITING_PIECES: usize = 30;

impl Conversation {
    pub(super) fn end_of_turn(&mut self, turn: TurnId, reply: UtteranceId, last_voice: Duration) {
        self.spoke_up = 0;
        self.hearing.end(turn);
        let delay = self.now().saturating_sub(last_voice);
        let mut latency = Latency::default();
        if let Some(user) = self.user.as_mut().filter(|user| user.id == turn) {
            user.last_voice = last_voice;
            user.latency.end_of_turn_delay = Some(delay);
            latency = user.latency;
        }
        self.preparing = Some(Preparing {
            answers: Some(turn),
            last_voice: Some(last_voice),
            latency,
            ..Preparing::new(reply, self.cancel.child_token())
        });
        self.reply_when_possible();
    }

    /// The agent speaks of itself: first of all, and then when a tool that it did not wait for has come back.
    pub(super) fn open(&mut self, utterance: UtteranceId) {
        let is_opening = !std::mem::replace(&mut self.has_opened, true);
        self.preparing = Some(Preparing {
            is_opening,
            ..Preparing::new(utterance, self.cancel.child_token())
        });
        let script = match &self.opening {
            Some(Opening::Greeting(phrase) | Opening::Bridge(phrase)) if is_opening => {
                Script::Phrase(phrase.clone())
            }
            _ => {
                let mut request = self.request(None);
                self.has_news = false;
                self.spoke_up += 1;
                if self.spoke_up > MAX_STEPS {
                    // Nobody has said anything since: a model could go on like this for ever.
                    request.tools.clear();
                }
                Script::Chat(request)
            }
        };
        self.start_reply(script, self.on_failure());
    }

    pub(super) fn request(&self, words: Option<&str>) -> ChatRequest {
        let mut tools = self.tools.specs();
        tools.push(end_call());
        ChatRequest {
            system: self.profile.prompt.clone(),
            messages: self.ledger.messages(words),
            tools,
            language: self.profile.language.clone(),
        }
    }

    /// What the machine wants to be said because of the time.
    pub(super) fn prompt(&mut self, utterance: UtteranceId, prompt: Prompt) {
        self.preparing = Some(Preparing::new(utterance, self.cancel.child_token()));
        let phrase = match prompt {
            Prompt::Away => self.profile.reprompt.clone().unwrap_or_default(),
            Prompt::AwayGoodbye => self.profile.away_goodbye.clone(),
            Prompt::TimeUp => self.profile.time_up.clone(),
        };
        self.start_reply(Script::Phrase(phrase), self.on_failure());
    }

    /// Starts the reply as soon as the turn has ended, its words are known, and what was heard of the utterance that
    /// it interrupted is in the history.
    pub(super) fn reply_when_possible(&mut self) {
        let (Some(preparing), None) = (&self.preparing, &self.playing) else {
            return;
        };
        let Some(user) = self
            .user
            .as_ref()
            .filter(|user| preparing.answers == Some(user.id))
        else {
            return;
        };
        if preparing.pieces.is_some() {
            return;
        }
        match &user.transcript {
            None => {}
            Some(Ok(words)) => {
                let request = self.request(Some(words));
                self.has_news = false;
                self.start_reply(Script::Chat(request), self.on_failure());
            }
            Some(Err(_)) => {
                // The failure is counted already, so this is about itself, not about the next one.
                let mut apology = self.apology(self.errors);
                let utterance = preparing.utterance;
                let is_last = apology.ends_call || apology.transfer.is_some();
                if let Some(keypad) = self.profile.keypad.as_ref().filter(|_| !is_last) {
                    self.takes_keys = true;
                    apology.phrase.clone_from(&keypad.say);
                }
                self.start_reply(Script::Phrase(apology.phrase.clone()), apology.clone());
                if let Some(preparing) = &mut self.preparing {
                    preparing.has_failed = true;
                }
                if apology.ends_call {
                    self.machine
                        .handle(turns::Input::Closing { utterance }, self.started.elapsed());
                }
                if let Some(transfer) = apology.transfer {
                    self.called(utterance, vec![transfer.clone()], &[transfer]);
                }
            }
        }
    }

    /// What is said if the next stage fails.
    fn on_failure(&self) -> OnFailure {
        self.apology(self.errors + 1)
    }

    fn apology(&self, errors: u32) -> OnFailure {
        let is_last = errors >= self.profile.max_unrecoverable_errors;
        let rescue = self.profile.on_failure.as_ref();
        // One that did not take place is not tried again.
        match rescue.filter(|_| is_last && !self.was_handed_over) {
            Some(rescue) => OnFailure {
                phrase: rescue.say.clone(),
                ends_call: false,
                transfer: Some(ToolCall {
                    id: HANDOVER.to_owned(),
                    name: "transfer_call".to_owned(),
                    arguments: serde_json::json!({ "to": rescue.transfer }).to_string(),
                }),
            },
            None => OnFailure {
                phrase: if is_last {
                    self.profile.goodbye.clone()
                } else {
                    self.profile.fallback.clone()
                },
                ends_call: is_last,
                transfer: None,
            },
        }
    }

    fn start_reply(&mut self, script: Script, on_failure: OnFailure) {
        let (pieces, waiting) = mpsc::channel(WAITING_PIECES);
        let speech = self.speech();
        let llm = match &script {
            Script::Chat(request) => self.model_for(request),
            Script::Phrase(_) => self.llm.clone(),
        };
        let Some(preparing) = &mut self.preparing else {
            return;
        };
        preparing.pieces = Some(waiting);
        let token = preparing.token.clone();
        let reply = Reply {
            utterance: preparing.utterance,
            script,
            llm,
            toolbox: self.tools.clone(),
            usage: self.usage.clone(),
            hold: self.profile.hold.clone(),
            speech,
            on_failure,
            pieces,
            events: self.stage_events.0.clone(),
        };
        self.tasks.spawn(async move {
            token.run_until_cancelled(Box::pin(reply.run())).await;
        });
    }

    fn speech(&self) -> Speech {
        Speech::new(
            &self.profile,
            self.tts.clone(),
            self.phrases.clone(),
            self.sample_rate_hz,
        )
        .metered(self.usage.clone())
    }

    /// Synthesises what will be needed when the synthesis is down.
    pub(super) fn prepare_phrases(&mut self) {
        let (speech, token) = (self.speech(), self.cancel.child_token());
        let hold = (!self.tools.is_empty()).then_some(&self.profile.hold);
        let phrases: Vec<String> = self
            .profile
            .rescue_phrases()
            .chain(hold)
            .chain(self.profile.away_phrases())
            .cloned()
            .collect();
        self.tasks.spawn(async move {
            let prepare = async {
                for phrase in &phrases {
                    if let Err(error) = speech.prepare(phrase).await {
                        tracing::debug!(%error, "a fixed phrase could not be prepared");
                    }
                }
            };
            token.run_until_cancelled(prepare).await;
        });
    }
}
