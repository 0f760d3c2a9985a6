//! The machine from the outside: tables to the frame, and random interleavings.

mod interleavings;
mod script;
mod tables;
