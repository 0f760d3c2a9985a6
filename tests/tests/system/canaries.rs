//! What must never stand in a log.

use crate::phone;

/// The key of the AI provider that the system is configured with.
pub(crate) const OPENAI_KEY: &str = "sk-canary-3kY0pQ7vTzWx5nRb";
/// So many words in a row are somebody's, and not the log's own.
const WORDS: usize = 4;

/// The first of `secrets`, as it is, or of what was said in the tests, by its words, that stands in `log`; with the line.
pub(crate) fn find<'a>(log: &'a str, secrets: &[&str]) -> Option<(String, &'a str)> {
    let said = [
        phone::QUESTION,
        phone::ANSWER,
        phone::OTHER_QUESTION,
        phone::OTHER_ANSWER,
        phone::GOODBYE,
        phone::GREETING,
        phone::FALLBACK,
    ];
    let said: Vec<String> = said.into_iter().flat_map(runs).collect();
    log.lines().find_map(|line| {
        let words = words(line);
        let secret = secrets.iter().find(|secret| line.contains(**secret));
        let text = said.iter().find(|run| words.contains(run.as_str()));
        let found = secret
            .map(|secret| (*secret).to_owned())
            .or_else(|| text.cloned());
        Some((found?, line))
    })
}

/// Every [`WORDS`] words in a row; the whole of a shorter text.
fn runs(text: &str) -> Vec<String> {
    let text = words(text);
    let all: Vec<&str> = text.split_whitespace().collect();
    let runs = all.windows(WORDS.min(all.len()));
    runs.map(|run| format!(" {} ", run.join(" "))).collect()
}

/// In lower case, one space before, between and behind them.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 2);
    words.push(' ');
    for c in text.chars() {
        if c.is_alphanumeric() || c == '\'' {
            words.extend(c.to_lowercase());
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

#[test]
fn what_was_said_is_found_in_whole_and_in_part_and_the_logs_own_words_are_not() {
    for said in [
        r#"{"message":"turn","text":"What time do you open tomorrow"}"#,
        r#"{"message":"chunk","text":"nine in the morning until"}"#,
        r#"{"text":"thank you, goodbye"}"#,
        r#"{"text":"How can I help"}"#,
    ] {
        assert!(find(said, &[]).is_some(), "{said}");
    }
    assert_eq!(
        find(r#"{"message":"the call is over","end":"Goodbye"}"#, &[]),
        None
    );
    assert_eq!(
        find("a\nb secret c", &["secret"]),
        Some(("secret".to_owned(), "b secret c"))
    );
}
