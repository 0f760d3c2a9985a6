//! How words are pronounced.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io::{self, BufRead},
};

use super::{Phrase, grammar::sound_word};
use crate::Fault;

/// The sounds of American English, as the model and its dictionary name them.
pub(super) const SOUNDS: [&str; 39] = [
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY",
    "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y",
    "Z", "ZH",
];

/// A dictionary of the words of some phrases. Loading the whole one would take longer than to recognise an utterance.
pub(super) struct Part {
    /// A line per pronunciation, and one for each of [`SOUNDS`].
    pub(super) text: String,
    /// The words that the whole dictionary does not have.
    pub(super) faults: Vec<Fault>,
}

/// Takes from a whole dictionary what `phrases` need.
pub(super) fn part_of(whole: impl BufRead, phrases: &[Phrase]) -> io::Result<Part> {
    let needed: BTreeSet<&str> = phrases
        .iter()
        .flat_map(|phrase| &phrase.words)
        .map(String::as_str)
        .collect();
    let mut text = String::new();
    let mut found = BTreeSet::new();
    for line in whole.lines() {
        let line = line?;
        let entry = line.split_whitespace().next().unwrap_or_default();
        // Further pronunciations are numbered: `tomorrow(2)`.
        let word = entry.split('(').next().unwrap_or_default();
        if let Some(word) = needed.get(word) {
            found.insert(*word);
            let _ = writeln!(text, "{line}");
        }
    }
    for sound in SOUNDS {
        let _ = writeln!(text, "{} {sound}", sound_word(sound));
    }
    Ok(Part {
        text,
        faults: faults(phrases, &found),
    })
}

/// One fault per unknown word, at the first phrase that has it.
fn faults(phrases: &[Phrase], found: &BTreeSet<&str>) -> Vec<Fault> {
    let mut unknown = BTreeMap::new();
    for phrase in phrases {
        for word in phrase.words.iter().filter(|word| !found.contains(word.as_str())) {
            unknown.entry(word).or_insert(&phrase.key);
        }
    }
    let fault = |(word, key): (&String, &String)| {
        let remedy = if word.chars().any(|c| c.is_ascii_digit()) {
            "write numbers as words"
        } else {
            "use another word, or words that sound like it"
        };
        Fault::new(
            key,
            format!("the recogniser's dictionary does not have the word `{word}`"),
            remedy,
        )
    };
    unknown.into_iter().map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pronunciations_are_taken_and_unknown_words_named() {
        let phrase = |key: &str, words: &[&str]| Phrase {
            key: key.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let whole = "to T UW\nto(2) T IH\ntomb T UW M\n";
        let phrases = [
            phrase("a", &["to"]),
            phrase("b", &["zoom", "to", "9"]),
            phrase("c", &["zoom"]),
        ];
        let part = part_of(whole.as_bytes(), &phrases).unwrap();
        assert!(
            part.text.starts_with("to T UW\nto(2) T IH\n_aa AA\n"),
            "{}",
            part.text
        );
        let faults: Vec<_> = part.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "b: the recogniser's dictionary does not have the word `9`; write numbers as words",
                "b: the recogniser's dictionary does not have the word `zoom`; use another word, or words that sound like it"
            ]
        );
    }
}
