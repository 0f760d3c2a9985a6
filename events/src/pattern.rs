//! Patterns of names and numbers: `*` stands for any run of characters (also none), `?` for any one character.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Party;

/// A pattern of 1–256 characters. Upper and lower case differ.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Vec<char>);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern has 1 to 256 characters, with * for any run and ? for any one character")]
pub struct PatternError;

impl Pattern {
    const MAX_CHARS: usize = 256;

    /// Takes the pattern.
    ///
    /// # Errors
    /// When it is empty or longer than 256 characters.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        // Bytes first: a long text is refused before it is taken apart.
        let fits = !text.is_empty() && text.len() <= 4 * Self::MAX_CHARS;
        let chars: Vec<char> = if fits { text.chars().collect() } else { Vec::new() };
        if chars.is_empty() || chars.len() > Self::MAX_CHARS {
            Err(PatternError)
        } else {
            Ok(Self(chars))
        }
    }

    /// Whether the whole of `text` fits. Takes at most pattern × text steps.
    pub fn matches(&self, text: &str) -> bool {
        // The classic walk with one point of return: the last star and how much of the text it has swallowed.
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut in_text) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while let Some(c) = text.get(in_text) {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, in_text));
                    at += 1;
                }
                Some(p) if *p == '?' || p == c => {
                    at += 1;
                    in_text += 1;
                }
                _ => {
                    let Some((star_at, swallowed)) = star else {
                        return false;
                    };
                    star = Some((star_at, swallowed + 1));
                    at = star_at + 1;
                    in_text = swallowed + 1;
                }
            }
        }
        self.0.iter().skip(at).all(|c| *c == '*')
    }

    /// Whether some text fits both patterns.
    pub fn intersects(&self, other: &Self) -> bool {
        // `row[j]` says whether the rest of ours (from the row on) and the rest of theirs (from j on) have a text in common.
        let theirs = &other.0;
        let end_row: Vec<bool> = (0..=theirs.len())
            .map(|j| theirs.iter().skip(j).all(|c| *c == '*'))
            .collect();
        let first_row = self.0.iter().rev().fold(end_row, |below, ours| {
            let mut row = vec![*ours == '*' && below.last() == Some(&true)];
            for (their, pair) in theirs.iter().zip(below.windows(2)).rev() {
                let [straight_down, diagonal] = [pair.first(), pair.last()].map(|cell| cell == Some(&true));
                let right = row.last() == Some(&true);
                row.push(match (*ours, *their) {
                    // The star ends here, or it swallows one more character (or star) of the other side.
                    ('*', _) | (_, '*') => straight_down || right,
                    (a, b) => (a == b || a == '?' || b == '?') && diagonal,
                });
            }
            row.reverse();
            row
        });
        first_row.first() == Some(&true)
    }

    /// The pattern as it was written.
    pub fn text(&self) -> String {
        self.0.iter().collect()
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", crate::mask_digits(&self.text()))
    }
}

/// A pattern of called numbers: in E.164 (`+15550100`, `+1555*`), of extensions (`10??`) or of SIP users (`sales*`).
///
/// Spaces, dots, dashes, slashes and brackets between digits are ignored, and so is a leading `+`, since not every trunk sends it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NumberPattern(Pattern);

impl NumberPattern {
    /// Takes the pattern.
    ///
    /// # Errors
    /// When nothing is left of it, or more than 256 characters.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        let dialled = text
            .chars()
            .all(|c| c.is_ascii_digit() || "+*?-.() /".contains(c));
        if !dialled {
            return Pattern::new(text).map(Self);
        }
        let kept: String = text
            .chars()
            .filter(|c| c.is_ascii_digit() || "*?".contains(*c))
            .collect();
        Pattern::new(&kept).map(Self)
    }

    /// Whether the called party fits. An anonymous one never does.
    pub fn matches(&self, called: &Party) -> bool {
        called
            .as_str()
            .is_some_and(|text| self.0.matches(text.strip_prefix('+').unwrap_or(text)))
    }

    /// Whether some party fits both.
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.intersects(&other.0)
    }
}

impl TryFrom<String> for NumberPattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::new(&text)
    }
}

impl From<NumberPattern> for String {
    fn from(pattern: NumberPattern) -> Self {
        pattern.0.text()
    }
}

impl fmt::Debug for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn stars_and_question_marks_match_as_they_should() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a*b*c", "a-b-b-c", true),
            ("??", "ab", true),
            ("??", "a", false),
            ("voice-ai-call-*", "voice-ai-call-x", true),
            ("voice-ai-call-*", "other", false),
        ] {
            assert_eq!(pattern(glob).matches(text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn numbers_are_compared_without_plus_and_separators() {
        let number = NumberPattern::new("+1 (555) 01-00").unwrap();
        assert!(number.matches(&Party::parse("+15550100", None)));
        assert!(!number.matches(&Party::Anonymous));
        assert!(
            NumberPattern::new("sales*")
                .unwrap()
                .matches(&Party::parse("sales-2", None))
        );
        assert!(NumberPattern::new(" + ").is_err());
    }

    /// The plain recursive definition, as the oracle of the table.
    fn common(a: &[char], b: &[char]) -> bool {
        match (a.split_first(), b.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => common(rest, b) || b.split_first().is_some_and(|(_, b)| common(a, b)),
            (_, Some(('*', rest))) => common(a, rest) || a.split_first().is_some_and(|(_, a)| common(a, b)),
            (Some((x, a)), Some((y, b))) => (x == y || *x == '?' || *y == '?') && common(a, b),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn intersection_agrees_with_its_definition(a in "[ab*?]{1,7}", b in "[ab*?]{1,7}") {
            let (a, b) = (pattern(&a), pattern(&b));
            prop_assert_eq!(a.intersects(&b), common(&a.0, &b.0));
        }

        #[test]
        fn matching_is_intersection_with_a_plain_text(glob in "[ab*?]{1,7}", text in "[ab]{1,7}") {
            prop_assert_eq!(pattern(&glob).matches(&text), pattern(&glob).intersects(&pattern(&text)));
        }
    }
}
