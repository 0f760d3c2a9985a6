//! Who has the floor, and until when.

use std::time::Duration;

use crate::{End, Limits, TurnId, UtteranceId, Words};

/// The one state of a conversation. Whatever is not in the variant that holds does not exist: there is no agent's
/// utterance while the caller has the floor, and no second one beside the first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Floor {
    Initializing { until: Duration },
    Open { since: Duration, away: bool },
    User(UserTurn),
    Agent(AgentTurn),
    Closed,
}

/// The caller speaks (`ended` is none) or has just stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserTurn {
    pub(crate) turn: TurnId,
    /// Attempts at transcribing it so far.
    pub(crate) take: u32,
    pub(crate) ended: Option<Ended>,
    /// When a turn without an end is cut.
    pub(crate) limit: Duration,
    /// Whether the caller fell silent in it and went on.
    pub(crate) hesitated: bool,
}

/// The end of the caller's voice, and how long to wait before it counts as the end of the turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) last_voice: Duration,
    /// When the delay begins: the last voice, or the recogniser's word that the utterance is over.
    pub(crate) from: Duration,
    pub(crate) delay: Duration,
    /// Whether the recogniser's word is still to come.
    pub(crate) awaits: bool,
}

/// The agent prepares or plays one utterance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentTurn {
    pub(crate) utterance: UtteranceId,
    /// The caller's turn that it replies to.
    pub(crate) answers: Option<Answered>,
    pub(crate) stage: Stage,
    pub(crate) interruptible: bool,
    /// How the conversation ends when it was played out.
    pub(crate) closing: Option<End>,
    /// Voice of the running segment that came before the agent's turn and does not count as over it.
    pub(crate) voiced_before: Duration,
    pub(crate) overlap: Option<Overlap>,
    /// When the tools that it waits for have come back at the latest.
    pub(crate) tools_until: Duration,
}

/// A turn of the caller's that has ended, as long as its reply was not heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) turn: TurnId,
    pub(crate) take: u32,
    pub(crate) last_voice: Duration,
    pub(crate) from: Duration,
    pub(crate) hesitated: bool,
    /// It was ended by its limit or by a request: no hint opens it again.
    pub(crate) settled: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// No audio yet.
    Thinking { until: Duration },
    /// There is audio, but an interrupted utterance has not yet said that it is silent.
    Ready,
    Playing {
        progress: Duration,
        paused: Option<Duration>,
    },
}

/// The caller's voice over the agent's speech: a turn if it grows, or if the agent is about to finish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlap {
    pub(crate) turn: TurnId,
    pub(crate) ended: Option<Duration>,
    /// Whether this segment has paused the agent already; it does so only once.
    pub(crate) has_paused: bool,
    /// The most voice that one of its segments had.
    pub(crate) voiced: Duration,
    /// What the recogniser has told of it.
    pub(crate) words: Words,
    /// Attempts at transcribing it so far.
    pub(crate) take: u32,
    /// Those of them that were made of this segment while its voice ran.
    pub(crate) probes: u32,
}

/// The caller's voice now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) onset: Duration,
    pub(crate) voiced: Duration,
    /// Its turn was cut: the rest neither interrupts nor extends anything until it ends.
    pub(crate) cut: bool,
}

/// An interrupted utterance that has yet to say that it is silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopping {
    pub(crate) utterance: UtteranceId,
    pub(crate) until: Duration,
}

impl AgentTurn {
    /// Whether it has nothing to play yet as an answer to this take of this turn.
    pub(crate) fn is_thinking_about(&self, turn: TurnId, take: u32) -> bool {
        let answers = self.answers.is_some_and(|it| (it.turn, it.take) == (turn, take));
        answers && matches!(self.stage, Stage::Thinking { .. })
    }
}

impl Floor {
    /// When this state ends by itself. Only the closed one does not.
    pub(crate) fn deadline(&self, limits: &Limits, false_interruption_timeout: Duration) -> Option<Duration> {
        match self {
            Self::Initializing { until } => Some(*until),
            Self::Open { since, away: false } => Some(*since + limits.user_away),
            Self::Open { since, away: true } => Some(*since + limits.idle),
            Self::User(UserTurn {
                ended: Some(ended), ..
            }) if ended.awaits => Some(ended.last_voice + limits.thinking),
            Self::User(UserTurn {
                ended: Some(ended), ..
            }) => Some(ended.from + ended.delay),
            Self::User(UserTurn { limit, .. }) => Some(*limit),
            Self::Agent(agent) => match agent.stage {
                Stage::Thinking { until } => Some(until.max(agent.tools_until + limits.thinking)),
                // Left when the interrupted utterance is silent, which has a limit of its own.
                Stage::Ready => None,
                Stage::Playing {
                    paused: Some(since), ..
                } => Some(since + false_interruption_timeout),
                Stage::Playing {
                    progress,
                    paused: None,
                } => Some(progress.max(agent.tools_until) + limits.stalled),
            },
            Self::Closed => None,
        }
    }
}
