//! The system tests: real servers, real sockets, a real call each.
//!
//! They run one after the other, since they measure sound on a machine of two cores: every test begins with
//! [`harness::turn`].

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

mod conversation;
mod crash;
mod endings;
mod harness;
mod hostile;
mod load;
mod phone;
mod recording;
