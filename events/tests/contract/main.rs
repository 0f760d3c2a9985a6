//! The contract held against real traffic: every sample, and whatever can be made of one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod calls;
mod formats;
mod hostile;
mod samples;
mod webhooks;
