//! Who is let in, over real sockets: an identity provider on loopback, and routes behind the guard.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod bodies;
mod caps;
mod guarded;
mod provider;
mod tokens;
