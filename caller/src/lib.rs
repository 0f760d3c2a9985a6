//! A synthetic SIP caller: a phone with a voice, an ear and a stopwatch, over UDP.
//!
//! It shares no SIP code with the gateway, so that a fault on one side cannot hide behind the same fault on the
//! other.
//!
//! # Contract
//!
//! - One [`Call`] is one call: `place`, `wait_answered`, `speak` and an [`Ear`] in turn, `hang_up`, `wait_ended`.
//! - From the answer on RTP leaves every 20 ms, silence included, and catches up when the machine was late.
//! - All times are `Duration`s since the INVITE; what was heard is timed on the wire ([`Received::time_of`]).
//! - Every wait has a deadline, every queue and recording a bound; dropping a call stops all its tasks.
//! - Nothing is resolved by name and nothing is sent anywhere but to the addresses of the call.

mod call;
mod driver;
mod ear;
mod error;
mod mouth;
mod place;
mod raw;
mod received;
mod report;
mod sip;

pub use audio::Codec;
pub use call::Call;
pub use driver::TracedMessage;
pub use ear::{Ear, EarOptions, Moment};
pub use error::CallError;
pub use mouth::{Speakerphone, Spoken};
pub use place::{Caller, CallerConfig};
pub use raw::RawSip;
pub use received::{Arrival, Received};
pub use report::{CallReport, EndedBy, RtpReport, SipStep, TimedStep};
pub use sip::digest::Credentials;
