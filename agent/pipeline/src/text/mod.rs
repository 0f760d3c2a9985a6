//! What is said, as text: sentences of a stream, what can be spoken of them, and what of them was heard.

mod chunker;
mod heard;
mod speakable;

pub(crate) use chunker::Chunker;
pub(crate) use heard::{Sentence, heard_words};
pub(crate) use speakable::speakable;

mod affirmative;
pub(crate) use affirmative::is_affirmative;
