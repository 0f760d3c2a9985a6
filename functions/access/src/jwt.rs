//! Tokens of an identity provider (RFC 7519, RFC 9068).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, crypto};
use platform::config::{IdentityProvider, Scope};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Caller, JwksError, Refusal, Rooms, jwks::Jwks};

/// By how many seconds the clocks of the provider and this machine may differ.
const LEEWAY_S: i64 = 60;
const MAX_SUBJECT_BYTES: usize = 128;

pub(crate) struct Provider {
    config: IdentityProvider,
    jwks: Jwks,
}

/// Three parts with a JSON header: what else would it be.
pub(crate) fn looks_like(token: &str) -> bool {
    token.starts_with("eyJ") && token.bytes().filter(|b| *b == b'.').count() == 2
}

impl Provider {
    pub(crate) fn new(config: IdentityProvider) -> Result<Self, JwksError> {
        let jwks = Jwks::new(config.jwks_url.clone())?;
        Ok(Self { config, jwks })
    }

    /// Checks algorithm, key, signature, issuer, audience and time, in this order; a claim counts only when it is signed.
    pub(crate) async fn caller(&self, token: &str, now_s: i64) -> Result<Caller, Refusal> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::MalformedToken)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::MalformedToken)?;
        let header: Header = json(header)?;
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(Refusal::Algorithm),
        };
        if header.crit.is_some() {
            // RFC 7515 §4.1.11: what is critical and not understood must be refused.
            return Err(Refusal::MalformedToken);
        }
        let kid = header.kid.ok_or(Refusal::UnknownKid)?;
        let key = self.jwks.key(&kid).await.map_err(|_| Refusal::NoKeys)?;
        let key = key.ok_or(Refusal::UnknownKid)?;
        if key.algorithm != algorithm {
            return Err(Refusal::Algorithm);
        }
        match crypto::verify(signature, signed.as_bytes(), &key.key, algorithm) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(Refusal::Signature),
        }
        let claims: Claims = json(claims).map_err(|_| Refusal::Claims)?;
        self.check(&claims, now_s)?;
        self.admit(&claims)
    }

    fn check(&self, claims: &Claims, now_s: i64) -> Result<(), Refusal> {
        if claims.iss != self.config.issuer {
            return Err(Refusal::Issuer);
        }
        if !claims.aud.holds(&self.config.audience) {
            return Err(Refusal::Audience);
        }
        if now_s > claims.exp.0.saturating_add(LEEWAY_S) {
            return Err(Refusal::Expired);
        }
        if now_s
            < claims
                .nbf
                .as_ref()
                .map_or(i64::MIN, |nbf| nbf.0)
                .saturating_sub(LEEWAY_S)
        {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }

    fn admit(&self, claims: &Claims) -> Result<Caller, Refusal> {
        let grant = &self.config.grant;
        let subject = claims.sub.as_str();
        // It becomes part of patterns, names and logs: no wildcard, no slash, no space, and no ~, which ends it in patterns.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._@|:-".contains(&b);
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || !subject.bytes().all(plain) {
            return Err(Refusal::Subject);
        }
        let rooms: Vec<String> = grant
            .rooms
            .iter()
            .map(|pattern| pattern.replace("{sub}", subject))
            .collect();
        let scopes: Vec<Scope> = claims
            .scopes()
            .filter_map(|name| name.parse().ok())
            .filter(|scope| grant.scopes.contains(scope))
            .collect();
        let rooms = Rooms::new(rooms.iter().map(String::as_str));
        Ok(Caller::new(format!("jwt:{subject}"), grant, rooms, scopes))
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    aud: OneOrMany,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    #[serde(default)]
    sub: String,
    scope: Option<OneOrMany>,
    scp: Option<OneOrMany>,
}

/// RFC 7519 §2: seconds since 1970, which may have a fraction.
#[derive(Deserialize)]
#[serde(try_from = "serde_json::Number")]
struct NumericDate(i64);

impl TryFrom<serde_json::Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, &'static str> {
        let whole = |seconds| i64::try_from(Duration::try_from_secs_f64(seconds).ok()?.as_secs()).ok();
        let seconds = number.as_i64().or_else(|| whole(number.as_f64()?));
        seconds.map(Self).ok_or("it is no time")
    }
}

impl Claims {
    /// `scope` is a text with spaces (RFC 8693 §4.2); `scp`, of some providers, a text or a list.
    fn scopes(&self) -> impl Iterator<Item = &str> {
        let claims = [&self.scope, &self.scp];
        claims
            .into_iter()
            .flatten()
            .flat_map(|claim| claim.all().flat_map(str::split_ascii_whitespace))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter().map(String::as_str),
            Self::Many(many) => many.iter().map(String::as_str),
        }
    }

    fn holds(&self, text: &str) -> bool {
        self.all().any(|one| one == text)
    }
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refusal::MalformedToken)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::MalformedToken)
}
