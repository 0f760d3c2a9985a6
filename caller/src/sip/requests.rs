//! The requests of a call: what they say and where they go (RFC 3261 §8.1.1, §9.1, §12.2.1.1, §17.1.1.3).

use std::net::SocketAddr;

use super::message::{Message, uri};

/// The methods taken.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY";

/// Everything that identifies the call.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Also the `Request-URI`.
    pub(crate) to_uri: String,
    pub(crate) from_uri: String,
    pub(crate) display_name: Option<String>,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    /// Where this side receives SIP.
    pub(crate) local: SocketAddr,
    /// Where the first request goes.
    pub(crate) target: SocketAddr,
    /// Seed of branches and client nonces, unique per call.
    pub(crate) unique: String,
}

/// The peer's half of an established dialog (§12.1.2).
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    to: String,
    target_uri: String,
    route: Vec<String>,
    pub(crate) next_hop: SocketAddr,
}

impl Dialog {
    /// From the 200 of the INVITE.
    pub(crate) fn of(answer: &Message, identity: &Identity) -> Self {
        let contact = answer.header("Contact").and_then(uri);
        let target_uri = contact.unwrap_or(&identity.to_uri).to_owned();
        let route: Vec<String> = answer.headers("Record-Route").rev().map(str::to_owned).collect();
        let first_hop = route.first().map_or(target_uri.as_str(), String::as_str);
        Self {
            to: answer.header("To").unwrap_or_default().to_owned(),
            next_hop: uri(first_hop).and_then(address).unwrap_or(identity.target),
            target_uri,
            route,
        }
    }
}

/// Writes the requests of one call.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) identity: Identity,
    pub(crate) extra_headers: Vec<(String, String)>,
    pub(crate) offer: String,
    branches: u32,
}

impl Requests {
    pub(crate) fn new(identity: Identity, extra_headers: Vec<(String, String)>, offer: String) -> Self {
        Self {
            identity,
            extra_headers,
            offer,
            branches: 0,
        }
    }

    pub(crate) fn invite(&mut self, cseq: u32, authorization: Option<(&str, String)>) -> Message {
        let (uri, to) = (
            self.identity.to_uri.clone(),
            format!("<{}>", self.identity.to_uri),
        );
        let mut invite = self.request("INVITE", cseq, &uri, to);
        let extra = self
            .extra_headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in authorization.into_iter().chain(extra) {
            invite = invite.with(name, value);
        }
        invite
            .with("Contact", self.contact())
            .with("Allow", ALLOW)
            .with_sdp(&self.offer)
    }

    /// §9.1: the INVITE's own Request-URI, Via, From, To, Call-ID and number.
    pub(crate) fn cancel(&self, invite: &Message, cseq: u32) -> Message {
        let to = invite.header("To").unwrap_or_default();
        self.beside("CANCEL", invite, to, cseq)
    }

    /// The ACK of a refusal: within the INVITE's transaction, with the To of the answer.
    pub(crate) fn acknowledge_refusal(&self, invite: &Message, answer: &Message, cseq: u32) -> Message {
        let to = answer.header("To").unwrap_or_default();
        self.beside("ACK", invite, to, cseq)
    }

    pub(crate) fn within(&mut self, dialog: &Dialog, method: &str, cseq: u32) -> Message {
        let mut request = self.request(method, cseq, &dialog.target_uri, dialog.to.clone());
        for route in &dialog.route {
            request = request.with("Route", route.clone());
        }
        request
    }

    pub(crate) fn contact(&self) -> String {
        format!("<sip:caller@{}>", self.identity.local)
    }

    fn beside(&self, method: &str, invite: &Message, to: &str, cseq: u32) -> Message {
        let mut request = Message::request(method, &self.identity.to_uri);
        for name in ["Via", "Max-Forwards", "From", "Call-ID"] {
            request = request.with(name, invite.header(name).unwrap_or_default());
        }
        request.with("To", to).with("CSeq", format!("{cseq} {method}"))
    }

    fn request(&mut self, method: &str, cseq: u32, request_uri: &str, to: String) -> Message {
        self.branches += 1;
        let Identity {
            from_uri,
            display_name,
            call_id,
            tag,
            local,
            unique,
            ..
        } = &self.identity;
        let name = display_name
            .as_ref()
            .map(|name| format!("\"{name}\" "))
            .unwrap_or_default();
        let via = format!(
            "SIP/2.0/UDP {local};branch=z9hG4bK{unique}{};rport",
            self.branches
        );
        Message::request(method, request_uri)
            .with("Via", via)
            .with("Max-Forwards", "70")
            .with("From", format!("{name}<{from_uri}>;tag={tag}"))
            .with("To", to)
            .with("Call-ID", call_id.clone())
            .with("CSeq", format!("{cseq} {method}"))
            .with("User-Agent", "trunkline-caller")
    }
}

/// The address of a SIP URI whose host is an IP address; names are not resolved.
fn address(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split([';', '?']).next()?;
    host.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(host.parse().ok()?, 5060)))
}
