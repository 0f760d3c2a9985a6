//! An identity provider: keys of its own, and their public halves over HTTP.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// Signs tokens.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: &'static str,
    key: EncodingKey,
    pub(crate) jwk: Value,
}

impl Signer {
    pub(crate) fn rsa(kid: &'static str) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public = pair.public_key();
        let jwk = json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
            "n": B64.encode(public.modulus().big_endian_without_leading_zero()),
            "e": B64.encode(public.exponent().big_endian_without_leading_zero())});
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Self {
            algorithm: Algorithm::RS256,
            kid,
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            jwk,
        }
    }

    pub(crate) fn ec(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public = pair.public_key().as_ref();
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid,
            "x": B64.encode(&public[1..33]), "y": B64.encode(&public[33..65])});
        Self {
            algorithm: Algorithm::ES256,
            kid,
            key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            jwk,
        }
    }

    pub(crate) fn ed(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
            "x": B64.encode(pair.public_key().as_ref())});
        Self {
            algorithm: Algorithm::EdDSA,
            kid,
            key: EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()),
            jwk,
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// A token with any header and signature.
pub(crate) fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| B64.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), B64.encode(signature))
}

/// What the provider answers with, and how often it was asked.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) url: String,
    pub(crate) fetched: Arc<AtomicUsize>,
    /// Empty: 503.
    pub(crate) answer: Arc<Mutex<String>>,
    _server: Arc<AbortOnDropHandle<()>>,
}

impl Provider {
    pub(crate) async fn start(keys: &[Value]) -> Self {
        platform::install_providers();
        let fetched = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(Mutex::new(json!({"keys": keys}).to_string()));
        let state = (fetched.clone(), answer.clone());
        let router = Router::new().route("/jwks", get(serve)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "owned by the handle, which aborts it")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            fetched,
            answer,
            _server: Arc::new(AbortOnDropHandle::new(server)),
        }
    }

    pub(crate) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

async fn serve(State((fetched, answer)): State<(Arc<AtomicUsize>, Arc<Mutex<String>>)>) -> impl IntoResponse {
    fetched.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().clone();
    let status = if answer.is_empty() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, answer)
}
