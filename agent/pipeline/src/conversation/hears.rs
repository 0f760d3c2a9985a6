//! What happens to the conversation: frames, providers' news, playout's news.

use std::time::Duration;

use providers::{ProviderError, Transcript};
use turns::{Input, TurnId, Voice, Words};

use super::Conversation;
use crate::audio_in::Clear;
use crate::playout::{News, Played};
use crate::report::{Latency, Speaker, SpokenTurn};
use crate::stages::{Stage, StageEvent};
use crate::{ConversationEvent, EndReason, FRAME_SAMPLES};

impl Conversation {
    /// A frame of the caller's, cut or padded to 20 ms.
    pub(super) fn frame(&mut self, frame: &[i16]) {
        let exact = exact(frame);
        let now = self.now();
        if let Some(slots) = &mut self.slots {
            slots.caller(&exact, now);
        }
        self.hear(&exact);
    }

    pub(super) fn hear(&mut self, frame: &[i16; FRAME_SAMPLES]) {
        let Clear { voice, words } = self.clarity.caller(frame, self.now());
        self.hearing.push(&words);
        self.feed_ear(&words);
        let probability = self.detector.probability(&voice);
        self.gauge.push(frame, probability);
        if let Some(voice) = self.gate.push(probability, self.now()) {
            if let (Voice::Ended { last_voice }, Some(user)) = (voice, &mut self.user) {
                user.last_voice = last_voice;
            }
            if let Voice::Started { voiced, .. } = voice {
                self.begun_voice = voiced;
            }
            self.input(Input::Voice(voice));
            self.begun_voice = Duration::ZERO;
        }
    }

    pub(super) fn stage_event(&mut self, event: StageEvent) {
        match event {
            StageEvent::Listened { ear, news } => self.ear_news(ear, news),
            StageEvent::Transcribed { turn, take, result } => self.transcribed(turn, take, result),
            StageEvent::FirstToken { utterance, ttft } => {
                if let Some(preparing) = self.preparing.as_mut().filter(|it| it.utterance == utterance) {
                    preparing.latency.llm_ttft = Some(ttft);
                }
            }
            StageEvent::EndCall { utterance } => self.input(Input::Closing { utterance }),
            StageEvent::Called {
                utterance,
                calls,
                after,
            } => self.called(utterance, calls, &after),
            StageEvent::Returned {
                utterance,
                result,
                took,
            } => self.returned(utterance, result, took),
            StageEvent::Acted { result, took } => self.acted(result, took),
            StageEvent::FirstAudio { utterance, ttfb } => {
                let Some(preparing) = self.preparing.as_mut().filter(|it| it.utterance == utterance) else {
                    return;
                };
                preparing.latency.tts_ttfb = Some(ttfb);
                let interruptible = !preparing.is_opening || self.profile.greeting_interruptible;
                self.input(Input::ReplyReady {
                    utterance,
                    interruptible,
                });
            }
            StageEvent::Failed {
                utterance,
                stage,
                error,
            } => {
                self.count_failure(stage, &error);
                if let Some(preparing) = self.preparing.as_mut().filter(|it| it.utterance == utterance) {
                    preparing.has_failed = true;
                }
                if let Some(playing) = self.playing.as_mut().filter(|it| it.utterance == utterance) {
                    playing.has_failed = true;
                }
            }
            StageEvent::Troubled(troubled) => {
                let at = self.now();
                self.ledger.recovered(troubled, at);
            }
            StageEvent::Done { utterance, has_audio } => {
                if has_audio {
                    return;
                }
                let Some(preparing) = self.preparing.take_if(|it| it.utterance == utterance) else {
                    return;
                };
                if preparing.answers.is_some() {
                    self.commit_user_turn();
                }
                if preparing.is_opening {
                    self.prepare_phrases();
                }
                self.ledger.over(utterance, true);
                self.input(Input::ReplyFailed { utterance });
                self.run_tools(preparing.after);
            }
        }
    }

    pub(super) fn transcribed(&mut self, turn: TurnId, take: u32, result: Result<Transcript, ProviderError>) {
        let now = self.now();
        let Some(user) = self
            .user
            .as_mut()
            .filter(|user| user.id == turn && user.take == take)
        else {
            return;
        };
        let delay = Some(now.saturating_sub(user.last_voice));
        user.latency.transcription_delay = delay;
        if let Some(preparing) = self.preparing.as_mut().filter(|it| it.answers == Some(turn)) {
            preparing.latency.transcription_delay = delay;
        }
        let result = result.map(|transcript| transcript.text.trim().to_owned());
        // A failed transcription is answered too, by an apology.
        let unknown = Words {
            count: 1,
            backchannel: false,
        };
        let words = result.as_ref().map_or(unknown, |text| Words::of(text));
        let hint = result.as_ref().ok().and_then(|text| self.hint(text));
        match &result {
            Err(error) => self.count_failure(Stage::Stt, error),
            Ok(text) => {
                // Whoever is heard again speaks.
                self.takes_keys = false;
                self.caption(Speaker::User, turn.0, text, false);
            }
        }
        if let Some(user) = &mut self.user {
            user.transcript = Some(result);
        }
        if let Some(delay) = hint {
            self.input(Input::Hint { turn, delay });
        }
        self.input(Input::Transcript { turn, take, words });
        self.guess_by_transcript(turn);
        self.reply_when_possible();
        self.act();
    }

