//! The values before they have types: the file's, with the environment's laid over them.

use std::collections::BTreeMap;

use serde_norway::Value;

use super::{
    Environment,
    fault::{Fault, Place},
    lines::Lines,
};

/// Variables that set keys begin with this.
const PREFIX: &str = "TRUNKLINE__";
/// Deeper files than this are refused rather than walked.
const MAX_DEPTH: usize = 16;

/// A value with its place. Scalars are kept as text: every type here can be read from text.
pub(super) enum Node {
    Scalar {
        text: String,
        place: Place,
    },
    List {
        items: Vec<Node>,
        place: Place,
    },
    Map {
        entries: BTreeMap<String, Node>,
        place: Place,
    },
    Null {
        place: Place,
    },
    /// A fault was reported for it already.
    Faulty,
}

impl Node {
    pub(super) fn empty() -> Self {
        Self::Map {
            entries: BTreeMap::new(),
            place: Place::Nowhere,
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Scalar { place, .. }
            | Self::List { place, .. }
            | Self::Map { place, .. }
            | Self::Null { place } => place.clone(),
            Self::Faulty => Place::Nowhere,
        }
    }

    /// What it is, for a sentence.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "a single value",
            Self::List { .. } => "a list",
            Self::Map { .. } => "a section",
            Self::Null { .. } | Self::Faulty => "nothing",
        }
    }
}

/// Reads the file's text, puts variables in, and lays `TRUNKLINE__…` over it.
pub(super) fn build(text: &str, env: &dyn Environment, faults: &mut Vec<Fault>) -> Node {
    let mut root = match serde_norway::from_str::<Value>(text) {
        Ok(value) => {
            let lines = Lines::of(text);
            let mut reader = Reader {
                env,
                lines: Some(&lines),
                variable: None,
                faults,
            };
            reader.node(value, "", 0)
        }
        Err(error) => {
            let line = error.location().map(|at| at.line());
            faults.push(Fault {
                key: String::new(),
                place: Place::File(line),
                problem: format!("the file is no YAML: {}", without_location(&error.to_string())),
                remedy:
                    "indent with spaces, put a space behind each colon, quote texts with `: ` or `#` in them"
                        .into(),
            });
            Node::Faulty
        }
    };
    if let Node::Null { .. } = root {
        root = Node::empty();
    }
    for (name, value) in env.vars_with_prefix(PREFIX) {
        let keys = name.get(PREFIX.len()..).unwrap_or_default().split("__");
        let keys: Vec<String> = keys.map(str::to_ascii_lowercase).collect();
        let node = from_variable(&name, value, &keys.join("."), env, faults);
        lay_over(&mut root, &keys, node, &name);
    }
    root
}

fn from_variable(
    name: &str,
    value: String,
    path: &str,
    env: &dyn Environment,
    faults: &mut Vec<Fault>,
) -> Node {
    if !value.starts_with(['[', '{']) {
        return Node::Scalar {
            text: value,
            place: Place::Environment(name.to_owned()),
        };
    }
    let mut reader = Reader {
        env,
        lines: None,
        variable: Some(name),
        faults,
    };
    if let Ok(value) = serde_norway::from_str::<Value>(&value) {
        return reader.node(value, path, 0);
    }
    let remedy = "write a list as [a, b] and a section as {key: value}, quotes where needed";
    reader.fault(path, "it begins like YAML and is none".into(), remedy.into());
    Node::Faulty
}

/// Sets what `keys` lead to.
pub(super) fn lay_over(root: &mut Node, keys: &[String], node: Node, variable: &str) {
    let Some((first, rest)) = keys.split_first() else {
        *root = node;
        return;
    };
    if let Node::Null { .. } = root {
        *root = Node::Map {
            entries: BTreeMap::new(),
            place: Place::Environment(variable.to_owned()),
        };
    }
    // What is no section stays, and is reported as such.
    if let Node::Map { entries, .. } = root {
        lay_over(
            entries.entry(first.clone()).or_insert_with(Node::empty),
            rest,
            node,
            variable,
        );
    }
}

