//! What the caller's voice does: turns begin, go on and end; the agent pauses, resumes and stops.

use std::time::Duration;

use crate::floor::{AgentTurn, Ended, Floor, Overlap, Segment, Stage, Stopping, UserTurn};
use crate::{AgentState, Cause, Output, TurnId, TurnMachine, UserState, Voice};

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
                if user.ended.take().is_some() {
                    user.limit = now + self.options.limits.user_turn;
                    self.emit(Output::Capture {
                        turn: user.turn,
                        from: onset,
                    });
                }
                self.floor = Floor::User(user);
            }
            Floor::Agent(mut agent) => {
                agent.voiced_before = Duration::ZERO;
                agent.overlap = self.overlap(&agent, onset);
                self.floor = Floor::Agent(agent);
            }
            Floor::Closed => {}
        }
    }

    /// Begins to keep the voice over the agent's turn, in case it becomes a turn of its own.
    pub(crate) fn overlap(&mut self, agent: &AgentTurn, onset: Duration) -> Option<Overlap> {
        if !agent.interruptible {
            return agent.overlap;
        }
        if let (Stage::Thinking { .. } | Stage::Ready, Some((turn, _))) = (agent.stage, agent.answers) {
            // Nothing of the reply was heard, so the turn that it answers may still go on.
            self.emit(Output::Capture { turn, from: onset });
            return None;
        }
        let options = self.options.interruption;
        let goes_on = |overlap: &Overlap| {
            let is_recent = |at| onset.saturating_sub(at) <= options.early_answer;
            overlap.voiced >= options.min_duration || overlap.ended.is_none_or(is_recent)
        };
        let (turn, voiced) = match agent.overlap {
            Some(overlap) if goes_on(&overlap) => (overlap.turn, overlap.voiced),
            earlier => {
                self.discard(earlier);
                (self.next_turn(), Duration::ZERO)
            }
        };
        self.emit(Output::Capture { turn, from: onset });
        Some(Overlap {
            turn,
            ended: None,
            has_paused: false,
            voiced,
        })
    }

    fn voice_grew(&mut self, now: Duration) {
        let (Floor::Agent(agent), Some(segment)) = (self.floor, self.segment) else {
            return;
        };
        if !agent.interruptible || segment.cut {
            return;
        }
        let over = segment.voiced.saturating_sub(agent.voiced_before);
        let options = self.options.interruption;
        match (agent.stage, agent.answers, agent.overlap) {
            (Stage::Thinking { .. } | Stage::Ready, Some((turn, take)), _) if over >= options.pause_after => {
                self.interrupt(agent, Cause::Voice, now);
                self.listen_to(turn, take, now);
            }
            (Stage::Playing { .. }, _, Some(overlap)) if over >= options.min_duration => {
                self.interrupt(agent, Cause::Voice, now);
                self.listen_to(overlap.turn, 0, now);
            }
            (Stage::Playing { .. }, _, Some(overlap))
                if over >= options.pause_after && !overlap.has_paused =>
            {
                self.pause(agent, overlap, now);
            }
            _ => {}
        }
    }

    fn voice_ended(&mut self, segment: Segment, last_voice: Duration, now: Duration) {
        match self.floor {
            Floor::User(mut user) if user.ended.is_none() => {
                user.take += 1;
                user.ended = Some(Ended {
                    last_voice,
                    delay: self.options.endpointing.min_delay,
                });
                self.floor = Floor::User(user);
                self.emit(Output::Transcribe {
                    turn: user.turn,
                    take: user.take,
                });
            }
            Floor::Agent(mut agent) => {
                if let Some(overlap) = &mut agent.overlap {
                    overlap.ended = Some(last_voice);
                    overlap.voiced = overlap.voiced.max(segment.voiced);
                }
                let is_noise = |overlap: &mut Overlap| overlap.voiced < self.options.interruption.pause_after;
                let noise = agent.overlap.take_if(is_noise);
                self.discard(noise);
                agent.voiced_before = Duration::ZERO;
                self.floor = Floor::Agent(agent);
                if matches!(agent.stage, Stage::Playing { paused: Some(_), .. }) {
                    self.resume(agent, now);
                }
            }
            _ => {}
        }
    }

    fn pause(&mut self, mut agent: AgentTurn, overlap: Overlap, now: Duration) {
        agent.stage = Stage::Playing {
            progress: now,
            paused: Some(now),
        };
        agent.overlap = Some(Overlap {
            has_paused: true,
            ..overlap
        });
        self.floor = Floor::Agent(agent);
        self.emit(Output::Pause {
            utterance: agent.utterance,
        });
    }

    pub(crate) fn resume(&mut self, mut agent: AgentTurn, now: Duration) {
        agent.stage = Stage::Playing {
            progress: now,
            paused: None,
        };
        self.floor = Floor::Agent(agent);
        self.emit(Output::Resume {
            utterance: agent.utterance,
        });
    }

    /// Ends the agent's utterance; whoever calls it gives the floor to somebody else.
    pub(crate) fn interrupt(&mut self, agent: AgentTurn, cause: Cause, now: Duration) {
        let utterance = agent.utterance;
        if matches!(agent.stage, Stage::Playing { .. }) {
            self.stopping = Some(Stopping {
                utterance,
                until: now + self.options.limits.stopping,
            });
        }
        self.emit(Output::Interrupt { utterance, cause });
    }

    /// Gives the floor to the caller, whose voice is there.
    pub(crate) fn listen_to(&mut self, turn: TurnId, take: u32, now: Duration) {
        let limit = now + self.options.limits.user_turn;
        self.floor = Floor::User(UserTurn {
            turn,
            take,
            ended: None,
            limit,
        });
        self.set_agent(AgentState::Listening);
    }

    /// Ends a turn whose voice would not end.
    pub(crate) fn cut(&mut self, mut user: UserTurn, at: Duration) {
        if let Some(segment) = &mut self.segment {
            segment.cut = true;
        }
        user.take += 1;
        user.ended = Some(Ended {
            last_voice: at,
            delay: Duration::ZERO,
        });
        self.emit(Output::Transcribe {
            turn: user.turn,
            take: user.take,
        });
        self.end_of_turn(user, at);
    }

    pub(crate) fn end_of_turn(&mut self, user: UserTurn, at: Duration) {
        let last_voice = user.ended.map_or(at, |ended| ended.last_voice);
        let reply = self.think(Some((user.turn, user.take)), at);
        self.emit(Output::EndOfTurn {
            turn: user.turn,
            reply,
            last_voice,
        });
    }
}
