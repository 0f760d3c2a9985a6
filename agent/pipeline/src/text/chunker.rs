//! Cuts a stream of text into sentences to be spoken, each as soon as its end is certain.

/// A shorter sentence waits for the next one: synthesis of fragments sounds chopped. The peers' default.
const MIN_CHARS: usize = 20;
/// A sentence is cut here at the latest, so that speech begins and no request grows without bound.
const MAX_CHARS: usize = 240;

/// Stand before a name or a number: never the end of a sentence.
const BEFORE_MORE: [&str; 32] = [
    "mr",
    "mrs",
    "ms",
    "dr",
    "prof",
    "st",
    "no",
    "vs",
    "fig",
    "gen",
    "sen",
    "rev",
    "mt",
    "ave",
    "e.g",
    "i.e",
    "approx",
    "г",
    "ул",
    "д",
    "кв",
    "стр",
    "им",
    "тел",
    "пр",
    "просп",
    "пл",
    "т.е",
    "см",
    "проф",
    "акад",
    "корп",
];
/// May end a sentence: they do when a capital follows.
const BEFORE_CAPITAL: [&str; 22] = [
    "a.m", "p.m", "etc", "inc", "ltd", "co", "corp", "jr", "sr", "u.s", "u.k", "руб", "коп", "т.д", "т.п",
    "др", "млн", "млрд", "тыс", "ч", "мин", "сек",
];

/// Collects text until a sentence is complete.
#[derive(Debug, Default)]
pub(crate) struct Chunker {
    text: String,
}

impl Chunker {
    /// Adds a piece of the stream. Call [`Chunker::next`] until it has none.
    pub(crate) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// The next complete sentence, if there is one.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            let end = self.end_of_sentence().or_else(|| self.end_by_length())?;
            let rest = self.text.split_off(end);
            let sentence = std::mem::replace(&mut self.text, rest);
            let sentence = sentence.trim();
            if !sentence.is_empty() {
                return Some(sentence.to_owned());
            }
        }
    }

    /// What is left when the stream has ended.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.text);
        let rest = rest.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// The byte after the first end of a sentence that is followed by enough text to be sure of it.
    fn end_of_sentence(&self) -> Option<usize> {
        let mut chars_before = 0;
        let mut chars = self.text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            chars_before += 1;
            if c == '\n' {
                if chars_before > MIN_CHARS {
                    return Some(at + 1);
                }
                continue;
            }
            if !is_terminator(c) {
                continue;
            }
            let mut end = at + c.len_utf8();
            while let Some((at, closing)) = chars.next_if(|(_, c)| is_terminator(*c) || is_closing(*c)) {
                chars_before += 1;
                end = at + closing.len_utf8();
            }
            let wide = matches!(c, '。' | '！' | '？');
            let (before, after) = (self.text.get(..at)?, self.text.get(end..)?);
            if chars_before >= MIN_CHARS && (wide || ends_here(before, c, after)?) {
                return Some(end);
            }
        }
        None
    }

    /// Where to cut a sentence that is too long: at its last pause, else between words, else anywhere.
    fn end_by_length(&self) -> Option<usize> {
        let (bound, _) = self.text.char_indices().nth(MAX_CHARS)?;
        let head = self.text.get(..bound)?;
        let pause = head.rfind([',', ';', ':', '—', '–', '\n']).and_then(|at| {
            let length = head.get(at..)?.chars().next()?.len_utf8();
            Some(at + length)
        });
        let long_enough = |end: &usize| {
            head.get(..*end)
                .is_some_and(|head| head.chars().count() >= MIN_CHARS)
        };
        pause
            .filter(long_enough)
            .or_else(|| head.rfind(char::is_whitespace).filter(long_enough))
            .or(Some(bound))
    }
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '»' | '”' | '’' | '*' | '_')
}

