//! English.

use super::sentence::{Sentence, is_letter, numerals};
use super::{MAY_GO_ON, OPEN, OVER};

const FILLERS: &[&str] = &[
    "um",
    "umm",
    "uh",
    "uhm",
    "er",
    "erm",
    "hmm",
    "basically",
    "actually",
];
const FILLER_PHRASES: &[&str] = &["you know", "i mean", "kind of", "sort of", "like um"];

/// Somebody who says this comes back.
const WAITING: &[&str] = &[
    "one moment",
    "one second",
    "a second",
    "a moment",
    "a minute",
    "one minute",
    "one sec",
    "a sec",
    "hang on",
    "hold on",
    "let me check",
    "let me think",
    "let me see",
    "let me look",
    "let's see",
    "one moment please",
    "one second please",
    "hold on please",
    "let me get my glasses",
    "bear with me",
];

/// Never the last word, not even of a question.
const DANGLING: &[&str] = &[
    "a", "an", "the", "my", "your", "our", "their", "his", "its", "whose", "every", "and", "but", "or",
    "nor", "because", "if", "whether", "although", "though", "unless", "than", "while", "which", "except",
    "during", "i'm", "i'd", "i'll", "i've", "we're", "we'd", "we'll", "we've", "you're", "you'd", "he's",
    "she's", "they're", "there's", "dot", "either", "whenever", "without", "plus", "into", "onto",
];

/// The last word only of a question that begins with what it asks for (`where are you from`).
const STRANDED: &[&str] = &[
    "to", "for", "from", "with", "about", "at", "of", "by", "between", "near", "until", "since", "under",
    "through", "is", "are", "was", "were", "am", "would", "could", "should", "will", "in", "on", "like",
    "it's", "that's", "called", "has", "have", "had", "as", "so", "when", "where", "how", "prefer", "want",
    "need",
];

const ASKS: &[&str] = &[
    "what", "where", "who", "whom", "when", "which", "why", "how", "what's", "where's", "who's", "how's",
];

/// Verbs and pronouns that `in` and `on` belong to.
const PHRASAL: &[&str] = &[
    "log", "sign", "check", "come", "came", "drop", "go", "going", "move", "moved", "turn", "turned", "put",
    "fill", "keep", "later", "logged", "plug", "call",
];

/// After these `that` begins a clause.
const SAYS: &[&str] = &[
    "think", "know", "said", "says", "say", "told", "mean", "means", "believe", "hope", "sure", "heard",
    "is", "was", "so",
];

const DIGITS: &[&str] = &[
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double", "triple",
];

const OVER_AT_END: &[&str] = &[
    "thanks",
    "thank you",
    "bye",
    "goodbye",
    "please",
    "thank you very much",
    "that's all",
    "that's it",
    "that's fine",
];
const ANSWERS: &[&str] = &[
    "yes", "no", "yeah", "yep", "nope", "okay", "ok", "sure", "correct", "exactly", "right",
];

const AUXILIARIES: &[&str] = &[
    "can", "could", "would", "will", "do", "does", "did", "is", "are", "have", "has", "should", "may", "am",
    "was",
];

pub(super) fn end_of_turn(sentence: &Sentence) -> Option<f32> {
    let last = sentence.last()?;
    if FILLERS.contains(&last) || sentence.ends_with_any(FILLER_PHRASES) || sentence.ends_with_any(WAITING) {
        return Some(OPEN);
    }
    if dangles(sentence, last) {
        return Some(OPEN);
    }
    if number_goes_on(sentence) || spelling_goes_on(sentence) {
        return Some(MAY_GO_ON);
    }
    let is_answer = sentence.len() == 1 && ANSWERS.contains(&last);
    let asks = ASKS.contains(&sentence.first()) || AUXILIARIES.contains(&sentence.first());
    let is_question = sentence.is_question() || (asks && sentence.len() >= 4);
    (is_answer || is_question || sentence.ends_with_any(OVER_AT_END)).then_some(OVER)
}

