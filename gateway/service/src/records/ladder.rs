//! A call's SIP messages as text: first who said what when, then each message.
//!
//! Masked is what says who somebody is, or what somebody typed: users and display names, headers that are none of SIP's own, bodies other than
//! SDP. Credentials, and keys that were pressed, are left out always.

use std::borrow::Cow;
use std::fmt::Write as _;

use events::{LegRecord, Timestamp};
use platform::redact;
use sip::{Ladder, LadderMessage};

/// Headers that say nothing of persons but in URIs and names; others are masked whole.
const PLAIN: [&str; 42] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "allow",
    "allow-events",
    "call-id",
    "contact",
    "content-length",
    "content-type",
    "cseq",
    "date",
    "event",
    "expires",
    "from",
    "max-forwards",
    "min-expires",
    "min-se",
    "p-asserted-identity",
    "p-preferred-identity",
    "privacy",
    "proxy-authenticate",
    "proxy-require",
    "rack",
    "reason",
    "record-route",
    "refer-to",
    "referred-by",
    "remote-party-id",
    "require",
    "retry-after",
    "route",
    "rseq",
    "server",
    "session-expires",
    "subscription-state",
    "supported",
    "timestamp",
    "to",
    "unsupported",
    "user-agent",
    "via",
    "warning",
];
/// Their one-letter names.
const COMPACT: [(&str, &str); 12] = [
    ("c", "content-type"),
    ("f", "from"),
    ("i", "call-id"),
    ("k", "supported"),
    ("l", "content-length"),
    ("m", "contact"),
    ("o", "event"),
    ("r", "refer-to"),
    ("t", "to"),
    ("u", "allow-events"),
    ("v", "via"),
    ("x", "session-expires"),
];
const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];

/// The text. `whole`: nothing but credentials is masked.
pub(super) fn render(
    leg: &LegRecord,
    ladder: &Ladder,
    whole: bool,
    at: impl Fn(std::time::Instant) -> Timestamp,
) -> String {
    let (messages, left_out) = ladder.messages();
    let call = leg.call.as_ref().map_or("no room", |call| call.as_str());
    let mut text = format!(
        "{}  {}  {}  Call-ID {}\n{}: {}\n\n",
        leg.sip_call, call, leg.direction, leg.sip_call_id, leg.reason, leg.why
    );
    let begun = messages.first().map(|message| message.at);
    for (number, message) in messages.iter().enumerate() {
        let since = begun.map_or(0.0, |begun| (message.at - begun).as_secs_f64());
        let arrow = if message.sent { "<--" } else { "-->" };
        // Writing into a string has no way to fail.
        let _ = writeln!(
            text,
            "{:>4} {since:>9.3} {arrow} {}",
            number + 1,
            summary(&message.text)
        );
    }
    if left_out > 0 {
        let _ = writeln!(text, "     and {left_out} more, which were not kept");
    }
    for (number, message) in messages.iter().enumerate() {
        let LadderMessage {
            at: when,
            sent,
            text: said,
        } = message;
        let who = if *sent { "sent" } else { "received" };
        let _ = write!(text, "\n==== {} {} {who}\n", number + 1, at(*when));
        text.push_str(&shown(said, whole));
    }
    text
}

/// The method, or code and phrase; the `CSeq`; whether there is SDP.
fn summary(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let what = match first.strip_prefix("SIP/2.0 ") {
        Some(status) => redact::mask(status).into_owned(),
        None => first.split(' ').next().unwrap_or_default().to_owned(),
    };
    let cseq = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("cseq").then(|| value.trim())
    });
    let sdp = if body.starts_with("v=") { " SDP" } else { "" };
    format!("{what} ({}){sdp}", cseq.unwrap_or("no CSeq"))
}

fn shown(message: &str, whole: bool) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    let mut lines = head.split("\r\n");
    let mut text = String::with_capacity(message.len());
    let first = lines.next().unwrap_or_default();
    let first = if whole {
        Cow::Borrowed(first)
    } else {
        persons(first)
    };
    let _ = writeln!(text, "{first}");
    for line in lines {
        let _ = writeln!(text, "{}", header(line, whole));
    }
    if body.is_empty() {
        return text;
    }
    if is_keys(head) {
        let _ = writeln!(text, "\n[keys]");
        return text;
    }
    if whole || body.starts_with("v=") {
        let body = without_keys(&body.replace("\r\n", "\n"));
        let body = if whole {
            Cow::Borrowed(body.as_str())
        } else {
            redact::mask(&body)
        };
        let _ = writeln!(text, "\n{}", body.trim_end());
    } else {
        let _ = writeln!(text, "\n[{} bytes]", body.len());
    }
    text
}

/// Whether the body says which keys were pressed: they may be a PIN, and are hidden always.
fn is_keys(head: &str) -> bool {
    head.split("\r\n").any(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name = name.trim();
        let is_type = name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("c");
        is_type && value.to_ascii_lowercase().contains("dtmf")
    })
}

/// Who has the keys of SDP (RFC 4568) hears the call.
fn without_keys(sdp: &str) -> String {
    let line = |line: &str| match line.split_once("inline:") {
        Some((before, _)) => format!("{before}inline:[key]\n"),
        // The way before RFC 4566 to say it.
        None if line.starts_with("k=") => "k=[key]\n".to_owned(),
        None => format!("{line}\n"),
    };
    sdp.lines().map(line).collect()
}

