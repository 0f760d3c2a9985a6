//! Whether the caller said yes.

/// A yes, as the first or second word (`oh yes`, `ну да`).
const YES: [&str; 20] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "sure",
    "ok",
    "okay",
    "certainly",
    "absolutely",
    "agreed",
    "agree",
    "да",
    "ага",
    "угу",
    "конечно",
    "хорошо",
    "согласен",
    "согласна",
    "ладно",
    "давайте",
];
/// Any of these anywhere makes it no yes (`yes but please do not record`).
const NO: [&str; 18] = [
    "no",
    "nope",
    "not",
    "don't",
    "dont",
    "never",
    "stop",
    "refuse",
    "disagree",
    "without",
    "нет",
    "не",
    "никогда",
    "против",
    "отказываюсь",
    "незачем",
    "нельзя",
    "without",
];

/// Whether `text`, in English or Russian, is a plain yes. In doubt it is not: what hangs on it is consent.
pub(crate) fn is_affirmative(text: &str) -> bool {
    let text = text.to_lowercase().replace('’', "'");
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .collect();
    let agrees = words.iter().take(2).any(|word| YES.contains(word)) || text.contains("of course");
    agrees
        && !words
            .iter()
            .any(|word| NO.contains(word) || word.ends_with("n't"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_yes_is_one() {
        for yes in [
            "Yes.",
            "yeah sure",
            "Oh yes, go ahead",
            "of course you may",
            "Да, конечно",
            "Ну да",
            "Хорошо.",
        ] {
            assert!(is_affirmative(yes), "{yes}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for no in [
            "No.",
            "Yes, but please don’t record",
            "I would rather not",
            "",
            "What?",
            "Нет",
            "Да нет, не надо",
        ] {
            assert!(!is_affirmative(no), "{no}");
        }
    }
}
