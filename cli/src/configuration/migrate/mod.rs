//! `trunkline config migrate`: from the older file (`livekit`, `redis`, `sip_trunks`, `routing`, `webhooks`, `audio_codecs`,
//! `logging`, `health_check`) to `trunkline.yaml`, with a word on every line that has no counterpart.
//!
//! Variables (`${NAME}`, `${NAME:-default}`) stay variables: the new file reads them as the older one did.

mod older;
mod sections;
mod telephony;

use std::{fmt::Write as _, fs::OpenOptions, io::Write, path::Path, process::ExitCode};

use anyhow::Context;
use serde_norway::{Mapping, Value};

use crate::paint::{Line, Paper, Tone};
use older::{Note, Older};

/// Where the words on a line begin.
const INDENT: usize = 13;

/// Translates the file. The result goes to `output`, or to standard output; what became of each line is among its comments, and on
/// the terminal too when the result goes elsewhere.
pub(super) fn run(older: &Path, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let named = || older.display().to_string();
    let text = platform::config::read_file(older)
        .map_err(anyhow::Error::msg)
        .with_context(named)?;
    let migrated = migrate(&text).with_context(named)?;
    let Some(output) = output else {
        std::io::stdout().write_all(migrated.yaml.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // It may hold secrets.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(output)
        .with_context(|| output.display().to_string())?;
    file.write_all(migrated.yaml.as_bytes())
        .with_context(|| output.display().to_string())?;
    Paper::new().print_wrapped(report(&migrated, older, output), INDENT);
    Ok(ExitCode::SUCCESS)
}

fn report(migrated: &Migrated, older: &Path, output: &Path) -> Vec<Line> {
    let title = format!("  {} → {}", older.display(), output.display());
    let mut lines = vec![Line::empty(), Line::heading(&title), Line::empty()];
    for note in &migrated.notes {
        let place = note.line.map(|line| format!("line {line}")).unwrap_or_default();
        let (sign, tone) = if note.is_warning {
            ("!", Tone::Warn)
        } else {
            ("·", Tone::Dim)
        };
        lines.push(
            Line::of(format!("  {sign} "), tone)
                .and(format!("{place:<9}"), Tone::Dim)
                .and(note.key.as_str(), Tone::Strong),
        );
        let words = if note.is_warning { Tone::Warn } else { Tone::Plain };
        lines.push(Line::of(format!("{:INDENT$}{}", "", note.says), words));
    }
    let warnings = migrated.notes.iter().filter(|note| note.is_warning).count();
    lines.push(Line::empty());
    lines.push(Line::of(
        format!(
            "  {warnings} to look at (!). Then: trunkline config check --config {}",
            output.display()
        ),
        Tone::Warn,
    ));
    lines.push(Line::empty());
    lines
}

/// What came of the older file: the new one's text, with the notes among its comments.
struct Migrated {
    yaml: String,
    notes: Vec<Note>,
}

/// Translates the older file.
fn migrate(text: &str) -> anyhow::Result<Migrated> {
    let mut older = Older::new(text)?;
    let mut new = Section::default();
    sections::livekit(&mut older, &mut new);
    sections::redis(&mut older, &mut new);
    sections::sip(&mut older, &mut new);
    let trunks = telephony::trunks(&mut older, &mut new);
    telephony::rules(&mut older, &trunks, &mut new);
    sections::log(&mut older, &mut new);
    sections::without_counterpart(&mut older);
    for path in older.left_over() {
        older.warn(&path, "no such key was known to the older format: left out");
    }
    let notes = older.into_notes();
    let yaml = format!("{}{}", comments(&notes), new.yaml()?);
    Ok(Migrated { yaml, notes })
}

fn comments(notes: &[Note]) -> String {
    let mut out = String::from("# Migrated from an older configuration. Of its lines:\n#\n");
    for note in notes {
        let line = note.line.map(|line| format!("line {line}, ")).unwrap_or_default();
        let sign = if note.is_warning { "LOOK AT THIS: " } else { "" };
        // A text takes all that is written.
        let _ = writeln!(out, "# - {line}{}: {sign}{}", note.key, note.says);
    }
    out.push('\n');
    out
}

/// A section of the new file, in the order in which it is written.
#[derive(Default)]
struct Section(Mapping);

impl Section {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(Value::from(key), value.into());
    }

    /// Sets what is there.
    fn set_some(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn set_list(&mut self, key: &str, items: Vec<Value>) {
        if !items.is_empty() {
            self.set(key, items);
        }
    }

    fn yaml(self) -> anyhow::Result<String> {
        Ok(serde_norway::to_string(&Value::Mapping(self.0))?)
    }
}

impl From<Section> for Value {
    fn from(section: Section) -> Self {
        Self::Mapping(section.0)
    }
}
