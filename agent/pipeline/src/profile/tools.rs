//! What the model may do besides speaking: `tools`, `transfers`.

use std::{collections::BTreeMap, time::Duration};

use providers::tools::{DEFAULT_LIMIT, HeaderValueSource, HttpMethod, HttpToolConfig, ToolSpec};
use serde_json::{Value, json};

use super::{ProfileFault, fields::Fields};

/// More than any model chooses well from.
const MAX_TOOLS: usize = 32;

const METHODS: [(&str, HttpMethod); 5] = [
    ("GET", HttpMethod::Get),
    ("POST", HttpMethod::Post),
    ("PUT", HttpMethod::Put),
    ("PATCH", HttpMethod::Patch),
    ("DELETE", HttpMethod::Delete),
];

/// Where a model may transfer a call to. `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Transfers {
    /// Numbers and SIP URIs by the names that the model knows them by.
    pub destinations: BTreeMap<String, String>,
    /// Whether the model may also name a number that the caller asks for, within what the deployment allows. Default false.
    pub numbers: bool,
    /// How long the other side may ring. 5 s to 80 s; default 30 s.
    pub ringing_timeout: Duration,
}

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfers")
            .field("destinations", &self.destinations.keys().collect::<Vec<_>>())
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

pub(super) fn transfers(fields: Option<Fields>, faults: &mut Vec<ProfileFault>) -> Option<Transfers> {
    let mut fields = fields?;
    let mut ringing_timeout = Duration::from_secs(30);
    fields.duration(
        "ringing_timeout",
        Duration::from_secs(5)..=Duration::from_secs(80),
        &mut ringing_timeout,
        faults,
    );
    let transfers = Transfers {
        destinations: fields.texts("destinations", faults),
        numbers: fields.flag("numbers", faults).unwrap_or(false),
        ringing_timeout,
    };
    if transfers.destinations.is_empty() && !transfers.numbers && !fields.was_faulty("destinations", faults) {
        fields.fault(
            "destinations",
            "is missing",
            "name where calls may go to: {sales: \"+49301234567\"}, or set numbers: true",
            faults,
        );
    }
    fields.finish(faults);
    Some(transfers)
}

pub(super) fn read(fields: &mut Fields, faults: &mut Vec<ProfileFault>) -> Vec<HttpToolConfig> {
    let sections = fields.sections("tools", MAX_TOOLS, faults);
    sections
        .into_iter()
        .filter_map(|section| tool(section, faults))
        .collect()
}

/// `None`, with faults, when something is missing.
fn tool(mut fields: Fields, faults: &mut Vec<ProfileFault>) -> Option<HttpToolConfig> {
    let name = fields.needed("name", "name the tool, such as find_order", faults);
    let description = fields.needed("description", "say when the model is to call it", faults);
    let url = fields.needed("url", "write the service's https URL", faults);
    let parameters = fields.json("parameters", faults);
    let method = fields.one_of("method", &METHODS, faults);
    let mut timeout = DEFAULT_LIMIT;
    let range = Duration::from_millis(100)..=Duration::from_secs(10);
    fields.duration("timeout", range, &mut timeout, faults);
    let retries = fields
        .whole("retries", 0..=3, faults)
        .and_then(|retries| u32::try_from(retries).ok());
    let headers = headers(&mut fields, faults);
    fields.finish(faults);
    Some(HttpToolConfig {
        spec: ToolSpec {
            name: name?,
            description: description?,
            parameters: parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        },
        method: method.unwrap_or(HttpMethod::Get),
        url: url?,
        headers,
        timeout,
        retries: retries.unwrap_or(1),
    })
}

