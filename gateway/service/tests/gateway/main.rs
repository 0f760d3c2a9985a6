//! The gateway between a SIP caller and a real livekit-server with its Redis.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too, and prints what it measured"
)]

mod agent;
mod baresip;
#[path = "../../../sip/tests/stack/certificate.rs"]
mod certificate;
mod diary;
mod fixture;
mod handles;
mod kamailio;
mod logs;
mod peer;
mod sipp;
mod speech;
mod wire;

mod alone;
mod answer;
mod corpus;
mod disturbance;
mod ends;
mod flood;
mod hosts;
mod latency;
mod load;
mod methods;
mod outbound;
mod pins;
mod records;
mod refusals;
mod registration;
mod replay;
mod reports;
mod sessions;
mod signalling;
mod sound;
mod srtp;
mod strangers;
mod streams;
mod transfers;
