//! Which values are set, and where.

use super::{
    Environment,
    fault::{Fault, Place},
    references::FALLBACKS,
    tree::{self, Node},
};
use crate::Secret;

/// One value that the file or the environment sets, before anything is made of it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The key's path, such as `sip.registrations[0].user`.
    pub key: String,
    /// The value with its variables put in. It may be a secret, or the [`Reference`](super::Reference) of one.
    pub value: Secret,
    /// Where it stands: a line of the file, or a variable.
    pub place: Place,
}

pub(super) fn of(text: &str, env: &dyn Environment) -> Result<Vec<Origin>, Vec<Fault>> {
    let mut faults = Vec::new();
    let root = tree::build(text, env, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut found = Vec::new();
    walk(root, String::new(), &mut found);
    for (variable, keys) in FALLBACKS {
        let key = keys.join(".");
        let is_set = found.iter().any(|origin| origin.key == key);
        if let Some(value) = env.var(variable).filter(|value| !is_set && !value.is_empty()) {
            found.push(Origin {
                key,
                value: Secret::new(value),
                place: Place::Environment((*variable).to_owned()),
            });
        }
    }
    Ok(found)
}

/// No deeper than [`tree::build`] has gone.
fn walk(node: Node, path: String, found: &mut Vec<Origin>) {
    match node {
        Node::Scalar { text, place } => found.push(Origin {
            key: path,
            value: Secret::new(text),
            place,
        }),
        Node::List { items, .. } => {
            for (at, item) in items.into_iter().enumerate() {
                walk(item, format!("{path}[{at}]"), found);
            }
        }
        Node::Map { entries, .. } => {
            for (key, node) in entries {
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                walk(node, path, found);
            }
        }
        Node::Null { .. } | Node::Faulty => {}
    }
}
