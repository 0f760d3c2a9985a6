//! The system tests: real servers, real sockets, a real call each.
//!
//! A test that measures sound, time or memory runs alone, since the machine may have two cores: it begins with [`harness::turn`]. One that
//! mostly waits begins with [`harness::shared_turn`] and runs beside others of its kind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and prints what it measured"
)]

/// Prints what was measured, also when the test passes and its output is captured.
macro_rules! measured {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        // A figure that cannot be printed fails no test.
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod api;
mod aws;
mod bench;
mod browser;
mod canaries;
mod cloud;
mod conversation;
mod crash;
mod emulator;
mod endings;
mod failures;
mod harness;
mod hostile;
mod http;
mod lambda;
mod links;
mod load;
mod mail;
mod outbound;
mod phone;
mod program;
mod recogniser;
mod recording;
mod secrets;
/// The same phone as the gateway's own tests have.
#[path = "../../../gateway/service/tests/gateway/sipp.rs"]
#[allow(dead_code, reason = "not every scenario is for every test")]
mod sipp;
mod speakerphone;
mod sweep;
mod takeover;
mod tools;
mod trouble;
mod turns;
mod wire;
