//! The caller's turn: its voice, its words, its end.

use std::time::Duration;

use crate::floor::{Answered, Ended, Floor, Segment, Stage, UserTurn};
use crate::{AgentState, Cause, Output, TurnId, TurnMachine, TurnMode, UserState, Voice, Words};

impl TurnMachine {
    pub(crate) fn voice(&mut self, voice: Voice, now: Duration) {
        match voice {
            Voice::Started { onset, voiced } => {
                self.segment = Some(Segment {
                    onset,
                    voiced,
                    cut: false,
                });
                self.set_user(UserState::Speaking);
                self.voice_started(onset, now);
                self.voice_grew(now);
            }
            Voice::Continues { voiced } => {
                if let Some(segment) = &mut self.segment {
                    segment.voiced = voiced;
                    self.voice_grew(now);
                }
            }
            Voice::Ended { last_voice } => {
                if let Some(segment) = self.segment.take() {
                    self.last_voice = last_voice;
                    self.set_user(UserState::Listening);
                    self.voice_ended(segment, last_voice, now);
                }
            }
        }
    }

    fn voice_started(&mut self, onset: Duration, now: Duration) {
        match self.floor {
            Floor::Initializing { .. } | Floor::Open { .. } => {
                let turn = self.next_turn();
                self.emit(Output::Capture { turn, from: onset });
                self.listen_to(turn, 0, now);
            }
            Floor::User(mut user) => {
                if let Some(ended) = user.ended.take() {
                    self.pace.hesitated(onset.saturating_sub(ended.last_voice));
                    user.hesitated = true;
                    user.limit = now + self.options.limits.user_turn;
                    self.emit(Output::Capture {
                        turn: user.turn,
                        from: onset,
                    });
                }
                self.floor = Floor::User(user);
            }
            Floor::Agent(agent) => self.voice_started_over(agent, onset),
            Floor::Closed => {}
        }
    }

    fn voice_ended(&mut self, segment: Segment, last_voice: Duration, now: Duration) {
        match self.floor {
            Floor::User(mut user) if user.ended.is_none() && self.options.mode != TurnMode::Manual => {
                user.take += 1;
                user.ended = Some(self.ended(last_voice));
                self.floor = Floor::User(user);
                self.emit(Output::Transcribe {
                    turn: user.turn,
                    take: user.take,
                });
            }
            Floor::Agent(agent) => self.voice_ended_over(agent, segment, last_voice, now),
            _ => {}
        }
    }

    /// The end of a voice, as the mode counts it.
    pub(crate) fn ended(&self, last_voice: Duration) -> Ended {
        Ended {
            last_voice,
            from: last_voice,
            delay: self.pace.delay(),
            awaits: self.options.mode == TurnMode::Stt,
        }
    }

    /// Gives the floor to the caller, whose voice is there.
    pub(crate) fn listen_to(&mut self, turn: TurnId, take: u32, now: Duration) {
        let limit = now + self.options.limits.user_turn;
        self.floor = Floor::User(UserTurn {
            turn,
            take,
            ended: None,
            limit,
            hesitated: false,
        });
        self.set_agent(AgentState::Listening);
    }

    /// A hint moves the end of the turn, also one that has just come, as long as nothing of its reply is ready.
    pub(crate) fn hint(&mut self, turn: TurnId, delay: Duration, now: Duration) {
        let endpointing = self.options.endpointing;
        let delay = delay.clamp(endpointing.min_delay, endpointing.max_delay);
        match self.floor {
            Floor::User(mut user) if user.turn == turn => {
                if let Some(ended) = &mut user.ended {
                    ended.delay = delay;
                    self.floor = Floor::User(user);
                }
            }
            Floor::Agent(agent) if matches!(agent.stage, Stage::Thinking { .. }) => {
                let goes_on = |answered: &Answered| {
                    answered.turn == turn && !answered.settled && answered.from + delay > now
                };
                if let Some(answered) = agent.answers.filter(goes_on) {
                    self.interrupt(agent, Cause::Hint, now);
                    let ended = Ended {
                        last_voice: answered.last_voice,
                        from: answered.from,
                        delay,
                        awaits: false,
                    };
                    let speaks = self.segment.is_some_and(|segment| !segment.cut);
                    self.floor = Floor::User(UserTurn {
                        turn,
                        take: answered.take,
                        ended: (!speaks).then_some(ended),
                        limit: now + self.options.limits.user_turn,
                        hesitated: answered.hesitated,
                    });
                    self.set_agent(AgentState::Listening);
                }
            }
            _ => {}
        }
    }

