//! Digest authentication of callers (RFC 3261 §22, RFC 2617 §3.2), MD5 as LiveKit's SIP service does it. The other way, our answers to
//! challenges, is [`client`].
//!
//! The nonce is stateless: a keyed hash over its time of issue, the Call-ID and the source address. A captured answer is
//! therefore worthless for another call, from another address, or after [`NONCE_LIFETIME`].

pub mod client;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// How long a nonce may be used.
pub const NONCE_LIFETIME: Duration = Duration::from_mins(1);

/// The realm when a trunk names none.
pub const DEFAULT_REALM: &str = "LiveKit";

/// Outcome of [`Authenticator::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// No credentials, credentials for another nonce, or a nonce too old: challenge (again).
    Challenge,
    /// Credentials for our nonce, and wrong.
    Wrong,
}

/// What the INVITE is bound to.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub call_id: &'a str,
    pub source: IpAddr,
    /// Of the request, as in its `CSeq`.
    pub method: &'a str,
}

/// A trunk's credentials.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub realm: &'a str,
}

/// Issues and checks challenges. One per process: nonces of another are not accepted.
pub struct Authenticator {
    key: [u8; 32],
}

impl Authenticator {
    /// `key` must be random and stay inside the process.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The value of a `Proxy-Authenticate` header. `now` counts from the process's start.
    pub fn challenge(&self, subject: Subject<'_>, realm: &str, now: Duration) -> String {
        let nonce = self.nonce(subject, now.as_secs());
        format!(
            "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm=MD5",
            realm.replace(['"', '\\'], "")
        )
    }

    /// Checks the value of a `Proxy-Authorization` header.
    pub fn verify(
        &self,
        header: Option<&str>,
        subject: Subject<'_>,
        credentials: Credentials<'_>,
        now: Duration,
    ) -> Verdict {
        let Some(answer) = header.and_then(Answer::parse) else {
            return Verdict::Challenge;
        };
        if !self.is_fresh(&answer.nonce, subject, now) {
            return Verdict::Challenge;
        }
        let supported = answer.algorithm.is_empty() || answer.algorithm.eq_ignore_ascii_case("MD5");
        let named = answer.username == credentials.username && answer.realm == credentials.realm;
        if supported && named && equal(&answer.expected(credentials, subject.method), &answer.response) {
            Verdict::Accepted
        } else {
            Verdict::Wrong
        }
    }

    fn nonce(&self, subject: Subject<'_>, issued_s: u64) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(issued_s.to_be_bytes());
        hash.update(subject.source.to_string());
        hash.update([0]);
        hash.update(subject.call_id);
        format!("{issued_s:x}-{}", hex(&hash.finalize()))
    }

    fn is_fresh(&self, nonce: &str, subject: Subject<'_>, now: Duration) -> bool {
        let Some(issued_s) = nonce
            .split_once('-')
            .and_then(|(issued, _)| u64::from_str_radix(issued, 16).ok())
        else {
            return false;
        };
        let age = now.as_secs().checked_sub(issued_s);
        age.is_some_and(|age| age <= NONCE_LIFETIME.as_secs()) && equal(&self.nonce(subject, issued_s), nonce)
    }
}

/// The parameters of an Authorization or Proxy-Authorization header.
#[derive(Default)]
struct Answer {
    username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: String,
    qop: String,
    nc: String,
    cnonce: String,
}

impl Answer {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut answer = Self::default();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = parameter_value(after.trim_start())?;
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "username" => &mut answer.username,
                "realm" => &mut answer.realm,
                "nonce" => &mut answer.nonce,
                "uri" => &mut answer.uri,
                "response" => &mut answer.response,
                "algorithm" => &mut answer.algorithm,
                "qop" => &mut answer.qop,
                "nc" => &mut answer.nc,
                "cnonce" => &mut answer.cnonce,
                _ => &mut String::new(),
            };
            *slot = value;
            rest = after.trim_start().trim_start_matches(',');
        }
        Some(answer)
    }

    fn expected(&self, credentials: Credentials<'_>, method: &str) -> String {
        let ha1 = md5_hex(format!(
            "{}:{}:{}",
            credentials.username, credentials.realm, credentials.password
        ));
        let ha2 = md5_hex(format!("{method}:{}", self.uri));
        if self.qop.is_empty() {
            md5_hex(format!("{ha1}:{}:{ha2}", self.nonce))
        } else {
            md5_hex(format!(
                "{ha1}:{}:{}:{}:{}:{ha2}",
                self.nonce, self.nc, self.cnonce, self.qop
            ))
        }
    }
}

/// Reads a token or quoted string; returns it and what follows.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return Some((value.trim().to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '"' => return Some((value, quoted.get(at + 1..)?)),
            c => value.push(c),
        }
    }
    None
}

