//! The signature of a webhook: a token that names the hash of the body.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{constant_time, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use platform::{Secret, clock};
use serde::{Deserialize, de::DeserializeOwned};

use crate::Refusal;

/// By how many seconds the clocks of LiveKit and this machine may differ. A webhook that is sent again does nothing.
pub const LEEWAY_S: i64 = clock::SKEW.as_secs().cast_signed();
/// By how many seconds LiveKit's clock may be ahead before it is told.
const NOTABLE_S: i64 = 10;

/// LiveKit's tokens have some 350 bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The keys that a webhook may be signed with, by their public names (`iss`). Several of them allow a change of keys without a gap.
#[derive(Clone)]
pub struct Keys(BTreeMap<String, DecodingKey>);

impl Keys {
    /// Takes names and secrets.
    pub fn new(keys: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let decoding =
            |(name, secret): (String, Secret)| (name, DecodingKey::from_secret(secret.expose().as_bytes()));
        Self(keys.into_iter().map(decoding).collect())
    }

    /// Checks the token in the `Authorization` header (the token alone, without `Bearer`) at the moment `now_s`, in seconds
    /// since 1970, and returns the hash that the body has to have. When LiveKit's clock is more than 10 s ahead, a warning says so.
    ///
    /// # Errors
    /// When there is no token, it is not HS256, its key is not known, its signature is wrong, or `now_s` lies outside of `nbf` and `exp` by more
    /// than [`LEEWAY_S`].
    pub fn check(&self, authorization: Option<&str>, now_s: i64) -> Result<BodyHash, Refusal> {
        let token = authorization.ok_or(Refusal::NoToken)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::MalformedToken)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::MalformedToken)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::MalformedToken);
        }
        let header: Header = json(header)?;
        if header.alg != "HS256" {
            return Err(Refusal::Algorithm);
        }
        let claims: Claims = json(claims)?;
        let key = self.0.get(&claims.iss).ok_or(Refusal::UnknownKey)?;
        match crypto::verify(signature, signed.as_bytes(), key, Algorithm::HS256) {
            Ok(true) => claims.in_time(now_s),
            Ok(false) | Err(_) => Err(Refusal::Signature),
        }
    }
}

/// Names only.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How long a token of [`sign`] is good for, in seconds. LiveKit's are good for as long.
const TTL_S: i64 = 300;

/// The token that LiveKit would send with `body` at the moment `now_s`, in seconds since 1970: for whoever tries whether webhooks arrive.
///
/// # Errors
/// When it cannot be signed.
pub fn sign(
    key: &str,
    secret: &Secret,
    body: &[u8],
    now_s: i64,
) -> Result<String, jsonwebtoken::errors::Error> {
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, body));
    let header = part(serde_json::json!({"alg": "HS256", "typ": "JWT"}));
    let claims = part(serde_json::json!({
        "iss": key, "iat": now_s, "nbf": now_s, "exp": now_s + TTL_S, "sha256": hash,
    }));
    let signed = format!("{header}.{claims}");
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    let tag = crypto::sign(signed.as_bytes(), &key, Algorithm::HS256)?;
    Ok(format!("{signed}.{tag}"))
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    #[serde(default)]
    sha256: String,
}

impl Claims {
    fn in_time(self, now_s: i64) -> Result<BodyHash, Refusal> {
        if now_s > self.exp.saturating_add(LEEWAY_S) {
            return Err(Refusal::Expired);
        }
        if now_s < self.nbf.saturating_sub(LEEWAY_S) {
            return Err(Refusal::NotYetValid);
        }
        let ahead_s = self.nbf.saturating_sub(now_s);
        if ahead_s > NOTABLE_S {
            tracing::warn!(
                ahead_s,
                "livekit-server's clock is ahead of this machine's; set both by NTP"
            );
        }
        STANDARD
            .decode(self.sha256)
            .map(BodyHash)
            .map_err(|_| Refusal::BodyHash)
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refusal::MalformedToken)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::MalformedToken)
}

/// The SHA-256 that a valid token names for its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyHash(Vec<u8>);

impl BodyHash {
    /// Compares with the hash of the raw bytes, in constant time.
    ///
    /// # Errors
    /// When they differ.
    pub fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        let actual = digest::digest(&digest::SHA256, body);
        constant_time::verify_slices_are_equal(actual.as_ref(), &self.0).map_err(|_| Refusal::BodyHash)
    }
}
