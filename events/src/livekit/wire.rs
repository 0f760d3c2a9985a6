//! The shapes on the wire. Only the fields that are kept have a name here: the room's TURN password, stream keys and URLs do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Timestamp;

/// The message itself. Its parts stay unread until the event is known, so that an unknown event cannot fail by its parts.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Webhook {
    #[serde(deserialize_with = "or_default")]
    pub(super) event: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    pub(super) created_at: Int64,
    pub(super) room: Value,
    pub(super) participant: Value,
    pub(super) track: Value,
    pub(super) egress_info: Value,
    pub(super) ingress_info: Value,
    pub(super) job: Value,
    pub(super) room_end_reason: EnumValue,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Room {
    #[serde(deserialize_with = "or_default")]
    pub(super) sid: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) metadata: String,
    pub(super) creation_time: Int64,
    pub(super) creation_time_ms: Int64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Participant {
    #[serde(deserialize_with = "or_default")]
    pub(super) sid: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) identity: String,
    pub(super) kind: EnumValue,
    #[serde(deserialize_with = "or_default")]
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) joined_at: Int64,
    pub(super) joined_at_ms: Int64,
    pub(super) disconnect_reason: EnumValue,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Track {
    #[serde(deserialize_with = "or_default")]
    pub(super) sid: String,
    pub(super) source: EnumValue,
    #[serde(deserialize_with = "or_default")]
    pub(super) mime_type: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Egress {
    #[serde(rename = "egressId", deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) room_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) room_name: String,
    pub(super) status: EnumValue,
    #[serde(deserialize_with = "or_default")]
    pub(super) error_code: i32,
    /// Nanoseconds.
    pub(super) updated_at: Int64,
    #[serde(deserialize_with = "or_default")]
    pub(super) file_results: Vec<EgressFile>,
    /// What older servers send in place of `fileResults`.
    pub(super) file: Option<EgressFile>,
    #[serde(deserialize_with = "or_default")]
    pub(super) segment_results: Vec<EgressSegments>,
}

/// Segments count as one file: their playlist, with the size of them all.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EgressSegments {
    #[serde(deserialize_with = "or_default")]
    pub(super) playlist_name: String,
    pub(super) size: Int64,
    /// Nanoseconds.
    pub(super) duration: Int64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EgressFile {
    #[serde(deserialize_with = "or_default")]
    pub(super) filename: String,
    pub(super) size: Int64,
    /// Nanoseconds.
    pub(super) duration: Int64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ingress {
    #[serde(rename = "ingressId", deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) room_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) participant_identity: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) state: IngressState,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IngressState {
    pub(super) status: EnumValue,
    #[serde(deserialize_with = "or_default")]
    pub(super) room_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AgentJob {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) agent_name: String,
    pub(super) room: Value,
    #[serde(deserialize_with = "or_default")]
    pub(super) state: AgentJobState,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AgentJobState {
    pub(super) status: EnumValue,
}

/// `null` stands for the default, as in the JSON form of protobuf.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A 64-bit integer: text in the JSON form of protobuf, but numbers are accepted too. `None` is the default, 0.
#[derive(Deserialize, Default)]
#[serde(from = "Value")]
pub(super) struct Int64(Option<i64>);

impl From<Value> for Int64 {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    }
}

impl Int64 {
    /// As a moment, when one unit of the integer is `unit_ns` nanoseconds; `None` for the default and outside of 1970–9999.
    pub(super) fn time(&self, unit_ns: i128) -> Option<Timestamp> {
        let value = self.0.filter(|value| *value != 0)?;
        Timestamp::from_unix_ms(i64::try_from(i128::from(value) * unit_ns / 1_000_000).ok()?)
    }

    /// As a count; 0 when it is negative or missing.
    pub(super) fn count(&self) -> u64 {
        self.0
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or_default()
    }
}

/// An enum value: its name, or its number when the sender does not know a name for it. Empty is the default.
#[derive(Deserialize, Default)]
#[serde(from = "Value")]
pub(super) struct EnumValue(String);

impl From<Value> for EnumValue {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::String(name) => name,
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        })
    }
}

impl EnumValue {
    /// The value, or `default` when it was left out.
    pub(super) fn or<E: for<'a> From<&'a str>>(&self, default: E) -> E {
        self.given().unwrap_or(default)
    }

    /// The value, unless it was left out.
    pub(super) fn given<E: for<'a> From<&'a str>>(&self) -> Option<E> {
        (!self.0.is_empty()).then(|| E::from(self.0.as_str()))
    }
}
