//! The function as LiveKit meets it: requests in, effects in queue and store out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod calls;
mod crashes;
mod egresses;
mod fakes;
mod hosts;
mod logs;
mod orders;
mod refusals;
mod sender;