fn dangles(sentence: &Sentence, last: &str) -> bool {
    let before = sentence.before_last();
    if sentence.len() <= 3 && last == "please" && ["you", "i", "we"].contains(&before) {
        // `Could you please …`
        return AUXILIARIES.contains(&sentence.first());
    }
    if last == "well" || last == "so" {
        let is_adverb = ["as", "very", "think", "hope", "guess", "suppose", "said", "say"].contains(&before);
        return !is_adverb && (last == "so" || sentence.len() <= 2);
    }
    if last == "that" {
        return SAYS.contains(&before) && !sentence.is_question();
    }
    if last == "i" || last == "we" || last == "he" || last == "she" || last == "they" {
        return !AUXILIARIES.contains(&before) || sentence.len() > 4;
    }
    if ["its", "his", "their", "though"].contains(&last) && ["it's", "is", "was"].contains(&before) {
        return false;
    }
    if DANGLING.contains(&last) {
        return true;
    }
    STRANDED.contains(&last) && !is_complete_without_object(sentence, last, before)
}

fn is_complete_without_object(sentence: &Sentence, last: &str, before: &str) -> bool {
    let asked = sentence
        .tail(sentence.len())
        .iter()
        .rev()
        .skip(1)
        .any(|word| ASKS.contains(&word.as_str()));
    if asked {
        // `I'm calling because when` is not, `I don't know where it is` is. The verb needs somebody in between.
        return !ASKS.contains(&before);
    }
    if ASKS.contains(&last) {
        return sentence.len() <= 2;
    }
    match last {
        "in" | "on" => PHRASAL.contains(&before),
        "is" | "are" | "am" | "was" | "were" | "would" | "could" | "should" | "will" | "has" | "have"
        | "had" => ["yes", "no", "of", "sure", "yeah"].contains(&sentence.first()) && sentence.len() <= 4,
        "want" | "need" => {
            sentence.has_any(&["all", "that's", "everything", "don't", "if", "you", "whatever"])
        }
        "like" => sentence.has_any(&["look", "looks", "sounds", "don't", "if"]) && before != "would",
        "to" => sentence.has_any(&["love", "don't", "used"]) && sentence.len() <= 4,
        "for" => sentence.has_any(&["paid", "looking", "asked"]) && sentence.has_any(&["it", "that"]),
        _ => false,
    }
}

fn is_digit(word: &str) -> bool {
    DIGITS.contains(&word) || numerals(word).is_some()
}

/// Digits at the end that are fewer than what they belong to has.
fn number_goes_on(sentence: &Sentence) -> bool {
    let run = sentence.run_at_end(is_digit);
    if run == 0 {
        return false;
    }
    let words = sentence.tail(run);
    let digits: usize = words.iter().map(|word| numerals(word).unwrap_or(1)).sum();
    if sentence.has_any(&["phone", "cell", "mobile", "reach", "call"]) {
        return digits < 7;
    }
    if sentence.has_any(&["card"]) && sentence.has_any(&["number"]) {
        return digits < 16;
    }
    if sentence.has_any(&["zip", "postcode"]) {
        return digits < 5;
    }
    let is_named = [
        "number",
        "code",
        "reference",
        "account",
        "digits",
        "pin",
        "order",
        "booking",
    ];
    if sentence.has_any(&is_named) {
        return digits < 4;
    }
    // On its own, a group of a telephone number rather than a count of something.
    let stands_alone = run == sentence.len() || (sentence.len() == run + 1 && sentence.first() == "it's");
    stands_alone && matches!(digits, 3 | 5 | 6)
}

fn spelling_goes_on(sentence: &Sentence) -> bool {
    let letters = sentence.run_at_end(is_letter);
    let by_word = sentence.before_last() == "in" && sentence.word_from_end(2) == "as";
    letters >= 2 || (by_word && is_letter(sentence.word_from_end(3)))
}
