//! The attributes of a call's participant: `sip.*` as livekit-sip sets them, and `trunkline.*` for the call's record.

use std::collections::HashMap;

use bus::ioinfo::Dispatch;
use bus::sipinternal::CreateParticipant;
use events::Timestamp;
pub(crate) use events::livekit::attribute::SIP_CALL_STATUS as CALL_STATUS;
use events::livekit::attribute::{INVITE_AT, RINGING_AT};
use sip::{Answer, Invite};

pub(crate) const DIALING: &str = "dialing";
pub(crate) const RINGING: &str = "ringing";
/// Digits are being sent after the answer.
pub(crate) const AUTOMATION: &str = "automation";
pub(crate) const ACTIVE: &str = "active";
pub(crate) const HANGUP: &str = "hangup";

const INCLUDE_X_HEADERS: i32 = 1;
const INCLUDE_ALL_HEADERS: i32 = 2;

/// Never an attribute, whatever the rule says: everyone in the room could read it.
const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];

/// When the call was offered, and when the phone was told to ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) invite_at: Timestamp,
    pub(crate) ringing_at: Timestamp,
}

/// The attributes at the join, with this status of the call: what the rule and LiveKit say (trunk, rule, numbers, unless hidden), the call's own, and headers of the
/// INVITE that the rule asks for.
pub(crate) fn at_join(
    dispatch: &Dispatch,
    invite: &Invite,
    sip_call: &str,
    moments: Moments,
    status: &str,
) -> HashMap<String, String> {
    let mut attributes = dispatch.participant_attributes.clone();
    let mapping = HeaderMapping {
        include: dispatch.include_headers,
        named: &dispatch.headers_to_attributes,
    };
    attributes.extend(mapping.attributes(&invite.headers));
    attributes.extend(crate::bridge::delay_attributes());
    let own = [
        ("sip.callID", sip_call),
        ("sip.callIDFull", invite.call_id.as_str()),
        ("sip.callTag", invite.from_tag.as_str()),
        (CALL_STATUS, status),
    ];
    attributes.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let moments = [(INVITE_AT, moments.invite_at), (RINGING_AT, moments.ringing_at)];
    attributes.extend(moments.map(|(name, at)| (name.to_owned(), at.to_string())));
    attributes
}

/// The attributes at the join of a phone that we dial: what LiveKit says, and that it is being dialled.
pub(crate) fn dialling(request: &CreateParticipant) -> HashMap<String, String> {
    let mut attributes = request.participant_attributes.clone();
    attributes.extend(crate::bridge::delay_attributes());
    attributes.insert("sip.callID".to_owned(), request.sip_call_id.clone());
    attributes.insert(CALL_STATUS.to_owned(), DIALING.to_owned());
    attributes
}

/// What the answer of a phone that we dialled adds.
pub(crate) fn answered(
    request: &CreateParticipant,
    call_id: &str,
    answer: &Answer,
) -> HashMap<String, String> {
    let mapping = HeaderMapping {
        include: request.include_headers,
        named: &request.headers_to_attributes,
    };
    let mut attributes = mapping.attributes(&answer.headers);
    attributes.insert("sip.callIDFull".to_owned(), call_id.to_owned());
    attributes.insert("sip.callTag".to_owned(), answer.tag.clone());
    attributes
}

/// The headers that some of a participant's attributes become: the other direction.
pub(crate) fn to_headers(
    mapping: &HashMap<String, String>,
    attributes: &HashMap<String, String>,
) -> Vec<(String, String)> {
    let present = mapping
        .iter()
        .filter_map(|(attribute, header)| Some((header.clone(), attributes.get(attribute)?.clone())));
    let mut headers: Vec<_> = present
        .filter(|(name, value)| sip::is_extra_header(name, value))
        .collect();
    headers.sort();
    headers
}

/// Which headers become attributes.
struct HeaderMapping<'a> {
    include: i32,
    /// Header → attribute.
    named: &'a HashMap<String, String>,
}

