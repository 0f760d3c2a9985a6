//! Lines of coloured text, and how they reach a terminal or a file.

use crossterm::style::{Attribute, Attributes, Color, ContentStyle, Stylize};

/// What a piece of text is about; the screen decides what that looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Dim,
    Strong,
    /// The caller's side.
    Phone,
    /// SIP between phone and gateway.
    Gateway,
    LiveKit,
    Function,
    Agent,
    Good,
    Bad,
}

/// One line: pieces of text, each with its tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(String, Tone)>);

impl Line {
    pub(super) fn of(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    pub(super) fn empty() -> Self {
        Self::default()
    }

    pub(super) fn heading(text: &str) -> Self {
        Self::of(text, Tone::Strong)
    }

    /// A step of the set-up that is done.
    pub(super) fn step(text: &str) -> Self {
        Self::of("  ✓ ", Tone::Good).and(text, Tone::Dim)
    }

    pub(super) fn and(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }

    /// Cut to so many columns, with an ellipsis where something is missing. One character counts as one column: the
    /// view writes no wide ones, and a caller's words that hold some are merely cut late.
    pub(super) fn cut(self, columns: usize) -> Self {
        let length: usize = self.0.iter().map(|(text, _)| text.chars().count()).sum();
        if length <= columns {
            return self;
        }
        let mut room = columns.saturating_sub(1);
        let mut pieces = Vec::new();
        for (text, tone) in self.0 {
            let kept: String = text.chars().take(room).collect();
            room -= kept.chars().count();
            pieces.push((kept, tone));
        }
        Self(pieces).and("…", Tone::Dim)
    }
}

/// The line with its colours as escape sequences. Control characters in its text are left out.
pub(super) fn ansi(line: &Line) -> String {
    let styled = line.0.iter().map(|(text, tone)| match style(*tone) {
        Some(style) => style.apply(clean(text)).to_string(),
        None => clean(text),
    });
    styled.collect()
}

/// The line's text alone.
pub(super) fn plain(line: &Line) -> String {
    line.0.iter().map(|(text, _)| clean(text)).collect()
}

/// What callers and models say must not steer the terminal.
fn clean(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

fn style(tone: Tone) -> Option<ContentStyle> {
    let style = ContentStyle::new();
    Some(match tone {
        Tone::Plain => return None,
        Tone::Dim => style.with(Color::DarkGrey),
        Tone::Strong => ContentStyle {
            attributes: Attributes::from(Attribute::Bold),
            ..style
        },
        Tone::Phone => style.with(Color::Cyan),
        Tone::Gateway => style.with(Color::Yellow),
        Tone::LiveKit => style.with(Color::Blue),
        Tone::Function => style.with(Color::Magenta),
        Tone::Agent | Tone::Good => style.with(Color::Green),
        Tone::Bad => style.with(Color::Red),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_with_an_ellipsis() {
        let line = Line::of("abc", Tone::Plain).and("defg", Tone::Agent);
        assert_eq!(plain(&line.clone().cut(7)), "abcdefg");
        assert_eq!(plain(&line.cut(5)), "abcd…");
    }

    #[test]
    fn words_cannot_steer_the_terminal() {
        assert_eq!(plain(&Line::of("a\x1b[2Jb\n", Tone::Plain)), "a[2Jb");
    }
}
