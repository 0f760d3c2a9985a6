//! From `rsipstack`'s types to ours.

use std::net::SocketAddr;

use rsipstack::sip::{Header, HeadersExt as _, Request, Uri};

use crate::{Invite, InviteError, SipUri};

pub(super) fn invite(request: &Request, source: SocketAddr) -> Result<Invite, InviteError> {
    let from = request.from_header().map_err(|_| InviteError::From)?;
    let from_uri = from.uri().map_err(|_| InviteError::From)?;
    let from_tag = from.tag().ok().flatten().ok_or(InviteError::From)?;
    let to = request
        .to_header()
        .and_then(rsipstack::sip::To::uri)
        .map_err(|_| InviteError::To)?;
    let call_id = request.call_id_header().map_err(|_| InviteError::CallId)?;
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|header| (header.name().to_owned(), header.value().to_owned()))
        .collect();
    let from_uri = uri(&from_uri);
    Ok(Invite {
        source,
        request_uri: uri(&request.uri),
        from_anonymous: is_anonymous(&from_uri),
        from: from_uri,
        from_tag: from_tag.value().to_owned(),
        to: uri(&to),
        call_id: call_id.value().to_owned(),
        via: hops(request)?,
        headers,
        body: request.body.clone(),
    })
}

fn uri(uri: &Uri) -> SipUri {
    SipUri {
        user: uri.user().unwrap_or_default().to_owned(),
        host: uri.host().to_string(),
        port: uri.host_with_port.port.as_ref().map(rsipstack::sip::Port::value),
    }
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
    let port_at = address
        .rfind(':')
        .filter(|at| !address.get(*at..).is_some_and(|rest| rest.contains(']')));
    let (host, port) = match port_at.and_then(|at| address.split_at_checked(at)) {
        Some((host, port)) => (host, Some(port.trim_start_matches(':').parse().ok()?)),
        None => (address, None),
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
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
