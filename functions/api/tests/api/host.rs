//! The API over a folder, with keys of several callers and an identity provider on loopback. What stands for LiveKit knows an egress
//! and an ingress of somebody else's, and can do nothing: what is refused must be refused before it is asked for more.

use std::sync::Arc;

use api::{Parts, Settings, build};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{
    Router,
    body::Body,
    response::IntoResponse,
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use events::{CallId, IndexEntry, RoomName, Timestamp, keys};
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use platform::{
    Secret,
    clock::ManualClock,
    config::{
        AccessConfig, AccessKey, CallsConfig, Grant, IdentityProvider, IngressConfig, KeyHash, LiveKitConfig,
        RecordingsConfig, Scope, Targets, TokenConfig,
    },
    livekit::{LiveKit, proto},
    queue::SqliteQueue,
    store::{FolderStore, Store},
};
use prost::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;

/// Somebody else's call, and its room.
pub(crate) const THEIR_CALL: &str = "RM_theirs";
pub(crate) const THEIR_ROOM: &str = "theirs-1";
pub(crate) const THEIR_EGRESS: &str = "EG_theirs";
pub(crate) const THEIR_INGRESS: &str = "IN_theirs";
/// 2026-01-01T00:00:00Z, where the clock stands.
const NOW: i64 = 1_767_225_600;

pub(crate) struct Host {
    _folder: tempfile::TempDir,
    _provider: AbortOnDropHandle<()>,
    signer: EncodingKey,
    pub(crate) app: Router,
    pub(crate) document: OpenApi,
}

/// Has every scope but this one.
pub(crate) fn all_but(scope: &str) -> String {
    format!("all-but-{scope}-0123456789-0123456789")
}

/// Has every scope, for rooms of its own.
pub(crate) const OWNER: &str = "owner-0123456789-0123456789-0123456789";

fn settings(jwks_url: String) -> Settings {
    let grant = |scopes: Vec<Scope>| Grant {
        scopes,
        rooms: vec!["mine-*".into()],
        ..Grant::default()
    };
    let key = |name: String, key: &str, scopes| AccessKey {
        name,
        hash: KeyHash(Sha256::digest(key).into()),
        key: None,
        grant: grant(scopes),
    };
    let others = |without: Scope| Scope::ALL.into_iter().filter(|scope| *scope != without).collect();
    let mut keys = vec![key("owner".into(), OWNER, Scope::ALL.into())];
    keys.extend(Scope::ALL.map(|scope| key(format!("not-{scope}"), &all_but(scope.as_str()), others(scope))));
    Settings {
        access: AccessConfig {
            keys,
            jwt: Some(IdentityProvider {
                issuer: "https://id.example.com".into(),
                audience: "trunkline".into(),
                jwks_url,
                grant: grant(Scope::ALL.into()),
            }),
            requests_per_minute: 100_000,
        },
        token: TokenConfig::default(),
        calls: CallsConfig {
            targets: Targets {
                numbers: vec!["+1".parse().unwrap()],
                ..Targets::default()
            },
            trunks: vec!["ST_1".into()],
            ..CallsConfig::default()
        },
        recordings: RecordingsConfig::default(),
        ingress: IngressConfig::default(),
    }
}

/// What stands for LiveKit's API.
async fn livekit(
    axum::extract::Path((_, method)): axum::extract::Path<(String, String)>,
) -> axum::response::Response {
    let egress = proto::EgressInfo {
        egress_id: THEIR_EGRESS.into(),
        room_name: THEIR_ROOM.into(),
        ..proto::EgressInfo::default()
    };
    let ingress = proto::IngressInfo {
        ingress_id: THEIR_INGRESS.into(),
        room_name: THEIR_ROOM.into(),
        stream_key: "canary".into(),
        ..proto::IngressInfo::default()
    };
    match method.as_str() {
        "ListEgress" => {
            let items = vec![egress];
            proto::ListEgressResponse {
                items,
                ..Default::default()
            }
            .encode_to_vec()
            .into_response()
        }
        "ListIngress" => {
            let items = vec![ingress];
            proto::ListIngressResponse {
                items,
                ..Default::default()
            }
            .encode_to_vec()
            .into_response()
        }
        _ => {
            let error = json!({"code": "unavailable", "msg": "not here"}).to_string();
            (http::StatusCode::SERVICE_UNAVAILABLE, error).into_response()
        }
    }
}

impl Host {
    pub(crate) async fn start() -> Self {
        platform::install_providers();
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": B64.encode(pair.public_key().as_ref())});
        let answer = json!({"keys": [jwk]}).to_string();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/jwks");
        let router = Router::new()
            .route("/jwks", get(move || async move { answer }))
            .route("/twirp/{service}/{method}", any(livekit));
        #[expect(clippy::disallowed_methods, reason = "owned by the handle, which aborts it")]
        let provider = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(FolderStore::open(folder.path().join("store")).await.unwrap());
        let entry = IndexEntry {
            created_at: Timestamp::from_unix_ms(NOW * 1_000).unwrap(),
            room: RoomName::new(THEIR_ROOM).unwrap(),
        };
        let index = keys::index(&CallId::new(THEIR_CALL).unwrap());
        store
            .put(&index, serde_json::to_vec(&entry).unwrap().into())
            .await
            .unwrap();
        let livekit = LiveKitConfig {
            url: format!("ws://{address}"),
            api_key: "devkey".into(),
            api_secret: Secret::new("0123456789abcdefghijklmnopqrstuvwxyz"),
            webhook_keys: Vec::new(),
        };
        let parts = Parts {
            livekit: LiveKit::new(&livekit).unwrap(),
            queue: Arc::new(
                SqliteQueue::open(folder.path().join("queue"), clock.clone())
                    .await
                    .unwrap(),
            ),
            store,
            link_secret: Secret::new("0123456789abcdefghijklmnopqrstuvwxyz"),
            clock,
            beside: Vec::new(),
        };
        let (app, document) = build(settings(url), &parts).unwrap();
        Self {
            _folder: folder,
            _provider: AbortOnDropHandle::new(provider),
            signer: EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()),
            app,
            document,
        }
    }

    /// A token of the provider with every scope.
    pub(crate) fn token(&self, change: &Value) -> String {
        let scopes = Scope::ALL.map(Scope::as_str).join(" ");
        let mut claims = json!({"iss": "https://id.example.com", "aud": "trunkline", "exp": NOW + 300, "sub": "u1",
            "scope": scopes});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("k".into());
        jsonwebtoken::encode(&header, &claims, &self.signer).unwrap()
    }

    /// The same with `alg` none and no signature.
    pub(crate) fn unsigned(&self) -> String {
        let token = self.token(&json!({}));
        let claims = token.split('.').nth(1).unwrap();
        let header = B64.encode(json!({"alg": "none", "kid": "k", "typ": "JWT"}).to_string());
        format!("{header}.{claims}.")
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self
            .app
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        assert!(response.headers().contains_key("x-request-id"), "{method} {path}");
        let bytes = axum::body::to_bytes(response.into_body(), 1_000_000)
            .await
            .unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}
