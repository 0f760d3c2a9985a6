//! What the turn machine says, done.

use std::time::Duration;

use providers::{ChatRequest, tools::ToolCall};
use tokio::sync::mpsc;
use tokio::time::Instant;
use turns::{AgentState, Cause, End, Input, Output, TurnId, UtteranceId};

use super::{Conversation, Opening, Playing, Preparing, UserTurn};
use crate::listen::transcribe;
use crate::playout::Command;
use crate::reply::{OnFailure, Reply, Script};
use crate::report::{Latency, Speaker, SpokenTurn};
use crate::speech::Speech;
use crate::stages::StageEvent;
use crate::tools::{MAX_STEPS, end_call};
use crate::{ConversationEvent, EndReason};

/// Sound that may wait between synthesis and playout, in pieces of 100 ms.
const WAITING_PIECES: usize = 30;

impl Conversation {
    /// Does all that the machine wants. Nothing here waits.
    pub(super) fn act(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let at = self.now();
            match output {
                Output::Capture { turn, from } => self.capture(turn, from),
                Output::Transcribe { turn, take } => self.transcribe(turn, take),
                Output::Discard { turn } => self.discard(turn),
                Output::EndOfTurn {
                    turn,
                    reply,
                    last_voice,
                } => self.end_of_turn(turn, reply, last_voice),
                Output::Prepare { utterance } => self.open(utterance),
                Output::SayRefused => {}
                Output::Speak { utterance } => self.speak(utterance),
                Output::Pause { utterance } => {
                    self.command(Command::Pause { utterance });
                    self.ledger.tell(ConversationEvent::Paused { at });
                }
                Output::Resume { utterance } => {
                    self.command(Command::Resume { utterance });
                    self.ledger.tell(ConversationEvent::Resumed { at });
                }
                Output::Interrupt { utterance, cause } => self.interrupt(utterance, cause),
                Output::Agent(state) => {
                    self.ledger.tell(ConversationEvent::Agent { state, at });
                    // Somebody spoke when there was something to say.
                    if state == AgentState::Listening && self.has_news {
                        self.machine.handle(Input::Say, at);
                    }
                }
                Output::User(state) => self.ledger.tell(ConversationEvent::User { state, at }),
                Output::End(end) => self.end = Some(self.end_reason(end)),
            }
        }
    }

    fn end_reason(&self, end: End) -> EndReason {
        match end {
            End::Idle => EndReason::Idle,
            End::Closing if self.errors >= self.profile.max_unrecoverable_errors => {
                EndReason::ProvidersFailed
            }
            End::Closing => EndReason::AgentEnded,
        }
    }

    /// Commands are few and the playout takes them at once; if it does not, nothing can be heard any more.
    fn command(&mut self, command: Command) {
        if self.commands.try_send(command).is_err() && self.end.is_none() {
            self.end = Some(EndReason::AudioOutFailed);
        }
    }

    fn capture(&mut self, turn: TurnId, from: Duration) {
        self.hearing.capture(turn, self.now().saturating_sub(from));
        if self.user.as_ref().is_some_and(|user| user.id == turn) {
            return;
        }
        // A reply to the turn before is under way, or was given: that turn is over.
        self.commit_user_turn();
        self.user = Some(UserTurn {
            id: turn,
            take: 0,
            started_at: from,
            last_voice: from,
            transcript: None,
            latency: Latency::default(),
            transcribing: self.cancel.child_token(),
        });
    }

    fn transcribe(&mut self, turn: TurnId, take: u32) {
        let Some(user) = self.user.as_mut().filter(|user| user.id == turn) else {
            return;
        };
        user.transcribing.cancel();
        user.transcribing = self.cancel.child_token();
        user.take = take;
        user.transcript = None;
        let speech = self.hearing.speech(turn).to_vec();
        let request = transcribe(
            self.stt.clone(),
            speech,
            self.profile.language.clone(),
            self.profile.timeouts.stt,
        );
        let (token, events) = (user.transcribing.clone(), self.stage_events.0.clone());
        self.tasks.spawn(async move {
            if let Some(result) = token.run_until_cancelled(request).await {
                let _ = events.send(StageEvent::Transcribed { turn, take, result }).await;
            }
        });
    }

    fn discard(&mut self, turn: TurnId) {
        if self.end.is_some() {
            // The caller hung up on it. Its words, if they are known, still belong to the transcript.
            return;
        }
        self.hearing.forget(turn);
        if let Some(user) = self.user.take_if(|user| user.id == turn) {
            user.transcribing.cancel();
        }
    }

    fn end_of_turn(&mut self, turn: TurnId, reply: UtteranceId, last_voice: Duration) {
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
    fn open(&mut self, utterance: UtteranceId) {
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

    fn request(&self, words: Option<&str>) -> ChatRequest {
        let mut tools = self.tools.specs();
        tools.push(end_call());
        ChatRequest {
            system: self.profile.prompt.clone(),
            messages: self.ledger.messages(words),
            tools,
            language: self.profile.language.clone(),
        }
    }

    /// Runs tools that have waited for the agent to be heard, side by side.
    pub(super) fn run_tools(&mut self, calls: Vec<ToolCall>) {
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
                let apology = self.apology(self.errors);
                let utterance = preparing.utterance;
                self.start_reply(Script::Phrase(apology.phrase.clone()), apology.clone());
                if let Some(preparing) = &mut self.preparing {
                    preparing.has_failed = true;
                }
                if apology.ends_call {
                    self.machine
                        .handle(turns::Input::Closing { utterance }, self.started.elapsed());
                }
            }
        }
    }

    /// What is said if the next stage fails.
    fn on_failure(&self) -> OnFailure {
        self.apology(self.errors + 1)
    }

    fn apology(&self, errors: u32) -> OnFailure {
        let ends_call = errors >= self.profile.max_unrecoverable_errors;
        let phrase = if ends_call {
            &self.profile.goodbye
        } else {
            &self.profile.fallback
        };
        OnFailure {
            phrase: phrase.clone(),
            ends_call,
        }
    }

    fn start_reply(&mut self, script: Script, on_failure: OnFailure) {
        let (pieces, waiting) = mpsc::channel(WAITING_PIECES);
        let speech = self.speech();
        let Some(preparing) = &mut self.preparing else {
            return;
        };
        preparing.pieces = Some(waiting);
        let token = preparing.token.clone();
        let reply = Reply {
            utterance: preparing.utterance,
            script,
            llm: self.llm.clone(),
            llm_timeout: self.profile.timeouts.llm,
            toolbox: self.tools.clone(),
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
    }

    /// Synthesises what will be needed when the synthesis is down.
    pub(super) fn prepare_phrases(&mut self) {
        let (speech, token) = (self.speech(), self.cancel.child_token());
        let mut phrases = vec![self.profile.fallback.clone(), self.profile.goodbye.clone()];
        if !self.tools.is_empty() {
            phrases.push(self.profile.hold.clone());
        }
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

    fn speak(&mut self, utterance: UtteranceId) {
        let Some(preparing) = self
            .preparing
            .take_if(|preparing| preparing.utterance == utterance)
        else {
            return;
        };
        if self
            .user
            .as_ref()
            .is_some_and(|user| preparing.answers == Some(user.id))
        {
            self.commit_user_turn();
        }
        let Some(pieces) = preparing.pieces else { return };
        self.playing = Some(Playing {
            utterance,
            is_opening: preparing.is_opening,
            after: preparing.after,
            started_at: None,
            last_voice: preparing.last_voice,
            latency: preparing.latency,
            token: preparing.token,
            has_failed: preparing.has_failed,
        });
        self.command(Command::Play { utterance, pieces });
    }

    fn interrupt(&mut self, utterance: UtteranceId, cause: Cause) {
        if let Some(preparing) = self
            .preparing
            .take_if(|preparing| preparing.utterance == utterance)
        {
            preparing.token.cancel();
            self.ledger.over(utterance, false);
            if cause == Cause::Stalled {
                tracing::warn!("an utterance was not ready within its limit and was given up");
                self.commit_user_turn();
            }
        } else if let Some(playing) = self
            .playing
            .as_ref()
            .filter(|playing| playing.utterance == utterance)
        {
            playing.token.cancel();
            self.command(Command::Interrupt { utterance });
        }
    }

    /// The caller's turn has been answered, or never will be: its words become history.
    pub(super) fn commit_user_turn(&mut self) {
        let Some(user) = self.user.take() else { return };
        user.transcribing.cancel();
        self.hearing.forget(user.id);
        let Some(Ok(text)) = user.transcript else { return };
        if text.is_empty() {
            return;
        }
        let turn = SpokenTurn {
            speaker: Speaker::User,
            text,
            started_at: user.started_at,
            ended_at: user.last_voice,
            interrupted: false,
            latency: user.latency,
        };
        if self.ledger.turn(turn, self.started.elapsed()) {
            self.open_tap();
        }
    }

    pub(super) fn open_tap(&mut self) {
        let now = self.now();
        if let Some(slots) = &mut self.slots {
            slots.open(now);
        }
    }
}
