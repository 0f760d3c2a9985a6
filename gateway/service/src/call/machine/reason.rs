//! Why a call ended.

use events::EndCause;

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Refused before the room was joined.
    Refused,
    Cancelled,
    /// The phone hung up, whoever had dialled whom.
    CallerHungUp,
    /// The phone that we dialled was busy, declined, or is not there.
    NotPutThrough,
    /// The phone that we dialled was not answered in time.
    NotAnswered,
    /// Nobody answered our INVITE.
    Unreachable,
    /// The phone that we dialled was answered with media that we cannot speak.
    NoMedia,
    Transferred,
    NoAgent,
    /// No agent came, and the caller was told so.
    NoAgentPrompt,
    /// No agent came, and the phone went where such calls are sent.
    NoAgentTransfer,
    /// The caller was asked for a PIN and entered wrong ones.
    WrongPin,
    /// The caller was asked for a PIN and entered none in time.
    NoPin,
    AgentLeft,
    /// The agent vanished and no other came within the grace.
    AgentLost,
    /// A participant of the room asked for the end.
    EndCall,
    RoomClosed,
    Removed,
    Disconnected,
    MediaTimeout,
    MaxDuration,
    NotAcknowledged,
    /// The other side did not refresh the session (RFC 4028).
    SessionExpired,
    DialogEnded,
    ShutDown,
}

impl EndReason {
    /// The reason's name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Refused => "refused",
            EndReason::Cancelled => "cancelled",
            EndReason::CallerHungUp => "caller_hung_up",
            EndReason::NotPutThrough => "not_put_through",
            EndReason::NotAnswered => "not_answered",
            EndReason::Unreachable => "unreachable",
            EndReason::NoMedia => "no_common_codec",
            EndReason::Transferred => "transferred",
            EndReason::NoAgent => "no_agent",
            EndReason::NoAgentPrompt => "no_agent_prompt",
            EndReason::NoAgentTransfer => "no_agent_transfer",
            EndReason::WrongPin => "wrong_pin",
            EndReason::NoPin => "no_pin",
            EndReason::AgentLeft => "agent_left",
            EndReason::AgentLost => "agent_lost",
            EndReason::EndCall => "end_call",
            EndReason::RoomClosed => "room_closed",
            EndReason::Removed => "removed",
            EndReason::Disconnected => "disconnected",
            EndReason::MediaTimeout => "media_timeout",
            EndReason::MaxDuration => "max_duration",
            EndReason::NotAcknowledged => "not_acknowledged",
            EndReason::SessionExpired => "session_expired",
            EndReason::DialogEnded => "dialog_ended",
            EndReason::ShutDown => "shut_down",
        }
    }
}

impl EndReason {
    /// The reason as the call's record needs it; `None` where the events of the room say enough.
    pub(crate) fn cause(self) -> Option<EndCause> {
        match self {
            EndReason::Cancelled => Some(EndCause::Cancelled),
            EndReason::CallerHungUp => Some(EndCause::CallerHungUp),
            EndReason::NoAgent | EndReason::NoAgentPrompt | EndReason::NoAgentTransfer => {
                Some(EndCause::NoAgent)
            }
            EndReason::AgentLeft | EndReason::AgentLost | EndReason::EndCall => Some(EndCause::AgentHungUp),
            EndReason::MediaTimeout => Some(EndCause::MediaTimeout),
            EndReason::NotAcknowledged => Some(EndCause::NotAcknowledged),
            EndReason::SessionExpired => Some(EndCause::SessionExpired),
            EndReason::MaxDuration => Some(EndCause::MaxDuration),
            EndReason::ShutDown => Some(EndCause::Failed),
            _ => None,
        }
    }
}
