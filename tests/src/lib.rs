//! System tests. They start the real servers and speak SIP, WebRTC and HTTP to them.
//!
//! `tests/system.rs` is the one binary of system tests: what measures sound in it runs alone, since the
//! machine may have two cores. This library holds the test of the layering: which room may touch which.

#[cfg(test)]
mod layering;
