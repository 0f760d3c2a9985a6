//! What the turn machine says, done.

use std::time::Duration;

use turns::{Cause, End, Input, Output, TurnId, UtteranceId};

use super::{Conversation, Playing, UserTurn};
use crate::listen::transcribe;
use crate::playout::Command;
use crate::report::{Caption, Latency, Speaker, SpokenTurn};
use crate::stages::StageEvent;
use crate::{ConversationEvent, EndReason};

impl Conversation {
    /// Does all that the machine wants. Nothing here waits.
    pub(super) fn act(&mut self) {
        loop {
            let at = self.now();
            let Some(output) = self.machine.poll_output() else {
                if self.has_news && self.machine.is_open() {
                    // Somebody spoke when there was something to say.
                    self.machine.handle(Input::Say, at);
                    continue;
                }
                return;
            };
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
                Output::Prompt { utterance, prompt } => self.prompt(utterance, prompt),
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
                Output::Agent(state) => self.ledger.tell(ConversationEvent::Agent { state, at }),
                Output::User(state) => self.ledger.tell(ConversationEvent::User { state, at }),
                Output::End(end) => self.end = Some(self.end_reason(end)),
            }
        }
    }

    fn end_reason(&self, end: End) -> EndReason {
        match end {
            End::Idle => EndReason::Idle,
            End::Away => EndReason::CallerAway,
            End::TimeUp => EndReason::TimeUp,
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
        // In the pre-roll the voice began before the clock did.
        let ago = self.now().saturating_sub(from).max(self.begun_voice);
        self.hearing.capture(turn, ago);
        if self.user.as_ref().is_some_and(|user| user.id == turn) {
            self.lend_ear(turn);
            return;
        }
        // A reply to the turn before is under way, or was given: that turn is over.
        self.commit_user_turn();
        self.guess_anew();
        self.user = Some(UserTurn {
            id: turn,
            take: 0,
            started_at: from,
            last_voice: from,
            transcript: None,
            latency: Latency::default(),
            transcribing: self.cancel.child_token(),
        });
        self.lend_ear(turn);
    }

    fn transcribe(&mut self, turn: TurnId, take: u32) {
        let Some(user) = self.user.as_mut().filter(|user| user.id == turn) else {
            return;
        };
        user.transcribing.cancel();
        user.transcribing = self.cancel.child_token();
        user.take = take;
        user.transcript = None;
        if !self.finish_ear(turn, take) {
            self.transcribe_whole(turn, take);
        }
    }

    /// Recognises all that was kept of the turn.
    pub(super) fn transcribe_whole(&mut self, turn: TurnId, take: u32) {
        let Some(user) = self.user.as_ref().filter(|user| user.id == turn) else {
            return;
        };
        let speech = self.hearing.speech(turn).to_vec();
        self.usage.heard(speech.len());
        let request = transcribe(self.stt.clone(), speech, self.profile.language.clone());
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
        self.ears.close(turn);
        self.forget_guess();
        if let Some(user) = self.user.take_if(|user| user.id == turn) {
            user.transcribing.cancel();
        }
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
            }
            if matches!(cause, Cause::Stalled | Cause::Request) && preparing.answers.is_some() {
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
        self.ears.close(user.id);
        self.hearing.forget(user.id);
        let Some(Ok(text)) = user.transcript else { return };
        if text.is_empty() {
            return;
        }
        self.caption(Speaker::User, user.id.0, &text, true);
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

    /// Tells what was said so far, if anything was.
    pub(super) fn caption(&mut self, speaker: Speaker, segment: u32, text: &str, is_final: bool) {
        if !text.is_empty() {
            self.ledger.caption(Caption {
                speaker,
                segment,
                text: text.to_owned(),
                is_final,
            });
        }
    }

    pub(super) fn open_tap(&mut self) {
        let now = self.now();
        if let Some(slots) = &mut self.slots {
            slots.open(now);
        }
    }
}
