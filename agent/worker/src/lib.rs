//! The worker: takes a call from the queue, claims it, holds the conversation in its room, and leaves a closed record.
//!
//! # One call
//!
//! 1. [`intake`] waits for a free slot, then for a job.
//! 2. [`claim`] makes the call this worker's by a conditional write; [`lease`] renews that every few seconds.
//! 3. [`call`] joins the room, publishes the agent's track, which answers the phone, and runs the conversation.
//! 4. [`progress`] writes what has happened so far at each step; [`recording`] appends a page a second.
//! 5. [`archive`] writes transcript and record, closes the claim and removes the call's marker; then [`serve`] acknowledges the job.
//!
//! # What never happens
//!
//! No call is owned because the queue said so: only the claim decides. No word is spoken, and nothing is written, after the
//! claim was lost. No job is acknowledged before its record is written. No room is created by joining: a job whose room is
//! gone is closed.

mod archive;
mod call;
mod claim;
mod hand_back;
mod intake;
mod lease;
mod progress;
mod protection;
mod recording;
mod serve;
mod serving;
mod setup;
#[cfg(test)]
mod testing;

use std::error::Error;

pub use call::tools::check_transfers;
pub use intake::Worker;
pub use setup::{Agent, Agents, Setup, Shared};

/// An error for the log, which writes down what it was caused by, too.
fn cause<E: Error + 'static>(error: &E) -> &(dyn Error + 'static) {
    error
}
