//! The adapters against real programs and against a server that replays what services send.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "tests panic, and make sounds of small numbers"
)]

mod deepgram;
mod listener;
mod offline;
mod openai;
mod reception;
mod registry;
mod sdk;
mod stub;
mod tools;
