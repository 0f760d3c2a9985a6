//! Whole conversations in virtual time, with scripted providers, a scripted caller and a far end that hears every sample.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    reason = "tests may unwrap, index and panic"
)]

mod barge_in;
mod captions;
mod endings;
mod failures;
mod fakes;
mod fallbacks;
mod interleavings;
mod preemptive;
mod recording;
mod rescue;
mod takeover;
mod tools;
mod turns;
mod words;
mod world;
