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
/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The fields of one object by their paths, such as `media.encryption`. Holds passwords: nothing of it is shown but by [`changes`].
pub(super) type Fields = BTreeMap<String, Value>;

/// One field that differs. Values are as they may be shown; `None` is LiveKit's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
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

fn shown(field: &str, value: &Value) -> String {
    if is_secret(field) {
        return HIDDEN.to_owned();
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        other => other.to_string(),
    }
}

/// Passwords, PINs, and headers, which may carry keys of the other side.
fn is_secret(field: &str) -> bool {
    field == "auth_password" || field.starts_with("headers.") || field.ends_with(".pin")
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
            !printed.contains("canary") && printed.contains("1, 3"),
            "{printed}"
        );
    }
}