    /// A key that stands for words is a turn of the caller's.
    pub(super) fn key(&mut self, key: char) {
        let menu = self.profile.keypad.as_ref().filter(|_| self.takes_keys);
        if let Some(words) = menu.and_then(|menu| menu.keys.get(&key)).cloned() {
            self.wrote(words);
        }
    }

    /// What the caller did not say aloud is a turn all the same, and ends whatever is said meanwhile.
    pub(super) fn wrote(&mut self, words: String) {
        self.input(Input::Clear);
        self.input(Input::Interrupt);
        let at = self.now();
        let turn = SpokenTurn {
            speaker: Speaker::User,
            text: words,
            started_at: at,
            ended_at: at,
            interrupted: false,
            latency: Latency::default(),
        };
        if self.ledger.turn(turn, at) {
            self.open_tap();
        }
        // The agent answers when it is silent.
        self.has_news = true;
        self.spoke_up = 0;
        self.act();
    }

    /// How long after a turn of these words nothing more is to be expected.
    fn hint(&mut self, words: &str) -> Option<Duration> {
        let hint = self.turn_hint.as_mut()?;
        let probability = hint.end_of_turn(words, &self.profile.language)?;
        Some(self.profile.turns.endpointing.hinted(probability))
    }

    fn count_failure(&mut self, stage: Stage, error: &ProviderError) {
        self.errors += 1;
        let at = self.now();
        self.ledger.failed(stage, error, at);
    }

    pub(super) fn playout_news(&mut self, news: News) {
        match news {
            News::Started { utterance, at } => {
                let greets = self.opens_with_greeting();
                let at = at.saturating_duration_since(self.started);
                if let Some(playing) = self.playing.as_mut().filter(|it| it.utterance == utterance) {
                    playing.started_at = Some(at);
                    playing.latency.e2e_latency =
                        playing.last_voice.map(|last_voice| at.saturating_sub(last_voice));
                    let is_greeting = playing.is_opening && greets;
                    self.ledger
                        .tell(ConversationEvent::AgentStarted { is_greeting, at });
                }
                self.input(Input::Playout {
                    utterance,
                    event: turns::Playout::Started,
                });
            }
            News::Mark { utterance, words } => {
                self.caption(Speaker::Agent, utterance.0, &words, false);
                self.input(Input::Playout {
                    utterance,
                    event: turns::Playout::Mark,
                });
            }
            News::Finished(played) => self.played(played, turns::Playout::Finished),
            News::Stopped(played) => self.played(played, turns::Playout::Stopped),
            News::Heard { at, samples } => {
                let mut resampled = Vec::new();
                self.to_tap.process(&samples, &mut resampled);
                let at = at.saturating_duration_since(self.started);
                self.clarity.agent(&resampled, at);
                if let Some(slots) = &mut self.slots {
                    slots.agent(&resampled, at);
                }
            }
            News::Failed(error) => {
                tracing::warn!(%error, "the agent's voice has nowhere to go");
                self.end.get_or_insert(EndReason::AudioOutFailed);
            }
        }
    }

    /// The history learns what was heard before the machine learns that it is silent.
    fn played(&mut self, played: Played, event: turns::Playout) {
        let Played {
            utterance,
            words,
            is_whole,
            at,
        } = played;
        let at = at.saturating_duration_since(self.started);
        self.caption(Speaker::Agent, utterance.0, &words, true);
        if let Some(playing) = self.playing.take_if(|it| it.utterance == utterance) {
            let is_finished = event == turns::Playout::Finished;
            if !playing.has_failed && is_finished {
                self.errors = 0;
            }
            if let Some(started_at) = playing.started_at {
                let turn = SpokenTurn {
                    speaker: Speaker::Agent,
                    text: words,
                    started_at,
                    ended_at: at,
                    interrupted: !is_finished,
                    latency: playing.latency,
                };
                self.ledger.turn(turn, at);
            }
            self.ledger.over(utterance, is_finished);
            if is_finished {
                self.run_tools(playing.after);
            }
            // Of a notice that broke off, or that an apology replaced, nobody can tell what the caller knows.
            let is_notice = playing.is_opening && self.opens_with_greeting();
            if is_notice && is_whole && self.ledger.greeted(at) {
                self.open_tap();
            }
            if playing.is_opening {
                self.prepare_phrases();
            }
        }
        self.input(Input::Playout { utterance, event });
        self.reply_when_possible();
        self.act();
    }
}

/// `frame`, cut or padded to 20 ms.
pub(super) fn exact(frame: &[i16]) -> [i16; FRAME_SAMPLES] {
    let mut exact = [0; FRAME_SAMPLES];
    for (target, sample) in exact.iter_mut().zip(frame) {
        *target = *sample;
    }
    exact
}
