//! What became of a dialled phone.

use platform::livekit::{LiveKitError, PhoneOutcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an outbound call or a transfer came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// It was answered.
    Answered,
    /// The line was busy (SIP 486, 600).
    Busy,
    /// The other side did not want it (603, 403).
    Declined,
    /// It rang, or could not be reached for the time being (480, 408, 487, or the ringing timeout).
    NoAnswer,
    /// There is no such number or address (404, 484, 604, 410, 400, 301, 302).
    Invalid,
    /// The trunk did not do it (everything else).
    TrunkFailure,
    /// It was hung up over this API, or its room has ended, before it was answered. Also when it is over, the process died that dialled it,
    /// and nothing says that it was answered.
    Cancelled,
}

impl CallOutcome {
    /// Reads LiveKit's error: `None` when it says nothing about the phone.
    pub(crate) fn of(error: &LiveKitError) -> Option<(Self, Option<u16>)> {
        let (outcome, status) = PhoneOutcome::of(error)?;
        let outcome = match outcome {
            PhoneOutcome::Busy => Self::Busy,
            PhoneOutcome::Declined => Self::Declined,
            PhoneOutcome::NoAnswer => Self::NoAnswer,
            PhoneOutcome::Invalid => Self::Invalid,
            PhoneOutcome::TrunkFailure => Self::TrunkFailure,
        };
        Some((outcome, status))
    }
}
