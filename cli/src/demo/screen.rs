//! Where the demo is shown: a terminal, with a block that is redrawn in place, or plain lines.

use std::collections::HashSet;
use std::io::{Stdout, Write, stdout};
use std::time::Duration;

use caller::Received;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::{cursor, queue, terminal};

use super::story::{Row, Story};
use crate::paint::{Line, MAX_WIDTH, ansi, plain, takes_colours};

/// Plain lines wait so long for what happened earlier and is known later.
const SETTLE: Duration = Duration::from_millis(600);

/// Standard output.
pub(super) struct Screen {
    out: Stdout,
    live: bool,
    /// How many lines of the block are on the terminal now.
    block: usize,
    /// Rows that are out as plain lines.
    printed: HashSet<String>,
}

impl Screen {
    pub(super) fn new(plain: bool) -> Self {
        let out = stdout();
        let live = !plain && takes_colours(&out);
        Self {
            out,
            live,
            block: 0,
            printed: HashSet::new(),
        }
    }

    /// The columns that a line may have.
    pub(super) fn width(&self) -> usize {
        match terminal::size() {
            Ok((columns, _)) if self.live => usize::from(columns).clamp(40, MAX_WIDTH + 1) - 1,
            _ => usize::MAX,
        }
    }

    /// Lines that stay. A screen that does not take them has nobody to tell.
    pub(super) fn print(&mut self, lines: &[Line]) {
        for line in lines {
            let text = if self.live { ansi(line) } else { plain(line) };
            let _ = writeln!(self.out, "{text}");
        }
        let _ = self.out.flush();
    }

    /// The call as it stands.
    pub(super) fn draw(&mut self, story: &Story, received: &Received, elapsed: Duration) {
        if self.live {
            let width = self.width();
            let mut lines = story.timeline(width);
            lines.extend(story.lanes(received, elapsed, width));
            let _ = self.redraw(&lines);
        } else {
            self.print_rows(story, elapsed.saturating_sub(SETTLE), false);
        }
    }

    /// Replaces the block by lines that stay.
    pub(super) fn finish(&mut self, story: &Story, received: &Received, elapsed: Duration) {
        if self.live {
            let width = self.width();
            let mut lines = story.timeline(width);
            lines.extend(story.lanes(received, elapsed, width));
            let _ = self.redraw(&[]);
            self.print(&lines);
            self.release();
        } else {
            self.print_rows(story, Duration::MAX, true);
        }
    }

    /// Gives the cursor back.
    pub(super) fn release(&mut self) {
        if self.live {
            let _ = queue!(self.out, cursor::Show);
            let _ = self.out.flush();
        }
    }

    fn print_rows(&mut self, story: &Story, until: Duration, all: bool) {
        let rows = story.rows();
        let due = rows
            .iter()
            .filter(|row| all || (row.complete && row.at_ms <= millis(until)));
        let fresh: Vec<Line> = due
            .filter(|row| self.printed.insert(row.key.clone()))
            .map(Row::line)
            .collect();
        self.print(&fresh);
    }

    /// Draws over the block drawn before. Of a block that is higher than the terminal the end is shown.
    fn redraw(&mut self, lines: &[Line]) -> std::io::Result<()> {
        let (_, height) = terminal::size()?;
        let shown = lines.len().min(usize::from(height).saturating_sub(1));
        let visible = lines.get(lines.len() - shown..).unwrap_or_default();
        queue!(self.out, BeginSynchronizedUpdate, cursor::Hide)?;
        if self.block > 0 {
            queue!(
                self.out,
                cursor::MoveToPreviousLine(u16::try_from(self.block).unwrap_or(u16::MAX))
            )?;
        }
        for line in visible {
            write!(self.out, "{}", ansi(line))?;
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
            writeln!(self.out)?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        self.block = visible.len();
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.release();
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
