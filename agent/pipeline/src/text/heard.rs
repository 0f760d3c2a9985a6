//! Which words of an utterance were heard, from the samples that were.

/// One sentence of an utterance and where its sound lies, in samples from the utterance's first.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    pub(crate) start: usize,
    /// Where its sound ends; none while its synthesis goes on.
    pub(crate) end: Option<usize>,
    /// Whether its synthesis broke off there.
    pub(crate) broken_off: bool,
}

/// Speech is rarely faster than this: an unfinished sentence counts as at least so long, so that words which have
/// not been synthesised yet do not count as heard.
const MIN_MS_PER_CHAR: usize = 50;

/// The words of `sentences` that were heard when `heard` samples had been: whole sentences, and of the one in
/// between as many words as its share of samples, rounded down. `synthesised` is the number of samples made so far.
pub(crate) fn heard_words(
    sentences: &[Sentence],
    heard: usize,
    synthesised: usize,
    sample_rate_hz: u32,
) -> String {
    let samples_per_ms = usize::try_from(sample_rate_hz / 1000).unwrap_or(usize::MAX);
    let mut words: Vec<&str> = Vec::new();
    for sentence in sentences.iter().filter(|sentence| sentence.start < heard) {
        let end = sentence.end.unwrap_or(synthesised).max(sentence.start);
        let mut length = (end - sentence.start).max(1);
        if sentence.end.is_none() || sentence.broken_off {
            let chars = sentence.text.chars().count();
            length = length.max(
                chars
                    .saturating_mul(MIN_MS_PER_CHAR)
                    .saturating_mul(samples_per_ms),
            );
        }
        let share = heard.min(end) - sentence.start;
        let all: Vec<&str> = sentence.text.split_whitespace().collect();
        words.extend(all.iter().take(all.len().saturating_mul(share) / length));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sentence(text: &str, start: usize, end: impl Into<Option<usize>>) -> Sentence {
        Sentence {
            text: text.into(),
            start,
            end: end.into(),
            broken_off: false,
        }
    }

    #[test]
    fn words_are_heard_in_proportion_and_rounded_down() {
        let sentences = [
            sentence("one two three four", 0, 4000),
            sentence("five six", 4000, 6000),
        ];
        let heard = |samples| heard_words(&sentences, samples, 6000, 16_000);
        assert_eq!(heard(0), "");
        assert_eq!(heard(999), "");
        assert_eq!(heard(1000), "one");
        assert_eq!(heard(3999), "one two three");
        assert_eq!(heard(4999), "one two three four");
        assert_eq!(heard(5000), "one two three four five");
        assert_eq!(heard(6000), "one two three four five six");
        assert_eq!(heard(9000), "one two three four five six");
    }

    #[test]
    fn an_unfinished_sentence_is_taken_to_be_as_long_as_speech_takes() {
        // 40 characters at 50 ms are 2 s; of that 0.5 s was made and heard.
        let text = "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa.";
        let sentences = [sentence(text, 0, None)];
        assert_eq!(heard_words(&sentences, 8000, 8000, 16_000), "aaaaaaaaa");
    }

    #[test]
    fn a_sentence_whose_synthesis_broke_off_was_heard_in_part_only() {
        let broken = Sentence {
            broken_off: true,
            ..sentence("aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa.", 0, 8000)
        };
        let sentences = [broken, sentence("sorry about that", 8000, 16_000)];
        assert_eq!(
            heard_words(&sentences, 16_000, 16_000, 16_000),
            "aaaaaaaaa sorry about that"
        );
    }

    proptest! {
        #[test]
        fn what_was_heard_is_a_prefix_of_what_was_said(
            lengths in prop::collection::vec((1usize..6, 1usize..5000), 1..6),
            heard in 0usize..30_000,
        ) {
            let mut start = 0;
            let mut sentences = Vec::new();
            for (index, (words, length)) in lengths.iter().enumerate() {
                let text = vec![format!("w{index}"); *words].join(" ");
                sentences.push(sentence(&text, start, start + length));
                start += length;
            }
            let all: Vec<_> = sentences.iter().map(|sentence| sentence.text.as_str()).collect();
            let words = heard_words(&sentences, heard, start, 16_000);
            prop_assert!(all.join(" ").starts_with(&words));
            prop_assert!(heard < start || words == all.join(" "));
        }
    }
}
