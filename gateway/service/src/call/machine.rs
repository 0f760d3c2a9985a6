//! What a joined call does when: pure, with time as an argument.
//!
//! After each [`Machine::handle`] or [`Machine::handle_timeout`] the caller takes outputs until there are none, and wakes the machine
//! at [`Machine::poll_timeout`]. [`Output::End`] is the last output.

mod reason;

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

pub use reason::EndReason;

/// What happens to a joined call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// This agent has an audio track, which is being subscribed to.
    Published { identity: String },
    /// An audio track of this participant was subscribed to. Phones (kind SIP) are heard too, but are no agents.
    Heard { identity: String, is_phone: bool },
    /// A participant left the room. `deliberate`: by its own will or an operator's, not by a broken connection.
    Left { identity: String, deliberate: bool },
    /// We are out of the room.
    RoomLost(RoomLoss),
    /// The phone that we dial rings.
    Rings,
    /// The phone that we dial was answered.
    PickedUp,
    /// The phone that we dial was not put through.
    NotPutThrough,
    /// Nobody answers our INVITE.
    Unreachable,
    /// The phone that we dial was answered with media that we cannot speak.
    NoMedia,
    /// The phone was sent elsewhere, and is there.
    Transferred,
    /// The phone was sent elsewhere, and is not there.
    NotTransferred,
    /// The phone has hung up to go where it was sent.
    WentElsewhere,
    /// A participant of the room wants the call ended.
    EndCall,
    /// The caller acknowledged the 200.
    Acknowledged,
    /// The caller ended the call, by CANCEL or BYE.
    CallerLeft,
    /// The 200 was never acknowledged.
    NotAcknowledged,
    /// The session was not refreshed.
    SessionExpired,
    /// The dialog has ended for another reason.
    DialogEnded,
    /// The caller sends no RTP.
    MediaTimeout,
    /// The gateway stops.
    ShutDown,
}

/// Why we are out of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoomLoss {
    /// The room was deleted or closed.
    Closed,
    /// We were removed.
    Removed,
    /// The connection broke and did not come back.
    Disconnected,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send the 200 and start the media.
    Answer,
    /// The same where no agent is heard.
    AnswerAlone,
    /// Send the phone to where calls without an agent go.
    Transfer,
    /// Let the phone hear that there is no agent.
    Prompt,
    /// Let the phone hear music, or no longer.
    Hold(bool),
    /// Show the call as ringing.
    Ringing,
    /// Let the room and the phone hear each other.
    Connect,
    /// Show the call as active.
    Active,
    /// Refuse the INVITE.
    Reject { code: u16, text: &'static str },
    /// Send BYE, or take the call back that nobody has answered.
    HangUp { text: &'static str },
    /// Release everything. The last output.
    End(EndReason),
}

/// The machine's own timeouts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// When ringing ends: without an agent, or without an answer of the phone that we dial.
    pub(crate) ringing_until: Instant,
    /// How long a vanished agent is waited for.
    pub(crate) agent_gone: Duration,
    /// The longest duration from the 200 on.
    pub(crate) max_call: Duration,
    pub(crate) no_agent: NoAgent,
    /// Whether the phone hears music while no agent is there.
    pub(crate) holds: bool,
}

/// What becomes of a caller whom no agent answers. With nothing of it the call is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NoAgent {
    /// Whether the phone is sent elsewhere.
    pub(crate) transfers: bool,
    /// How long the caller is told that there is none, if the phone is not elsewhere by then.
    pub(crate) prompt: Option<Duration>,
}

/// How long the sound of a track may take that a call was answered for. livekit-sip waits as long.
const SOUND_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Machine {
    options: Options,
    phase: Phase,
    agents: HashSet<String>,
    phones: HashSet<String>,
    /// Whether the phone has acknowledged the answer, or has given it.
    acknowledged: bool,
    /// Whether an agent was ever heard.
    served: bool,
    /// Answered because an agent has a track, of which nothing comes yet: until when that is waited for before the call is shown as active,
    /// since then the agent speaks.
    sound_by: Option<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The phone waits for an agent.
    Ringing,
    /// We wait for the phone.
    Dialling {
        rings: bool,
    },
    /// Answered; `gone_at` is set while no agent is there.
    Answered {
        end_at: Instant,
        gone_at: Option<Instant>,
    },
    /// Answered, for no agent came.
    Alone(Alone),
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    /// The 200 is not acknowledged yet.
    Answered,
    Transferring,
    Hearing {
        end_at: Instant,
    },
}

impl Machine {
    /// Of a call that a phone has placed.
    pub(crate) fn incoming(options: Options) -> Self {
        Self::begin(options, Phase::Ringing)
    }

