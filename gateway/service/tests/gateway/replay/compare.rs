//! What was seen, field by field, with placeholders for what differs from run to run.

use std::collections::BTreeMap;

use serde_json::Value;

/// Fields by their path.
pub(super) type Fields = BTreeMap<String, String>;

/// What is named differently in another run, and what it is.
pub(super) type Names = Vec<(String, String)>;

/// Of times and counts, which are another matter in each run, and of the server alone.
const IGNORED: &[&str] = &[
    "createdAt",
    "creationTime",
    "creationTimeMs",
    "enabledCodecs",
    "id",
    "joinedAt",
    "joinedAtMs",
    "numParticipants",
    "numPublishers",
    "turnPassword",
    "version",
];
const IDS: &[&str] = &["PA_", "RM_", "SCL_", "SDR_", "ST_", "TR_"];
/// Of the SIP dialog.
const TOKENS: &[&str] = &["sip.callIDFull", "sip.callTag", "sipCallId"];
/// Twirp writes fields out that have their default, webhooks do not.
const DEFAULTS: &[&str] = &["", "0", "false", "AUDIO", "NONE", "UNKNOWN_REASON"];

/// Flattens `seen`; an id becomes its kind and its place in the order of appearance.
pub(super) fn flatten(seen: &Value, names: &Names) -> Fields {
    let mut flat = Flattening {
        names,
        tokens: Vec::new(),
        fields: Fields::new(),
    };
    flat.add("", "", seen);
    flat.fields
}

struct Flattening<'a> {
    names: &'a Names,
    tokens: Vec<(String, String)>,
    fields: Fields,
}

impl Flattening<'_> {
    fn add(&mut self, path: &str, key: &str, value: &Value) {
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = camel(name);
                    if !IGNORED.contains(&name.as_str()) {
                        self.add(&below(&name), &name, value);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.add(&below(&at.to_string()), key, item);
                }
            }
            Value::String(text) => self.put(path, key, text),
            other => self.put(path, key, &other.to_string()),
        }
    }

    fn put(&mut self, path: &str, key: &str, text: &str) {
        if DEFAULTS.contains(&text) {
            return;
        }
        let is_id = IDS.iter().find(|prefix| text.starts_with(**prefix));
        let kind = match is_id {
            Some(prefix) => Some(prefix.trim_end_matches('_')),
            None => TOKENS.contains(&key).then_some(key),
        };
        let value = match kind {
            Some(kind) => self.token(kind, text),
            None => self.named(text),
        };
        self.fields.insert(path.to_owned(), value);
    }

    fn token(&mut self, kind: &str, text: &str) -> String {
        let known = self.tokens.iter().filter(|(of, _)| of == kind);
        let mut texts: Vec<&str> = known.map(|(_, text)| text.as_str()).collect();
        let at = texts.iter().position(|it| *it == text).unwrap_or(texts.len());
        if at == texts.len() {
            texts.clear();
            self.tokens.push((kind.to_owned(), text.to_owned()));
        }
        format!("<{kind} {}>", at + 1)
    }

    fn named(&self, text: &str) -> String {
        let replace = |text: String, (name, what): &(String, String)| {
            if name.is_empty() {
                text
            } else {
                text.replace(name, what)
            }
        };
        self.names.iter().fold(text.to_owned(), replace)
    }
}

/// As protobuf's JSON has it, whatever the server wrote. Attributes keep their names: they have a dot or no underscore.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1.min(word.len()));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// A field that is not the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) theirs: Option<String>,
    pub(super) ours: Option<String>,
}

pub(super) fn compare(theirs: &Fields, ours: &Fields) -> Vec<Finding> {
    let mut paths: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let finding = |path: &String| {
        let (theirs, ours) = (theirs.get(path).cloned(), ours.get(path).cloned());
        (theirs != ours).then(|| Finding {
            path: path.clone(),
            theirs,
            ours,
        })
    };
    paths.into_iter().filter_map(finding).collect()
}

/// Whether `text` is `pattern`, in which `*` stands for anything.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(first) else {
        return false;
    };
    let starts = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    starts.map(|at| &text[at..]).any(|tail| fits(rest, tail))
}
