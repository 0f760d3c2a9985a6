//! From `rsipstack`'s types to ours.

use std::net::SocketAddr;
use std::time::Duration;

use rsipstack::sip::{Header, Headers, HeadersExt as _, Method, Request, Response, StatusCode, Uri};
use rsipstack::transaction::make_tag;

use crate::digest::client::{self, Login};
use crate::uri::host_and_port;
use crate::{Answer, Invite, InviteError, SipUri};

/// A Call-ID becomes an attribute of the caller's participant; so does the From tag.
const MAX_ID_BYTES: usize = 512;

pub(super) fn invite(request: &Request, source: SocketAddr) -> Result<Invite, InviteError> {
    let from = request.from_header().map_err(|_| InviteError::From)?;
    let from_uri = SipUri::of_header(from.value()).ok_or(InviteError::From)?;
    let from_tag = from.tag().ok().flatten().ok_or(InviteError::From)?;
    let from_tag = bounded(from_tag.value()).ok_or(InviteError::From)?;
    let to = request.to_header().map_err(|_| InviteError::To)?;
    let to = SipUri::of_header(to.value()).ok_or(InviteError::To)?;
    let call_id = request.call_id_header().map_err(|_| InviteError::CallId)?;
    let call_id = bounded(call_id.value()).ok_or(InviteError::CallId)?;
    Ok(Invite {
        source,
        request_uri: uri(&request.uri).ok_or(InviteError::RequestUri)?,
        from_anonymous: is_anonymous(&from_uri),
        from: from_uri,
        from_tag,
        to,
        call_id,
        via: hops(request)?,
        headers: headers(&request.headers),
        body: request.body.clone(),
    })
}

/// The 200 to our INVITE.
pub(super) fn answer(response: &Response) -> Answer {
    let tag = response.to_header().ok().and_then(|to| to.tag().ok().flatten());
    Answer {
        sdp: response.body.clone(),
        tag: tag.map(|tag| tag.value().to_owned()).unwrap_or_default(),
        headers: headers(&response.headers),
    }
}

/// Whether the stack made it itself, for want of an answer: such a response has no tag of the other side.
pub(super) fn is_local(response: &Response) -> bool {
    let tag = response.to_header().ok().and_then(|to| to.tag().ok().flatten());
    matches!(response.status_code.code(), 408 | 503) && tag.is_none()
}

/// The words behind a response's code.
pub(super) fn phrase(response: &Response) -> String {
    let phrase = response.wire_reason.clone();
    phrase.unwrap_or_else(|| response.status_code.text().to_owned())
}

/// A header that is a number of seconds, perhaps with a comment or parameters.
pub(super) fn seconds(response: &Response, name: &str) -> Option<Duration> {
    let mut headers = response.headers.iter();
    let value = headers
        .find(|header| header.name().eq_ignore_ascii_case(name))?
        .value();
    let digits = value.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(Duration::from_secs)
}

/// The header that answers a challenge; `None` when `response` is none, or one that we cannot answer.
pub(super) fn authorization(
    response: &Response,
    login: &Login,
    method: Method,
    uri: &str,
    body: &[u8],
) -> Option<Header> {
    let challenges = challenges(response)?;
    let cnonce: String = make_tag().to_string();
    let subject = client::Subject {
        method: &method.to_string(),
        uri,
        body,
        cnonce: &cnonce,
    };
    let answer = client::answer(challenges.iter().map(String::as_str), login, subject)?;
    Some(if response.status_code == StatusCode::Unauthorized {
        Header::Authorization(answer.into())
    } else {
        Header::ProxyAuthorization(answer.into())
    })
}

/// The challenges of a 401 (RFC 3261 §22.2) or 407 (§22.3).
pub(super) fn challenges(response: &Response) -> Option<Vec<String>> {
    let of_proxy = response.status_code == StatusCode::ProxyAuthenticationRequired;
    if !of_proxy && response.status_code != StatusCode::Unauthorized {
        return None;
    }
    let challenges = response.headers.iter().filter_map(|header| match header {
        Header::WwwAuthenticate(value) if !of_proxy => Some(value.value().to_owned()),
        Header::ProxyAuthenticate(value) if of_proxy => Some(value.value().to_owned()),
        _ => None,
    });
    Some(challenges.collect())
}

fn headers(headers: &Headers) -> Vec<(String, String)> {
    let headers = headers.iter();
    headers
        .map(|header| (header.name().to_owned(), header.value().to_owned()))
        .collect()
}

fn bounded(id: &str) -> Option<String> {
    (1..=MAX_ID_BYTES).contains(&id.len()).then(|| id.to_owned())
}

fn uri(uri: &Uri) -> Option<SipUri> {
    let mut text = format!("{}:", uri.scheme.as_ref()?);
    if let Some(auth) = &uri.auth {
        // As it stood in the request line; the URI itself would escape it again.
        text.extend([auth.user.as_str(), "@"]);
    }
    text.push_str(&uri.host_with_port.to_string());
    // The parser takes what follows a `;` in the user part for the parameters of a host.
    for param in &uri.params {
        text.push_str(&param.to_string());
    }
    SipUri::parse(&text)
}

/// RFC 3323 §4.1.1.3.
fn is_anonymous(from: &SipUri) -> bool {
    from.user.is_empty()
        || from.user.eq_ignore_ascii_case("anonymous")
        || from.host.eq_ignore_ascii_case("anonymous.invalid")
}

fn hops(request: &Request) -> Result<Vec<(String, Option<u16>)>, InviteError> {
    let lines = request.headers.iter().filter_map(|header| match header {
        Header::Via(via) => Some(via.value()),
        _ => None,
    });
    let hops: Vec<_> = lines
        .flat_map(|line| line.split(','))
        .filter_map(sent_by)
        .collect();
    if hops.is_empty() {
        Err(InviteError::Via)
    } else {
        Ok(hops)
    }
}

/// The host and port of one hop, `SIP/2.0/UDP host[:port];params`.
fn sent_by(hop: &str) -> Option<(String, Option<u16>)> {
    let address = hop
        .trim()
        .split_once(char::is_whitespace)?
        .1
        .trim()
        .split(';')
        .next()?
        .trim();
    let (host, port) = host_and_port(address)?;
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_with_and_without_port() {
        let cases = [
            (
                "SIP/2.0/UDP 10.0.0.1:5070;branch=z",
                Some(("10.0.0.1", Some(5070))),
            ),
            (" SIP/2.0/UDP proxy.example ;rport", Some(("proxy.example", None))),
            (
                "SIP/2.0/UDP [2001:db8::1]:5060",
                Some(("[2001:db8::1]", Some(5060))),
            ),
            ("SIP/2.0/UDP [2001:db8::1]", Some(("[2001:db8::1]", None))),
            ("SIP/2.0/UDP", None),
            ("SIP/2.0/UDP h:x", None),
        ];
        for (hop, expected) in cases {
            assert_eq!(
                sent_by(hop),
                expected.map(|(host, port)| (host.to_owned(), port)),
                "{hop}"
            );
        }
    }
}
