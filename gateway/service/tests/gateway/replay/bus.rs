//! What the gateway publishes on LiveKit's bus about a call.

use std::sync::{Arc, Mutex};

use bus::wire::{Frame, Request, Response};
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

/// A field of protobuf and what it holds.
enum Kind {
    Text,
    Number,
    Message(&'static [Field]),
    Map,
}

type Field = (u64, &'static str, Kind);

/// LiveKit's names: `rpc` and `livekit.sip` of its protocol 1.50.
const URI: &[Field] = &[
    (1, "user", Kind::Text),
    (2, "host", Kind::Text),
    (3, "ip", Kind::Text),
    (4, "port", Kind::Number),
    (5, "transport", Kind::Number),
];
const CALL: &[Field] = &[
    (1, "lk_call_id", Kind::Text),
    (2, "source_ip", Kind::Text),
    (3, "address", Kind::Message(URI)),
    (4, "from", Kind::Message(URI)),
    (5, "to", Kind::Message(URI)),
    (6, "via", Kind::Message(URI)),
    (7, "sip_call_id", Kind::Text),
];
const AUTHENTICATION: &[Field] = &[(8, "call", Kind::Message(CALL))];
const DISPATCH: &[Field] = &[
    (5, "pin", Kind::Text),
    (6, "no_pin", Kind::Number),
    (9, "extra_attributes", Kind::Map),
    (10, "sip_trunk_id", Kind::Text),
    (12, "call", Kind::Message(CALL)),
];
const CREATE: &[Field] = &[(7, "room_name", Kind::Text), (13, "sip_call_id", Kind::Text)];
const TRANSFER: &[Field] = &[(1, "sip_call_id", Kind::Text)];
const CREATED: &[Field] = &[
    (1, "participant_id", Kind::Text),
    (2, "participant_identity", Kind::Text),
    (3, "sip_call_id", Kind::Text),
];
const STATUS: &[Field] = &[(1, "code", Kind::Number), (2, "status", Kind::Text)];

/// Listens to all of it.
pub(super) struct Bus {
    frames: Arc<Mutex<Vec<(String, Frame)>>>,
    _task: JoinSet<()>,
}

/// What a call is known by there.
pub(super) enum Of<'a> {
    /// A call in, by its Call-ID.
    CallId(&'a str),
    /// A call out, by its room.
    Room(&'a str),
}

impl Bus {
    pub(super) async fn listen(redis_url: &str) -> Self {
        let client = redis::Client::open(redis_url).expect("a URL");
        let mut subscriber = client.get_async_pubsub().await.expect("connected");
        subscriber.psubscribe("*").await.expect("subscribed");
        let mut messages = subscriber.into_on_message();
        let frames = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&frames);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(message) = messages.next().await {
                let channel = message.get_channel_name().to_owned();
                let is_ours = channel.starts_with("IOInfo|") || channel.starts_with("SIPInternal|");
                if let (true, Ok(Some(frame))) = (is_ours, Frame::parse(message.get_payload_bytes())) {
                    kept.lock().expect("lock").push((channel, frame));
                }
            }
        });
        Self { frames, _task: task }
    }

    /// What was published about a call, by method.
    pub(super) fn of(&self, call: &Of<'_>) -> Value {
        let frames = self.frames.lock().expect("lock");
        let requests = frames.iter().filter_map(|(channel, frame)| match frame {
            Frame::Request(request) => Some((channel.as_str(), request)),
            _ => None,
        });
        let requests: Vec<_> = requests.collect();
        let id = requests.iter().find_map(|(_, request)| is_of(request, call));
        let mut methods = Map::new();
        for (channel, request) in requests {
            let parts: Vec<&str> = channel.split('|').collect();
            let described = match parts.as_slice() {
                ["IOInfo", "GetSIPTrunkAuthentication", ..] => asks(channel, request, AUTHENTICATION),
                ["IOInfo", "EvaluateSIPDispatchRules", ..] => asks(channel, request, DISPATCH),
                ["IOInfo", ..] => json!({"channel": channel}),
                ["SIPInternal", "CreateSIPParticipant", ..] => answers(&frames, request, CREATE),
                ["SIPInternal", "TransferSIPParticipant", ..] => answers(&frames, request, TRANSFER),
                _ => continue,
            };
            let is_it = match (call, &described["request"]["call"]["sip_call_id"]) {
                (Of::CallId(call_id), Value::String(of)) => of == call_id,
                _ => id.is_some() && described["of"].as_str() == id.as_deref(),
            };
            if !is_it {
                continue;
            }
            let mut described = described;
            described.as_object_mut().expect("an object").remove("of");
            let list = methods.entry(parts[1]).or_insert_with(|| json!([]));
            list.as_array_mut().expect("a list").push(described);
        }
        Value::Object(methods)
    }
}

