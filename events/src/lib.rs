//! The contract between the rooms of Trunkline: what a call is, what is said about it, and where that is kept.
//!
//! # Calling contract
//!
//! - This crate is pure: it opens nothing, reads no clock and draws no random number. Every moment comes in as a [`Timestamp`].
//! - Whatever comes from the network goes through [`livekit::parse`] once. What comes out of it is bounded and checked: there is no
//!   `validate()` anywhere later.
//! - Parsing is tolerant where LiveKit may grow: unknown events, unknown enum values and unknown fields are kept by name or dropped,
//!   never an error.
//! - Secrets in a webhook (a room's TURN password, stream keys, stream URLs) have no field here: they are dropped while parsing.
//! - Phone numbers, SIP users, identities, room names, attributes, metadata and words are masked in `Debug`. None of them has a
//!   `Display`: to print one takes an explicit `as_str`.
//! - [`CallJob`], [`CallRecord`] and [`EgressRecord`] carry a version. Older versions are read for as long as one may be in a queue or a store.

#![warn(missing_docs)]

pub mod agents;
mod call_event;
mod claim;
mod egress;
mod fold;
mod id;
mod job;
pub mod keys;
mod leg;
pub mod livekit;
mod open_enum;
mod party;
mod pattern;
mod progress;
mod record;
mod recording;
mod session;
mod timestamp;
mod versioned;

pub use call_event::CallEvent;
pub use claim::{Claim, DEFAULT_LEASE, Standing};
pub use egress::{EgressEnd, EgressRecord, OpenEgress};
pub use fold::{CallState, ClosePolicy, EndCause, Leg, Parties, Regions, signalling, told_end};
pub use id::{
    CallId, EgressId, EventId, IdError, IngressId, ParticipantIdentity, ParticipantSid, ProfileName,
    RoomName, TrackSid, mask_digits,
};
pub use job::{CallJob, IndexEntry, ProfileHash, ProfileHashError, ProfileRef};
pub use leg::{Direction, EndedBy, LegHost, LegMedia, LegRecord, SipStatus};
pub use party::{Party, PhoneNumber, PhoneNumberError, Region, RegionError, SipUser};
pub use progress::{Progress, Transcript};
pub use record::{
    CallRecord, Outcome, Recording, RecordingPolicy, Speaker, Step, TimelineEntry, ToolRecord, Transcribed,
    TurnLatency, TurnRecord,
};
pub use recording::recording_ms;
pub use session::{
    CallerAudio, Errors, Session, SessionEvent, SessionEventKind, SessionReport, Spread, Usage,
};
pub use timestamp::Timestamp;
pub use versioned::DecodeError;
