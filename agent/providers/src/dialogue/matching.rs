//! Which intent a sentence means.

use super::{Dialogue, Intent};

/// The words of a text in any language, as they are compared: lower case, no punctuation, apostrophes only within a
/// word. In scripts without spaces every character is a word. The Russian `ё`, which most texts write `е`, is `е`.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().flat_map(char::to_lowercase).peekable();
    while let Some(c) = chars.next() {
        match c {
            c if stands_alone(c) => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(c.to_string());
            }
            'ё' => word.push('е'),
            c if c.is_alphanumeric() => word.push(c),
            '\'' | '’' if !word.is_empty() && chars.peek().is_some_and(|next| next.is_alphanumeric()) => {
                word.push('\'');
            }
            _ => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Letters of the scripts that put no spaces between words: Thai to Lao, Burmese, Khmer, kana, Han.
fn stands_alone(c: char) -> bool {
    let in_script = matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}');
    in_script && c.is_alphanumeric()
}

/// How well an intent fits, the best last; the number counts the words that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Keywords(usize),
    PhraseWithin(usize),
    WholePhrase(usize),
}

impl Dialogue {
    /// The index of the intent that fits `said` best while `expected` is expected: those of the expected state before
    /// all others, the earlier of two equals.
    pub(super) fn understand(&self, said: &[String], expected: Option<&str>) -> Option<usize> {
        let best_of = |state: Option<&str>| {
            let intents = self
                .intents
                .iter()
                .enumerate()
                .filter(|(_, intent)| intent.when.as_deref() == state);
            let fits = intents.filter_map(|(at, intent)| Some((fit(intent, said)?, at)));
            fits.reduce(|best, next| if next.0 > best.0 { next } else { best })
                .map(|(_, at)| at)
        };
        expected
            .and_then(|state| best_of(Some(state)))
            .or_else(|| best_of(None))
    }
}

fn fit(intent: &Intent, said: &[String]) -> Option<Fit> {
    let phrases = intent.phrases.iter().filter_map(|phrase| {
        if phrase == said {
            Some(Fit::WholePhrase(phrase.len()))
        } else {
            said.windows(phrase.len())
                .any(|window| window == phrase)
                .then_some(Fit::PhraseWithin(phrase.len()))
        }
    });
    let keywords = intent
        .keywords
        .iter()
        .filter(|group| group.iter().all(|word| said.contains(word)))
        .map(|group| Fit::Keywords(group.len()));
    phrases.chain(keywords).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(said: &str, expected: Option<&str>) -> Option<usize> {
        let yaml = "
intents:
  - {name: a, phrases: [when do you open], keywords: [open hours], replies: a}
  - {name: b, phrases: [open], replies: b, then: s}
  - {name: c, phrases: [open], when: s, replies: c}
  - {name: d, keywords: [открыты завтра], replies: d}
  - {name: e, phrases: [几点开门], replies: e}
fallback: f
";
        Dialogue::parse(yaml).unwrap().understand(&words(said), expected)
    }

    #[test]
    fn the_longest_phrase_wins_over_keywords() {
        assert_eq!(understood("When do you OPEN?", None), Some(0));
        assert_eq!(understood("so, when do you open then?", None), Some(0));
        assert_eq!(understood("are you open", None), Some(1));
        assert_eq!(understood("hours please, when open", None), Some(1));
        assert_eq!(understood("opening hours", None), None);
    }

    #[test]
    fn what_is_expected_comes_first() {
        assert_eq!(understood("open", Some("s")), Some(2));
        assert_eq!(understood("when do you open", Some("s")), Some(2));
        assert_eq!(understood("вы открыты завтра", Some("s")), Some(3));
    }

    #[test]
    fn other_scripts_are_understood() {
        assert_eq!(understood("А завтра вы Открыты?", None), Some(3));
        assert_eq!(understood("请问你们几点开门？", None), Some(4));
    }

    #[test]
    fn texts_become_words() {
        assert_eq!(words("It's 9 o’clock, 'Bob'!"), ["it's", "9", "o'clock", "bob"]);
        assert_eq!(words("Ёлка — wi-fi"), ["елка", "wi", "fi"]);
        assert_eq!(words("时间 ok。"), ["时", "间", "ok"]);
        assert_eq!(words(" …"), [""; 0]);
    }
}
