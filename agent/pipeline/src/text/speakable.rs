//! Takes out of a sentence what a voice cannot say: Markdown's marks and pictures.

/// `sentence` as it can be spoken; none when nothing of it can.
///
/// A link keeps its text, a list item loses its mark, emphasis loses its stars, emoji go.
pub(crate) fn speakable(sentence: &str) -> Option<String> {
    let mut spoken = String::with_capacity(sentence.len());
    for line in sentence.lines() {
        let line = line.trim_start_matches(['#', '>', ' ', '\t']);
        let line = line
            .strip_prefix("- ")
            .or_else(|| line.strip_prefix("* "))
            .unwrap_or(line);
        append_line(line, &mut spoken);
        spoken.push(' ');
    }
    let words: Vec<&str> = spoken.split_whitespace().collect();
    let spoken = words.join(" ");
    spoken.chars().any(char::is_alphanumeric).then_some(spoken)
}

fn append_line(line: &str, spoken: &mut String) {
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if c == '['
            && let Some((text, after)) = rest.get(1..).and_then(|inside| inside.split_once("]("))
            && let Some((_, after)) = after.split_once(')')
        {
            append_line(text, spoken);
            rest = after;
            continue;
        }
        if !matches!(c, '*' | '`' | '_' | '~' | '#') && !is_pictogram(c) {
            spoken.push(c);
        } else if c == '_' && is_inside_word(line, rest) {
            spoken.push(' ');
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
}

/// Whether the first character of `rest`, the tail of `line`, stands between letters, as in `snake_case`.
fn is_inside_word(line: &str, rest: &str) -> bool {
    let before = line
        .get(..line.len() - rest.len())
        .and_then(|head| head.chars().next_back());
    let after = rest.chars().nth(1);
    [before, after]
        .iter()
        .all(|c| c.is_some_and(char::is_alphanumeric))
}

/// Emoji, dingbats, arrows, and the joiners and selectors between them (Unicode blocks, TR 51).
fn is_pictogram(c: char) -> bool {
    matches!(u32::from(c),
        0x200D | 0x20E3 | 0xFE0E..=0xFE0F | 0x2190..=0x21FF | 0x2300..=0x23FF | 0x2460..=0x27BF
        | 0x2900..=0x297F | 0x2B00..=0x2BFF | 0x1F000..=0x1FAFF | 0xE0020..=0xE007F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_and_words_stay() {
        for (written, spoken) in [
            ("**Sure!** It is `open` now.", "Sure! It is open now."),
            (
                "## Hours\n- nine to five\n* closed on Sunday",
                "Hours nine to five closed on Sunday",
            ),
            (
                "See [our page](https://example.com/a_b) for more.",
                "See our page for more.",
            ),
            ("Great 👍🏽 see you ❤️ then!", "Great see you then!"),
            ("the field is user_name here", "the field is user name here"),
            ("It's 5 - 3 = 2, isn't it?", "It's 5 - 3 = 2, isn't it?"),
            ("Цена 20 % от суммы [см. ниже]", "Цена 20 % от суммы [см. ниже]"),
        ] {
            assert_eq!(speakable(written).as_deref(), Some(spoken));
        }
    }

    #[test]
    fn a_sentence_of_marks_alone_is_not_spoken() {
        for nothing in ["---", "🎉🎉", "**", "...", "  \n "] {
            assert_eq!(speakable(nothing), None, "{nothing:?}");
        }
    }
}
