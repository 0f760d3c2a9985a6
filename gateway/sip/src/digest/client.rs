//! Answers to the challenges of a server (RFC 3261 §22, RFC 7616): MD5 and SHA-256, with and without `-sess`, with and without qop.

use sha2::{Digest as _, Sha256};

use super::{hex, md5_hex, parameter_value};

/// Who we are to the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(..)")
    }
}

/// The request that is repeated with the answer.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub method: &'a str,
    /// The Request-URI, byte for byte.
    pub uri: &'a str,
    pub body: &'a [u8],
    /// Random, one per answer.
    pub cnonce: &'a str,
}

/// Of a server's challenges the first that we can answer, since they stand in the server's order of preference (RFC 7616 §3.7); the
/// answer is the value of Authorization or Proxy-Authorization. `None`: there is none, or `login` was refused already. `challenges` are the
/// values of all WWW-Authenticate or Proxy-Authenticate headers.
pub fn answer<'a>(
    challenges: impl IntoIterator<Item = &'a str>,
    login: &Login,
    subject: Subject<'_>,
) -> Option<String> {
    let parsed = challenges.into_iter().flat_map(Challenge::parse_all);
    parsed
        .into_iter()
        .find_map(|challenge| challenge.answer(login, subject))
}

/// Whether a server says that the password was right and the nonce too old.
pub fn is_stale<'a>(challenges: impl IntoIterator<Item = &'a str>) -> bool {
    challenges
        .into_iter()
        .flat_map(Challenge::parse_all)
        .any(|challenge| challenge.stale)
}

#[derive(Debug, Default, PartialEq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: String,
    /// The tokens of `qop`; empty without one.
    qop: Vec<String>,
    stale: bool,
}

/// More of them in one header are no honest server's.
const MAX_CHALLENGES: usize = 8;

impl Challenge {
    /// A header may hold several, separated by commas as their parameters are.
    fn parse_all(header: &str) -> Vec<Self> {
        let mut challenges = Vec::new();
        let mut rest = header.trim();
        while !rest.is_empty() && challenges.len() < MAX_CHALLENGES {
            let Some((scheme, after)) = rest.split_once(char::is_whitespace) else {
                break;
            };
            let Some((challenge, after)) = Self::parse_parameters(after) else {
                break;
            };
            if scheme.eq_ignore_ascii_case("Digest") {
                challenges.push(challenge);
            }
            rest = after.trim_start();
        }
        challenges
    }

    /// Reads parameters until the next challenge begins or the text ends.
    fn parse_parameters(text: &str) -> Option<(Self, &str)> {
        let mut challenge = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            // `Digest realm=…`: a word and a space before the name begin the next challenge.
            if name.trim().contains(char::is_whitespace) {
                return Some((challenge, rest));
            }
            let (value, after) = parameter_value(after.trim_start())?;
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value,
                "nonce" => challenge.nonce = value,
                "opaque" => challenge.opaque = Some(value),
                "algorithm" => challenge.algorithm = value,
                "stale" => challenge.stale = value.eq_ignore_ascii_case("true"),
                "qop" => {
                    challenge.qop = value
                        .split(',')
                        .map(|qop| qop.trim().to_ascii_lowercase())
                        .collect();
                }
                _ => {}
            }
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        Some((challenge, rest))
    }

    fn answer(&self, login: &Login, subject: Subject<'_>) -> Option<String> {
        let algorithm = Algorithm::of(&self.algorithm)?;
        // A value with a quote or a line break could not be said back; no honest server sends one.
        let texts = [&self.realm, &self.nonce, &login.username];
        let opaque = self.opaque.as_ref();
        let is_plain = |text: &&String| !text.contains(['"', '\\', '\r', '\n']);
        if self.nonce.is_empty() || !texts.into_iter().chain(opaque).all(|text| is_plain(&text)) {
            return None;
        }
        let qop = match self.qop.as_slice() {
            [] => None,
            qop if qop.iter().any(|qop| qop == "auth") => Some("auth"),
            qop if qop.iter().any(|qop| qop == "auth-int") => Some("auth-int"),
            _ => return None,
        };
        let hash = |text: &str| algorithm.hash(text.as_bytes());
        let mut ha1 = hash(&format!("{}:{}:{}", login.username, self.realm, login.password));
        if algorithm.session {
            ha1 = hash(&format!("{ha1}:{}:{}", self.nonce, subject.cnonce));
        }
        let ha2 = match qop {
            Some("auth-int") => {
                let body = algorithm.hash(subject.body);
                hash(&format!("{}:{}:{body}", subject.method, subject.uri))
            }
            _ => hash(&format!("{}:{}", subject.method, subject.uri)),
        };
        let response = match qop {
            Some(qop) => hash(&format!(
                "{ha1}:{}:{COUNT}:{}:{qop}:{ha2}",
                self.nonce, subject.cnonce
            )),
            None => hash(&format!("{ha1}:{}:{ha2}", self.nonce)),
        };
        Some(self.written(login, subject, qop, algorithm, &response))
    }

    fn written(
        &self,
        login: &Login,
        subject: Subject<'_>,
        qop: Option<&str>,
        algorithm: Algorithm,
        response: &str,
    ) -> String {
        let mut parts = vec![format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
            login.username, self.realm, self.nonce, subject.uri
        )];
        if !self.algorithm.is_empty() {
            parts.push(format!("algorithm={}", self.algorithm));
        }
        if let Some(qop) = qop {
            parts.push(format!("qop={qop}, nc={COUNT}"));
        }
        if qop.is_some() || algorithm.session {
            parts.push(format!("cnonce=\"{}\"", subject.cnonce));
        }
        parts.extend(self.opaque.as_ref().map(|opaque| format!("opaque=\"{opaque}\"")));
        parts.join(", ")
    }
}

