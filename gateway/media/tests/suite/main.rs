//! What the crate promises, tested through its public API.

#![allow(clippy::similar_names, reason = "caller and callee are the field's words")]
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

mod dtmf;
mod lossy;
mod opus;
mod ports;
mod rtcp;
mod sdp;
mod session;
mod stream;
