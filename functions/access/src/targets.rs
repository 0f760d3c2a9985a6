//! Whom a call or a transfer may go to, and what is answered when it may not.

pub use platform::targets::{Policy, Target, TargetError};

use crate::Fail;

/// A refusal as an answer to whoever put the target into `field`.
pub fn fail(error: TargetError, field: &str) -> Fail {
    let remedy = match error {
        TargetError::Invalid => "write a number like +4930123456, or sip:user@host",
        TargetError::Emergency | TargetError::Premium => {
            "calls.targets.special allows what must be dialled all the same"
        }
        TargetError::NotListed => {
            "calls.targets.numbers and calls.targets.sip_hosts list what may be dialled"
        }
        TargetError::NotListedForCaller => "the caller's `numbers` list what it may dial",
    };
    match error {
        TargetError::Invalid => Fail::invalid(field, error.to_string(), remedy),
        _ => Fail::refused(error.reason(), field, error.to_string(), remedy),
    }
}
