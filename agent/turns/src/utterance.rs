//! One utterance of the agent's, from the moment it gets the floor until it gives it up.

use std::time::Duration;

use crate::floor::{AgentTurn, Ended, Floor, Overlap, Stage, UserTurn};
use crate::{AgentState, Cause, End, Output, Playout, TurnId, TurnMachine, UtteranceId};

impl TurnMachine {
    /// Gives the agent the floor.
    pub(crate) fn think(&mut self, answers: Option<(TurnId, u32)>, now: Duration) -> UtteranceId {
        self.utterances = self.utterances.wrapping_add(1);
        let utterance = UtteranceId(self.utterances);
        self.floor = Floor::Agent(AgentTurn {
            utterance,
            answers,
            stage: Stage::Thinking {
                until: now + self.options.limits.thinking,
            },
            interruptible: true,
            closing: false,
            voiced_before: self.segment.map_or(Duration::ZERO, |segment| segment.voiced),
            overlap: None,
        });
        self.set_agent(AgentState::Thinking);
        utterance
    }

    pub(crate) fn reply_ready(&mut self, utterance: UtteranceId, interruptible: bool, now: Duration) {
        let Floor::Agent(mut agent) = self.floor else {
            return;
        };
        if agent.utterance != utterance || !matches!(agent.stage, Stage::Thinking { .. }) {
            return;
        }
        agent.interruptible = interruptible && !agent.closing && self.options.interruption.enabled;
        agent.stage = Stage::Ready;
        self.floor = Floor::Agent(agent);
        if self.stopping.is_none() {
            self.speak(agent, now);
        }
    }

    fn speak(&mut self, mut agent: AgentTurn, now: Duration) {
        agent.stage = Stage::Playing {
            progress: now,
            paused: None,
        };
        // From here on the turn that is answered counts as answered: voice that still runs belongs to the next one.
        if let Some(segment) = self.segment.filter(|segment| !segment.cut) {
            if agent.answers.is_none() {
                agent.voiced_before = segment.voiced;
            }
            agent.overlap = self.overlap(&agent, segment.onset);
        }
        self.floor = Floor::Agent(agent);
        self.emit(Output::Speak {
            utterance: agent.utterance,
        });
    }

    pub(crate) fn reply_failed(&mut self, utterance: UtteranceId, now: Duration) {
        let Floor::Agent(agent) = self.floor else { return };
        if agent.utterance == utterance && matches!(agent.stage, Stage::Thinking { .. }) {
            self.agent_done(agent, now);
        }
    }

    pub(crate) fn closing(&mut self, utterance: UtteranceId) {
        let Floor::Agent(mut agent) = self.floor else {
            return;
        };
        if agent.utterance != utterance {
            return;
        }
        agent.closing = true;
        agent.interruptible = false;
        if let Stage::Playing {
            progress,
            paused: Some(paused),
        } = agent.stage
        {
            agent.stage = Stage::Playing {
                progress: progress.max(paused),
                paused: None,
            };
            self.emit(Output::Resume { utterance });
        }
        self.floor = Floor::Agent(agent);
    }

    pub(crate) fn playout(&mut self, utterance: UtteranceId, event: Playout, now: Duration) {
        if self
            .stopping
            .is_some_and(|stopping| stopping.utterance == utterance)
        {
            if matches!(event, Playout::Finished | Playout::Stopped) {
                self.silent(now);
            }
            return;
        }
        let Floor::Agent(mut agent) = self.floor else {
            return;
        };
        let Stage::Playing { paused, .. } = agent.stage else {
            return;
        };
        if agent.utterance != utterance {
            return;
        }
        match event {
            Playout::Started | Playout::Mark => {
                agent.stage = Stage::Playing {
                    progress: now,
                    paused,
                };
                self.floor = Floor::Agent(agent);
                self.set_agent(AgentState::Speaking);
            }
            Playout::Finished | Playout::Stopped => {
                if paused.is_some() {
                    self.emit(Output::Resume { utterance });
                }
                self.agent_done(agent, now);
            }
        }
    }

    /// The agent has had its say: on to the caller's voice, an answer given early, or silence.
    fn agent_done(&mut self, agent: AgentTurn, now: Duration) {
        if agent.closing {
            self.discard(agent.overlap);
            self.end(End::Closing);
            return;
        }
        if let Some(segment) = self.segment {
            let turn = agent
                .overlap
                .map_or_else(|| self.next_turn(), |overlap| overlap.turn);
            if agent.overlap.is_none_or(|overlap| overlap.ended.is_some()) {
                let from = if segment.cut { now } else { segment.onset };
                self.emit(Output::Capture { turn, from });
            }
            self.listen_to(turn, 0, now);
            return;
        }
        let options = self.options.interruption;
        let is_answer = |overlap: &Overlap, last_voice| {
            let is_early = now.saturating_sub(last_voice) <= options.early_answer;
            overlap.voiced >= options.min_duration
                || (is_early && overlap.voiced >= options.early_answer_min_duration)
        };
        match agent.overlap {
            Some(
                overlap @ Overlap {
                    turn,
                    ended: Some(last_voice),
                    ..
                },
            ) if is_answer(&overlap, last_voice) => {
                let delay = self.options.endpointing.min_delay;
                let ended = Some(Ended {
                    last_voice,
                    delay: delay.max(now.saturating_sub(last_voice)),
                });
                let limit = now + self.options.limits.user_turn;
                self.floor = Floor::User(UserTurn {
                    turn,
                    take: 1,
                    ended,
                    limit,
                });
                self.set_agent(AgentState::Listening);
                self.emit(Output::Transcribe { turn, take: 1 });
            }
            overlap => {
                self.discard(overlap);
                self.open(now);
            }
        }
    }

    /// Drops the agent's turn, and what it answers with it when that has no words.
    pub(crate) fn cancel(&mut self, agent: AgentTurn, cause: Cause, now: Duration) {
        self.interrupt(agent, cause, now);
        if let (Cause::NoWords, Some((turn, _))) = (cause, agent.answers) {
            self.emit(Output::Discard { turn });
        }
        self.agent_done(agent, now);
    }

    /// The interrupted utterance is silent: the one that waited for it may speak.
    pub(crate) fn silent(&mut self, now: Duration) {
        self.stopping = None;
        if let Floor::Agent(agent) = self.floor
            && matches!(agent.stage, Stage::Ready)
        {
            self.speak(agent, now);
        }
    }
}
