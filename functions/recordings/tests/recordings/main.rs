//! Recordings and ingress over a real livekit-server: what stands for its egress and ingress services on the bus does as those did when they
//! were recorded, and the server's own webhooks reach our own function.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod host;
mod ingress;
mod links;
mod log;
mod peer;
mod refusals;
mod samples;
mod scenarios;
mod sweeps;