    /// In the mode `vad` words change nothing: the turn ends by its timer, or has ended. No words end it without a reply.
    pub(crate) fn transcript(&mut self, turn: TurnId, take: u32, words: Words, now: Duration) {
        match self.floor {
            Floor::User(mut user) if user.turn == turn && user.take == take => {
                let Some(ended) = &mut user.ended else { return };
                if words.is_none() {
                    self.emit(Output::Discard { turn });
                    self.reopen(now);
                } else if ended.awaits {
                    ended.awaits = false;
                    ended.from = now;
                    self.floor = Floor::User(user);
                }
            }
            Floor::Agent(agent) if words.is_none() && agent.is_thinking_about(turn, take) => {
                self.cancel(agent, Cause::NoWords, now);
            }
            Floor::Agent(agent) if agent.overlap.is_some_and(|it| (it.turn, it.take) == (turn, take)) => {
                self.words_over(agent, words, true, now);
            }
            _ => {}
        }
    }

    /// Words before they were asked for: they decide about the agent's utterance, and in the mode `stt` about the end of
    /// a turn whose voice has none.
    pub(crate) fn interim(&mut self, turn: TurnId, words: Words, now: Duration) {
        if words.is_none() {
            return;
        }
        match self.floor {
            Floor::User(mut user) if user.turn == turn && self.options.mode == TurnMode::Stt => {
                let Some(ended) = &mut user.ended else { return };
                match &mut self.segment {
                    Some(segment) if segment.cut => {
                        segment.cut = false;
                        user.ended = None;
                        self.floor = Floor::User(user);
                        self.emit(Output::Capture { turn, from: now });
                    }
                    None if !ended.awaits && now < user.limit => {
                        ended.from = now;
                        self.floor = Floor::User(user);
                    }
                    _ => {}
                }
            }
            Floor::Agent(agent) if agent.overlap.is_some_and(|overlap| overlap.turn == turn) => {
                self.words_over(agent, words, false, now);
            }
            _ => {}
        }
    }

    /// The recogniser's own endpointing, which in the mode `stt` ends a turn also while there is voice, as of a radio.
    pub(crate) fn end_of_utterance(&mut self, turn: TurnId, now: Duration) {
        if self.options.mode != TurnMode::Stt {
            return;
        }
        let Floor::User(mut user) = self.floor else { return };
        if user.turn != turn {
            return;
        }
        match &mut user.ended {
            Some(ended) if ended.awaits => {
                ended.awaits = false;
                ended.from = now;
            }
            Some(_) => {}
            None => {
                if let Some(segment) = &mut self.segment {
                    segment.cut = true;
                }
                user.take += 1;
                user.ended = Some(Ended {
                    awaits: false,
                    ..self.ended(now)
                });
                self.emit(Output::Transcribe {
                    turn,
                    take: user.take,
                });
            }
        }
        self.floor = Floor::User(user);
    }

    pub(crate) fn commit(&mut self, now: Duration) {
        let last_voice = if self.segment.is_some() {
            now
        } else {
            self.last_voice
        };
        match self.floor {
            Floor::User(user) if user.ended.is_none() => self.cut(user, last_voice, now),
            Floor::User(user) => self.end_of_turn(user, true, now),
            Floor::Agent(agent) if agent.closing.is_none() => {
                let Some(overlap) = agent.overlap else { return };
                if !matches!(agent.stage, Stage::Playing { .. }) || !agent.interruptible {
                    return;
                }
                self.interrupt(agent, Cause::Request, now);
                let user = UserTurn {
                    turn: overlap.turn,
                    take: overlap.take,
                    ended: None,
                    limit: now,
                    hesitated: false,
                };
                self.cut(user, last_voice, now);
            }
            _ => {}
        }
    }

    pub(crate) fn clear(&mut self, now: Duration) {
        match self.floor {
            Floor::User(user) => {
                self.emit(Output::Discard { turn: user.turn });
                self.open(now);
            }
            Floor::Agent(mut agent) if agent.overlap.is_some() => {
                self.discard(agent.overlap.take());
                self.floor = Floor::Agent(agent);
                if matches!(agent.stage, Stage::Playing { paused: Some(_), .. }) {
                    self.resume(agent, now);
                }
            }
            _ => return,
        }
        if let Some(segment) = &mut self.segment {
            segment.cut = true;
        }
    }

    /// Ends a turn whose voice would not end, or need not.
    pub(crate) fn cut(&mut self, mut user: UserTurn, last_voice: Duration, at: Duration) {
        if let Some(segment) = &mut self.segment {
            segment.cut = true;
        }
        user.take += 1;
        user.ended = Some(Ended {
            last_voice,
            from: at,
            delay: Duration::ZERO,
            awaits: false,
        });
        self.emit(Output::Transcribe {
            turn: user.turn,
            take: user.take,
        });
        self.end_of_turn(user, true, at);
    }

    /// `settled`: whatever hints say.
    pub(crate) fn end_of_turn(&mut self, user: UserTurn, settled: bool, at: Duration) {
        let ended = user.ended.unwrap_or_else(|| self.ended(at));
        self.reprompted = 0;
        let answered = Answered {
            turn: user.turn,
            take: user.take,
            last_voice: ended.last_voice,
            from: ended.from,
            hesitated: user.hesitated,
            settled,
        };
        let reply = self.think(Some(answered), at);
        self.emit(Output::EndOfTurn {
            turn: user.turn,
            reply,
            last_voice: ended.last_voice,
        });
    }
}