/// A text, `{secret: name}`, or `{bearer: name}`.
fn headers(fields: &mut Fields, faults: &mut Vec<ProfileFault>) -> Vec<(String, HeaderValueSource)> {
    let Some(Value::Object(headers)) = fields.json("headers", faults) else {
        return Vec::new();
    };
    let mut read = Vec::with_capacity(headers.len());
    for (header, value) in headers {
        let source = match &value {
            Value::String(text) => Some(HeaderValueSource::Text(text.clone())),
            Value::Object(source) if source.len() == 1 => {
                let named = |key: &str| source.get(key).and_then(Value::as_str).map(str::to_owned);
                let secret = |prefix: &str, name| HeaderValueSource::Secret {
                    prefix: prefix.to_owned(),
                    name,
                };
                named("secret")
                    .map(|name| secret("", name))
                    .or_else(|| named("bearer").map(|name| secret("Bearer ", name)))
            }
            _ => None,
        };
        match source {
            Some(source) => read.push((header, source)),
            None => fields.fault(
                &format!("headers.{header}"),
                "is neither a text nor a secret",
                "write a text in quotes, {secret: name} or {bearer: name}",
                faults,
            ),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, ProfileError};
    use super::*;

    fn parse(yaml: &str) -> Result<Profile, Vec<String>> {
        let yaml = format!("prompt: x\nrecording: off\n{yaml}");
        Profile::parse(yaml.as_bytes()).map_err(|error| match error {
            ProfileError::Faults(faults) => faults.into_iter().map(|fault| fault.key).collect(),
            error @ ProfileError::Read { .. } => panic!("{error}"),
        })
    }

    #[test]
    fn tools_and_transfers_are_read() {
        let profile = parse(
            "
dtmf: true
hold: Einen Moment.
tools:
  - name: find_order
    description: Finds an order by its number.
    parameters: {type: object, properties: {number: {type: string}}, required: [number]}
    url: https://crm.example.com/orders/{number}
    headers: {authorization: {bearer: crm}, x-key: {secret: key}, accept: application/json}
    timeout: 2s
    retries: 0
  - {name: note, description: Keeps a note., url: https://crm.example.com/notes, method: POST}
transfers:
  destinations: {sales: '+49301234567', support: sip:2001@pbx.example.com}
  ringing_timeout: 20s
",
        )
        .unwrap();
        assert!(profile.dtmf);
        assert_eq!(profile.hold, "Einen Moment.");
        let find = &profile.tools[0];
        assert_eq!(find.spec.parameters["required"][0], "number");
        assert_eq!(
            (find.method, find.timeout, find.retries),
            (HttpMethod::Get, Duration::from_secs(2), 0)
        );
        let bearer = HeaderValueSource::Secret {
            prefix: "Bearer ".into(),
            name: "crm".into(),
        };
        assert!(find.headers.contains(&("authorization".into(), bearer)));
        assert_eq!(find.headers.len(), 3);
        let note = &profile.tools[1];
        assert_eq!((note.method, note.retries), (HttpMethod::Post, 1));
        assert_eq!(note.spec.parameters["type"], "object");
        let transfers = profile.transfers.unwrap();
        assert_eq!(transfers.destinations["support"], "sip:2001@pbx.example.com");
        assert_eq!(
            (transfers.numbers, transfers.ringing_timeout.as_secs()),
            (false, 20)
        );
        assert!(!format!("{transfers:?}").contains("301234567"));
    }

    #[test]
    fn without_them_there_is_nothing_to_do_but_to_speak() {
        let profile = parse("").unwrap();
        assert_eq!(
            (profile.tools, profile.transfers, profile.dtmf),
            (Vec::new(), None, false)
        );
    }

    #[test]
    fn all_faults_of_tools_come_at_once() {
        let faults = parse(
            "
tools:
  - {name: a, url: 7, method: FETCH, timeout: 1h, retries: 9, headers: {x: [1], y: {vault: z}}, extra: 1}
  - text
transfers: {numbers: maybe}
",
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "transfers.numbers",
                "transfers.destinations",
                "tools[1]",
                "tools[0].description",
                "tools[0].url",
                "tools[0].method",
                "tools[0].timeout",
                "tools[0].retries",
                "tools[0].headers.x",
                "tools[0].headers.y",
                "tools[0].extra",
            ]
        );
        assert_eq!(parse("tools: {a: b}").unwrap_err(), ["tools"]);
    }
}
