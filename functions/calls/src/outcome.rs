//! What became of a dialled phone.

use platform::livekit::LiveKitError;
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
}

impl CallOutcome {
    /// Reads LiveKit's error: `None` when it says nothing about the phone.
    pub(crate) fn of(error: &LiveKitError) -> Option<(Self, Option<u16>)> {
        match error {
            LiveKitError::Sip { status, .. } => Some((Self::of_status(*status), Some(*status))),
            // The gateway's own end of ringing has no SIP status.
            LiveKitError::Refused { code, .. } if code == "canceled" => Some((Self::NoAnswer, None)),
            LiveKitError::Refused { code, .. } if code == "failed_precondition" => {
                Some((Self::TrunkFailure, None))
            }
            _ => None,
        }
    }

    fn of_status(status: u16) -> Self {
        match status {
            486 | 600 => Self::Busy,
            403 | 603 => Self::Declined,
            408 | 480 | 487 => Self::NoAnswer,
            301 | 302 | 400 | 404 | 410 | 484 | 604 => Self::Invalid,
            _ => Self::TrunkFailure,
        }
    }
}
