//! What LiveKit is told when a call or a transfer comes to nothing: code and words as livekit-sip has them, since LiveKit's clients read
//! both.

use bus::sipinternal::SipStatus;
use bus::{Code, Fault};
use livekit::DisconnectReason;

/// The answers to an INVITE that livekit-sip reports as failures of the call; others it calls unexpected.
const EXPECTED: [u16; 5] = [400, 404, 480, 486, 488];

/// A final answer of the telephone network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SipFailure {
    pub(crate) code: u16,
    pub(crate) phrase: String,
}

impl SipFailure {
    /// As the answer to an INVITE.
    pub(crate) fn of_invite(&self) -> Fault {
        let what = if EXPECTED.contains(&self.code) {
            "INVITE failed"
        } else {
            "unexpected status from INVITE response"
        };
        self.fault(&format!("{what}: {self}"))
    }

    /// As the answer to a REFER.
    pub(crate) fn of_refer(&self) -> Fault {
        self.fault(&self.to_string())
    }

    /// As what became of a transfer.
    pub(crate) fn of_transfer(&self) -> Fault {
        self.fault(&format!("call transfer failed: {self}"))
    }

    fn fault(&self, text: &str) -> Fault {
        let status = SipStatus {
            code: i32::from(self.code),
            status: self.phrase.clone(),
        };
        Fault {
            details: vec![status.detail()],
            ..Fault::new(code(self.code), text)
        }
    }

    /// Why the phone's participant leaves.
    pub(crate) fn disconnect_reason(&self) -> DisconnectReason {
        match self.code {
            403 | 486 | 600 | 603 => DisconnectReason::UserRejected,
            404 | 408 | 480 | 484 | 487 | 604 => DisconnectReason::UserUnavailable,
            _ => DisconnectReason::ClientInitiated,
        }
    }
}

impl std::fmt::Display for SipFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sip status: {}: {}", self.code, self.phrase)
    }
}

/// Nobody answered in time, or the call was ended from the room.
pub(crate) fn timed_out() -> Fault {
    Fault::new(Code::Canceled, "sip request timed out")
}

/// A fault of our own once the INVITE is out: not `unavailable`, so that nobody dials again.
pub(crate) fn own(text: &str) -> Fault {
    Fault::new(Code::FailedPrecondition, text)
}

fn code(status: u16) -> Code {
    match status {
        480 | 486 | 600 => Code::ResourceExhausted,
        301 | 302 | 404 | 410 | 481 | 604 => Code::NotFound,
        401..=403 | 603 => Code::PermissionDenied,
        408 | 504 => Code::DeadlineExceeded,
        487 => Code::Aborted,
        505 => Code::InvalidArgument,
        500..=599 => Code::FailedPrecondition,
        _ => Code::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: u16, phrase: &str) -> SipFailure {
        SipFailure {
            code,
            phrase: phrase.into(),
        }
    }

    /// Recorded from livekit-sip.
    #[test]
    fn failures_of_an_invite_are_told_as_livekit_sip_tells_them() {
        for (status, phrase, code, text) in [
            (
                486,
                "Busy Here",
                "resource_exhausted",
                "INVITE failed: sip status: 486: Busy Here",
            ),
            (
                480,
                "Temporarily Unavailable",
                "resource_exhausted",
                "INVITE failed: sip status: 480: Temporarily Unavailable",
            ),
            (
                404,
                "Not Found",
                "not_found",
                "INVITE failed: sip status: 404: Not Found",
            ),
            (
                603,
                "Decline",
                "permission_denied",
                "unexpected status from INVITE response: sip status: 603: Decline",
            ),
            (
                503,
                "Service Unavailable",
                "failed_precondition",
                "unexpected status from INVITE response: sip status: 503: Service Unavailable",
            ),
        ] {
            let fault = failure(status, phrase).of_invite();
            assert_eq!((fault.code.as_str(), fault.message.as_str()), (code, text));
            assert_eq!(fault.details.len(), 1);
            assert_eq!(fault.details[0].type_url, "type.googleapis.com/livekit.SIPStatus");
        }
    }

    #[test]
    fn failures_of_a_transfer_say_whether_the_refer_or_the_new_call_failed() {
        let refused = failure(603, "Decline").of_refer();
        assert_eq!(refused.message, "sip status: 603: Decline");
        assert_eq!(refused.code, Code::PermissionDenied);
        let busy = failure(486, "Busy Here").of_transfer();
        assert_eq!(busy.message, "call transfer failed: sip status: 486: Busy Here");
        assert_eq!(busy.code, Code::ResourceExhausted);
    }

    #[test]
    fn every_status_has_a_code() {
        for status in 300..=699 {
            assert_ne!(code(status), Code::Unavailable, "{status}: nobody may dial again");
        }
        assert_eq!(code(487), Code::Aborted);
        assert_eq!(code(505), Code::InvalidArgument);
        assert_eq!(code(488), Code::InvalidArgument);
    }
}
