//! Digest authentication of a client (RFC 2617 §3.2, as RFC 3261 §22 uses it): MD5, with `qop=auth` or without.

use std::fmt::Write;

use md5::{Digest, Md5};

/// What the other side asked for in `WWW-Authenticate` or `Proxy-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    qop_auth: bool,
    pub(crate) stale: bool,
}

impl Challenge {
    /// `None` for another scheme or algorithm than Digest with MD5.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let parameters = header.trim().strip_prefix("Digest ")?;
        let mut challenge = Self {
            realm: String::new(),
            nonce: String::new(),
            opaque: None,
            qop_auth: false,
            stale: false,
        };
        for (name, value) in split_parameters(parameters) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value,
                "nonce" => challenge.nonce = value,
                "opaque" => challenge.opaque = Some(value),
                "qop" => challenge.qop_auth = value.split(',').any(|option| option.trim() == "auth"),
                "stale" => challenge.stale = value.eq_ignore_ascii_case("true"),
                "algorithm" if !value.eq_ignore_ascii_case("MD5") => return None,
                _ => {}
            }
        }
        (!challenge.nonce.is_empty()).then_some(challenge)
    }

    /// The value of `Authorization` or `Proxy-Authorization`. `uri` must equal the request URI byte for byte.
    pub(crate) fn answer(&self, credentials: &Credentials, method: &str, uri: &str, cnonce: &str) -> String {
        let Credentials { username, password } = credentials;
        let ha1 = md5_hex(&format!("{username}:{}:{password}", self.realm));
        let ha2 = md5_hex(&format!("{method}:{uri}"));
        let (realm, nonce) = (&self.realm, &self.nonce);
        let mut value = format!(
            r#"Digest username="{username}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5"#
        );
        let response = if self.qop_auth {
            let _ = write!(value, r#", qop=auth, nc=00000001, cnonce="{cnonce}""#);
            md5_hex(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"))
        } else {
            md5_hex(&format!("{ha1}:{nonce}:{ha2}"))
        };
        let _ = write!(value, r#", response="{response}""#);
        if let Some(opaque) = &self.opaque {
            let _ = write!(value, r#", opaque="{opaque}""#);
        }
        value
    }
}

/// Who the caller says it is when the trunk asks. The password stays out of `Debug`.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// `name=value` and `name="quoted, value"`, separated by commas.
fn split_parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((
            name.trim_matches([' ', ',', '\t']).to_owned(),
            value.trim().to_owned(),
        ));
        rest = tail;
    }
    found
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 §3.5.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let header = r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let challenge = Challenge::parse(header).unwrap();
        let who = Credentials {
            username: "Mufasa".to_owned(),
            password: "Circle Of Life".to_owned(),
        };
        let answer = challenge.answer(&who, "GET", "/dir/index.html", "0a4f113b");
        assert!(
            answer.contains(r#"response="6629fae49393a05397450978507c4ef1""#),
            "{answer}"
        );
        assert!(answer.contains(r#"opaque="5ccc069c403ebaf9f0171e9517f40e41""#));
        assert!(!format!("{who:?}").contains("Circle"));
    }

    #[test]
    fn without_qop_the_older_form_is_used() {
        let challenge = Challenge::parse(r#"Digest realm="LiveKit", nonce="n", algorithm=MD5"#).unwrap();
        let who = Credentials {
            username: "u".to_owned(),
            password: "p".to_owned(),
        };
        assert!(!challenge.answer(&who, "INVITE", "sip:a@b", "c").contains("qop"));
    }

    #[test]
    fn other_algorithms_are_left_to_the_next_challenge() {
        assert_eq!(
            Challenge::parse(r#"Digest realm="r", nonce="n", algorithm=SHA-256"#),
            None
        );
        assert_eq!(Challenge::parse("Basic realm=\"r\""), None);
    }
}
