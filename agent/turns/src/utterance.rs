//! One utterance of the agent's, from the moment it gets the floor until it gives it up.

use std::time::Duration;

use crate::floor::{AgentTurn, Answered, Ended, Floor, Overlap, Stage, UserTurn};
use crate::{AgentState, Cause, End, Output, Playout, TurnMachine, TurnMode, UtteranceId};

impl TurnMachine {
    /// Gives the agent the floor.
    pub(crate) fn think(&mut self, answers: Option<Answered>, now: Duration) -> UtteranceId {
        self.utterances = self.utterances.wrapping_add(1);
        let utterance = UtteranceId(self.utterances);
        self.floor = Floor::Agent(AgentTurn {
            utterance,
            answers,
            stage: Stage::Thinking {
                until: now + self.options.limits.thinking,
            },
            interruptible: true,
            closing: None,
            voiced_before: self.segment.map_or(Duration::ZERO, |segment| segment.voiced),
            overlap: None,
            tools_until: Duration::ZERO,
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
        // Who is missed may well come back during the goodbye.
        let may_stop = agent.closing.is_none_or(|end| end == End::Away);
        agent.interruptible = interruptible && may_stop && self.options.interruption.enabled;
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
        if let Some(answered) = agent.answers {
            self.reprompted = 0;
            if !answered.hesitated {
                self.pace.flowed();
            }
        }
        // From here on the turn that is answered counts as answered: voice that still runs belongs to the next one.
        if let Some(segment) = self.segment.filter(|segment| !segment.cut) {
            if agent.answers.is_none() {
                agent.voiced_before = segment.voiced;
            }
            agent.overlap = self.overlap(&agent, segment.onset);
        } else if let Some(segment) = &mut self.segment
            && self.options.mode == TurnMode::Stt
            && self.options.has_interim
        {
            // The sound goes on that the recogniser knew to be no speech. Only words can make a turn of it.
            segment.cut = false;
            agent.voiced_before = segment.voiced;
            let onset = segment.onset;
            agent.overlap = self.overlap(&agent, onset).map(|overlap| Overlap {
                has_paused: true,
                ..overlap
            });
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
        agent.closing = Some(End::Closing);
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

    /// The utterance waits for tools, or has them.
    pub(crate) fn tools_within(&mut self, utterance: UtteranceId, limit: Duration, now: Duration) {
        let Floor::Agent(agent) = &mut self.floor else {
            return;
        };
        if agent.utterance != utterance {
            return;
        }
        if !limit.is_zero() {
            agent.tools_until = agent.tools_until.max(now + limit);
            return;
        }
        agent.tools_until = Duration::ZERO;
        match &mut agent.stage {
            Stage::Thinking { until } => *until = now + self.options.limits.thinking,
            Stage::Playing { progress, .. } => *progress = now,
            Stage::Ready => {}
        }
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
        if let Some(end) = agent.closing.filter(|end| *end != End::Away) {
            self.discard(agent.overlap);
            self.end(end);
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
            let take = agent.overlap.map_or(0, |overlap| overlap.take);
            self.listen_to(turn, take, now);
            return;
        }
        match agent.overlap {
            Some(
                overlap @ Overlap {
                    ended: Some(last_voice),
                    ..
                },
            ) if self.is_answer(&overlap, last_voice, now) => self.answered_early(overlap, last_voice, now),
            overlap => {
                self.discard(overlap);
                match agent.closing {
                    Some(end) => self.end(end),
                    None => self.open(now),
                }
            }
        }
    }

    /// Whether what the caller said over the agent is to be answered now that the agent is silent.
    fn is_answer(&self, overlap: &Overlap, last_voice: Duration, now: Duration) -> bool {
        let options = self.options.interruption;
        let is_early = now.saturating_sub(last_voice) <= options.early_answer;
        if is_early && overlap.voiced >= options.early_answer_min_duration {
            // Here even a `yes` may be meant.
            return true;
        }
        let only_listens = overlap.words.backchannel && options.ignore_backchannels;
        overlap.voiced >= options.min_duration && !only_listens
    }

    fn answered_early(&mut self, overlap: Overlap, last_voice: Duration, now: Duration) {
        let is_manual = self.options.mode == TurnMode::Manual;
        let take = overlap.take + u32::from(!is_manual);
        let ended = self.ended(last_voice);
        let delay = if ended.awaits {
            ended.delay
        } else {
            ended.delay.max(now.saturating_sub(last_voice))
        };
        self.floor = Floor::User(UserTurn {
            turn: overlap.turn,
            take,
            ended: (!is_manual).then_some(Ended { delay, ..ended }),
            limit: now + self.options.limits.user_turn,
            hesitated: false,
        });
        self.set_agent(AgentState::Listening);
        if !is_manual {
            self.emit(Output::Transcribe {
                turn: overlap.turn,
                take,
            });
        }
    }

    /// Drops the agent's turn, and what it answers with it when that has no words.
    pub(crate) fn cancel(&mut self, agent: AgentTurn, cause: Cause, now: Duration) {
        let quiet_since = self.quiet_since;
        self.interrupt(agent, cause, now);
        if let (Cause::NoWords, Some(answered)) = (cause, agent.answers) {
            self.emit(Output::Discard { turn: answered.turn });
        }
        self.agent_done(agent, now);
        if cause == Cause::NoWords
            && let Floor::Open { since, .. } = &mut self.floor
        {
            (*since, self.quiet_since) = (quiet_since, quiet_since);
        }
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
