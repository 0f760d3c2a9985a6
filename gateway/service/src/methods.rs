//! Methods of the phone's participant that others in its room may call: LiveKit's RPC, with the names and the JSON of livekit-sip.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use livekit::prelude::{LocalParticipant, RpcError, RpcErrorCode, RpcInvocationData};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

const GET_REMOTE_HEADERS: &str = "lk.sip.GetRemoteHeaders";
const END_CALL: &str = "lk.sip.EndCall";

/// What LiveKit's first version of RPC takes, in bytes; a question longer than that is none of these.
const MAX_QUESTION: usize = 15 * 1024;
/// Of a BYE, beyond those that the stack writes.
const MAX_HEADERS: usize = 16;

/// What the stack says and not the caller: never told, as with livekit-sip. The short names are those of RFC 3261 §7.3.3.
const OF_THE_STACK: [&str; 23] = [
    "accept",
    "allow",
    "allow-events",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "event",
    "expires",
    "max-forwards",
    "min-se",
    "record-route",
    "route",
    "session-expires",
    "supported",
    "via",
    "c",
    "e",
    "k",
    "l",
    "v",
    "x",
];
/// Never told either.
const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];

/// The headers of the other side: of its INVITE, or of its 200.
#[derive(Clone, Default)]
pub(crate) struct RemoteHeaders(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    headers: Vec<(String, String)>,
    /// Digits that must not be told.
    hidden: Option<String>,
}

impl RemoteHeaders {
    /// `hidden`: the number that the rule or trunk hides from the room.
    pub(crate) fn set(&self, headers: &[(String, String)], hidden: Option<&str>) {
        let headers = headers.to_vec();
        let hidden = hidden.map(digits);
        *self.0.lock() = Told { headers, hidden };
    }

    fn answer(&self, question: &Headers) -> String {
        let told = self.0.lock();
        let wanted = question.include.as_deref().unwrap_or_default();
        let unwanted = question.exclude.as_deref().unwrap_or_default();
        let is_in = |list: &[String], name: &str| list.iter().any(|it| it.eq_ignore_ascii_case(name));
        let headers = told.headers.iter().filter(|(name, value)| {
            let lower = name.to_ascii_lowercase();
            !OF_THE_STACK.contains(&lower.as_str())
                && !CREDENTIALS.contains(&lower.as_str())
                && !is_in(unwanted, name)
                && (wanted.is_empty() || is_in(wanted, name))
                && told.may_tell(&lower, value)
        });
        let headers: BTreeMap<&str, &str> = headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        json!({ "headers": headers }).to_string()
    }
}

