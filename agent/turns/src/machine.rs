//! The machine: inputs, timers, outputs. The caller's turns are in [`crate::listening`], their voice over the agent's in
//! [`crate::barge_in`], the agent's utterances in [`crate::utterance`], silence and the long run in [`crate::patience`].

use std::collections::VecDeque;
use std::time::Duration;

use crate::endpointing::Pace;
use crate::floor::{Floor, Overlap, Segment, Stage, Stopping};
use crate::{AgentState, Cause, End, Input, Options, OptionsError, Output, TurnId, UserState};

/// More than one input ever makes, so that the queue never grows on the frame path.
const OUTPUTS: usize = 16;

/// Decides who speaks. See the crate's documentation for how it is called.
#[derive(Debug)]
pub struct TurnMachine {
    pub(crate) options: Options,
    pub(crate) floor: Floor,
    pub(crate) segment: Option<Segment>,
    /// When the caller's voice ended last.
    pub(crate) last_voice: Duration,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) pace: Pace,
    /// Since when nobody has said anything; in the future as long as tools run beside the conversation.
    pub(crate) quiet_since: Duration,
    /// When those tools have come back at the latest.
    pub(crate) tools_until: Duration,
    /// How often the caller was asked whether they are there since they spoke last.
    pub(crate) reprompted: u32,
    /// Whether the longest duration is reached.
    pub(crate) time_is_up: bool,
    outputs: VecDeque<Output>,
    agent: AgentState,
    user: UserState,
    turns: u32,
    pub(crate) utterances: u32,
}

impl TurnMachine {
    /// A machine whose clock stands at zero, in the state `initializing`.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Self {
            options,
            floor: Floor::Initializing {
                until: options.limits.initializing,
            },
            segment: None,
            last_voice: Duration::ZERO,
            stopping: None,
            pace: Pace::new(options.endpointing),
            quiet_since: Duration::ZERO,
            tools_until: Duration::ZERO,
            reprompted: 0,
            time_is_up: false,
            outputs: VecDeque::with_capacity(OUTPUTS),
            agent: AgentState::Initializing,
            user: UserState::Listening,
            turns: 0,
            utterances: 0,
        })
    }

    /// What the agent does now.
    pub fn agent_state(&self) -> AgentState {
        self.agent
    }

    /// What the caller does now.
    pub fn user_state(&self) -> UserState {
        self.user
    }

    /// Whether nobody has the floor: then [`Input::Say`] is granted.
    pub fn is_open(&self) -> bool {
        matches!(self.floor, Floor::Open { .. })
    }

    /// Takes one input. Timers that were due by `now` go first, so that a late call changes nothing.
    pub fn handle(&mut self, input: Input, now: Duration) {
        self.handle_timeout(now);
        if matches!(self.floor, Floor::Closed) {
            return;
        }
        match input {
            Input::Say => self.say(now),
            Input::Listen => {
                if matches!(self.floor, Floor::Initializing { .. }) {
                    self.open(now);
                }
            }
            Input::Voice(voice) => self.voice(voice, now),
            Input::Hint { turn, delay } => self.hint(turn, delay, now),
            Input::Transcript { turn, take, words } => self.transcript(turn, take, words, now),
            Input::Interim { turn, words } => self.interim(turn, words, now),
            Input::EndOfUtterance { turn } => self.end_of_utterance(turn, now),
            Input::Commit => self.commit(now),
            Input::Clear => self.clear(now),
            Input::Interrupt => self.interrupt_on_request(now),
            Input::ReplyReady {
                utterance,
                interruptible,
            } => self.reply_ready(utterance, interruptible, now),
            Input::ReplyFailed { utterance } => self.reply_failed(utterance, now),
            Input::Closing { utterance } => self.closing(utterance),
            Input::Tools {
                utterance: Some(utterance),
                limit,
            } => self.tools_within(utterance, limit, now),
            Input::Tools {
                utterance: None,
                limit,
            } => self.tools_beside(limit, now),
            Input::Playout { utterance, event } => self.playout(utterance, event, now),
            Input::HangUp => self.hang_up(),
        }
        // What the input made due at once, as an answer that was given early.
        self.handle_timeout(now);
    }

    /// The next thing to be done; to be called until it says none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`TurnMachine::handle_timeout`] is to be called; none once the conversation is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if matches!(self.floor, Floor::Closed) {
            return None;
        }
        let timeout = self.options.interruption.false_interruption_timeout;
        let floor = self.floor.deadline(&self.options.limits, timeout);
        let stopping = self.stopping.map(|stopping| stopping.until);
        [floor, stopping, Some(self.time_limit())]
            .into_iter()
            .flatten()
            .min()
    }

    /// Runs the timers that are due by `now`, each at its own time.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(at) = self.poll_timeout().filter(|at| *at <= now) {
            self.expire(at);
        }
    }

    fn expire(&mut self, at: Duration) {
        if self.time_limit() <= at {
            self.time_is_up(at);
            return;
        }
        if self.stopping.is_some_and(|stopping| stopping.until <= at) {
            self.silent(at);
            return;
        }
        match self.floor {
            Floor::Initializing { .. } => self.open(at),
            Floor::Open { since, away: false } => self.away(since, at),
            Floor::Open { away: true, .. } => self.end(End::Idle),
            Floor::User(user) => {
                if user.ended.is_none() {
                    self.cut(user, at, at);
                } else {
                    self.end_of_turn(user, false, at);
                }
            }
            Floor::Agent(agent) => match agent.stage {
                Stage::Playing { paused: Some(_), .. } => self.resume(agent, at),
                Stage::Thinking { .. } | Stage::Ready | Stage::Playing { .. } => {
                    self.cancel(agent, Cause::Stalled, at);
                }
            },
            Floor::Closed => {}
        }
    }

    fn say(&mut self, now: Duration) {
        if !matches!(self.floor, Floor::Initializing { .. } | Floor::Open { .. }) {
            self.emit(Output::SayRefused);
            return;
        }
        let utterance = self.think(None, now);
        self.emit(Output::Prepare { utterance });
    }

    fn hang_up(&mut self) {
        self.drop_everything(Cause::HangUp);
        self.floor = Floor::Closed;
        self.set_agent(AgentState::Idle);
    }

    /// Stops the agent's utterance and the caller's turn. Whoever calls it closes the floor.
    pub(crate) fn drop_everything(&mut self, cause: Cause) {
        match self.floor {
            Floor::Agent(agent) => {
                self.emit(Output::Interrupt {
                    utterance: agent.utterance,
                    cause,
                });
                self.discard(agent.overlap);
            }
            Floor::User(user) => self.emit(Output::Discard { turn: user.turn }),
            Floor::Initializing { .. } | Floor::Open { .. } | Floor::Closed => {}
        }
    }

    pub(crate) fn end(&mut self, end: End) {
        self.floor = Floor::Closed;
        self.set_agent(AgentState::Idle);
        self.emit(Output::End(end));
    }

    pub(crate) fn next_turn(&mut self) -> TurnId {
        self.turns = self.turns.wrapping_add(1);
        TurnId(self.turns)
    }

    pub(crate) fn discard(&mut self, overlap: Option<Overlap>) {
        if let Some(Overlap { turn, .. }) = overlap {
            self.emit(Output::Discard { turn });
        }
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn set_agent(&mut self, state: AgentState) {
        if self.agent != state {
            self.agent = state;
            self.emit(Output::Agent(state));
        }
    }

    pub(crate) fn set_user(&mut self, state: UserState) {
        if self.user != state {
            self.user = state;
            self.emit(Output::User(state));
        }
    }
}
