//! What happened in a call, with times since its INVITE.

use std::fmt;
use std::time::Duration;

use audio::Codec;

/// A step of the SIP dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SipStep {
    /// The first INVITE was sent: time zero.
    Invite,
    /// 100.
    Trying,
    /// 401 or 407, answered with credentials.
    Challenged { code: u16 },
    /// 180 or another 18x.
    Ringing { code: u16 },
    /// The 200, acknowledged.
    Answered,
    /// The other side changed the session by a re-INVITE.
    Reinvited,
    /// CANCEL was sent.
    CancelSent,
    /// BYE was sent.
    ByeSent,
    /// The end, whoever caused it.
    Ended(EndedBy),
}

impl fmt::Display for SipStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invite => f.write_str("INVITE"),
            Self::Trying => f.write_str("100"),
            Self::Challenged { code } | Self::Ringing { code } => write!(f, "{code}"),
            Self::Answered => f.write_str("200"),
            Self::Reinvited => f.write_str("re-INVITE"),
            Self::CancelSent => f.write_str("CANCEL"),
            Self::ByeSent => f.write_str("BYE sent"),
            Self::Ended(by) => write!(f, "ended: {by}"),
        }
    }
}

/// Who or what ended the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedBy {
    /// Our BYE was answered.
    Caller,
    /// The other side sent BYE; `reason` is its Reason header.
    Callee { reason: Option<String> },
    /// Our CANCEL was answered by 487.
    Cancelled,
    /// A final answer other than 2xx; `reason` is its Reason header (RFC 3326).
    Refused {
        code: u16,
        phrase: String,
        reason: Option<String>,
    },
    /// A request stayed without an answer for 32 s (RFC 3261, timers B and F).
    NoAnswer { method: &'static str },
    /// The 200 carried an SDP answer that does not fit; the call was ended by BYE.
    BadAnswer,
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller => f.write_str("the caller hung up"),
            Self::Callee { .. } => f.write_str("the other side hung up"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Refused { code, phrase, .. } => write!(f, "refused with {code} {phrase}"),
            Self::NoAnswer { method } => write!(f, "no answer to {method} for 32 s"),
            Self::BadAnswer => f.write_str("the SDP answer did not fit"),
        }
    }
}

/// A step and its time since the INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedStep {
    pub step: SipStep,
    pub at: Duration,
}

/// Counts of the RTP of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtpReport {
    pub sent: u64,
    pub received: u64,
    /// Gaps in the sequence numbers received.
    pub lost: u64,
    /// Datagrams on the RTP port that were no audio of the call: other payload types, broken packets.
    pub other: u64,
    /// How late the latest packet left against its 20 ms grid: what this machine, not the system under test, added.
    pub max_send_lateness: Duration,
}

/// The whole call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    pub call_id: String,
    pub steps: Vec<TimedStep>,
    /// `None` before the answer.
    pub codec: Option<Codec>,
    pub rtp: RtpReport,
}

impl CallReport {
    /// When 180 or another 18x came first.
    pub fn ringing(&self) -> Option<Duration> {
        self.first(|step| matches!(step, SipStep::Ringing { .. }))
    }

    /// When the 200 came.
    pub fn answered(&self) -> Option<Duration> {
        self.first(|step| *step == SipStep::Answered)
    }

    /// When the call ended, and by whom.
    pub fn ended(&self) -> Option<(Duration, &EndedBy)> {
        self.steps.iter().find_map(|timed| match &timed.step {
            SipStep::Ended(by) => Some((timed.at, by)),
            _ => None,
        })
    }

    fn first(&self, wanted: impl Fn(&SipStep) -> bool) -> Option<Duration> {
        self.steps
            .iter()
            .find(|timed| wanted(&timed.step))
            .map(|timed| timed.at)
    }
}

/// The steps in one line, for errors.
pub(crate) fn one_line(steps: &[TimedStep]) -> String {
    let words = steps
        .iter()
        .map(|timed| format!("{} at {} ms", timed.step, timed.at.as_millis()));
    words.collect::<Vec<_>>().join(", ")
}
