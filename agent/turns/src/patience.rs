//! Silence and the long run: when the caller is away, when the conversation has become too long.

use std::time::Duration;

use crate::floor::Floor;
use crate::{AgentState, Cause, End, Output, Prompt, TurnMachine, UserState};

impl TurnMachine {
    /// Nobody has the floor from now on.
    pub(crate) fn open(&mut self, now: Duration) {
        self.quiet_since = now.max(self.tools_until);
        self.reopen(now);
    }

    /// Nobody has the floor, and nobody has said anything meanwhile: noise does not keep a caller from being away.
    pub(crate) fn reopen(&mut self, now: Duration) {
        self.floor = Floor::Open {
            since: self.quiet_since,
            away: false,
        };
        if !self.bid_farewell(now) {
            self.set_agent(AgentState::Listening);
        }
    }

    /// Tools run beside the conversation: as long as they do, the silence is theirs, and no goodbye cuts them off.
    pub(crate) fn tools_beside(&mut self, limit: Duration, now: Duration) {
        if limit.is_zero() {
            self.tools_until = Duration::ZERO;
            self.quiet_since = self.quiet_since.min(now);
        } else {
            self.tools_until = self.tools_until.max(now + limit);
            self.quiet_since = self.quiet_since.max(self.tools_until);
        }
        if let Floor::Open { since, .. } = &mut self.floor {
            *since = self.quiet_since;
        }
        self.bid_farewell(now);
    }

    /// Whether the last goodbye is due, which it is when the time is up and nobody has the floor; then it is said.
    fn bid_farewell(&mut self, now: Duration) -> bool {
        let is_due = self.time_is_up && self.tools_until <= now && self.is_open();
        if is_due {
            self.prompt(Prompt::TimeUp, now);
        }
        is_due
    }

    /// The silence has lasted long enough for the caller to be away.
    pub(crate) fn away(&mut self, since: Duration, at: Duration) {
        self.set_user(UserState::Away);
        let reprompts = self.options.limits.reprompts;
        if reprompts == 0 {
            self.floor = Floor::Open { since, away: true };
        } else if self.reprompted < reprompts {
            self.reprompted += 1;
            self.prompt(Prompt::Away, at);
        } else {
            self.prompt(Prompt::AwayGoodbye, at);
        }
    }

    /// When the conversation is, or has been, too long.
    pub(crate) fn time_limit(&self) -> Duration {
        let limits = self.options.limits;
        if self.time_is_up {
            limits.duration + limits.overtime
        } else {
            limits.duration
        }
    }

    /// The first time: whoever speaks may finish, then comes the goodbye. The second time nobody may.
    pub(crate) fn time_is_up(&mut self, at: Duration) {
        if self.time_is_up {
            self.drop_everything(Cause::TimeUp);
            self.end(End::TimeUp);
            return;
        }
        self.time_is_up = true;
        if matches!(self.floor, Floor::Initializing { .. }) {
            self.open(at);
        } else {
            self.bid_farewell(at);
        }
    }

    /// The agent takes the floor of its own accord.
    fn prompt(&mut self, prompt: Prompt, now: Duration) {
        let utterance = self.think(None, now);
        if let Floor::Agent(agent) = &mut self.floor {
            agent.closing = match prompt {
                Prompt::Away => None,
                Prompt::AwayGoodbye => Some(End::Away),
                Prompt::TimeUp => Some(End::TimeUp),
            };
        }
        self.emit(Output::Prompt { utterance, prompt });
    }
}
