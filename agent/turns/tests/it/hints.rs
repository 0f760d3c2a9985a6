//! How well the rules tell a turn that is over from one that goes on, on sentences labelled by hand. The rules were written
//! with the sentences for development in sight; those held out were never looked at for them. A line that begins with `.` is
//! over, one with `~` goes on.

use turns::{RuleHint, TurnHint};

/// Below this a sentence is taken to go on.
const THRESHOLD: f32 = 0.5;
/// A turn that is taken to go on and is over costs the caller up to 2.5 s, one that is cut off only a reply that is taken
/// back: so precision matters more.
const MIN_PRECISION: f64 = 0.95;
const MIN_RECALL: f64 = 0.85;

/// Judges every sentence; returns what to print.
fn hold(sentences: &str, language: &str, split: &str) -> String {
    let (mut found, mut missed, mut mistaken, mut all) = (0_u32, Vec::new(), Vec::new(), 0);
    for line in sentences.lines() {
        let (label, words) = line.split_once(' ').expect("a label and a sentence");
        assert!([".", "~"].contains(&label), "{line:?} has no label");
        let goes_on = RuleHint
            .end_of_turn(words, language)
            .is_some_and(|probability| probability < THRESHOLD);
        all += 1;
        match (label == "~", goes_on) {
            (true, true) => found += 1,
            (true, false) => missed.push(words),
            (false, true) => mistaken.push(words),
            (false, false) => {}
        }
    }
    let of = |others: &[&str]| {
        let others = u32::try_from(others.len()).expect("a short list");
        f64::from(found) / f64::from(found + others)
    };
    let (precision, recall) = (of(&mistaken), of(&missed));
    let told = format!(
        "{language}, {split}: {all} sentences, precision {precision:.3}, recall {recall:.3}\n  \
         taken to go on: {mistaken:?}\n  taken to be over: {missed:?}"
    );
    assert!(precision >= MIN_PRECISION && recall >= MIN_RECALL, "{told}");
    told
}

#[test]
fn the_rules_know_the_english_sentences_that_they_were_written_with() {
    let sentences = include_str!("../sentences/en.development.txt");
    println!("{}", hold(sentences, "en-US", "development"));
}

#[test]
fn the_rules_tell_english_sentences_that_they_have_not_seen() {
    let sentences = include_str!("../sentences/en.held_out.txt");
    println!("{}", hold(sentences, "en", "held out"));
}

#[test]
fn the_rules_know_the_russian_sentences_that_they_were_written_with() {
    let sentences = include_str!("../sentences/ru.development.txt");
    println!("{}", hold(sentences, "ru-RU", "development"));
}

#[test]
fn the_rules_tell_russian_sentences_that_they_have_not_seen() {
    let sentences = include_str!("../sentences/ru.held_out.txt");
    println!("{}", hold(sentences, "ru", "held out"));
}

#[test]
fn there_are_150_sentences_a_language_and_none_twice() {
    for (development, held_out) in [
        (
            include_str!("../sentences/en.development.txt"),
            include_str!("../sentences/en.held_out.txt"),
        ),
        (
            include_str!("../sentences/ru.development.txt"),
            include_str!("../sentences/ru.held_out.txt"),
        ),
    ] {
        let all: Vec<_> = development.lines().chain(held_out.lines()).collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert!(once.len() >= 150);
        assert_eq!(once.len(), all.len(), "a sentence stands there twice");
    }
}

#[test]
fn about_other_languages_and_about_nothing_the_rules_tell_nothing() {
    assert_eq!(RuleHint.end_of_turn("ich möchte und", "de"), None);
    for nothing in ["", "  ", "?!", "…"] {
        assert_eq!(RuleHint.end_of_turn(nothing, "en"), None, "{nothing:?}");
    }
}
