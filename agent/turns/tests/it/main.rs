//! The machine from the outside: tables to the frame, and random interleavings.

mod barge_in;
mod hints;
mod interleavings;
mod modes;
mod paths;
mod script;
mod tables;
mod tools;
