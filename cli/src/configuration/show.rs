//! `trunkline config show`: every value that counts, and where it comes from.

use std::{cmp::Reverse, collections::BTreeMap, io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use platform::config::{self, Origin, Place, ProcessEnvironment, Reference};
use serde_json::{Value, json};

use super::{SCHEMA, report};
use crate::paint::{Line, Paper, Tone};

/// The arguments of `trunkline config show`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration; every key can also stand in the environment.
    #[arg(long, value_name = "FILE", default_value = "trunkline.yaml")]
    config: PathBuf,
    /// Say where each value comes from: a line of the file, a variable, or the default.
    #[arg(long)]
    origin: bool,
    /// Print one JSON object, with the origins.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let origins = match config::origins(Some(&arguments.config), &ProcessEnvironment) {
        Ok(origins) => origins,
        Err(faults) => {
            eprint!("{}", report(&faults));
            return Ok(ExitCode::from(config::EXIT_CODE));
        }
    };
    let rows = rows(origins, &Keys::of(SCHEMA)?);
    if arguments.json {
        let values: Vec<Value> = rows.iter().map(Row::json).collect();
        writeln!(std::io::stdout(), "{:#}", json!({ "values": values })).context("printing the result")?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = arguments.config.display().to_string();
    let width = rows.iter().map(|row| row.key.chars().count()).max();
    let width = width.unwrap_or_default();
    let values = rows.iter().map(|row| row.shown().chars().count()).max();
    let values = values.unwrap_or_default().min(MAX_VALUE);
    let lines = rows.iter().map(|row| {
        let (shown, tone) = (row.shown(), row.tone());
        let line = Line::of(format!("{:<width$}  ", row.key), Tone::Dim);
        if arguments.origin {
            line.and(format!("{shown:<values$}  "), tone)
                .and(row.said_origin(&file), Tone::Dim)
        } else {
            line.and(shown, tone)
        }
    });
    Paper::new().print_wrapped(lines, width + 2);
    Ok(ExitCode::SUCCESS)
}

/// Longer values push their origin out of its column.
const MAX_VALUE: usize = 40;

/// What the schema knows of keys.
struct Keys(BTreeMap<String, Known>);

struct Known {
    /// `writeOnly`.
    is_secret: bool,
    default: Option<String>,
}

impl Keys {
    fn of(schema: &str) -> anyhow::Result<Self> {
        let schema: Value = serde_json::from_str(schema).context("reading the schema")?;
        let mut keys = BTreeMap::new();
        walk(&schema, String::new(), &mut keys);
        Ok(Self(keys))
    }

    /// The key's entry; items of lists and of sections with keys of any name are their list's and section's.
    fn known(&self, key: &str) -> Option<&Known> {
        let pattern: String = key
            .split('[')
            .enumerate()
            .map(|(at, part)| match part.split_once(']') {
                Some((_, rest)) if at > 0 => format!("[]{rest}"),
                _ => part.to_owned(),
            })
            .collect();
        let is_below = |known: &str| {
            let rest = pattern.strip_prefix(known);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let entries = self.0.iter().filter(|(known, _)| is_below(known));
        entries
            .min_by_key(|(known, _)| Reverse(known.len()))
            .map(|(_, known)| known)
    }
}

fn walk(schema: &Value, path: String, keys: &mut BTreeMap<String, Known>) {
    let properties = |schema: &Value| schema.get("properties").and_then(Value::as_object).cloned();
    let items = schema.get("items").and_then(properties);
    let (below, path) = match (properties(schema), items) {
        (Some(below), _) => (below, path),
        (None, Some(below)) => (below, format!("{path}[]")),
        (None, None) => {
            let known = Known {
                is_secret: schema.get("writeOnly") == Some(&Value::Bool(true)),
                default: schema.get("default").map(text),
            };
            keys.insert(path, known);
            return;
        }
    };
    for (key, schema) in below {
        let path = if path.is_empty() {
            key
        } else {
            format!("{path}.{key}")
        };
        walk(&schema, path, keys);
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A value as it is shown.
struct Row {
    key: String,
    value: Shown,
    place: Place,
}

enum Shown {
    Text(String),
    Secret,
    /// Whatever stands there may be a secret under a misspelt name.
    Unknown,
}

/// What is set, and the defaults of all else that has one.
fn rows(origins: Vec<Origin>, keys: &Keys) -> Vec<Row> {
    let is_set = |key: &str| {
        origins.iter().any(|origin| {
            let rest = origin.key.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        })
    };
    // Of a section that means something by being there, defaults are none when it is not.
    let is_there = |key: &str| {
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        let is_optional = section.contains('.') || section == "access";
        let below = format!("{section}.");
        !is_optional || origins.iter().any(|origin| origin.key.starts_with(&below))
    };
    let is_default = |key: &str| !key.contains("[]") && !is_set(key) && is_there(key);
    let defaults = keys.0.iter().filter(|(key, _)| is_default(key));
    let mut rows: Vec<Row> = defaults
        .filter_map(|(key, known)| {
            Some(Row {
                key: key.clone(),
                value: Shown::Text(known.default.clone()?),
                place: Place::Nowhere,
            })
        })
        .collect();
    rows.extend(origins.into_iter().map(|Origin { key, value, place }| {
        let is_reference = matches!(Reference::parse(value.expose()), Ok(Some(_)));
        let value = match keys.known(&key) {
            None => Shown::Unknown,
            Some(known) if known.is_secret && !is_reference => Shown::Secret,
            Some(_) => Shown::Text(value.expose().to_owned()),
        };
        Row { key, value, place }
    }));
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

impl Row {
    fn shown(&self) -> &str {
        match &self.value {
            Shown::Text(text) => text,
            Shown::Secret => "(hidden)",
            Shown::Unknown => "(no such key; not shown)",
        }
    }

    fn tone(&self) -> Tone {
        match (&self.value, &self.place) {
            (Shown::Unknown, _) => Tone::Bad,
            (_, Place::Nowhere) => Tone::Dim,
            (_, Place::Environment(_)) => Tone::Warn,
            (_, Place::File(_)) => Tone::Plain,
        }
    }

    fn said_origin(&self, file: &str) -> String {
        match &self.place {
            Place::File(Some(line)) => format!("{file}:{line}"),
            Place::File(None) => file.to_owned(),
            Place::Environment(name) => name.clone(),
            Place::Nowhere => "default".to_owned(),
        }
    }

    /// `value` is null where it is not shown.
    fn json(&self) -> Value {
        let value = match &self.value {
            Shown::Text(text) => Some(text),
            Shown::Secret | Shown::Unknown => None,
        };
        let (origin, line, variable) = match &self.place {
            Place::File(line) => ("file", *line, None),
            Place::Environment(name) => ("environment", None, Some(name)),
            Place::Nowhere => ("default", None, None),
        };
        json!({"key": self.key, "value": value, "origin": origin, "line": line, "variable": variable})
    }
}
