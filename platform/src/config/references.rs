//! Values that stand for secrets kept elsewhere, and what they are replaced by.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::{
    Environment,
    fault::{Fault, Place},
    tree::{Node, lay_over},
};
use crate::Secret;

/// The most values that may be references: each costs a request at the start.
const MAX_REFERENCES: usize = 64;
/// How many are read at a time.
const AT_A_TIME: usize = 8;
/// Shorter values than this are found in every text.
const MIN_MASKED: usize = 4;

/// The variables of other tools that may hold a reference, and the keys that they stand in for.
pub(super) const FALLBACKS: &[(&str, &[&str])] = &[
    ("LIVEKIT_URL", &["livekit", "url"]),
    ("LIVEKIT_API_KEY", &["livekit", "api_key"]),
    ("LIVEKIT_API_SECRET", &["livekit", "api_secret"]),
    ("OPENAI_API_KEY", &["providers", "openai", "api_key"]),
    ("OPENAI_BASE_URL", &["providers", "openai", "base_url"]),
    ("DEEPGRAM_API_KEY", &["providers", "deepgram", "api_key"]),
];

/// What a value names instead of being it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// `ssm:/name`: a parameter of SSM's Parameter Store.
    Parameter(String),
    /// `secretsmanager:<arn>[#member]`: a secret of Secrets Manager, or a text member of one that is a JSON object.
    Secret {
        /// The secret's ARN.
        arn: String,
        /// The member.
        member: Option<String>,
    },
}

impl Reference {
    /// `None`: the text is a value, not a reference.
    ///
    /// # Errors
    /// It begins like a reference and is none.
    pub fn parse(text: &str) -> Result<Option<Self>, Unread> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix("ssm:").filter(|name| name.starts_with('/')) {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
            if name.len() > 1011 || !name.bytes().all(fits) {
                return Err(Unread::new(
                    "what follows ssm: is no parameter's name",
                    "write it like ssm:/trunkline/livekit/api_secret",
                ));
            }
            return Ok(Some(Self::Parameter(name.to_owned())));
        }
        let Some(rest) = text
            .strip_prefix("secretsmanager:")
            .filter(|rest| rest.starts_with("arn:"))
        else {
            return Ok(None);
        };
        let (arn, member) = match rest.split_once('#') {
            Some((arn, member)) => (arn, Some(member.to_owned())),
            None => (rest, None),
        };
        let is_arn = matches!(arn.split(':').collect::<Vec<_>>()[..],
            ["arn", _, "secretsmanager", region, _, "secret", name] if !region.is_empty() && !name.is_empty());
        if !is_arn || member.as_deref() == Some("") {
            return Err(Unread::new(
                "what follows secretsmanager: is no secret's ARN",
                "write it like secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:ai-AbCdEf#member",
            ));
        }
        let arn = arn.to_owned();
        Ok(Some(Self::Secret { arn, member }))
    }
}

/// Why a reference has no value. Shows none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Unread {
    /// Both as sentences without a full stop.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// Reads what references name.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The value, within a time limit of its own.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    async fn read(&self, reference: &Reference) -> Result<Secret, Unread>;
}

/// What was put in, so that no fault shows it.
#[derive(Default)]
pub(super) struct Resolved(Vec<Secret>);

impl Resolved {
    /// Takes the values out of what faults say: a value that does not fit its key may be shown there.
    pub(super) fn mask(&self, faults: &mut [Fault]) {
        for fault in faults {
            for value in self.0.iter().map(Secret::expose) {
                if value.len() >= MIN_MASKED {
                    fault.problem = fault.problem.replace(value, "[secret]");
                    fault.remedy = fault.remedy.replace(value, "[secret]");
                }
            }
        }
    }
}