/// Each nonce is answered once.
const COUNT: &str = "00000001";

#[derive(Debug, Clone, Copy)]
struct Algorithm {
    sha256: bool,
    session: bool,
}

impl Algorithm {
    /// MD5 where none is named (RFC 2617 §3.2.1).
    fn of(name: &str) -> Option<Self> {
        let (name, session) = match name.to_ascii_uppercase() {
            name if name.ends_with("-SESS") => (name.trim_end_matches("-SESS").to_owned(), true),
            name => (name, false),
        };
        let sha256 = match name.as_str() {
            "" | "MD5" => false,
            "SHA-256" => true,
            _ => return None,
        };
        Some(Self { sha256, session })
    }

    fn hash(self, bytes: &[u8]) -> String {
        if self.sha256 {
            hex(&Sha256::digest(bytes))
        } else {
            md5_hex(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login {
            username: "Mufasa".into(),
            password: "Circle of Life".into(),
        }
    }

    fn subject<'a>() -> Subject<'a> {
        Subject {
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        }
    }

    fn parameter(answer: &str, name: &str) -> Option<String> {
        let at = answer.find(&format!("{name}="))? + name.len() + 1;
        parameter_value(&answer[at..]).map(|(value, _)| value)
    }

    const NONCE: &str = "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\"";
    const OPAQUE: &str = "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

    /// RFC 7616 §3.9.1.
    #[test]
    fn the_examples_of_the_rfc_come_out_for_both_algorithms() {
        let challenge = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, {NONCE}, {OPAQUE}"
            )
        };
        let (sha, md5) = (challenge("SHA-256"), challenge("MD5"));
        for (challenges, algorithm, expected) in [
            (
                vec![sha.as_str(), md5.as_str()],
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (
                vec![md5.as_str(), sha.as_str()],
                "MD5",
                "8ca523f5e9506fed4657c9700eebdbec",
            ),
        ] {
            let answer = answer(challenges, &login(), subject()).expect("answered");
            assert_eq!(parameter(&answer, "response").as_deref(), Some(expected));
            assert_eq!(parameter(&answer, "algorithm").as_deref(), Some(algorithm));
            assert_eq!(parameter(&answer, "qop").as_deref(), Some("auth"));
            assert!(answer.contains(OPAQUE), "{answer}");
        }
        // The same two in one header.
        let joined = format!("{sha}, {md5}");
        let found = Challenge::parse_all(&joined);
        let algorithms: Vec<_> = found.iter().map(|one| one.algorithm.as_str()).collect();
        assert_eq!(algorithms, ["SHA-256", "MD5"]);
        assert_eq!(found[1].qop, ["auth", "auth-int"]);
    }

    #[test]
    fn what_cannot_be_answered_is_passed_over() {
        let unknown = format!("Digest realm=\"r\", algorithm=SHA-512-256, {NONCE}");
        let plain = format!("Digest realm=\"r\", {NONCE}");
        let found = answer(
            [unknown.as_str(), "Basic realm=\"r\"", plain.as_str()],
            &login(),
            subject(),
        );
        let found = found.expect("the last one");
        assert!(!found.contains("qop") && !found.contains("cnonce") && !found.contains("algorithm"));
        for challenge in [
            "",
            "Digest",
            "Digest realm=\"r\"",
            "Basic realm=\"r\"",
            "Digest realm=\"r, nonce=\"n\"",
            "Digest realm=\"a\\\"b\", nonce=\"n\"",
            "Digest realm=\"r\", nonce=\"n\", qop=\"token\"",
            unknown.as_str(),
        ] {
            assert_eq!(answer([challenge], &login(), subject()), None, "{challenge}");
        }
    }

    #[test]
    fn the_session_variant_and_the_body_change_the_answer() {
        let challenge = |more: &str| format!("Digest realm=\"r\", {NONCE}{more}");
        let response = |more: &str, body: &[u8]| {
            let subject = Subject { body, ..subject() };
            let answer = answer([challenge(more).as_str()], &login(), subject).expect("answered");
            parameter(&answer, "response").expect("a response")
        };
        let plain = response("", b"");
        assert_eq!(plain, response("", b"body"), "only auth-int covers the body");
        assert_ne!(plain, response(", algorithm=MD5-sess", b""));
        let int = response(", qop=\"auth-int\"", b"one");
        assert_ne!(int, response(", qop=\"auth-int\"", b"two"));
        assert!(is_stale([challenge(", stale=TRUE").as_str()]));
        assert!(!is_stale([challenge(", stale=false").as_str(), "Digest"]));
    }
}
