//! The sweep over the store and the queue of `trunkline serve`, beside rooms that are what the tests say.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod crashes;
mod egresses;
mod faults;
mod fuse;
mod logs;
mod plans;
mod repairs;
mod world;