fn md5_hex(text: impl AsRef<[u8]>) -> String {
    hex(&<Md5 as md5::Digest>::digest(text.as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Compares without telling by its duration where the difference lies.
fn equal(expected: &str, given: &str) -> bool {
    expected.len() == given.len()
        && expected
            .bytes()
            .zip(given.bytes())
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const CREDENTIALS: Credentials<'static> = Credentials {
        username: "u",
        password: "p",
        realm: "LiveKit",
    };

    fn subject(call_id: &str) -> Subject<'_> {
        Subject {
            call_id,
            source: SOURCE,
            method: "INVITE",
        }
    }

    fn answer(challenge: &str, password: &str, qop: &str) -> String {
        let nonce = Answer::parse(challenge).expect("digest").nonce;
        let uri = "sip:+15550112@127.0.0.1:15060";
        let mut answer = Answer {
            nonce,
            uri: uri.into(),
            qop: qop.into(),
            ..Answer::default()
        };
        (answer.nc, answer.cnonce) = ("000000ff".into(), "a\"b".into());
        let response = answer.expected(
            Credentials {
                password,
                ..CREDENTIALS
            },
            "INVITE",
        );
        let qop = if qop.is_empty() {
            String::new()
        } else {
            format!(", qop={qop}, nc=000000ff, cnonce=\"a\\\"b\"")
        };
        format!(
            "Digest username=\"u\", realm=\"LiveKit\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm=MD5{qop}",
            answer.nonce
        )
    }

    #[test]
    fn the_right_password_is_accepted_with_and_without_qop() {
        let authenticator = Authenticator::new([7; 32]);
        let now = Duration::from_secs(100);
        let challenge = authenticator.challenge(subject("c1"), "LiveKit", now);
        for qop in ["", "auth"] {
            let header = answer(&challenge, "p", qop);
            let verdict =
                authenticator.verify(Some(&header), subject("c1"), CREDENTIALS, now + NONCE_LIFETIME);
            assert_eq!(verdict, Verdict::Accepted, "qop {qop:?}");
        }
    }

    #[test]
    fn a_wrong_password_or_user_is_refused() {
        let authenticator = Authenticator::new([7; 32]);
        let challenge = authenticator.challenge(subject("c1"), "LiveKit", Duration::ZERO);
        let verify =
            |header: &str| authenticator.verify(Some(header), subject("c1"), CREDENTIALS, Duration::ZERO);
        assert_eq!(verify(&answer(&challenge, "wrong", "")), Verdict::Wrong);
        assert_eq!(
            verify(&answer(&challenge, "p", "").replace("\"u\"", "\"v\"")),
            Verdict::Wrong
        );
        assert_eq!(
            verify(&answer(&challenge, "p", "").replace("MD5", "SHA-256")),
            Verdict::Wrong
        );
    }

    #[test]
    fn an_answer_is_worth_nothing_elsewhere_or_later() {
        let authenticator = Authenticator::new([7; 32]);
        let challenge = authenticator.challenge(subject("c1"), "LiveKit", Duration::ZERO);
        let header = answer(&challenge, "p", "");
        let late = NONCE_LIFETIME + Duration::from_secs(1);
        let verify = |subject, now| authenticator.verify(Some(&header), subject, CREDENTIALS, now);
        assert_eq!(verify(subject("c2"), Duration::ZERO), Verdict::Challenge);
        let elsewhere = Subject {
            source: IpAddr::from([10, 0, 0, 1]),
            ..subject("c1")
        };
        assert_eq!(verify(elsewhere, Duration::ZERO), Verdict::Challenge);
        assert_eq!(verify(subject("c1"), late), Verdict::Challenge);
        let other = Authenticator::new([8; 32]);
        assert_eq!(
            other.verify(Some(&header), subject("c1"), CREDENTIALS, Duration::ZERO),
            Verdict::Challenge
        );
    }

    #[test]
    fn the_formula_gives_what_a_real_client_sent() {
        // From a call that livekit-sip accepted.
        let sent = Answer {
            nonce: "1795196835581807-c5cb5c1af391d@test".into(),
            uri: "sip:+15550112@127.0.0.1:15060".into(),
            ..Answer::default()
        };
        assert_eq!(
            sent.expected(CREDENTIALS, "INVITE"),
            "7fa142b28d55b34a0e1ebc4748927ad7"
        );
        // RFC 2617 §3.5.
        let rfc = Answer {
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093".into(),
            uri: "/dir/index.html".into(),
            qop: "auth".into(),
            nc: "00000001".into(),
            cnonce: "0a4f113b".into(),
            ..Answer::default()
        };
        let mufasa = Credentials {
            username: "Mufasa",
            password: "Circle Of Life",
            realm: "testrealm@host.com",
        };
        assert_eq!(rfc.expected(mufasa, "GET"), "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn nonsense_is_challenged() {
        let authenticator = Authenticator::new([7; 32]);
        for header in [
            "",
            "Basic dTpw",
            "Digest",
            "Digest nonce=\"",
            "Digest nonce=zz-1, response=\"\\",
            "Digest =,=,",
        ] {
            let verdict = authenticator.verify(Some(header), subject("c1"), CREDENTIALS, Duration::ZERO);
            assert_eq!(verdict, Verdict::Challenge, "{header:?}");
        }
        assert_eq!(
            authenticator.verify(None, subject("c1"), CREDENTIALS, Duration::ZERO),
            Verdict::Challenge
        );
    }
}
