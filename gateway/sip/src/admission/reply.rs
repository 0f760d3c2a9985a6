//! Stateless refusals (RFC 3261 §8.2.7).

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

use super::message::Head;

/// A final response to `head`, for sending back to where it came from.
pub(super) fn refusal(
    head: &Head<'_>,
    source: SocketAddr,
    code: u16,
    phrase: &str,
    extra: &[(&str, &str)],
) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {code} {phrase}\r\n");
    for (index, via) in head.via.iter().enumerate() {
        let via = if index == 0 {
            received(via, source)
        } else {
            (*via).to_owned()
        };
        header(&mut text, "Via", &via);
    }
    header(&mut text, "From", head.from);
    header(&mut text, "To", &tagged(head));
    header(&mut text, "Call-ID", head.call_id);
    header(&mut text, "CSeq", head.cseq);
    for (name, value) in extra {
        header(&mut text, name, value);
    }
    header(&mut text, "Content-Length", "0");
    text.push_str("\r\n");
    text.into_bytes()
}

fn header(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{name}: {value}\r\n");
}

/// The topmost hop, told where its request really came from (RFC 3261 §18.2.1, RFC 3581 §4).
fn received(via: &str, source: SocketAddr) -> String {
    let (top, rest) = via.split_once(',').map_or((via, ""), |(top, rest)| (top, rest));
    let mut params = top.split(';');
    let mut text = params.next().unwrap_or_default().trim_end().to_owned();
    for param in params.map(str::trim) {
        let name = param.split('=').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("rport") {
            let _ = write!(text, ";rport={}", source.port());
        } else if !name.eq_ignore_ascii_case("received") {
            let _ = write!(text, ";{param}");
        }
    }
    let _ = write!(text, ";received={}", source.ip());
    if !rest.is_empty() {
        let _ = write!(text, ",{rest}");
    }
    text
}

/// The To header with a tag, the same for every retransmission (RFC 3261 §8.2.6.2).
fn tagged(head: &Head<'_>) -> String {
    if head.has_to_tag() {
        return head.to.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    (head.call_id, head.from, head.cseq).hash(&mut hasher);
    format!("{};tag={:016x}", head.to, hasher.finish())
}
