//! A YAML mapping that is read key by key; what nobody asked for is a fault.

use serde_norway::{Mapping, Value};

use crate::Fault;

/// Longer texts are no reply on the phone.
const MAX_TEXT_CHARS: usize = 2_000;

pub(super) struct Section<'f> {
    /// Where it stands, with a dot at the end; empty at the root.
    prefix: String,
    values: Mapping,
    known: Vec<&'static str>,
    faults: &'f mut Vec<Fault>,
}

impl<'f> Section<'f> {
    pub(super) fn new(prefix: String, values: Mapping, faults: &'f mut Vec<Fault>) -> Self {
        Self {
            prefix,
            values,
            known: Vec::new(),
            faults,
        }
    }

    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.faults
            .push(Fault::new(format!("{}{key}", self.prefix), problem, remedy));
    }

    /// The value of `key`; an empty one counts as left out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.values.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.as_text(key, &value)
    }

    /// A text, or a list of texts, each with its key.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<(String, String)> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Sequence(items)) => {
                if items.is_empty() {
                    self.fault(key, "is empty", "write at least one text");
                }
                let named = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| (format!("{key}[{at}]"), item));
                named
                    .filter_map(|(key, item)| Some((key.clone(), self.as_text(&key, item)?)))
                    .collect()
            }
            Some(value) => self
                .as_text(key, &value)
                .map(|text| (key.to_owned(), text))
                .into_iter()
                .collect(),
        }
    }

    pub(super) fn finish(mut self) {
        let remedy = format!("remove it, or use one of: {}", self.known.join(", "));
        for key in std::mem::take(&mut self.values).keys() {
            let key = key
                .as_str()
                .map_or_else(|| "(a key that is no text)".to_owned(), str::to_owned);
            self.fault(&key, "is not a known key", &remedy);
        }
    }

    fn as_text(&mut self, key: &str, value: &Value) -> Option<String> {
        let Some(text) = value.as_str().map(str::trim) else {
            self.fault(key, "is not a text", "put it in quotes");
            return None;
        };
        if text.is_empty() || text.chars().count() > MAX_TEXT_CHARS {
            let remedy = format!("write 1 to {MAX_TEXT_CHARS} characters");
            self.fault(key, "is empty or too long", remedy);
            return None;
        }
        Some(text.to_owned())
    }
}
