//! What the machine needs to know of words: how many there are, and whether they want the floor.

/// A recogniser's words, without the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words {
    /// How many.
    pub count: u32,
    /// Whether they are nothing but a sign of listening (`uh-huh`, `I see`, `угу`), which does not ask for the floor.
    pub backchannel: bool,
}

/// The longest run of words that can still be a backchannel.
const MAX_BACKCHANNEL_WORDS: usize = 5;

/// Signs of listening in English and in Russian, each in words as [`plain_words`] makes them.
const BACKCHANNELS: &[&[&str]] = &[
    &["uh", "huh"],
    &["mm", "hmm"],
    &["uh", "hm"],
    &["mhm"],
    &["mmhmm"],
    &["aha"],
    &["ah"],
    &["oh"],
    &["huh"],
    &["yeah"],
    &["yep"],
    &["yup"],
    &["yes"],
    &["okay"],
    &["ok"],
    &["right"],
    &["sure"],
    &["alright"],
    &["all", "right"],
    &["i", "see"],
    &["i", "understand"],
    &["got", "it"],
    &["gotcha"],
    &["exactly"],
    &["of", "course"],
    &["go", "on"],
    &["go", "ahead"],
    &["good"],
    &["great"],
    &["nice"],
    &["cool"],
    &["wow"],
    &["really"],
    &["true"],
    &["indeed"],
    &["угу"],
    &["ага"],
    &["мгм"],
    &["угум"],
    &["да"],
    &["так"],
    &["ну"],
    &["ну", "да"],
    &["вот"],
    &["вот", "как"],
    &["ясно"],
    &["понятно"],
    &["понял"],
    &["поняла"],
    &["хорошо"],
    &["ладно"],
    &["конечно"],
    &["точно"],
    &["верно"],
    &["именно"],
    &["окей"],
    &["ок"],
    &["я", "слушаю"],
    &["слушаю"],
    &["все", "понятно"],
    &["все", "ясно"],
];

impl Words {
    /// Nothing intelligible was said.
    pub const NONE: Self = Self {
        count: 0,
        backchannel: false,
    };

    /// What `text` amounts to.
    pub fn of(text: &str) -> Self {
        let words = plain_words(text);
        Self {
            count: u32::try_from(words.len()).unwrap_or(u32::MAX),
            backchannel: is_backchannel(&words),
        }
    }

    /// Whether there are none.
    pub fn is_none(self) -> bool {
        self.count == 0
    }
}

/// The words of `text` in lower case, without punctuation; `ё` is `е`.
pub(crate) fn plain_words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace('ё', "е").replace('’', "'");
    lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is_backchannel(words: &[String]) -> bool {
    if words.is_empty() || words.len() > MAX_BACKCHANNEL_WORDS {
        return false;
    }
    let mut rest = words;
    while let Some(first) = rest.first() {
        let begins = |phrase: &&&[&str]| {
            rest.len() >= phrase.len() && phrase.iter().zip(rest).all(|(part, word)| part == word)
        };
        let taken = BACKCHANNELS
            .iter()
            .filter(begins)
            .map(|phrase| phrase.len())
            .max()
            .or_else(|| is_hum(first).then_some(1));
        match taken.and_then(|taken| rest.get(taken..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// `hm`, `mmm`, `hmmm`, `ммм`, `хм`.
fn is_hum(word: &str) -> bool {
    word.chars().count() > 1
        && (word.chars().all(|c| matches!(c, 'h' | 'm')) || word.chars().all(|c| matches!(c, 'х' | 'м')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_listening_are_backchannels() {
        for text in [
            "Uh-huh.",
            "mm-hmm",
            "Mhm",
            "Hmm…",
            "yeah, yeah",
            "Okay, I see.",
            "right right right",
            "Угу.",
            "Да-да",
            "Ну да, понятно",
            "Всё ясно",
            "хм",
            "Ага, хорошо",
        ] {
            assert!(Words::of(text).backchannel, "{text}");
        }
    }

    #[test]
    fn what_wants_the_floor_is_none() {
        for text in [
            "",
            "…",
            "no",
            "Stop.",
            "wait",
            "yeah but I want another day",
            "okay okay okay okay okay okay",
            "Нет",
            "Подождите",
            "Да нет, не так",
            "хорошо а сколько это стоит",
        ] {
            assert!(!Words::of(text).backchannel, "{text}");
        }
    }

    #[test]
    fn words_are_counted() {
        for (text, count) in [
            ("", 0),
            (" — ", 0),
            ("Don't stop!", 2),
            ("Мне, пожалуйста, две", 3),
        ] {
            assert_eq!(Words::of(text).count, count, "{text}");
        }
    }
}
