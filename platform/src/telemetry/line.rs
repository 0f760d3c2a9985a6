//! One line, as JSON or as text.

use std::fmt::Write;

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Level,
    field::{Field, Visit},
};

use super::layer::Masks;
use crate::config::LogFormat;

/// The longest text of one field, in bytes; what is behind it is cut.
const MAX_TEXT: usize = 8 * 1024;
/// The same for capped targets: their errors dump whole events, with who takes part and what was sent.
const MAX_CAPPED_TEXT: usize = 256;

/// Gathers the fields of an event or a span, masked.
pub(super) struct Fields<'a> {
    pub(super) masks: &'a Masks,
    pub(super) values: &'a mut Map<String, Value>,
    /// Whether they come from a target of [`CAPS`](super::CAPS).
    pub(super) capped: bool,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        // Fields of the `log` crate's bridge: the target and the place are known already.
        if !field.name().starts_with("log.") {
            self.values.insert(field.name().to_owned(), value);
        }
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let longest = if self.capped { MAX_CAPPED_TEXT } else { MAX_TEXT };
        let text = if is_secret(field.name()) {
            "[secret]".to_owned()
        } else {
            let masked = self.masks.mask(text);
            cut(
                if self.capped {
                    without_numbers(&masked)
                } else {
                    masked
                },
                longest,
            )
        };
        self.put(field, Value::String(text));
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.put_text(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}

/// Whether a field must not be read, going by its name.
fn is_secret(name: &str) -> bool {
    ["secret", "password", "token", "authorization", "api_key"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Digits that could be a phone number, however they are written: dependencies quote the names of rooms, which hold what a stranger
/// wrote into an INVITE.
fn without_numbers(text: &str) -> String {
    /// The shortest numbers of the national plans have so many digits without their area.
    const SHORTEST: usize = 7;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (digits, after) = digits.split_at(length);
        out.push_str(before);
        out.push_str(if length >= SHORTEST { "[number]" } else { digits });
        rest = after;
    }
    out + rest
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The whole line with its line feed. Fields of inner spans win over those of outer ones, the event's own over all.
pub(super) fn line(
    format: LogFormat,
    at: OffsetDateTime,
    level: Level,
    target: &str,
    mut fields: Map<String, Value>,
) -> String {
    let message = fields.remove("message");
    let at = at.format(&Rfc3339).unwrap_or_default();
    match format {
        LogFormat::Json => {
            let head = [
                ("timestamp", at.as_str()),
                ("level", level.as_str()),
                ("target", target),
            ];
            let head = head.map(|(name, text)| (name.to_owned(), Value::from(text)));
            let message = message.map(|message| ("message".to_owned(), message));
            // A field never takes the place of what stands on every line.
            let is_taken = |name: &str| ["timestamp", "level", "target"].contains(&name);
            let fields = fields.into_iter().map(|(name, value)| {
                if is_taken(&name) {
                    (format!("{name}_"), value)
                } else {
                    (name, value)
                }
            });
            let members = head.into_iter().chain(message).chain(fields);
            let members: Vec<String> = members
                .map(|(name, value)| format!("{}:{value}", Value::from(name)))
                .collect();
            format!("{{{}}}\n", members.join(","))
        }
        LogFormat::Text => {
            let mut line = format!("{at} {level:>5} {target}:");
            if let Some(value) = message {
                let _ = write!(line, " {}", plain(&value));
            }
            for (name, value) in fields {
                let _ = write!(line, " {name}={}", plain(&value));
            }
            // One event, one line: a text must not be able to forge another one.
            line = line.replace(['\n', '\r'], "⏎");
            line.push('\n');
            line
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().filter(|c| !c.is_control() || *c == '\n').collect(),
        other => other.to_string(),
    }
}
