//! The SIP messages that the phone got, header by header, with placeholders for what differs in each call.

use serde_json::{Map, Value, json};

/// A message, as the phone sent or got it.
pub(super) struct Told {
    pub(super) sent: bool,
    pub(super) text: String,
}

/// From a recording.
pub(super) fn recorded(trace: &Value) -> Vec<Told> {
    let messages = trace.as_array().cloned().unwrap_or_default();
    let told = |message: &Value| Told {
        sent: message[0] == ">",
        text: message[1].as_str().expect("a message").to_owned(),
    };
    messages.iter().map(told).collect()
}

/// Adds what the phone got: `answers`, its status lines and methods in their order but for 100, and `messages`, what stands in each. Repeats are left out.
pub(super) fn add(fields: &mut Map<String, Value>, trace: &[Told]) {
    let Some(invite) = trace.iter().find(|told| told.text.starts_with("INVITE ")) else {
        return;
    };
    let places = Places::of(invite);
    let call_id = Message::parse(&invite.text).header("call-id").map(str::to_owned);
    let mut answers: Vec<String> = Vec::new();
    let mut messages = Map::new();
    let mut texts: Vec<&str> = Vec::new();
    for (at, told) in trace.iter().enumerate().filter(|(_, told)| !told.sent) {
        let message = Message::parse(&told.text);
        let asked = trace[..at].iter().filter(|told| told.sent);
        let asked = asked.map(|told| Message::parse(&told.text));
        let asked: Vec<Message> = asked.filter(|asked| !asked.is_answer()).collect();
        let is_ours = message.header("call-id") == call_id.as_deref() || message.request(&asked).is_some();
        // Another call may have had the port before; or it is a repeat.
        if !is_ours || texts.contains(&told.text.as_str()) {
            continue;
        }
        texts.push(&told.text);
        if !message.is_trying() {
            answers.push(if message.is_answer() {
                message.first.clone()
            } else {
                message.method().to_owned()
            });
        }
        let key = key(&messages, &message.name());
        messages.insert(key, message.describe(&asked, &places));
    }
    fields.insert("answers".into(), json!(answers));
    fields.insert("messages".into(), Value::Object(messages));
}

/// Takes the 100s out that one side has alone: they are for who waits (RFC 3261 §17.2.1), and may be overtaken by a quick answer.
pub(super) fn drop_single_tryings(theirs: &mut Map<String, Value>, ours: &mut Map<String, Value>) {
    let tryings = |fields: &Map<String, Value>| -> Vec<String> {
        let messages = fields.get("messages").and_then(Value::as_object);
        let names = messages.into_iter().flat_map(Map::keys);
        names.filter(|name| name.starts_with("100 ")).cloned().collect()
    };
    let (of_theirs, of_ours) = (tryings(theirs), tryings(ours));
    for (fields, others) in [(theirs, of_ours), (ours, of_theirs)] {
        if let Some(messages) = fields.get_mut("messages").and_then(Value::as_object_mut) {
            messages.retain(|name, _| !name.starts_with("100 ") || others.contains(name));
        }
    }
}

fn key(known: &Map<String, Value>, name: &str) -> String {
    let mut keys = (2..).map(|count| format!("{name} ({count})"));
    if known.contains_key(name) {
        keys.find(|key| !known.contains_key(key)).expect("one of many")
    } else {
        name.to_owned()
    }
}

/// Who is where.
struct Places {
    gateway: String,
    phone: String,
}

impl Places {
    /// By the INVITE.
    fn of(invite: &Told) -> Self {
        let message = Message::parse(&invite.text);
        let uri = message.first.split(' ').nth(1).unwrap_or_default();
        let host = uri.rsplit('@').next().unwrap_or_default();
        let called = host.split(';').next().unwrap_or_default().to_owned();
        let via = message.header("via").unwrap_or_default();
        let sent_by = via.split([' ', ';']).nth(1).unwrap_or_default().to_owned();
        let (gateway, phone) = if invite.sent {
            (called, sent_by)
        } else {
            (sent_by, called)
        };
        Self { gateway, phone }
    }

    /// UDP is the default, which some name.
    fn mask(&self, text: &str) -> String {
        text.replace(";transport=udp", "")
            .replace(&self.gateway, "<gateway>")
            .replace(&self.phone, "<the phone's address>")
            .replace("127.0.0.1", "<address>")
    }
}

struct Message {
    first: String,
    /// With names in lower case.
    headers: Vec<(String, String)>,
    body: Vec<String>,
}

