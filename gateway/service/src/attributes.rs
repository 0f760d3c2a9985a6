//! The attributes of a call's participant: `sip.*` as livekit-sip sets them, and `trunkline.*` for the call's record.

use std::collections::HashMap;

use bus::ioinfo::Dispatch;
use events::Timestamp;
pub(crate) use events::livekit::attribute::{END, SIP_CALL_STATUS as CALL_STATUS};
use events::livekit::attribute::{INVITE_AT, RINGING_AT};
use sip::Invite;

pub(crate) const RINGING: &str = "ringing";
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

/// The attributes at the join: what the rule and LiveKit say (trunk, rule, numbers, unless hidden), the call's own, and headers of the
/// INVITE that the rule asks for.
pub(crate) fn at_join(
    dispatch: &Dispatch,
    invite: &Invite,
    sip_call: &str,
    moments: Moments,
) -> HashMap<String, String> {
    let mut attributes = dispatch.participant_attributes.clone();
    attributes.extend(headers(dispatch, invite));
    attributes.extend(crate::bridge::delay_attributes());
    let own = [
        ("sip.callID", sip_call),
        ("sip.callIDFull", invite.call_id.as_str()),
        ("sip.callTag", invite.from_tag.as_str()),
        (CALL_STATUS, RINGING),
    ];
    attributes.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let moments = [(INVITE_AT, moments.invite_at), (RINGING_AT, moments.ringing_at)];
    attributes.extend(moments.map(|(name, at)| (name.to_owned(), at.to_string())));
    attributes
}

fn headers(dispatch: &Dispatch, invite: &Invite) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    for (name, value) in &invite.headers {
        let name = name.to_ascii_lowercase();
        let wanted = match dispatch.include_headers {
            INCLUDE_X_HEADERS => name.starts_with("x-"),
            INCLUDE_ALL_HEADERS => !CREDENTIALS.contains(&name.as_str()),
            _ => false,
        };
        if wanted {
            attributes.insert(format!("sip.h.{name}"), value.clone());
        }
    }
    let mapped = dispatch.headers_to_attributes.iter();
    attributes.extend(mapped.filter_map(|(header, attribute)| {
        let allowed = !CREDENTIALS.contains(&header.to_ascii_lowercase().as_str());
        invite
            .header(header)
            .filter(|_| allowed)
            .map(|value| (attribute.clone(), value.to_owned()))
    }));
    attributes
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
        let attributes = at_join(&dispatch(0), &invite(), "SCL_1", moments());
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
        let x = at_join(&dispatch(INCLUDE_X_HEADERS), &invite(), "SCL_1", moments());
        assert_eq!(x.get("sip.h.x-other").map(String::as_str), Some("yes"));
        assert!(!x.contains_key("sip.h.subject"));
        let all = at_join(&dispatch(INCLUDE_ALL_HEADERS), &invite(), "SCL_1", moments());
        assert_eq!(all.get("sip.h.subject").map(String::as_str), Some("hi"));
        assert!(!all.values().any(|value| value == "secret"));
    }
}
