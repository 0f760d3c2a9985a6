//! Lines of coloured text, and how they reach a terminal or a file.

use std::io::{IsTerminal, Stdout, Write, stdout};

use crossterm::{
    style::{Attribute, Attributes, Color, ContentStyle, Stylize},
    terminal,
};
use platform::config::{Environment, ProcessEnvironment};

/// The widest that lines become: longer ones are hard to read.
pub(crate) const MAX_WIDTH: usize = 118;

/// What a piece of text is about; the screen decides what that looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
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
    /// What changes, or wants attention.
    Warn,
    Bad,
}

/// One line: pieces of text, each with its tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) Vec<(String, Tone)>);

impl Line {
    pub(crate) fn of(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    pub(crate) fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn heading(text: &str) -> Self {
        Self::of(text, Tone::Strong)
    }

    /// A step of the set-up that is done.
    pub(crate) fn step(text: &str) -> Self {
        Self::of("  ✓ ", Tone::Good).and(text, Tone::Dim)
    }

    pub(crate) fn and(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }

    /// Cut to so many columns, with an ellipsis where something is missing. One character counts as one column: the
    /// view writes no wide ones, and a caller's words that hold some are merely cut late.
    pub(crate) fn cut(self, columns: usize) -> Self {
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

impl Line {
    /// Broken at spaces into lines of so many columns, of which all but the first begin with `indent` spaces.
    pub(crate) fn wrapped(self, columns: usize, indent: usize) -> Vec<Self> {
        let room = columns.saturating_sub(indent).max(1);
        let (mut lines, mut line, mut length) = (Vec::new(), Self::default(), 0);
        for (text, tone) in self.0 {
            for word in text.split_inclusive(' ') {
                let letters: Vec<char> = word.chars().collect();
                // Longer words are broken inside.
                for part in letters.chunks(room) {
                    let part: String = part.iter().collect();
                    let is_over = length + part.trim_end().chars().count() > columns;
                    if is_over && length > indent {
                        lines.push(std::mem::replace(
                            &mut line,
                            Self::of(" ".repeat(indent), Tone::Plain),
                        ));
                        length = indent;
                    }
                    length += part.chars().count();
                    line = line.and(part, tone);
                }
            }
        }
        lines.push(line);
        lines
    }
}

/// Standard output for what stays: coloured and as wide as the terminal on one, whole and plain elsewhere.
pub(crate) struct Paper {
    out: Stdout,
    is_coloured: bool,
}

impl Paper {
    pub(crate) fn new() -> Self {
        let out = stdout();
        let is_coloured = takes_colours(&out);
        Self { out, is_coloured }
    }

    /// Prints the lines, broken with this indent where they are too long. What does not take them has nobody to tell.
    pub(crate) fn print_wrapped(&mut self, lines: impl IntoIterator<Item = Line>, indent: usize) {
        let width = match terminal::size() {
            Ok((columns, _)) if self.is_coloured => usize::from(columns).clamp(40, MAX_WIDTH + 1) - 1,
            _ => usize::MAX,
        };
        for line in lines.into_iter().flat_map(|line| line.wrapped(width, indent)) {
            let text = if self.is_coloured {
                ansi(&line)
            } else {
                plain(&line)
            };
            let _ = writeln!(self.out, "{}", text.trim_end());
        }
        let _ = self.out.flush();
    }

    /// The same with the indent of a step's text.
    pub(crate) fn print(&mut self, lines: impl IntoIterator<Item = Line>) {
        self.print_wrapped(lines, 4);
    }
}

/// Whether it is a terminal that shows colours, and nobody has said that they are not wanted (`NO_COLOR`).
pub(crate) fn takes_colours(out: &impl IsTerminal) -> bool {
    let env = ProcessEnvironment;
    let is_dumb = env.var("TERM").is_none_or(|term| term == "dumb");
    let no_colour = env.var("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_dumb && !no_colour && out.is_terminal()
}

/// The line with its colours as escape sequences. Control characters in its text are left out.
pub(crate) fn ansi(line: &Line) -> String {
    let styled = line.0.iter().map(|(text, tone)| match style(*tone) {
        Some(style) => style.apply(clean(text)).to_string(),
        None => clean(text),
    });
    styled.collect()
}

/// The line's text alone.
pub(crate) fn plain(line: &Line) -> String {
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
        Tone::Gateway | Tone::Warn => style.with(Color::Yellow),
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
    fn a_long_line_is_broken_at_spaces_with_an_indent_and_keeps_its_tones() {
        let line = Line::of("  ab cd ", Tone::Dim).and("ef ghijklm", Tone::Good);
        let lines = line.wrapped(8, 4);
        let text: Vec<String> = lines.iter().map(plain).collect();
        assert_eq!(text, ["  ab cd ", "    ef ", "    ghij", "    klm"]);
        assert_eq!(lines[1].0[1], ("ef ".to_owned(), Tone::Good));
        let short = Line::of("  ab", Tone::Dim);
        assert_eq!(short.clone().wrapped(80, 4).len(), 1);
        assert_eq!(Line::empty().wrapped(80, 4), [Line::empty()]);
    }

    #[test]
    fn words_cannot_steer_the_terminal() {
        assert_eq!(plain(&Line::of("a\x1b[2Jb\n", Tone::Plain)), "a[2Jb");
    }
}
