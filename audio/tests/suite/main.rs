//! What the crate promises, tested through its public API.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test signals are made by arithmetic between sample types"
)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic in a helper fails the test that called it"
)]

mod clean;
mod codec;
mod concealment;
mod jitter;
mod ogg;
mod opus;
mod resample;
mod signals;
mod vad;
