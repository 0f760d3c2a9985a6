//! Speech without a network: three programs of Debian, each run as a child process per utterance.
//!
//! No text of a call stands in a list of processes: it goes in by standard input. A child has no environment but a path,
//! a limit on time and output, and dies when its future is dropped. [`Slots`] bounds how many run at once.

mod espeak;
mod flite;
mod memory;
pub mod pocketsphinx;
mod speakable;
mod tool;

pub use espeak::EspeakNg;
pub use flite::{Flite, VOICES as FLITE_VOICES};
pub use pocketsphinx::PocketSphinx;
pub use tool::Slots;
