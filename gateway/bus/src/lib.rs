//! LiveKit's internal RPC ("psrpc") over Redis, as far as a SIP gateway needs it.
//!
//! [`Client`] calls, [`Server`] serves.
//!
//! # Contract
//!
//! - A [`Client`] owns one task and two Redis connections (one publishes, one is subscribed). It reconnects by itself, with
//!   exponential backoff; a call made meanwhile fails by its own timeout and is never sent late.
//! - [`Client::call`] publishes a request, grants the first claim, and returns the response of the claiming server alone.
//!   No claim within [`CLAIM_TIMEOUT`] means that nobody serves the method.
//! - A [`Server`] owns a task and two connections likewise. Of all servers of a method the first that sees a request bids for it, and
//!   what it is granted it answers once, at the latest when the [`Incoming`] is dropped. To drain, [`Requests::withdraw`] first.
//! - Every queue is bounded: at most [`MAX_PENDING`] calls are under way, and a call beyond them fails at once.
//! - Nothing here is retried: whether a repeat is safe is known only to the caller.
//!
//! [`ioinfo`] holds the two calls by which a gateway asks LiveKit about a trunk and a dispatch rule, [`sipinternal`] what LiveKit asks of
//! a gateway.

mod channel;
mod client;
mod error;
mod id;
pub mod ioinfo;
mod link;
mod pending;
mod server;
pub mod sipinternal;
pub mod wire;

pub use channel::Channel;
pub use client::{CLAIM_TIMEOUT, Client, Options};
pub use error::{BusError, Code};
pub use id::Id;
pub use pending::MAX_PENDING;
pub use server::{Fault, Gate, Incoming, Method, REQUEST_QUEUE, Requests, Server, ServerOptions};

use std::time::Duration;

/// How far the clocks of two machines may be apart. Servers drop a request whose expiry has passed by their own clock; who asks stops
/// waiting by its own timeout.
const CLOCK_SKEW: Duration = Duration::from_mins(2);
