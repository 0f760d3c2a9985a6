//! Takes typed values out of a section, and gathers what is wrong instead of stopping at it.

use std::{cell::RefCell, collections::BTreeMap, fmt::Display};

use super::{
    Environment,
    fault::{Fault, Place},
    suggest::closest,
    tree::Node,
    values::Wrong,
};
use crate::Secret;

/// LiveKit refuses shorter ones, as RFC 7518 §3.2 demands of HS256 (256 bits).
const MIN_SECRET_CHARS: usize = 32;

/// What all sections share.
pub(super) struct Context<'a> {
    pub(super) env: &'a dyn Environment,
    pub(super) faults: RefCell<Vec<Fault>>,
}

impl Context<'_> {
    pub(super) fn fault(
        &self,
        key: impl Into<String>,
        place: Place,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (key, problem, remedy) = (key.into(), problem.into(), remedy.into());
        self.faults.borrow_mut().push(Fault {
            key,
            place,
            problem,
            remedy,
        });
    }
}

/// A single value with its path and place.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) path: String,
    pub(super) place: Place,
}

/// The keys of one section that nobody has asked for yet.
pub(super) struct Section<'a> {
    cx: &'a Context<'a>,
    path: String,
    place: Place,
    entries: BTreeMap<String, Node>,
    known: Vec<&'static str>,
    /// The section itself was refused: what is missing in it is no second fault.
    faulty: bool,
}

impl<'a> Section<'a> {
    pub(super) fn of(cx: &'a Context<'a>, path: String, node: Node) -> Self {
        let place = node.place();
        let (entries, faulty) = match node {
            Node::Map { entries, .. } => (entries, false),
            Node::Null { .. } => (BTreeMap::new(), false),
            Node::Faulty => (BTreeMap::new(), true),
            other => {
                let problem = format!("it is {}, and should be a section", other.kind());
                cx.fault(
                    path.clone(),
                    place.clone(),
                    problem,
                    "write its keys below it, indented by two spaces",
                );
                (BTreeMap::new(), true)
            }
        };
        Self {
            cx,
            path,
            place,
            entries,
            known: Vec::new(),
            faulty,
        }
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Where the section stands.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Whether the section itself was refused.
    pub(super) fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// Whether the key is set to something. `key:` with nothing behind it is not set.
    pub(super) fn has(&self, key: &str) -> bool {
        !matches!(self.entries.get(key), None | Some(Node::Null { .. }))
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let found = self.entries.remove(key);
        found.filter(|node| !matches!(node, Node::Null { .. }))
    }

    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let path = self.path(key);
        Section::of(self.cx, path, self.take(key).unwrap_or_else(Node::empty))
    }

    /// The items of a list with their paths. A single value counts as a list of one.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<(String, Node)>> {
        let path = self.path(key);
        match self.take(key)? {
            Node::List { items, .. } => Some(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(at, item)| (format!("{path}[{at}]"), item))
                    .collect(),
            ),
            Node::Faulty => None,
            Node::Map { place, .. } => {
                self.cx.fault(
                    path,
                    place,
                    "it is a section, and should be a list",
                    "begin each entry with `- `",
                );
                None
            }
            single => Some(vec![(path, single)]),
        }
    }

    /// A map of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let path = self.path(key);
        let Some(node) = self.take(key) else {
            return BTreeMap::new();
        };
        let section = Section::of(self.cx, path, node);
        let (cx, path) = (section.cx, section.path);
        section
            .entries
            .into_iter()
            .filter_map(|(name, node)| {
                let value = scalar(cx, format!("{path}.{name}"), node)?;
                Some((name, value.text))
            })
            .collect()
    }

    /// The raw value: of the file or its override, then of the first variable of `fallbacks` that is set and not empty.
    pub(super) fn raw(&mut self, key: &'static str, fallbacks: &[&str]) -> Option<Found> {
        let path = self.path(key);
        if let Some(node) = self.take(key) {
            return scalar(self.cx, path, node);
        }
        fallbacks.iter().find_map(|name| {
            let text = self.cx.env.var(name).filter(|text| !text.is_empty())?;
            Some(Found {
                text,
                path: path.clone(),
                place: Place::Environment((*name).to_owned()),
            })
        })
    }

    /// The value of a key that has a default.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> T {
        match self.raw(key, &[]) {
            Some(found) => parsed(self.cx, &found, parse).unwrap_or(default),
            None => default,
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        fallbacks: &[&str],
        remedy: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let missing = !self.has(key);
        if let Some(found) = self.raw(key, fallbacks) {
            return parsed(self.cx, &found, parse);
        }
        // Otherwise what is there is no single value, and was reported.
        if missing && !self.faulty {
            self.cx
                .fault(self.path(key), Place::Nowhere, "it is missing", remedy);
        }
        None
    }

    /// Reads a raw value of this section.
    pub(super) fn parse<T>(&self, found: &Found, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        parsed(self.cx, found, parse)
    }

    /// A secret for HS256. Nothing of it goes into a fault but its length.
    pub(super) fn signing_secret(&mut self, key: &'static str, fallbacks: &[&str]) -> Option<Secret> {
        let remedy = "set it to the secret beside the key in the LiveKit server's `keys:`";
        self.required(key, fallbacks, remedy, |text| match text.chars().count() {
            length if length < MIN_SECRET_CHARS => Err(Wrong {
                problem: format!("the secret has {length} characters, fewer than {MIN_SECRET_CHARS}"),
                remedy: "make one by `openssl rand -base64 32`, here and in the LiveKit server's `keys:`"
                    .into(),
            }),
            _ => Ok(Secret::new(text)),
        })
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (name, node) in self
            .entries
            .iter()
            .filter(|(name, _)| !self.known.contains(&name.as_str()))
        {
            let remedy = match closest(name, &self.known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the keys here are: {}", self.known.join(", ")),
            };
            self.cx
                .fault(self.path(name), node.place(), "no such key", remedy);
        }
    }
}

pub(super) fn scalar(cx: &Context<'_>, path: String, node: Node) -> Option<Found> {
    let (place, kind) = (node.place(), node.kind());
    match node {
        Node::Scalar { text, place } => Some(Found { text, path, place }),
        Node::Faulty => None,
        _ => {
            cx.fault(
                path,
                place,
                format!("it is {kind}, and should be a single value"),
                "write the value behind the colon",
            );
            None
        }
    }
}

pub(super) fn parsed<T>(
    cx: &Context<'_>,
    found: &Found,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<T> {
    match parse(&found.text) {
        Ok(value) => Some(value),
        Err(Wrong { problem, remedy }) => {
            cx.fault(found.path.clone(), found.place.clone(), problem, remedy);
            None
        }
    }
}

/// Makes a parser of a type that says what is wrong itself.
pub(super) fn by<T, E: Display>(
    make: impl FnOnce(&str) -> Result<T, E>,
    remedy: &'static str,
) -> impl FnOnce(&str) -> Result<T, Wrong> {
    move |text| {
        make(text).map_err(|e| Wrong {
            problem: e.to_string(),
            remedy: remedy.into(),
        })
    }
}
