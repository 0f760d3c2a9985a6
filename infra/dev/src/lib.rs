//! The local stack: Redis and livekit-server on loopback, on free ports, for the demo and the system tests; a range of ports
//! for the gateway beside them; and, by themselves, [`MiniStack`] for the tests on AWS
//! and [`NameServer`] for those of names.
//!
//! # Contract
//!
//! - Nothing listens beyond loopback but livekit-server's media port over TCP, which the server binds on every
//!   interface whatever its configuration says.
//! - No state outlives a [`LocalStack`] or a [`MiniStack`]: they keep nothing on disk, keys are drawn per start, and servers end
//!   with the stack, also when the process that started it is killed (each server is guarded by a shell that reads a
//!   pipe from that process and ends the server when the pipe closes).
//! - Redis asks for a password, which stands on no command line.
//! - No process is ended by name: each server is a child, ended by its own process id.
//! - Linux and other Unix systems with `/bin/sh`.

mod dns;
mod error;
mod files;
mod livekit;
mod ministack;
mod ports;
mod probe;
mod redis;
mod rtp;
mod server;
mod stack;
mod start;

pub use dns::NameServer;
pub use error::StackError;
pub use ministack::MiniStack;
pub use rtp::RtpPorts;
pub use server::Server;
pub use stack::{Keys, LocalStack, LocalStackConfig, Program};