impl Told {
    /// Of a hidden caller nothing is told that could say who it is: its own headers without its number are all.
    fn may_tell(&self, name: &str, value: &str) -> bool {
        self.hidden.as_ref().is_none_or(|number| {
            let is_own = name.starts_with("x-") || name == "call-id";
            is_own && (number.is_empty() || !digits(value).contains(number))
        })
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Somebody in the room wants the call ended, with these headers in the BYE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndCall(pub(crate) Vec<(String, String)>);

#[derive(Deserialize)]
struct Headers {
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Ending {
    headers: Option<BTreeMap<String, String>>,
}

/// Serves both methods from now on; ends are for whoever has the other half of `ends`.
pub(crate) fn serve(participant: &LocalParticipant, headers: RemoteHeaders, ends: mpsc::Sender<EndCall>) {
    participant.register_rpc_method(GET_REMOTE_HEADERS.to_owned(), move |call| {
        let answer = read(&call).map(|question| headers.answer(&question));
        Box::pin(ready(answer))
    });
    participant.register_rpc_method(END_CALL.to_owned(), move |call| {
        let answer = read(&call).and_then(|ending| end(ending, &ends));
        Box::pin(ready(answer))
    });
}

fn end(ending: Ending, ends: &mpsc::Sender<EndCall>) -> Result<String, RpcError> {
    let headers: Vec<_> = ending.headers.unwrap_or_default().into_iter().collect();
    if headers.len() > MAX_HEADERS {
        return Err(refused("too many headers"));
    }
    if !headers
        .iter()
        .all(|(name, value)| sip::is_extra_header(name, value))
    {
        return Err(refused("a header cannot be sent"));
    }
    match ends.try_send(EndCall(headers)) {
        // Asked for twice, it ends once.
        Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok("{}".to_owned()),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(refused("the call has ended")),
    }
}

fn read<T: for<'a> Deserialize<'a>>(call: &RpcInvocationData) -> Result<T, RpcError> {
    let text = match call.payload.trim() {
        "" => "{}",
        text => text,
    };
    if text.len() > MAX_QUESTION {
        return Err(RpcError::built_in(RpcErrorCode::RequestPayloadTooLarge, None));
    }
    serde_json::from_str(text).map_err(|_| refused("the payload is not the JSON of this method"))
}

/// As livekit-sip fails, whatever the reason; it leaves out the words.
fn refused(why: &str) -> RpcError {
    RpcError::built_in(RpcErrorCode::ApplicationError, Some(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(payload: &str) -> RpcInvocationData {
        RpcInvocationData {
            request_id: "1".into(),
            caller_identity: "agent".to_owned().into(),
            payload: payload.into(),
            response_timeout: Duration::from_secs(1),
        }
    }

    fn told(hidden: Option<&str>, payload: &str) -> String {
        let headers = [
            ("Via", "SIP/2.0/UDP h;branch=z"),
            ("From", "<sip:+15551234@h>;tag=a"),
            ("Call-ID", "id@h"),
            ("X-Acct", "42"),
            ("X-Number", "+1 (555) 1234"),
            ("Proxy-Authorization", "secret"),
            ("Content-Type", "application/sdp"),
        ];
        let headers = headers.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let remote = RemoteHeaders::default();
        remote.set(&headers, hidden);
        remote.answer(&read(&call(payload)).unwrap())
    }

    #[test]
    fn headers_are_told_as_they_are_asked_for_and_credentials_never() {
        let all = r#"{"headers":{"Call-ID":"id@h","From":"<sip:+15551234@h>;tag=a","X-Acct":"42","X-Number":"+1 (555) 1234"}}"#;
        assert_eq!(told(None, ""), all);
        assert_eq!(told(None, r#"{"include":[],"exclude":null}"#), all);
        let one = r#"{"headers":{"X-Acct":"42"}}"#;
        assert_eq!(
            told(None, r#"{"include":["x-acct","proxy-authorization","via"]}"#),
            one
        );
        let but = r#"{"exclude":["FROM","call-id","X-Number"]}"#;
        assert_eq!(told(None, but), one);
    }

    #[test]
    fn of_a_hidden_caller_no_digit_is_told() {
        let told = told(Some("+15551234"), "{}");
        assert_eq!(told, r#"{"headers":{"Call-ID":"id@h","X-Acct":"42"}}"#);
    }

    #[test]
    fn what_would_break_the_message_ends_no_call() {
        let (ends, mut asked) = mpsc::channel(1);
        for (payload, why) in [
            (r#"{"headers":{"X-A":"1\r\nTo: 2"}}"#, "a header cannot be sent"),
            (r#"{"headers":{"X-A\r\nTo":"1"}}"#, "a header cannot be sent"),
            (
                r#"{"headers":{"Contact":"<sip:x@y>"}}"#,
                "a header cannot be sent",
            ),
            (
                r#"{"headers":["X-A"]}"#,
                "the payload is not the JSON of this method",
            ),
            ("no JSON", "the payload is not the JSON of this method"),
        ] {
            let answer = read(&call(payload)).and_then(|ending| end(ending, &ends));
            let error = answer.expect_err(payload);
            assert_eq!(
                (error.code, error.data.as_deref()),
                (1500, Some(why)),
                "{payload}"
            );
        }
        let many: BTreeMap<_, _> = (0..17).map(|n| (format!("X-{n}"), "1")).collect();
        let many = json!({ "headers": many }).to_string();
        assert!(read(&call(&many)).and_then(|ending| end(ending, &ends)).is_err());
        let long = format!(r#"{{"include":["{}"]}}"#, "x".repeat(MAX_QUESTION));
        assert_eq!(read::<Headers>(&call(&long)).err().unwrap().code, 1402);
        assert!(asked.try_recv().is_err());

        let wanted = r#"{"headers":{"X-End":"why"}}"#;
        let answer = read(&call(wanted)).and_then(|ending| end(ending, &ends));
        assert_eq!(answer.unwrap(), "{}");
        assert_eq!(end(Ending { headers: None }, &ends).unwrap(), "{}");
        assert_eq!(
            asked.try_recv().unwrap(),
            EndCall(vec![("X-End".into(), "why".into())])
        );
        drop(asked);
        assert!(end(Ending { headers: None }, &ends).is_err());
    }
}
