//! The machine from the outside: tables to the frame, and random interleavings.

mod barge_in;
mod interleavings;
mod script;
mod tables;