    /// Of a call that was answered before it had a room. Without an agent it ends when one that rings would.
    pub(crate) fn answered(options: Options, acknowledged: bool, now: Instant) -> Self {
        let phase = Phase::Answered {
            end_at: now + options.max_call,
            gone_at: Some(options.ringing_until),
        };
        let mut machine = Self {
            acknowledged,
            ..Self::begin(options, phase)
        };
        machine.hold(true);
        machine
    }

    /// Of a call to a phone.
    pub(crate) fn outgoing(options: Options) -> Self {
        Self::begin(options, Phase::Dialling { rings: false })
    }

    fn begin(options: Options, phase: Phase) -> Self {
        let (agents, phones, outputs) = Default::default();
        Self {
            options,
            phase,
            agents,
            phones,
            acknowledged: false,
            served: false,
            sound_by: None,
            outputs,
        }
    }

    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        match input {
            _ if self.phase == Phase::Ended => {}
            Input::Published { identity } => self.agent_published(identity, now),
            Input::Heard {
                identity,
                is_phone: true,
            } => drop(self.phones.insert(identity)),
            Input::Heard {
                identity,
                is_phone: false,
            } => self.agent_heard(identity, now),
            Input::Rings => self.rings(),
            Input::PickedUp => {
                self.acknowledged = true;
                self.picked_up(now);
            }
            Input::NotPutThrough => self.over(EndReason::NotPutThrough),
            Input::Unreachable => self.over(EndReason::Unreachable),
            Input::NoMedia => self.end(EndReason::NoMedia),
            Input::Transferred => self.end(self.elsewhere().unwrap_or(EndReason::Transferred)),
            Input::NotTransferred => {
                if self.phase == Phase::Alone(Alone::Transferring) {
                    self.prompt(now);
                }
            }
            Input::WentElsewhere => self.over(self.elsewhere().unwrap_or(EndReason::CallerHungUp)),
            Input::EndCall => self.end(EndReason::EndCall),
            Input::Left { identity, deliberate } => self.left(&identity, deliberate, now),
            Input::Acknowledged => {
                self.acknowledged = true;
                if self.sound_by.is_none() {
                    self.outputs.push_back(Output::Active);
                }
                if self.phase == Phase::Alone(Alone::Answered) {
                    self.turn_away(now);
                }
            }
            Input::CallerLeft => {
                let cancelled = self.phase == Phase::Ringing;
                self.over(if cancelled {
                    EndReason::Cancelled
                } else {
                    EndReason::CallerHungUp
                });
            }
            Input::NotAcknowledged => self.over(EndReason::NotAcknowledged),
            Input::SessionExpired => self.over(EndReason::SessionExpired),
            Input::DialogEnded => self.over(EndReason::DialogEnded),
            // Who has never heard of the answer has nothing to send sound to.
            Input::MediaTimeout if !self.acknowledged => self.end(EndReason::NotAcknowledged),
            Input::MediaTimeout => self.end(EndReason::MediaTimeout),
            Input::RoomLost(RoomLoss::Closed) => self.end(EndReason::RoomClosed),
            Input::RoomLost(RoomLoss::Removed) => self.end(EndReason::Removed),
            Input::RoomLost(RoomLoss::Disconnected) => self.end(EndReason::Disconnected),
            Input::ShutDown => self.end(EndReason::ShutDown),
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ringing | Phase::Dialling { .. } => Some(self.options.ringing_until),
            Phase::Answered { end_at, gone_at } => [gone_at, self.sound_by]
                .into_iter()
                .flatten()
                .chain([end_at])
                .min(),
            Phase::Alone(Alone::Hearing { end_at }) => Some(end_at),
            Phase::Alone(_) | Phase::Ended => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.sound_by.is_some_and(|by| now >= by) {
            self.sound_came();
        }
        match self.phase {
            Phase::Ringing if now >= self.options.ringing_until => self.nobody_came(now),
            Phase::Dialling { .. } if now >= self.options.ringing_until => self.end(EndReason::NotAnswered),
            Phase::Answered { end_at, .. } if now >= end_at => self.end(EndReason::MaxDuration),
            Phase::Answered {
                gone_at: Some(gone_at),
                ..
            } if now >= gone_at && self.served => self.end(EndReason::AgentLost),
            Phase::Answered {
                gone_at: Some(gone_at),
                ..
            } if now >= gone_at => self.nobody_came(now),
            Phase::Alone(Alone::Hearing { end_at }) if now >= end_at => self.end(EndReason::NoAgentPrompt),
            _ => {}
        }
    }

    /// The answer takes its way to the phone while the track is subscribed to.
    fn agent_published(&mut self, identity: String, now: Instant) {
        if self.phase == Phase::Ringing {
            self.agents.insert(identity);
            self.sound_by = Some(now + SOUND_LIMIT);
            self.answer(now);
        }
    }