impl Message {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let head = lines.by_ref().take_while(|line| !line.is_empty());
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = head.filter_map(header).collect();
        let body = lines.map(str::to_owned).filter(|line| !line.is_empty()).collect();
        Self { first, headers, body }
    }

    fn is_answer(&self) -> bool {
        self.first.starts_with("SIP/2.0 ")
    }

    fn is_trying(&self) -> bool {
        self.first.starts_with("SIP/2.0 100 ")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(is, _)| is == name)
            .map(|(_, value)| value.as_str())
    }

    /// The request's, also of an answer.
    fn method(&self) -> &str {
        let cseq = self.header("cseq").unwrap_or_default();
        cseq.split_once(' ').map_or(cseq, |(_, method)| method)
    }

    fn name(&self) -> String {
        let code = self.first.split(' ').nth(1).unwrap_or_default();
        if self.is_answer() {
            format!("{code} {}", self.method())
        } else {
            self.method().to_owned()
        }
    }

    /// What it answers.
    fn request<'a>(&self, asked: &'a [Message]) -> Option<&'a Message> {
        let is_it = |asked: &&Message| {
            let same = |name| asked.header(name) == self.header(name);
            self.is_answer() && same("call-id") && same("cseq")
        };
        asked.iter().find(is_it)
    }

    fn describe(&self, asked: &[Message], places: &Places) -> Value {
        let request = self.request(asked);
        let knows_call = asked
            .iter()
            .any(|asked| asked.header("call-id") == self.header("call-id"));
        let mut fields = Map::new();
        if self.is_trying() {
            fields.insert("line".into(), json!(self.first));
        } else if !self.is_answer() {
            let contact = asked.iter().find_map(|asked| asked.header("contact"));
            let contact = contact.map_or("", |contact| contact.trim_matches(['<', '>']));
            let line = if contact.is_empty() {
                self.first.clone()
            } else {
                self.first.replace(contact, "<the phone's contact>")
            };
            fields.insert("line".into(), json!(places.mask(&line)));
        }
        for (name, value) in &self.headers {
            let value = match (name.as_str(), request) {
                ("content-length", _) => continue,
                ("call-id", _) if knows_call => "as asked".to_owned(),
                ("call-id", _) => "*".to_owned(),
                (_, Some(request)) if request.header(name) == Some(value) => "as asked".to_owned(),
                // Within the call that the phone began.
                ("to", None) if asked.iter().any(|asked| asked.header("from") == Some(value)) => {
                    "the phone's From".to_owned()
                }
                ("from", None) if asked.iter().any(|asked| is_called(asked, value)) => {
                    "the phone's To".to_owned()
                }
                ("to" | "via", Some(request)) => beyond(value, request.header(name).unwrap_or_default()),
                ("proxy-authenticate" | "www-authenticate" | "authorization" | "proxy-authorization", _) => {
                    digest(value)
                }
                _ => without_tokens(&places.mask(value)),
            };
            let value = match fields.remove(name).as_ref().and_then(Value::as_str) {
                Some(before) => format!("{before}, {value}"),
                None => value,
            };
            fields.insert(name.clone(), json!(value));
        }
        if self.header("content-type") == Some("application/sdp") {
            fields.insert("sdp".into(), sdp(&self.body, places));
        }
        Value::Object(fields)
    }
}

/// What an answer adds to a header of the request.
fn beyond(value: &str, asked: &str) -> String {
    let asked: Vec<&str> = asked.split(';').collect();
    let mut added: Vec<&str> = value.split(';').filter(|part| !asked.contains(part)).collect();
    let names = added
        .iter_mut()
        .map(|part| part.split('=').next().unwrap_or_default());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    format!("as asked; {}", names.join(", "))
}

fn is_called(asked: &Message, from: &str) -> bool {
    let without_tag = |value: &str| value.split(";tag=").next().map(str::to_owned);
    asked.header("to").and_then(without_tag) == without_tag(from)
}

/// With its parameters in the order of their names.
fn without_tokens(value: &str) -> String {
    let part = |part: &str| {
        let name = part.split('=').next().unwrap_or_default();
        if matches!(name, "tag" | "branch") {
            format!("{name}=*")
        } else {
            part.to_owned()
        }
    };
    let mut parts: Vec<String> = value.split(';').map(part).collect();
    if let Some((_, parameters)) = parts.split_first_mut() {
        parameters.sort_unstable();
    }
    parts.join(";")
}

/// The parameters of a challenge or of the answer to one, in no order.
fn digest(value: &str) -> String {
    let (scheme, parameters) = value.split_once(' ').unwrap_or((value, ""));
    let parameter = |parameter: &str| {
        let (name, value) = parameter.trim().split_once('=')?;
        let told = matches!(name, "realm" | "algorithm" | "qop" | "stale" | "nc");
        Some(format!(
            "{name}={}",
            if told { value.trim_matches('"') } else { "*" }
        ))
    };
    let mut parameters: Vec<String> = parameters.split(',').filter_map(parameter).collect();
    parameters.sort_unstable();
    format!("{scheme} {}", parameters.join(", "))
}

fn sdp(lines: &[String], places: &Places) -> Value {
    let mut fields = Map::new();
    for line in lines {
        let Some((kind, value)) = line.split_once('=') else {
            continue;
        };
        let words: Vec<&str> = value.split(' ').collect();
        let (name, value) = match (kind, words.as_slice()) {
            ("o", [user, _, _, rest @ ..]) => ("o", format!("{user} * * {}", rest.join(" "))),
            ("m", [media, _, rest @ ..]) => ("m", format!("{media} * {}", rest.join(" "))),
            ("a", _) => {
                let is_direction = matches!(value, "sendrecv" | "sendonly" | "recvonly" | "inactive");
                let (name, value) = match (is_direction, value.split_once([' ', ':'])) {
                    (true, _) => ("direction", value),
                    (_, None) => (value, "yes"),
                    // A format's number is a part of the name.
                    (_, Some(("rtpmap" | "fmtp", _))) => value.split_once(' ').unwrap_or((value, "")),
                    (_, Some(parts)) => parts,
                };
                (name, value.to_owned())
            }
            _ => (kind, value.to_owned()),
        };
        fields.insert(name.to_owned(), json!(places.mask(&value)));
    }
    Value::Object(fields)
}
