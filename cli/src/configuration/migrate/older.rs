//! The older file: its values by their paths, and what has been said of each line.

use std::collections::BTreeSet;

use anyhow::Context;
use platform::config::Lines;
use serde_norway::Value;

/// Deeper files than this are not walked.
const MAX_DEPTH: usize = 16;

/// What is to be known of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) line: Option<usize>,
    pub(super) key: String,
    pub(super) says: String,
    /// Somebody must look at it.
    pub(super) is_warning: bool,
}

/// The older file. Every value that is asked for counts as dealt with.
pub(super) struct Older {
    root: Value,
    lines: Lines,
    dealt_with: BTreeSet<String>,
    notes: Vec<Note>,
}

impl Older {
    pub(super) fn new(text: &str) -> anyhow::Result<Self> {
        let root: Value = serde_norway::from_str(text).context("the file is no YAML")?;
        anyhow::ensure!(root.is_mapping(), "the file has no keys");
        Ok(Self {
            root,
            lines: Lines::of(text),
            dealt_with: BTreeSet::new(),
            notes: Vec::new(),
        })
    }

    /// The single value of the path, as text. Variables stay as they are.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        let found = scalar(self.at(path)?)?;
        self.dealt_with.insert(path.to_owned());
        Some(found)
    }

    /// The single values of a list. A single value counts as a list of one.
    pub(super) fn texts(&mut self, path: &str) -> Vec<String> {
        let count = self.count(path);
        if count == 0 {
            return self.text(path).into_iter().collect();
        }
        (0..count)
            .filter_map(|at| self.text(&format!("{path}[{at}]")))
            .collect()
    }

    /// How many items a list has.
    pub(super) fn count(&self, path: &str) -> usize {
        self.at(path).and_then(Value::as_sequence).map_or(0, Vec::len)
    }

    /// The keys of a section.
    pub(super) fn keys(&self, path: &str) -> Vec<String> {
        let section = self.at(path).and_then(Value::as_mapping);
        let keys = section.into_iter().flat_map(serde_norway::Mapping::keys);
        keys.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Says something of a path, and counts it as dealt with.
    pub(super) fn note(&mut self, path: &str, says: impl Into<String>) {
        self.push(path, &says.into(), false);
    }

    /// The same of something that must be looked at.
    pub(super) fn warn(&mut self, path: &str, says: impl Into<String>) {
        self.push(path, &says.into(), true);
    }

    fn push(&mut self, path: &str, says: &str, is_warning: bool) {
        self.dealt_with.insert(path.to_owned());
        // It becomes a comment, which ends with its line.
        let in_one_line = |text: &str| text.replace(|letter: char| letter.is_control(), " ");
        self.notes.push(Note {
            line: self.lines.line(path),
            key: in_one_line(path),
            says: in_one_line(says),
            is_warning,
        });
    }

    /// Every single value that nobody has dealt with.
    pub(super) fn left_over(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        walk(&self.root, "", 0, &mut leaves);
        leaves.retain(|leaf| !self.dealt_with.contains(leaf));
        leaves
    }

    /// All that was said, in the order of the lines.
    pub(super) fn into_notes(mut self) -> Vec<Note> {
        self.notes.sort_by_key(|note| note.line);
        self.notes
    }

    fn at(&self, path: &str) -> Option<&Value> {
        path.split(['.', '['])
            .try_fold(&self.root, |value, part| match part.strip_suffix(']') {
                Some(index) => value.get(index.parse::<usize>().ok()?),
                None => value.get(part),
            })
    }
}

fn walk(value: &Value, path: &str, depth: usize, leaves: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Mapping(entries) => {
            for (key, value) in entries {
                let key = scalar(key).unwrap_or_default();
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                walk(value, &path, depth + 1, leaves);
            }
        }
        Value::Sequence(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{at}]"), depth + 1, leaves);
            }
        }
        _ => leaves.push(path.to_owned()),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