fn header(line: &str, whole: bool) -> String {
    let Some((name, value)) = line.split_once(':') else {
        return "[masked]".to_owned();
    };
    let lower = name.trim().to_ascii_lowercase();
    let full = COMPACT.iter().find(|(compact, _)| *compact == lower);
    let full = full.map_or(lower.as_str(), |(_, full)| full);
    if CREDENTIALS.contains(&full) {
        return format!("{name}: [credentials]");
    }
    if whole {
        return line.to_owned();
    }
    if !PLAIN.contains(&full) {
        return format!("{name}: [masked]");
    }
    format!("{name}:{}", persons(value))
}

/// Masks users of URIs, whatever they look like, and display names.
fn persons(text: &str) -> Cow<'_, str> {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    // A display name stands before the bracket, quoted or not (RFC 3261 §25.1).
    if let Some((before, after)) = text.split_once('<')
        && !before.trim().is_empty()
        && !before.contains(['=', ';', ':'])
    {
        masked.push_str(" [name] <");
        rest = after;
    }
    let mut is_quoted = false;
    while let Some(c) = rest.chars().next() {
        let scheme = ["sips:", "sip:", "tel:"].into_iter().find(|scheme| {
            rest.get(..scheme.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(scheme))
        });
        if let Some(scheme) = scheme {
            let after = rest.get(scheme.len()..).unwrap_or_default();
            let end = after.find(['>', ' ', '\t', ',', '"']).unwrap_or(after.len());
            let (uri, behind) = after.split_at(end);
            masked.push_str(scheme);
            masked.push_str(&without_user(uri, scheme == "tel:"));
            rest = behind;
            continue;
        }
        if c == '"' {
            masked.push_str(if is_quoted { "" } else { "\"[text]\"" });
            is_quoted = !is_quoted;
        } else if !is_quoted {
            masked.push(c);
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    Cow::Owned(redact::mask(&masked).into_owned())
}

fn without_user(uri: &str, is_number: bool) -> String {
    if is_number {
        return "[user]".to_owned();
    }
    match uri.rsplit_once('@') {
        Some((_, host)) => format!("[user]@{host}"),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+15550100@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport\r\n\
        f: \"Alice Smith\" <sip:alice@example.com>;tag=1\r\nTo: Bob <sip:+15550100@10.0.0.1>\r\nCall-ID: abc@10.0.0.2\r\n\
        CSeq: 1 INVITE\r\nP-Asserted-Identity: <tel:+15551234>\r\nX-Customer: 4711 Alice\r\nReason: SIP;cause=480;text=\"Alice is out\"\r\n\
        Proxy-Authorization: Digest username=\"alice\", response=\"0123\"\r\nContent-Type: application/sdp\r\nContent-Length: 7\r\n\r\nv=0\r\ns=-\r\n";

    #[test]
    fn a_masked_message_tells_what_was_said_and_not_by_whom() {
        let text = shown(INVITE, false);
        for secret in ["5550100", "5551234", "lice", "Bob", "4711", "0123"] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
        for kept in [
            "INVITE sip:[user]@10.0.0.1:5060 SIP/2.0",
            "branch=z9hG4bK1;rport",
            "f: [name] <sip:[user]@example.com>;tag=1",
            "Call-ID: abc@10.0.0.2",
            "X-Customer: [masked]",
            "Proxy-Authorization: [credentials]",
            "v=0\ns=-",
        ] {
            assert!(text.contains(kept), "{kept} not in\n{text}");
        }
        assert_eq!(summary(INVITE), "INVITE (1 INVITE) SDP");
    }

    #[test]
    fn keys_that_were_pressed_are_hidden_always() {
        for (name, kind) in [
            ("Content-Type", "application/dtmf-relay"),
            ("c", "Application/DTMF;x=y"),
        ] {
            let info = format!("INFO sip:a@b SIP/2.0\r\n{name}: {kind}\r\n\r\nSignal=7\r\nDuration=160\r\n");
            for whole in [true, false] {
                let text = shown(&info, whole);
                assert!(!text.contains('7') && text.ends_with("\n[keys]\n"), "{text}");
            }
        }
    }

    #[test]
    fn keys_are_hidden_always() {
        let ok = "SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nk=base64:c2Vj\r\nm=audio 4 RTP/SAVP 0\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19z|2^31\r\na=sendrecv\r\n";
        for whole in [false, true] {
            let text = shown(ok, whole);
            assert!(!text.contains("WVNf") && !text.contains("c2Vj"), "{text}");
            let kept = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:[key]\na=sendrecv";
            assert!(text.contains(kept), "{text}");
        }
    }

    #[test]
    fn digits_in_a_body_and_users_of_every_kind_are_masked() {
        let info = "INFO sip:x SIP/2.0\r\nContact: <sips:b%40d@h>, <SIP:carol:secret@h2;transport=tcp>\r\n\r\nSignal=5\r\n";
        let text = shown(info, false);
        assert!(text.contains("[10 bytes]"), "{text}");
        assert!(
            text.contains("<sips:[user]@h>, <sip:[user]@h2;transport=tcp>"),
            "{text}"
        );
        assert!(!text.contains("secret") && !text.contains("Signal"), "{text}");
    }

    #[test]
    fn a_whole_message_leaves_out_credentials_only() {
        let text = shown(INVITE, true);
        assert!(text.contains("\"Alice Smith\" <sip:alice@example.com>"), "{text}");
        assert!(text.contains("Proxy-Authorization: [credentials]"), "{text}");
        assert!(!text.contains("0123"), "{text}");
    }
}
