//! The caller's voice over the agent's: it pauses, it is taken back, it takes the floor.

use std::time::Duration;

use crate::floor::{AgentTurn, Ended, Floor, Overlap, Segment, Stage, Stopping, UserTurn};
use crate::{AgentState, Cause, Output, TurnMachine, TurnMode, Words};

/// Where the recogniser tells no words while they are spoken, it is asked for them after so much voice, and again.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// What a voice over the agent's wants, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    TheFloor,
    /// To show that it listens.
    Nothing,
    /// It takes words to know.
    Unknown,
}

impl TurnMachine {
    pub(crate) fn voice_started_over(&mut self, mut agent: AgentTurn, onset: Duration) {
        agent.voiced_before = Duration::ZERO;
        agent.overlap = self.overlap(&agent, onset);
        self.floor = Floor::Agent(agent);
    }

    /// Begins to keep the voice over the agent's turn, in case it becomes a turn of its own.
    pub(crate) fn overlap(&mut self, agent: &AgentTurn, onset: Duration) -> Option<Overlap> {
        let options = self.options.interruption;
        if !agent.interruptible && options.discard_audio_if_uninterruptible {
            return agent.overlap;
        }
        if let (Stage::Thinking { .. } | Stage::Ready, Some(answered)) = (agent.stage, agent.answers) {
            // Nothing of the reply was heard, so the turn that it answers may still go on.
            if self.options.mode != TurnMode::Manual {
                self.emit(Output::Capture {
                    turn: answered.turn,
                    from: onset,
                });
            }
            return None;
        }
        let goes_on = |overlap: &Overlap| {
            let is_recent = |at| onset.saturating_sub(at) <= options.early_answer;
            overlap.voiced >= options.min_duration || overlap.ended.is_none_or(is_recent)
        };
        let begun = match agent.overlap {
            Some(overlap) if goes_on(&overlap) => overlap,
            earlier => {
                self.discard(earlier);
                Overlap {
                    turn: self.next_turn(),
                    ended: None,
                    has_paused: false,
                    voiced: Duration::ZERO,
                    words: Words::NONE,
                    take: 0,
                    probes: 0,
                }
            }
        };
        self.emit(Output::Capture {
            turn: begun.turn,
            from: onset,
        });
        Some(Overlap {
            ended: None,
            // It still is when the words of the segment before are waited for.
            has_paused: matches!(agent.stage, Stage::Playing { paused: Some(_), .. }),
            probes: 0,
            ..begun
        })
    }

    pub(crate) fn voice_grew(&mut self, now: Duration) {
        let (Floor::Agent(agent), Some(segment)) = (self.floor, self.segment) else {
            return;
        };
        if !agent.interruptible || segment.cut || self.options.mode == TurnMode::Manual {
            return;
        }
        let over = segment.voiced.saturating_sub(agent.voiced_before);
        match (agent.stage, agent.answers, agent.overlap) {
            (Stage::Thinking { .. } | Stage::Ready, Some(answered), _)
                if over >= self.options.interruption.pause_after =>
            {
                self.pace
                    .hesitated(segment.onset.saturating_sub(answered.last_voice));
                self.interrupt(agent, Cause::Voice, now);
                self.listen_to(answered.turn, answered.take, now);
                if let Floor::User(user) = &mut self.floor {
                    user.hesitated = true;
                }
            }
            (Stage::Playing { .. }, _, Some(overlap)) => self.voice_over(agent, overlap, over, now),
            _ => {}
        }
    }

    /// `over`: the voice that the running segment has over the utterance.
    fn voice_over(&mut self, mut agent: AgentTurn, mut overlap: Overlap, over: Duration, now: Duration) {
        let options = self.options.interruption;
        if over >= options.min_duration {
            let verdict = self.verdict(overlap.words);
            if verdict == Verdict::TheFloor {
                self.interrupt(agent, Cause::Voice, now);
                self.listen_to(overlap.turn, overlap.take, now);
                return;
            }
            let step = options.min_duration.max(PROBE_EVERY);
            if verdict == Verdict::Unknown
                && !self.options.has_interim
                && over >= options.min_duration + step * overlap.probes
            {
                overlap.probes += 1;
                self.ask(&mut overlap);
            }
        }
        if over >= options.pause_after && !overlap.has_paused && options.resume_false_interruption {
            overlap.has_paused = true;
            agent.stage = Stage::Playing {
                progress: now,
                paused: Some(now),
            };
            self.emit(Output::Pause {
                utterance: agent.utterance,
            });
        }
        agent.overlap = Some(overlap);
        self.floor = Floor::Agent(agent);
    }