/// The call's `SCL_…`, if the request is about it.
fn is_of(request: &Request, call: &Of<'_>) -> Option<String> {
    let raw = &request.raw_request;
    let (is_it, id) = match call {
        Of::CallId(call_id) => {
            let request = decode(raw, AUTHENTICATION);
            let call = &request["call"];
            (call["sip_call_id"] == *call_id, call["lk_call_id"].clone())
        }
        Of::Room(room) => {
            let request = decode(raw, CREATE);
            (request["room_name"] == *room, request["sip_call_id"].clone())
        }
    };
    let id = id.as_str()?.to_owned();
    is_it.then_some(id)
}

/// A request to LiveKit.
fn asks(channel: &str, request: &Request, fields: &[Field]) -> Value {
    let nanoseconds = request.expiry - request.sent_at;
    let milliseconds = i32::try_from(nanoseconds / 1_000_000).expect("short");
    json!({
        "channel": channel, "seconds": f64::from(milliseconds) / 1e3, "request": decode(&request.raw_request, fields),
    })
}

/// What a request of LiveKit's gets: a bid, and a reply.
fn answers(frames: &[(String, Frame)], request: &Request, fields: &[Field]) -> Value {
    let of = decode(&request.raw_request, fields)["sip_call_id"].clone();
    let bid = frames.iter().find_map(|(_, frame)| match frame {
        Frame::ClaimRequest(bid) if bid.request_id == request.request_id => Some(bid.affinity),
        _ => None,
    });
    let reply = frames.iter().find_map(|(_, frame)| match frame {
        Frame::Response(reply) if reply.request_id == request.request_id => Some(describe(reply)),
        _ => None,
    });
    json!({"of": of, "bid": {"affinity": bid}, "reply": reply})
}

fn describe(reply: &Response) -> Value {
    let details = reply.error_details.iter().map(|detail| {
        let mut fields = decode(&detail.value, STATUS);
        fields["type_url"] = json!(detail.type_url);
        fields
    });
    json!({
        "error": reply.error, "code": reply.code, "details": details.collect::<Vec<_>>(),
        "response": decode(&reply.raw_response, CREATED),
    })
}

/// Protobuf as JSON; a field that `known` lacks is named by its number. Ports are another matter in each call.
fn decode(mut bytes: &[u8], known: &[Field]) -> Value {
    let mut fields = Map::new();
    while !bytes.is_empty() {
        let Some(tag) = varint(&mut bytes) else {
            break;
        };
        let field = known.iter().find(|(number, ..)| *number == tag >> 3);
        let name = field.map_or_else(
            || format!("field {}", tag >> 3),
            |(_, name, _)| (*name).to_owned(),
        );
        let value = match tag & 7 {
            0 => varint(&mut bytes).map(|number| json!(number)),
            2 => varint(&mut bytes)
                .and_then(|length| bytes.split_off(..usize::try_from(length).ok()?))
                .map(|part| nested(part, field)),
            _ => None,
        };
        let Some(value) = value else {
            fields.insert("unread".into(), json!(bytes.len()));
            break;
        };
        let value = if name == "port" { json!("<port>") } else { value };
        match (field, fields.get_mut(&name)) {
            (Some((_, _, Kind::Map)), Some(Value::Object(before))) => {
                before.extend(value.as_object().cloned().unwrap_or_default());
            }
            _ if name == "via" => {
                let list = fields.entry(name).or_insert_with(|| json!([]));
                list.as_array_mut().expect("a list").push(value);
            }
            _ => {
                fields.insert(name, value);
            }
        }
    }
    Value::Object(fields)
}

fn nested(part: &[u8], field: Option<&Field>) -> Value {
    const ENTRY: &[Field] = &[(1, "key", Kind::Text), (2, "value", Kind::Text)];
    match field {
        Some((_, _, Kind::Message(fields))) => decode(part, fields),
        Some((_, _, Kind::Map)) => {
            let entry = decode(part, ENTRY);
            let name = entry["key"].as_str().unwrap_or_default();
            json!({name: entry["value"]})
        }
        _ => json!(String::from_utf8_lossy(part)),
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
