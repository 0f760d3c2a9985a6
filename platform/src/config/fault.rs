use std::fmt;

/// One thing that is wrong with the configuration. Shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key's path (`sip.rtp_ports`, `agents[1].profile`); empty when it is the file as a whole.
    pub key: String,
    /// Where the value stands.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// Where a value of the configuration stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file, at this line if it is known.
    File(Option<usize>),
    /// In this variable of the environment.
    Environment(String),
    /// Nowhere: it is missing, or a default.
    Nowhere,
}

/// All that is wrong with the configuration: at least one fault, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    file: Option<String>,
    faults: Vec<Fault>,
}

impl Faults {
    /// `file` is the name that the report shows.
    pub fn new(file: Option<String>, mut faults: Vec<Fault>) -> Self {
        // Stable, so that what has no line stays in the order of the keys.
        faults.sort_by(|a, b| a.place.cmp(&b.place));
        Self { file, faults }
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.faults.len()
    }

    /// The report for a person: keys and places on the left, what is wrong and what to do on the right, wrapped to `width`
    /// columns (at least 60). Colours only if the caller says that it goes to a terminal.
    pub fn report(&self, width: usize, colour: bool) -> String {
        let paint = Paint(colour);
        let left = self
            .faults
            .iter()
            .flat_map(|fault| [fault.key.chars().count(), self.place(fault).chars().count()])
            .max()
            .unwrap_or(0)
            .clamp(12, (width * 2 / 5).max(34));
        let right = width.max(60).saturating_sub(left + 5);
        let noun = if self.faults.len() == 1 { "fault" } else { "faults" };
        let from = self.file.as_deref().unwrap_or("the environment and the defaults");
        let mut out = format!(
            "{}\n",
            paint.bold(&format!(
                "{} {noun} in the configuration ({from})",
                self.faults.len()
            ))
        );
        for fault in &self.faults {
            out.push('\n');
            let place = self.place(fault);
            let names = wrap(&fault.key, left).into_iter().map(|line| (line, Colour::Red));
            let mut cells = names.chain(wrap(&place, left).into_iter().map(|line| (line, Colour::Dim)));
            let problem = wrap(&fault.problem, right)
                .into_iter()
                .map(|line| (line, Colour::None));
            let remedy = wrap(&format!("→ {}", fault.remedy), right)
                .into_iter()
                .enumerate()
                .map(|(at, line)| (if at == 0 { line } else { format!("  {line}") }, Colour::Green));
            let mut texts = problem.chain(remedy);
            loop {
                let (cell, text) = (cells.next(), texts.next());
                if cell.is_none() && text.is_none() {
                    break;
                }
                let (cell, cell_colour) = cell.unwrap_or_default();
                let (text, text_colour) = text.unwrap_or_default();
                let gap = " ".repeat(left.saturating_sub(cell.chars().count()) + 3);
                let line = format!(
                    "  {}{gap}{}",
                    paint.colour(&cell, cell_colour),
                    paint.colour(&text, text_colour)
                );
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
        out
    }

    fn place(&self, fault: &Fault) -> String {
        match (&fault.place, &self.file) {
            (Place::File(Some(line)), _) => format!("line {line}"),
            (Place::Environment(name), _) => name.clone(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Faults {
    /// [`Faults::report`] at 100 columns without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report(100, false))
    }
}

impl std::error::Error for Faults {}

#[derive(Clone, Copy, Default)]
enum Colour {
    #[default]
    None,
    Red,
    Green,
    Dim,
}

struct Paint(bool);

impl Paint {
    fn bold(&self, text: &str) -> String {
        self.wrap(text, "1")
    }

    fn colour(&self, text: &str, colour: Colour) -> String {
        match colour {
            Colour::None => text.to_owned(),
            Colour::Red => self.wrap(text, "1;31"),
            Colour::Green => self.wrap(text, "32"),
            Colour::Dim => self.wrap(text, "2"),
        }
    }

    fn wrap(&self, text: &str, code: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Breaks at spaces, and inside a word only when it is longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let chars: Vec<char> = word.chars().collect();
        for (at, piece) in chars.chunks(width.max(1)).enumerate() {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if at == 0 && line.chars().count() + 1 + piece.chars().count() <= width => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults() -> Faults {
        let fault = |key: &str, place, problem: &str, remedy: &str| Fault {
            key: key.into(),
            place,
            problem: problem.into(),
            remedy: remedy.into(),
        };
        Faults::new(
            Some("trunkline.yaml".into()),
            vec![
                fault(
                    "sip.rtp_ports",
                    Place::File(Some(12)),
                    "the range is upside down",
                    "write the lower port first",
                ),
                fault(
                    "livekit.url",
                    Place::File(Some(2)),
                    "ws:// is not encrypted",
                    "use wss://",
                ),
                fault(
                    "worker.slots",
                    Place::Environment("TRUNKLINE__WORKER__SLOTS".into()),
                    "\"many\" is no number",
                    "1 to 1000",
                ),
            ],
        )
    }

    #[test]
    fn the_report_is_aligned_in_the_order_of_the_file_and_plain_unless_asked() {
        let plain = faults().to_string();
        assert_eq!(
            plain,
            "3 faults in the configuration (trunkline.yaml)\n\
             \n\
             \x20 livekit.url                ws:// is not encrypted\n\
             \x20 line 2                     → use wss://\n\
             \n\
             \x20 sip.rtp_ports              the range is upside down\n\
             \x20 line 12                    → write the lower port first\n\
             \n\
             \x20 worker.slots               \"many\" is no number\n\
             \x20 TRUNKLINE__WORKER__SLOTS   → 1 to 1000\n"
        );
        let coloured = faults().report(100, true);
        assert!(coloured.contains("\x1b[1;31mlivekit.url\x1b[0m"));
        let bare = coloured
            .split('\x1b')
            .map(|s| s.split_once('m').map_or(s, |(_, t)| t))
            .collect::<String>();
        assert_eq!(
            bare.replace('[', ""),
            plain.replace('[', ""),
            "colours change nothing else"
        );
    }

    #[test]
    fn no_line_of_a_narrow_report_is_wider_than_asked() {
        let mut long = faults();
        if let Some(fault) = long.faults.first_mut() {
            fault.problem = "a very long explanation ".repeat(12);
            fault.remedy = "x".repeat(200);
        }
        for line in long.report(60, false).lines() {
            assert!(line.chars().count() <= 62, "{line}");
        }
    }
}
