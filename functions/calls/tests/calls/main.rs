//! Calls against a real livekit-server, whose telephone network answers as recorded.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod gate;
mod gateway;
mod hang_up;
mod host;
mod outbound;
mod repeats;
mod rooms;