impl HeaderMapping<'_> {
    fn attributes(&self, headers: &[(String, String)]) -> HashMap<String, String> {
        let mut attributes = HashMap::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            let wanted = match self.include {
                INCLUDE_X_HEADERS => name.starts_with("x-"),
                INCLUDE_ALL_HEADERS => !CREDENTIALS.contains(&name.as_str()),
                _ => false,
            };
            if wanted {
                attributes.insert(format!("sip.h.{name}"), value.clone());
            }
        }
        attributes.extend(self.named.iter().filter_map(|(header, attribute)| {
            let allowed = !CREDENTIALS.contains(&header.to_ascii_lowercase().as_str());
            let mut found = headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(header));
            let (_, value) = found.next().filter(|_| allowed)?;
            Some((attribute.clone(), value.clone()))
        }));
        attributes
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use sip::SipUri;

    use super::*;

    fn invite() -> Invite {
        let headers = [
            ("X-Acct", "42"),
            ("X-Other", "yes"),
            ("Subject", "hi"),
            ("Proxy-Authorization", "secret"),
        ];
        Invite {
            source: SocketAddr::from(([127, 0, 0, 1], 5060)),
            request_uri: SipUri::default(),
            from: SipUri::default(),
            from_anonymous: false,
            from_tag: "tag".into(),
            to: SipUri::default(),
            call_id: "id@host".into(),
            via: Vec::new(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: Vec::new(),
        }
    }

    fn dispatch(include_headers: i32) -> Dispatch {
        Dispatch {
            participant_attributes: HashMap::from([("biz".to_owned(), "x".to_owned())]),
            headers_to_attributes: HashMap::from([
                ("X-Acct".to_owned(), "acct".to_owned()),
                ("Proxy-Authorization".to_owned(), "leak".to_owned()),
            ]),
            include_headers,
            ..Dispatch::default()
        }
    }

    fn moments() -> Moments {
        let at = |ms: i64| Timestamp::from_unix_ms(1_795_196_401_568 + ms).expect("in range");
        Moments {
            invite_at: at(0),
            ringing_at: at(21),
        }
    }

    #[test]
    fn the_calls_own_attributes_join_those_of_the_rule() {
        let attributes = at_join(&dispatch(0), &invite(), "SCL_1", moments(), RINGING);
        let expected = [
            ("biz", "x"),
            ("acct", "42"),
            ("sip.callID", "SCL_1"),
            ("sip.callIDFull", "id@host"),
            ("sip.callTag", "tag"),
            ("sip.callStatus", "ringing"),
            ("trunkline.invite_at", "2026-11-20T17:40:01.568Z"),
            ("trunkline.ringing_at", "2026-11-20T17:40:01.589Z"),
        ];
        assert_eq!(
            attributes,
            expected
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .into_iter()
                .chain(crate::bridge::delay_attributes())
                .collect()
        );
    }

    #[test]
    fn headers_become_attributes_as_the_rule_says_and_credentials_never() {
        let x = at_join(
            &dispatch(INCLUDE_X_HEADERS),
            &invite(),
            "SCL_1",
            moments(),
            RINGING,
        );
        assert_eq!(x.get("sip.h.x-other").map(String::as_str), Some("yes"));
        assert!(!x.contains_key("sip.h.subject"));
        let all = at_join(
            &dispatch(INCLUDE_ALL_HEADERS),
            &invite(),
            "SCL_1",
            moments(),
            RINGING,
        );
        assert_eq!(all.get("sip.h.subject").map(String::as_str), Some("hi"));
        assert!(!all.values().any(|value| value == "secret"));
    }

    #[test]
    fn the_answers_headers_and_tag_become_attributes_of_a_phone_that_we_dialled() {
        let request = CreateParticipant {
            headers_to_attributes: HashMap::from([("X-Callee".to_owned(), "callee".to_owned())]),
            include_headers: INCLUDE_X_HEADERS,
            sip_call_id: "SCL_1".into(),
            ..CreateParticipant::default()
        };
        let headers = [("x-callee", "yes"), ("Server", "s")];
        let answer = Answer {
            sdp: Vec::new(),
            tag: "uas1".into(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
        };
        let expected = [
            ("callee", "yes"),
            ("sip.h.x-callee", "yes"),
            ("sip.callIDFull", "id"),
            ("sip.callTag", "uas1"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(answered(&request, "id", &answer), HashMap::from(expected));
        assert_eq!(
            dialling(&request).get(CALL_STATUS).map(String::as_str),
            Some("dialing")
        );
    }

    #[test]
    fn attributes_become_headers_unless_they_would_break_the_message() {
        let text = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect()
        };
        let mapping = text(&[
            ("why", "X-Why"),
            ("to", "To"),
            ("bad", "X-Bad"),
            ("none", "X-None"),
        ]);
        let attributes = text(&[
            ("why", "done"),
            ("to", "<sip:x@y>"),
            ("bad", "a\r\nb"),
            ("other", "x"),
        ]);
        assert_eq!(
            to_headers(&mapping, &attributes),
            [("X-Why".to_owned(), "done".to_owned())]
        );
    }
}
