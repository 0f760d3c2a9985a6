//! LiveKit's objects as fields that can be compared and shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// What the server says of an object and nobody sets.
const SERVERS_OWN: [&str; 4] = ["sip_trunk_id", "sip_dispatch_rule_id", "created_at", "updated_at"];
/// Maps whose keys are not LiveKit's.
const MAPS: [&str; 5] = [
    "headers",
    "headers_to_attributes",
    "attributes_to_headers",
    "attributes",
    "tags",
];
/// LiveKit's names of choices, and the file's.
const CHOICES: [(&str, &str); 8] = [
    ("SIP_MEDIA_ENCRYPT_DISABLE", "disable"),
    ("SIP_MEDIA_ENCRYPT_ALLOW", "allow"),
    ("SIP_MEDIA_ENCRYPT_REQUIRE", "require"),
    ("SIP_TRANSPORT_UDP", "udp"),
    ("SIP_TRANSPORT_TCP", "tcp"),
    ("SIP_TRANSPORT_TLS", "tls"),
    ("SIP_X_HEADERS", "x"),
    ("SIP_ALL_HEADERS", "all"),
];
/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The fields of one object by their paths, such as `media.encryption`. Holds passwords: nothing of it is shown but by [`changes`].
pub(super) type Fields = BTreeMap<String, Value>;

/// One field that differs. Values are as they may be shown, a list's items one by one; `None` is LiveKit's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) from: Option<Vec<String>>,
    pub(super) to: Option<Vec<String>>,
}

impl Change {
    /// Both are secrets, and not the same one.
    pub(super) fn is_hidden(&self) -> bool {
        self.from.is_some() && self.from == self.to
    }
}

/// The fields that are not at LiveKit's default.
pub(super) fn of(object: &impl Serialize) -> anyhow::Result<Fields> {
    let mut fields = Fields::new();
    flatten("", serde_json::to_value(object)?, false, &mut fields);
    fields.retain(|field, _| !SERVERS_OWN.contains(&field.as_str()));
    Ok(fields
        .into_iter()
        .map(|(field, value)| (shorter(&field), value))
        .collect())
}

/// `rule.dispatch_rule_individual.room_prefix` says no more than `individual.room_prefix`, and the trunks have names here.
fn shorter(field: &str) -> String {
    match field.strip_prefix("rule.dispatch_rule_") {
        Some(short) => short.to_owned(),
        None if field == "trunk_ids" => "trunks".to_owned(),
        None => field.to_owned(),
    }
}

fn flatten(path: &str, value: Value, is_map: bool, fields: &mut Fields) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = if is_map { key } else { snake_case(&key) };
                let at = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&at, value, !is_map && MAPS.contains(&key.as_str()), fields);
            }
        }
        // Of numbers, addresses and trunks the order does not matter.
        Value::Array(mut items) if items.iter().all(Value::is_string) => {
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            fields.insert(path.to_owned(), Value::Array(items));
        }
        value => {
            fields.insert(path.to_owned(), value);
        }
    }
}

/// `allowedAddresses` is `allowed_addresses` in the file.
fn snake_case(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let gap = letter.is_ascii_uppercase().then_some('_');
            gap.into_iter().chain([letter.to_ascii_lowercase()])
        })
        .collect()
}

/// What differs, in the order of the names.
pub(super) fn changes(from: &Fields, to: &Fields) -> Vec<Change> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    names
        .into_iter()
        .filter(|name| from.get(*name) != to.get(*name))
        .map(|name| Change {
            field: name.clone(),
            from: from.get(name).map(|value| shown(name, value)),
            to: to.get(name).map(|value| shown(name, value)),
        })
        .collect()
}

fn shown(field: &str, value: &Value) -> Vec<String> {
    if is_secret(field) {
        return vec![HIDDEN.to_owned()];
    }
    match value {
        Value::Array(items) => items.iter().map(single).collect(),
        other => vec![single(other)],
    }
}

/// One value. An object, such as a codec, is its own values: `PCMA/8000`.
fn single(value: &Value) -> String {
    match value {
        Value::String(text) => CHOICES
            .iter()
            .find(|(name, _)| name == text)
            .map_or_else(|| text.clone(), |(_, said)| (*said).to_owned()),
        Value::Object(entries) => entries.values().map(single).collect::<Vec<_>>().join("/"),
        other => other.to_string(),
    }
}

/// Passwords, PINs, headers, which may carry keys of the other side, and what egress uploads with.
fn is_secret(field: &str) -> bool {
    let last = field.rsplit('.').next();
    field == "auth_password"
        || last == Some("pin")
        || field.starts_with("headers.")
        || field.starts_with("room_config.egress")
}

#[cfg(test)]
mod tests {
    use platform::livekit::proto;

    use super::*;

    fn trunk(password: &str, numbers: [&str; 2]) -> Fields {
        let trunk = proto::SipInboundTrunkInfo {
            sip_trunk_id: format!("ST_{password}"),
            auth_password: password.to_owned(),
            headers: [("X-Key".to_owned(), password.to_owned())].into(),
            numbers: numbers.map(str::to_owned).to_vec(),
            ..Default::default()
        };
        of(&trunk).unwrap()
    }

    #[test]
    fn ids_and_the_order_of_numbers_are_no_change() {
        assert_eq!(changes(&trunk("a", ["1", "2"]), &trunk("a", ["2", "1"])), []);
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let found = changes(&trunk("canary-1", ["1", "2"]), &trunk("canary-2", ["1", "3"]));
        let fields: Vec<&str> = found.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(fields, ["auth_password", "headers.X-Key", "numbers"]);
        let printed = format!("{found:?}");
        assert!(
            !printed.contains("canary") && printed.contains(r#"["1", "3"]"#),
            "{printed}"
        );
        assert!(found[0].is_hidden() && !found[2].is_hidden());
    }

    /// Somebody else may have given the rule an egress, with the keys of its bucket.
    #[test]
    fn the_keys_of_an_egress_are_not_shown() {
        let upload = proto::S3Upload {
            secret: "canary".to_owned(),
            ..Default::default()
        };
        let output = proto::EncodedFileOutput {
            output: Some(proto::encoded_file_output::Output::S3(upload)),
            ..Default::default()
        };
        let room = proto::RoomCompositeEgressRequest {
            file_outputs: vec![output],
            ..Default::default()
        };
        let rule = proto::SipDispatchRuleInfo {
            room_config: Some(proto::RoomConfiguration {
                egress: Some(proto::RoomEgress {
                    room: Some(room),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let found = changes(&of(&rule).unwrap(), &Fields::new());
        let printed = format!("{found:?}");
        assert!(
            !printed.contains("canary") && printed.contains("room_config.egress.room.file_outputs"),
            "{printed}"
        );
    }
}
