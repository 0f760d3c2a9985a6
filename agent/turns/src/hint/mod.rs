//! Whether a turn sounds finished by its words: the port, and rules for English and Russian.

mod english;
mod russian;
mod sentence;

use sentence::Sentence;

/// Judges by the words of a turn whether it is over. Its verdict moves the endpointing delay between
/// [`crate::Endpointing::min_delay`] and [`crate::Endpointing::max_delay`] and nowhere else, so a wrong one never costs more
/// than their difference ([`crate::Endpointing::hinted`]).
pub trait TurnHint: Send {
    /// The probability, 0.0 to 1.0, that nothing follows `words`, all that was recognised of the turn. `language` is a
    /// BCP 47 tag. None: it cannot tell, and the delay stays as it is. Called once for each transcript, on the thread of
    /// the conversation: an answer takes no longer than a few milliseconds.
    fn end_of_turn(&mut self, words: &str, language: &str) -> Option<f32>;
}

/// Rules on the last words: a conjunction, a preposition, an article, a filler or a request to wait means that more comes; a
/// number or a name that is being spelled may go on; a question, an answer or a thank-you is over. English and Russian;
/// about other languages it tells nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleHint;

/// More is sure to come.
const OPEN: f32 = 0.0;
/// More may come: a number or a word that is being spelled.
const MAY_GO_ON: f32 = 0.3;
/// Nothing comes.
const OVER: f32 = 1.0;

impl TurnHint for RuleHint {
    fn end_of_turn(&mut self, words: &str, language: &str) -> Option<f32> {
        let sentence = Sentence::new(words);
        sentence.last()?;
        if sentence.breaks_off() {
            return Some(OPEN);
        }
        match primary(language).as_str() {
            "en" => english::end_of_turn(&sentence),
            "ru" => russian::end_of_turn(&sentence),
            _ => None,
        }
    }
}

fn primary(language: &str) -> String {
    let primary = language.split(['-', '_']).next().unwrap_or_default();
    primary.to_ascii_lowercase()
}
