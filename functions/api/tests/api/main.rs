//! The API as a whole: the document that is checked in, and who gets in where.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod authorisation;
mod document;
mod host;