    fn answer(&mut self, now: Instant) {
        self.phase = Phase::Answered {
            end_at: now + self.options.max_call,
            gone_at: None,
        };
        self.outputs.push_back(Output::Answer);
    }

    /// Or is waited for no longer.
    fn sound_came(&mut self) {
        if self.sound_by.take().is_some() && self.acknowledged && self.phase != Phase::Ended {
            self.outputs.push_back(Output::Active);
        }
    }

    fn nobody_came(&mut self, now: Instant) {
        let NoAgent { transfers, prompt } = self.options.no_agent;
        if !transfers && prompt.is_none() {
            return self.end(EndReason::NoAgent);
        }
        if self.phase == Phase::Ringing {
            self.outputs.push_back(Output::AnswerAlone);
        }
        self.phase = Phase::Alone(Alone::Answered);
        if self.acknowledged {
            self.turn_away(now);
        }
    }

    fn turn_away(&mut self, now: Instant) {
        if self.options.no_agent.transfers {
            self.phase = Phase::Alone(Alone::Transferring);
            self.outputs.push_back(Output::Transfer);
        } else {
            self.prompt(now);
        }
    }

    fn prompt(&mut self, now: Instant) {
        match self.options.no_agent.prompt {
            Some(length) => {
                self.phase = Phase::Alone(Alone::Hearing { end_at: now + length });
                self.outputs.push_back(Output::Prompt);
            }
            None => self.end(EndReason::NoAgent),
        }
    }

    /// Why the call of a phone ended that is elsewhere, for no agent came.
    fn elsewhere(&self) -> Option<EndReason> {
        (self.phase == Phase::Alone(Alone::Transferring)).then_some(EndReason::NoAgentTransfer)
    }

    fn hold(&mut self, holds: bool) {
        if self.options.holds {
            self.outputs.push_back(Output::Hold(holds));
        }
    }

    fn agent_heard(&mut self, identity: String, now: Instant) {
        self.agents.insert(identity);
        self.served = true;
        self.sound_came();
        match &mut self.phase {
            Phase::Ringing => self.answer(now),
            Phase::Answered { gone_at, .. } => {
                if gone_at.take().is_some() {
                    self.hold(false);
                }
            }
            // Who was told that nobody is there is not surprised by somebody.
            Phase::Dialling { .. } | Phase::Alone(_) | Phase::Ended => {}
        }
    }

    fn rings(&mut self) {
        if let Phase::Dialling { rings } = &mut self.phase
            && !std::mem::replace(rings, true)
        {
            self.outputs.push_back(Output::Ringing);
        }
    }

    fn picked_up(&mut self, now: Instant) {
        if let Phase::Dialling { .. } = self.phase {
            self.phase = Phase::Answered {
                end_at: now + self.options.max_call,
                gone_at: None,
            };
            self.outputs.push_back(Output::Connect);
        }
    }

    fn left(&mut self, identity: &str, deliberate: bool, now: Instant) {
        let was_agent = self.agents.remove(identity);
        let was_phone = self.phones.remove(identity);
        if !(was_agent || was_phone) || !self.agents.is_empty() {
            return;
        }
        // Phones that an agent has brought together may go on without it.
        if !self.phones.is_empty() {
            return;
        }
        let grace = self.options.agent_gone;
        if let Phase::Answered { gone_at, .. } = &mut self.phase {
            if deliberate {
                self.end(EndReason::AgentLeft);
            } else if gone_at.is_none() {
                *gone_at = Some(now + grace);
                self.hold(true);
            }
        }
    }

    /// Ends a call whose dialog still stands.
    fn end(&mut self, reason: EndReason) {
        self.outputs.push_back(match (self.phase, reason) {
            (Phase::Ringing, EndReason::NoAgent) => Output::Reject {
                code: 480,
                text: "no agent",
            },
            (Phase::Ringing, EndReason::RoomClosed | EndReason::Removed | EndReason::EndCall) => {
                Output::Reject {
                    code: 480,
                    text: "call ended by the room",
                }
            }
            (Phase::Ringing, EndReason::ShutDown) => Output::Reject {
                code: 503,
                text: "shutting down",
            },
            (Phase::Ringing, _) => Output::Reject {
                code: 503,
                text: "room lost",
            },
            (_, reason) => Output::HangUp {
                text: reason.as_str(),
            },
        });
        self.over(reason);
    }

    /// Ends a call whose dialog is over.
    fn over(&mut self, reason: EndReason) {
        self.phase = Phase::Ended;
        self.outputs.push_back(Output::End(reason));
    }
}

#[cfg(test)]
mod tests;
