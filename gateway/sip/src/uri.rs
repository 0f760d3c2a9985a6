//! The URIs of a call, read once: what no name could be made of later is refused here.

use std::fmt;

/// The parts of a SIP URI that routing looks at. `Debug` shows nothing of it: the user part is a phone number.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SipUri {
    /// Unescaped, without control characters and parameters, at most [`SipUri::MAX_USER_BYTES`]. Empty when the URI names a host only.
    pub user: String,
    /// A name or an address, in brackets if it is an IPv6 one. Empty for a `tel:` URI, whose number is the user.
    pub host: String,
    pub port: Option<u16>,
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SipUri(..)")
    }
}

impl SipUri {
    /// LiveKit makes names of participants and rooms of the user part, and takes no names above 256 bytes.
    pub const MAX_USER_BYTES: usize = 128;
    /// A domain name's (RFC 1035 §2.3.4).
    const MAX_HOST_BYTES: usize = 255;

    /// Reads a `sip:`, `sips:` or `tel:` URI (RFC 3261 §25.1, RFC 3966 §3); `None` when it cannot be used.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        if is("tel") {
            let user = unescaped(before(rest, &[';'])).filter(|number| !number.is_empty())?;
            return Some(Self {
                user,
                ..Self::default()
            });
        }
        if !is("sip") && !is("sips") {
            return None;
        }
        let (user, host) = rest.split_once('@').unwrap_or(("", rest));
        let (host, port) = host_and_port(before(host, &[';', '?']))?;
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.len() > Self::MAX_HOST_BYTES || !host.bytes().all(is_of_host) {
            return None;
        }
        Some(Self {
            // A password and the parameters of a number, such as `npdi`, name nobody.
            user: unescaped(before(user, &[':', ';']))?,
            host: host.to_owned(),
            port,
        })
    }

    /// Reads `host[:port]`, nothing more.
    pub fn at(address: &str) -> Option<Self> {
        let is_address = !address.contains(['@', ';', '?', ',']);
        is_address
            .then(|| Self::parse(&format!("sip:{address}")))
            .flatten()
    }

    /// Reads the URI of a From or To header (RFC 3261 §20.20, §20.39).
    pub(crate) fn of_header(value: &str) -> Option<Self> {
        let after_name = match value.strip_prefix('"') {
            Some(quoted) => after_quote(quoted)?,
            None => value,
        };
        let uri = match after_name.split_once('<') {
            Some((_, uri)) => uri.split_once('>')?.0,
            // Without brackets the parameters are the header's.
            None => before(after_name, &[';']),
        };
        Self::parse(uri.trim())
    }
}

/// `host[:port]`.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, Option<u16>)> {
    let is_in_brackets = |at: &usize| address.get(*at..).is_some_and(|rest| rest.contains(']'));
    let port_at = address.rfind(':').filter(|at| !is_in_brackets(at));
    let (host, port) = match port_at.and_then(|at| address.split_at_checked(at)) {
        Some((host, port)) => (host, Some(port.get(1..)?.parse().ok()?)),
        None => (address, None),
    };
    (!host.is_empty()).then_some((host, port))
}

fn before<'a>(text: &'a str, ends: &[char]) -> &'a str {
    text.split(ends).next().unwrap_or_default()
}

/// What follows a quoted string whose opening quote is gone.
fn after_quote(quoted: &str) -> Option<&str> {
    let mut escaped = false;
    let end = quoted.find(|character| match character {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' => {
            escaped = true;
            false
        }
        character => character == '"',
    })?;
    quoted.get(end + 1..)
}

/// `%` with two hexadecimal digits stands for a byte.
fn unescaped(user: &str) -> Option<String> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let (mut bytes, mut rest) = (Vec::new(), user.bytes());
    while let Some(byte) = rest.next() {
        if bytes.len() == SipUri::MAX_USER_BYTES {
            return None;
        }
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: Option<SipUri>) -> Option<(String, String, Option<u16>)> {
        uri.map(|uri| (uri.user, uri.host, uri.port))
    }

    #[test]
    fn users_are_unescaped_and_what_no_name_can_be_made_of_is_refused() {
        let longest = "1".repeat(SipUri::MAX_USER_BYTES);
        let too_long = "1".repeat(SipUri::MAX_USER_BYTES + 1);
        let escaped = "%41".repeat(SipUri::MAX_USER_BYTES);
        let unescaped = "A".repeat(SipUri::MAX_USER_BYTES);
        let cases = [
            ("", Some("")),
            ("+15551234", Some("+15551234")),
            ("%2B15551234", Some("+15551234")),
            ("100%23", Some("100#")),
            ("j%C3%b6rg", Some("jörg")),
            ("+15551234;npdi=yes;rn=+1555", Some("+15551234")),
            ("200:secret", Some("200")),
            (longest.as_str(), Some(longest.as_str())),
            (escaped.as_str(), Some(unescaped.as_str())),
            (too_long.as_str(), None),
            ("%00", None),
            ("1%0d%0aTo:2", None),
            ("1%7F", None),
            ("1%C2%85", None),
            ("%ff", None),
            ("%C3", None),
            ("100%", None),
            ("100%2", None),
            ("100%2x", None),
            ("100%+1", None),
        ];
        for (user, expected) in cases {
            let uri = SipUri::parse(&format!("sip:{user}@h"));
            assert_eq!(uri.map(|uri| uri.user).as_deref(), expected, "{user:?}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        let too_long = format!("sip:{}", "a".repeat(256));
        let cases = [
            ("sip:10.0.0.9", Some(("", "10.0.0.9", None))),
            ("SIPS:1@[2001:db8::1];lr", Some(("1", "[2001:db8::1]", None))),
            (
                "sip:1@[2001:db8::1]:5060?x=y",
                Some(("1", "[2001:db8::1]", Some(5060))),
            ),
            (
                "sip:a_b-c.example:5070;transport=udp",
                Some(("", "a_b-c.example", Some(5070))),
            ),
            ("tel:+15551234;phone-context=x", Some(("+15551234", "", None))),
            ("tel:", None),
            ("sip:", None),
            ("sip:1@", None),
            ("sip:1@h:x", None),
            ("sip:1@h:", None),
            ("sip:1@a b", None),
            ("sip:1@a%00", None),
            ("sip:1@a/b", None),
            ("http://a", None),
            ("1@h", None),
            (too_long.as_str(), None),
        ];
        for (uri, expected) in cases {
            let expected = expected.map(|(user, host, port)| (user.to_owned(), host.to_owned(), port));
            assert_eq!(parts(SipUri::parse(uri)), expected, "{uri}");
        }
    }

    #[test]
    fn a_headers_uri_stands_in_brackets_or_alone() {
        let cases = [
            ("<sip:1@h;user=phone>;tag=a", Some("1")),
            ("sip:1@h;tag=a", Some("1")),
            ("Ann <sip:1@h>", Some("1")),
            ("\"Ann <sip:9@h> \\\" x\" <sip:1@h>;tag=\"<sip:8@h>\"", Some("1")),
            ("<sip:1;npdi@h>", Some("1")),
            ("<sip:h>", Some("")),
            ("\"Ann <sip:1@h>", None),
            ("<sip:1@h", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let uri = SipUri::of_header(value);
            assert_eq!(uri.map(|uri| uri.user).as_deref(), expected, "{value}");
        }
    }
}
