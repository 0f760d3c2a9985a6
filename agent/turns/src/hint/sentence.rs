//! The words of a turn, as rules ask for them.

use crate::words::plain_words;

pub(super) struct Sentence {
    words: Vec<String>,
    is_question: bool,
    breaks_off: bool,
}

impl Sentence {
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim();
        let breaks_off = ["…", "...", "-", "–", "—", ",", ":"]
            .iter()
            .any(|end| text.ends_with(end));
        Self {
            words: plain_words(text),
            is_question: text.ends_with('?'),
            breaks_off,
        }
    }

    /// Whether the recogniser itself has written down that it breaks off.
    pub(super) fn breaks_off(&self) -> bool {
        self.breaks_off
    }

    /// Whether the recogniser has written a question mark.
    pub(super) fn is_question(&self) -> bool {
        self.is_question
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn first(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(super) fn last(&self) -> Option<&str> {
        self.words.last().map(String::as_str)
    }

    /// The word before the last one; empty where there is none.
    pub(super) fn before_last(&self) -> &str {
        self.word_from_end(1)
    }

    /// The word with `after` words behind it; empty where there is none.
    pub(super) fn word_from_end(&self, after: usize) -> &str {
        let index = self.words.len().checked_sub(after + 1);
        index
            .and_then(|index| self.words.get(index))
            .map_or("", String::as_str)
    }

    pub(super) fn has_any(&self, words: &[&str]) -> bool {
        self.words.iter().any(|word| words.contains(&word.as_str()))
    }

    pub(super) fn ends_with(&self, phrase: &str) -> bool {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let tail = self.words.len().checked_sub(phrase.len());
        tail.and_then(|tail| self.words.get(tail..))
            .is_some_and(|tail| tail.iter().zip(&phrase).all(|(word, part)| word == part))
    }

    pub(super) fn ends_with_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.ends_with(phrase))
    }

    /// How many of the last words are such.
    pub(super) fn run_at_end(&self, is_such: impl Fn(&str) -> bool) -> usize {
        self.words.iter().rev().take_while(|word| is_such(word)).count()
    }

    /// The last `count` words.
    pub(super) fn tail(&self, count: usize) -> &[String] {
        self.words
            .get(self.words.len().saturating_sub(count)..)
            .unwrap_or_default()
    }
}

/// Whether `word` is one letter, as in a name that is being spelled.
pub(super) fn is_letter(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none()
}

/// How many digits are in `word`, when there is nothing else in it.
pub(super) fn numerals(word: &str) -> Option<usize> {
    (!word.is_empty() && word.chars().all(|c| c.is_ascii_digit())).then_some(word.len())
}
