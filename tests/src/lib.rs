//! System tests. They start the real servers and speak SIP, WebRTC and HTTP to them.
//!
//! `tests/system.rs` is the one binary of system tests: it runs serially, since it measures sound on a shared
//! machine. This library holds the test of the layering: which room may touch which.

#[cfg(test)]
mod layering;