struct Reader<'a> {
    env: &'a dyn Environment,
    lines: Option<&'a Lines>,
    variable: Option<&'a str>,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn node(&mut self, value: Value, path: &str, depth: usize) -> Node {
        let place = self.place(path);
        if depth > MAX_DEPTH {
            self.fault(path, "it is nested too deep".into(), "at most 16 levels".into());
            return Node::Faulty;
        }
        match value {
            Value::Null => Node::Null { place },
            Value::Bool(value) => Node::Scalar {
                text: value.to_string(),
                place,
            },
            Value::Number(value) => Node::Scalar {
                text: value.to_string(),
                place,
            },
            Value::String(text) if self.variable.is_some() => Node::Scalar { text, place },
            Value::String(text) => match substitute(&text, self.env) {
                Ok(text) => Node::Scalar { text, place },
                Err(wrong) => {
                    self.fault(path, wrong.problem, wrong.remedy);
                    Node::Faulty
                }
            },
            Value::Sequence(items) => {
                let items = items.into_iter().enumerate();
                let items = items
                    .map(|(at, item)| self.node(item, &format!("{path}[{at}]"), depth + 1))
                    .collect();
                Node::List { items, place }
            }
            Value::Mapping(entries) => {
                let mut map = BTreeMap::new();
                for (key, value) in entries {
                    let key = match key {
                        Value::String(key) => key,
                        Value::Number(key) => key.to_string(),
                        _ => {
                            self.fault(
                                path,
                                "a key is neither text nor a number".into(),
                                "name it with text".into(),
                            );
                            continue;
                        }
                    };
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    let node = self.node(value, &path, depth + 1);
                    map.insert(key, node);
                }
                Node::Map { entries: map, place }
            }
            Value::Tagged(_) => {
                self.fault(
                    path,
                    "it has a YAML tag".into(),
                    "write the value without `!…`".into(),
                );
                Node::Faulty
            }
        }
    }

    fn place(&self, path: &str) -> Place {
        match self.variable {
            Some(name) => Place::Environment(name.to_owned()),
            None => Place::File(self.lines.and_then(|lines| lines.line(path))),
        }
    }

    fn fault(&mut self, path: &str, problem: String, remedy: String) {
        let place = self.place(path);
        self.faults.push(Fault {
            key: path.to_owned(),
            place,
            problem,
            remedy,
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Unset {
    problem: String,
    remedy: String,
}

/// Puts variables in: `${NAME}`, `${NAME:-default}`, and `$$` for a dollar sign.
fn substitute(text: &str, env: &dyn Environment) -> Result<String, Unset> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = after.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').ok_or_else(|| Unset {
                problem: "a ${ is not closed".into(),
                remedy: "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign".into(),
            })?;
            out.push_str(&variable(inside, env)?);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(inside: &str, env: &dyn Environment) -> Result<String, Unset> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err(Unset {
            problem: "what stands in ${…} is no name of a variable".into(),
            remedy: "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign".into(),
        });
    }
    match (env.var(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Unset {
            problem: format!("the variable {name} is not set"),
            remedy: format!("set {name} in the environment, or give a default: ${{{name}:-…}}"),
        }),
    }
}

fn without_location(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> BTreeMap<String, String> {
        vars.iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn variables_are_put_in_with_defaults_and_escapes() {
        let env = env(&[("HOST", "h"), ("EMPTY", "")]);
        for (text, expected) in [
            ("ws://${HOST}:7880", "ws://h:7880"),
            ("${NONE:-a:-b}/${HOST}", "a:-b/h"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY}", ""),
            ("$$HOST costs $5", "$HOST costs $5"),
            ("${NONE:-}", ""),
        ] {
            assert_eq!(substitute(text, &env).as_deref(), Ok(expected), "{text}");
        }
        for bad in ["${NONE}", "${HOST", "${}", "${A B}"] {
            assert!(substitute(bad, &env).is_err(), "{bad}");
        }
    }
}
