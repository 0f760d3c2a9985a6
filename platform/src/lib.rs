//! What every process of Trunkline stands on: config, secrets, telemetry, lifecycle, the LiveKit API client and the
//! two ports, [`queue`] and [`store`].
//!
//! # The contract
//!
//! 1. [`install_providers`] comes first in every `main` and in every test that may touch TLS or tokens.
//! 2. [`config::load`] comes second, before any port opens: all faults at once, or a [`config::Config`] that needs no
//!    further checks.
//! 3. [`telemetry::init`] comes third. What is logged before it is lost, so nothing is.
//! 4. Every task is spawned on [`lifecycle::Lifecycle::tasks`]; [`lifecycle::Lifecycle::supervise`] ends the process.
//!
//! # What this crate does not do
//!
//! It holds no state of a call: that is in the store. It knows no audio, no SIP, no prompt. It reads the environment at
//! one place only ([`config::ProcessEnvironment`]) and the wall clock at one place only ([`clock::SystemClock`]); the AWS
//! SDK, where it is used, reads the `AWS_…` variables of its own ([`aws`]). It holds no key of AWS.
//! The queue wakes workers and is never an authority: who owns a call is decided by a conditional write to the store.
#![warn(missing_docs)]

pub mod aws;
pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod livekit;
pub mod problem;
pub mod queue;
pub mod redact;
pub mod store;
pub mod targets;
pub mod telemetry;

mod private;
mod providers;
mod secret;

pub use providers::install_providers;
pub use secret::Secret;
