//! The public keys of an identity provider (RFC 7517), fetched when they are needed.

use std::{collections::HashMap, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

/// Providers have a few keys of some hundred bytes each.
pub const MAX_JWKS_BYTES: usize = 128 * 1024;
const MAX_KEYS: usize = 64;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A `kid` that nobody knows makes the keys be fetched again, at most this often: anybody can send one.
const MIN_BETWEEN_FETCHES: Duration = Duration::from_secs(30);
/// Keys that the provider has withdrawn are gone after this.
const MAX_AGE: Duration = Duration::from_mins(10);
/// While the provider does not answer, its keys go on for so long: its outage is not to be ours.
const MAX_STALE: Duration = Duration::from_hours(1);

/// Why the provider's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The HTTP client cannot be made: the machine's certificates cannot be read.
    #[error("the client for the identity provider cannot be made")]
    Client(#[source] reqwest::Error),
    /// No connection, no answer in time, or not 200.
    #[error("the identity provider's keys cannot be fetched")]
    Fetch(#[source] reqwest::Error),
    /// An answer that is no key set.
    #[error("the identity provider's keys cannot be read: {0}")]
    Unreadable(&'static str),
}

/// A key and what it may verify.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

pub(crate) struct Jwks {
    http: reqwest::Client,
    url: String,
    keys: RwLock<Known>,
    /// Held while fetching, so that one request does it for all; tells when it was last tried.
    tried: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    by_kid: HashMap<String, VerifyingKey>,
    fetched: Option<Instant>,
}

impl Jwks {
    pub(crate) fn new(url: String) -> Result<Self, JwksError> {
        platform::install_providers();
        let mut builder = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if url.starts_with("http://") {
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            http: builder.build().map_err(JwksError::Client)?,
            url,
            keys: RwLock::default(),
            tried: Mutex::default(),
        })
    }

    /// The key of this id. `Ok(None)`: the provider has none.
    pub(crate) async fn key(&self, kid: &str) -> Result<Option<VerifyingKey>, JwksError> {
        if let Some(key) = self.known(kid, MAX_AGE) {
            return Ok(Some(key));
        }
        let mut tried = self.tried.lock().await;
        // Somebody else may have fetched them meanwhile.
        if let Some(key) = self.known(kid, MAX_AGE) {
            return Ok(Some(key));
        }
        if tried.is_some_and(|at| at.elapsed() < MIN_BETWEEN_FETCHES) {
            return if self.keys.read().is_younger_than(MAX_AGE) {
                Ok(None)
            } else {
                let error = JwksError::Unreadable("they could not be had a moment ago");
                self.known(kid, MAX_STALE).map(Some).ok_or(error)
            };
        }
        *tried = Some(Instant::now());
        let by_kid = match self.fetch().await {
            Ok(by_kid) => by_kid,
            Err(error) => {
                let stale = self.known(kid, MAX_STALE);
                let goes_on = stale.is_some();
                tracing::warn!(%error, cause = cause(&error), goes_on, "identity provider");
                return stale.map(Some).ok_or(error);
            }
        };
        *self.keys.write() = Known {
            by_kid,
            fetched: Some(Instant::now()),
        };
        Ok(self.known(kid, MAX_AGE))
    }

    fn known(&self, kid: &str, age: Duration) -> Option<VerifyingKey> {
        let keys = self.keys.read();
        let counts = keys.is_younger_than(age);
        counts.then(|| keys.by_kid.get(kid).cloned()).flatten()
    }

    async fn fetch(&self) -> Result<HashMap<String, VerifyingKey>, JwksError> {
        let mut response = self
            .http
            .get(&self.url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| JwksError::Fetch(error.without_url()))?;
        let mut body = bytes::BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| JwksError::Fetch(error.without_url()))?
        {
            if body.len() + chunk.len() > MAX_JWKS_BYTES {
                return Err(JwksError::Unreadable("there are more than 128 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        read(&body)
    }
}

impl Known {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.fetched.is_some_and(|at| at.elapsed() < age)
    }
}

/// Takes the keys that can verify RS256, ES256 or `EdDSA`, and leaves all others out.
fn read(body: &[u8]) -> Result<HashMap<String, VerifyingKey>, JwksError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set =
        serde_json::from_slice(body).map_err(|_| JwksError::Unreadable("they are no JSON key set"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(JwksError::Unreadable("there are more than 64"));
    }
    // One key of an unknown kind must not spoil the others.
    let keys = set.keys.into_iter().filter_map(|key| {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let kid = key.common.key_id.clone()?;
        Some((kid, verifying(&key)?))
    });
    Ok(keys.collect())
}

fn verifying(jwk: &Jwk) -> Option<VerifyingKey> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let fits = jwk.common.key_algorithm.is_none_or(|said| said == named);
    if !for_signatures || !fits {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(VerifyingKey { algorithm, key })
}

fn cause(error: &JwksError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