/// Replaces every reference in the tree, and those in the variables of other tools that count.
pub(super) async fn resolve(
    root: &mut Node,
    env: &dyn Environment,
    source: &dyn SecretSource,
    faults: &mut Vec<Fault>,
) -> Resolved {
    for (name, keys) in FALLBACKS {
        let text = env.var(name).unwrap_or_default();
        if !is_set(root, keys) && !matches!(Reference::parse(&text), Ok(None)) {
            let place = Place::Environment((*name).to_owned());
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            lay_over(root, &keys, Node::Scalar { text, place }, name);
        }
    }
    let mut wanted = BTreeSet::new();
    visit(root, "", &mut |_, node| {
        if let Node::Scalar { text, .. } = node
            && let Ok(Some(reference)) = Reference::parse(text)
        {
            wanted.insert(reference);
        }
    });
    let too_many = wanted.len() > MAX_REFERENCES;
    let wanted = wanted.into_iter().take(if too_many { 0 } else { MAX_REFERENCES });
    let read: BTreeMap<Reference, Result<Secret, Unread>> = stream::iter(wanted)
        .map(|reference| async move {
            let value = source.read(&reference).await;
            (reference, value)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let unread = || {
        Unread::new(
            format!("there are more than {MAX_REFERENCES} references"),
            "put several secrets into one JSON object, and name its members",
        )
    };
    visit(root, "", &mut |path, node| {
        let Node::Scalar { text, place } = node else {
            return;
        };
        let value = match Reference::parse(text) {
            Ok(None) => return,
            Ok(Some(reference)) => read.get(&reference).cloned().unwrap_or_else(|| Err(unread())),
            Err(wrong) => Err(wrong),
        };
        match value {
            Ok(value) => value.expose().clone_into(text),
            Err(Unread { problem, remedy }) => {
                faults.push(Fault {
                    key: path.to_owned(),
                    place: place.clone(),
                    problem,
                    remedy,
                });
                *node = Node::Faulty;
            }
        }
    });
    Resolved(read.into_values().filter_map(Result::ok).collect())
}

fn is_set(root: &Node, keys: &[&str]) -> bool {
    match (root, keys.split_first()) {
        (Node::Map { entries, .. }, Some((first, rest))) => {
            entries.get(*first).is_some_and(|node| is_set(node, rest))
        }
        (Node::Null { .. }, _) => false,
        _ => true,
    }
}

fn visit(node: &mut Node, path: &str, seen: &mut impl FnMut(&str, &mut Node)) {
    match node {
        Node::List { items, .. } => {
            for (at, item) in items.iter_mut().enumerate() {
                visit(item, &format!("{path}[{at}]"), seen);
            }
        }
        Node::Map { entries, .. } => {
            for (key, node) in entries {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                visit(node, &path, seen);
            }
        }
        Node::Scalar { .. } => seen(path, node),
        Node::Null { .. } | Node::Faulty => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse_resolved;

    const SECRET: &str = "0123456789012345678901234567890123456789";

    /// Knows two secrets.
    struct Known;

    #[async_trait]
    impl SecretSource for Known {
        async fn read(&self, reference: &Reference) -> Result<Secret, Unread> {
            match reference {
                Reference::Parameter(name) if name == "/t/secret" => Ok(SECRET.into()),
                Reference::Secret {
                    member: Some(member), ..
                } if member == "openai" => Ok("sk-canary".into()),
                _ => Err(Unread::new("there is no such secret", "put it there")),
            }
        }
    }

    fn vars(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn what_begins_like_a_reference_is_one_or_a_fault() {
        for value in ["text", "ssm:name", "secretsmanager:x", "", "https://ssm:/x"] {
            assert_eq!(Reference::parse(value), Ok(None), "{value}");
        }
        assert_eq!(
            Reference::parse("ssm:/a/b.c"),
            Ok(Some(Reference::Parameter("/a/b.c".into())))
        );
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ai-AbCdEf";
        assert_eq!(
            Reference::parse(&format!("secretsmanager:{arn}#openai")),
            Ok(Some(Reference::Secret {
                arn: arn.into(),
                member: Some("openai".into())
            }))
        );
        for value in [
            "ssm:/a b",
            "secretsmanager:arn:aws:sqs:r:1:secret:x",
            "secretsmanager:arn:aws:secretsmanager:r:1:secret:",
            &format!("secretsmanager:{arn}#"),
        ] {
            assert!(Reference::parse(value).is_err(), "{value}");
        }
    }

    #[tokio::test]
    async fn references_are_replaced_in_the_file_in_keys_of_the_environment_and_in_the_usual_variables() {
        let env = vars(&[
            ("TRUNKLINE__LIVEKIT__API_KEY", "key"),
            ("LIVEKIT_API_SECRET", "ssm:/t/secret"),
            (
                "AI",
                "secretsmanager:arn:aws:secretsmanager:r:1:secret:ai-x#openai",
            ),
        ]);
        let text = "providers:\n  openai:\n    api_key: ${AI}\nsip: {listen: \"127.0.0.1:5060\"}\n";
        let config = parse_resolved(text, None, Path::new("."), &env, &Known)
            .await
            .unwrap();
        assert_eq!(config.livekit.api_secret.expose(), SECRET);
        let openai = config.providers.openai.unwrap();
        assert_eq!(openai.api_key.expose(), "sk-canary");
        let masked: Vec<_> = config.log.secrets.iter().map(Secret::expose).collect();
        assert!(masked.contains(&SECRET) && masked.contains(&"sk-canary"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_fault_with_key_and_remedy_and_values_are_never_shown() {
        let env = vars(&[
            ("TRUNKLINE__LIVEKIT__API_KEY", "key"),
            ("TRUNKLINE__LIVEKIT__API_SECRET", "ssm:/t/other"),
            ("TRUNKLINE__WORKER__SLOTS", "ssm:/t/secret"),
        ]);
        let faults = parse_resolved("", None, Path::new("."), &env, &Known)
            .await
            .unwrap_err();
        let of = |key: &str| faults.iter().find(|fault| fault.key == key).cloned().unwrap();
        let secret = of("livekit.api_secret");
        assert_eq!(secret.problem, "there is no such secret");
        assert_eq!(secret.remedy, "put it there");
        assert_eq!(
            secret.place,
            Place::Environment("TRUNKLINE__LIVEKIT__API_SECRET".into())
        );
        assert!(of("worker.slots").problem.contains("[secret]"));
        assert!(!format!("{faults:?}{faults}").contains(SECRET));
    }
}