/// Whether a sentence ends at `terminator`; none when the text that would tell has not come yet.
fn ends_here(before: &str, terminator: char, after: &str) -> Option<bool> {
    if !after.chars().next()?.is_whitespace() {
        return Some(false);
    }
    if terminator != '.' {
        return Some(true);
    }
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let word = word
        .trim_start_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase();
    let is_initial =
        word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && word != "i" && word != "я";
    if is_initial || BEFORE_MORE.contains(&word.as_str()) {
        return Some(false);
    }
    if BEFORE_CAPITAL.contains(&word.as_str()) {
        return Some(after.trim_start().chars().next()?.is_uppercase());
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` character by character, which is the worst that a stream can do.
    fn sentences(text: &str) -> Vec<String> {
        let mut chunker = Chunker::default();
        let mut sentences = Vec::new();
        for c in text.chars() {
            chunker.push(c.encode_utf8(&mut [0; 4]));
            while let Some(sentence) = chunker.next() {
                sentences.push(sentence);
            }
        }
        sentences.extend(chunker.finish());
        sentences
    }

    #[test]
    fn sentences_of_at_least_20_characters_are_cut_at_their_end() {
        assert_eq!(
            sentences("We are open from nine to five. Shall I book a table for you? Just say when!"),
            [
                "We are open from nine to five.",
                "Shall I book a table for you?",
                "Just say when!"
            ]
        );
    }

    #[test]
    fn a_short_sentence_waits_for_the_next_one() {
        assert_eq!(
            sentences("Yes. Of course we can do that. Sure."),
            ["Yes. Of course we can do that.", "Sure."]
        );
    }

    #[test]
    fn decimals_versions_and_addresses_are_not_cut() {
        for text in [
            "The large one costs 12.50 euros with everything included",
            "Write to hello@example.com or look at example.com for more",
        ] {
            assert_eq!(sentences(text), [text]);
        }
    }

    #[test]
    fn abbreviations_and_initials_are_not_cut() {
        for text in [
            "Your appointment is with Dr. Smith on Monday at the clinic",
            "The book that you asked for is by J. R. R. Tolkien",
            "We sell fruit, bread, milk etc. and also flowers",
            "Мы находимся по адресу ул. Ленина, д. 5, рядом с метро",
            "Это стоит примерно 500 руб. за одну штуку",
        ] {
            assert_eq!(sentences(text), [text]);
        }
    }

    #[test]
    fn an_abbreviation_before_a_capital_ends_its_sentence() {
        assert_eq!(
            sentences("We close every day at five p.m. Please come before that."),
            ["We close every day at five p.m.", "Please come before that."]
        );
    }

    #[test]
    fn closing_quotes_stay_with_their_sentence() {
        assert_eq!(
            sentences("He said \"we will be there soon.\" Then he hung up the phone."),
            ["He said \"we will be there soon.\"", "Then he hung up the phone."]
        );
    }

    #[test]
    fn lines_are_sentences_too() {
        assert_eq!(
            sentences("Our opening hours today\nFrom nine to five without a break"),
            ["Our opening hours today", "From nine to five without a break"]
        );
    }

    #[test]
    fn a_sentence_without_an_end_is_cut_at_a_pause_or_between_words() {
        let clause = "and then we go on and on, ";
        for sentence in sentences(&clause.repeat(30)) {
            assert!(sentence.chars().count() <= MAX_CHARS);
            assert!(sentence.ends_with(','), "cut at a pause: {sentence:?}");
        }
        let words = sentences(&"word ".repeat(200));
        assert!(words.iter().all(|sentence| sentence.ends_with("word")));
        assert_eq!(sentences(&"x".repeat(500)).concat(), "x".repeat(500));
    }

    #[test]
    fn nothing_is_lost_or_doubled() {
        let text =
            "Да. Мы открыты с 9.30 до 18.00! Что-нибудь ещё?.. Хорошо… Тогда до свидания, т.е. до завтра.";
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&sentences(text).join(" ")), squeeze(text));
    }
}
