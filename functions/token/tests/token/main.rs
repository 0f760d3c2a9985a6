//! The token endpoint as clients meet it, and the real server's word on its tokens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod endpoint;
mod escalations;
mod origins;
mod server;
