//! The dialogue's phrases as a grammar in JSGF (Java Speech Grammar Format), and the reading of what was recognised.

use std::fmt::Write;

use super::{Phrase, dictionary::SOUNDS};

/// Marks the words that stand for one sound each. No word of a phrase contains it.
pub(super) const SOUND_MARK: char = '_';

/// A grammar that accepts a phrase, with a stray sound before and after it, or else any row of sounds: without that
/// second way, every cough and every other sentence would be taken for the phrase that it resembles most.
pub(super) fn compile(phrases: &[Phrase]) -> String {
    let sounds: Vec<String> = SOUNDS.iter().map(|sound| sound_word(sound)).collect();
    let phrases: Vec<String> = phrases.iter().map(|phrase| phrase.words.join(" ")).collect();
    let mut grammar = String::from("#JSGF V1.0;\ngrammar dialogue;\n");
    // Sphinx leads a recursion back to where the rule began. The `<sound>` in front of `<other>` keeps that place apart
    // from the beginning of the utterance; else any phrase could follow upon other speech.
    let _ = write!(
        grammar,
        "<sound> = {};\n<other> = <sound> | <sound> <other>;\n<phrase> = {};\n\
         public <utterance> = [<sound>] <phrase> [<sound>] | <sound> <other>;\n",
        sounds.join(" | "),
        phrases.join(" | "),
    );
    grammar
}

/// The dictionary's word for one sound.
pub(super) fn sound_word(sound: &str) -> String {
    format!("{SOUND_MARK}{}", sound.to_ascii_lowercase())
}

/// The phrases in the recogniser's output, which has a line for each.
pub(super) fn phrases_in(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !word.starts_with(SOUND_MARK))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_become_alternatives() {
        let phrase = |words: &[&str]| Phrase {
            key: String::new(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let grammar = compile(&[phrase(&["good", "morning"]), phrase(&["bye"])]);
        assert!(grammar.contains("<phrase> = good morning | bye;"), "{grammar}");
        assert!(grammar.contains("<sound> = _aa | _ae"), "{grammar}");
    }

    #[test]
    fn sounds_are_no_words() {
        assert_eq!(phrases_in(b"_f good morning _k\n"), "good morning");
        assert_eq!(phrases_in(b"good\nmorning\n"), "good morning");
        assert_eq!(phrases_in(b"_ah _t\n\n"), "");
    }
}