    /// How many words it takes to interrupt; 0: voice is enough.
    fn words_needed(&self) -> u32 {
        let min_words = self.options.interruption.min_words;
        match self.options.mode {
            TurnMode::Stt => min_words.max(1),
            TurnMode::Vad | TurnMode::Manual => min_words,
        }
    }

    /// What a voice of [`crate::Interruption::min_duration`] with these words wants.
    fn verdict(&self, words: Words) -> Verdict {
        if words.is_none() && self.words_needed() == 0 {
            return Verdict::TheFloor;
        }
        self.verdict_of_words(words)
    }

    fn verdict_of_words(&self, words: Words) -> Verdict {
        if words.backchannel && self.options.interruption.ignore_backchannels {
            Verdict::Nothing
        } else if words.count >= self.words_needed().max(1) {
            Verdict::TheFloor
        } else {
            Verdict::Unknown
        }
    }

    fn ask(&mut self, overlap: &mut Overlap) {
        overlap.take += 1;
        self.emit(Output::Transcribe {
            turn: overlap.turn,
            take: overlap.take,
        });
    }

    /// The recogniser tells what was said over the agent; `whole`: there is no more of it.
    pub(crate) fn words_over(&mut self, mut agent: AgentTurn, words: Words, whole: bool, now: Duration) {
        let Some(mut overlap) = agent.overlap else { return };
        overlap.words = words;
        agent.overlap = Some(overlap);
        self.floor = Floor::Agent(agent);
        let (Stage::Playing { paused, .. }, true) = (agent.stage, agent.interruptible) else {
            return;
        };
        let running = self.segment.filter(|_| overlap.ended.is_none());
        if self.options.mode == TurnMode::Manual || running.is_some_and(|segment| segment.cut) {
            return;
        }
        let voiced = running.map_or(overlap.voiced, |segment| {
            segment.voiced.saturating_sub(agent.voiced_before)
        });
        let verdict = self.verdict_of_words(words);
        if verdict == Verdict::TheFloor && voiced >= self.options.interruption.pause_after {
            self.take_floor(agent, overlap, whole, now);
        } else if overlap.ended.is_some() && paused.is_some() && (whole || verdict == Verdict::Nothing) {
            self.resume(agent, now);
        }
    }

    /// The words over the agent are a turn.
    fn take_floor(&mut self, agent: AgentTurn, mut overlap: Overlap, whole: bool, now: Duration) {
        self.interrupt(agent, Cause::Voice, now);
        let Some(last_voice) = overlap.ended else {
            self.listen_to(overlap.turn, overlap.take, now);
            return;
        };
        if !whole {
            self.ask(&mut overlap);
        }
        let ended = self.ended(last_voice);
        self.floor = Floor::User(UserTurn {
            turn: overlap.turn,
            take: overlap.take,
            ended: Some(Ended {
                from: if whole && ended.awaits { now } else { ended.from },
                awaits: ended.awaits && !whole,
                ..ended
            }),
            limit: now + self.options.limits.user_turn,
            hesitated: false,
        });
        self.set_agent(AgentState::Listening);
    }

    pub(crate) fn voice_ended_over(
        &mut self,
        mut agent: AgentTurn,
        segment: Segment,
        last_voice: Duration,
        now: Duration,
    ) {
        let options = self.options.interruption;
        if let Some(overlap) = &mut agent.overlap {
            overlap.ended = Some(last_voice);
            overlap.voiced = overlap.voiced.max(segment.voiced);
        }
        let is_noise = |overlap: &mut Overlap| overlap.voiced < options.pause_after;
        let noise = agent.overlap.take_if(is_noise);
        self.discard(noise);
        agent.voiced_before = Duration::ZERO;
        let hears = agent.interruptible && !segment.cut && self.options.mode != TurnMode::Manual;
        let is_playing = matches!(agent.stage, Stage::Playing { .. });
        let is_paused = matches!(agent.stage, Stage::Playing { paused: Some(_), .. });
        let needs_words = self.words_needed() > 0;
        if let Some(overlap) = agent
            .overlap
            .as_mut()
            .filter(|_| hears && is_playing && needs_words)
            && self.verdict_of_words(overlap.words) == Verdict::Unknown
        {
            // The answer resumes or interrupts; without one, the pause has its limit.
            self.ask(overlap);
            self.floor = Floor::Agent(agent);
            return;
        }
        self.floor = Floor::Agent(agent);
        if is_paused {
            self.resume(agent, now);
        }
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

    pub(crate) fn interrupt_on_request(&mut self, now: Duration) {
        if let Floor::Agent(agent) = self.floor
            && agent.interruptible
            && agent.closing.is_none()
        {
            self.cancel(agent, Cause::Request, now);
        }
    }
}
