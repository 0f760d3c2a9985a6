//! The function over a folder and a real livekit-server.

use std::{sync::Arc, time::Duration};

use access::Access;
use axum::{Router, body::Body};
use calls::{CallsState, Cursors, router};
use dev::{LocalStack, LocalStackConfig};
use http::{HeaderMap, Request};
use platform::{
    Secret,
    clock::{ManualClock, SystemClock},
    config::{
        AccessConfig, AccessKey, CallerLimits, CallsConfig, Grant, KeyHash, LiveKitConfig, Scope, Targets,
    },
    livekit::{LiveKit, TokenRequest, proto},
    store::FolderStore,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};
use tower::ServiceExt;

use crate::{gate::GatedStore, gateway::Gateway};

pub(crate) const KEY: &str = "crm-0123456789-0123456789-0123456789-01";
/// What should happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// May call as often as it likes.
pub(crate) const MANY: &str = "many-0123456789-0123456789-0123456789-0";
pub(crate) const OTHER: &str = "other-0123456789-0123456789-0123456789";

pub(crate) struct Host {
    pub(crate) stack: LocalStack,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) livekit: LiveKit,
    pub(crate) store: Arc<GatedStore>,
    _folder: tempfile::TempDir,
    app: Router,
}

impl Host {
    pub(crate) async fn start() -> Self {
        let mut host = Self::without_gateway().await;
        host.gateway = Some(Gateway::start(&host.stack.redis_url()).await);
        host
    }

    pub(crate) async fn without_gateway() -> Self {
        let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
        let livekit = LiveKit::new(&LiveKitConfig {
            url: stack.ws_url(),
            api_key: stack.keys().api_key().into(),
            api_secret: Secret::new(stack.keys().api_secret()),
            webhook_keys: Vec::new(),
        })
        .unwrap();
        let trunk = proto::SipOutboundTrunkInfo {
            name: "out".into(),
            address: "127.0.0.1:5099".into(),
            numbers: vec!["+15550200".into()],
            ..proto::SipOutboundTrunkInfo::default()
        };
        let trunk = livekit
            .create_sip_outbound_trunk(trunk)
            .await
            .unwrap()
            .sip_trunk_id;
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(GatedStore::new(FolderStore::open(folder.path()).await.unwrap()));
        let state = CallsState {
            livekit: livekit.clone(),
            store: store.clone(),
            clock: Arc::new(SystemClock),
            cursors: Cursors::new(&Secret::new("of cursors")),
            config: CallsConfig {
                targets: Targets {
                    numbers: vec!["+1".parse().unwrap()],
                    sip_hosts: vec!["pbx.example.com".into()],
                    special: Vec::new(),
                },
                trunks: vec![trunk],
                from: vec!["Desk".into()],
                max_duration: Duration::from_mins(10),
                ..CallsConfig::default()
            },
        };
        let access = Access::new(&config(), Arc::new(ManualClock::default())).unwrap();
        let (app, _) = router(&access, state).split_for_parts();
        Self {
            stack,
            gateway: None,
            livekit,
            store,
            _folder: folder,
            app,
        }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
        let (status, _, body) = self.send(method, path, key, body, None).await;
        (status, body)
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<Value>,
        idempotency: Option<&str>,
    ) -> (u16, HeaderMap, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {key}"));
        if let Some(idempotency) = idempotency {
            request = request.header("idempotency-key", idempotency);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self
            .app
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1_000_000).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        (parts.status.as_u16(), parts.headers, body)
    }

    pub(crate) async fn call(&self, change: Value) -> (u16, Value) {
        self.ask("POST", "/v1/calls", KEY, Some(wanted(&change))).await
    }

    /// Somebody who joins the room, as far as LiveKit's signalling goes, and is seen there.
    pub(crate) async fn join(&self, room: &str, identity: &str, attributes: &[(&str, &str)]) -> TcpStream {
        let socket = self.enter(room, identity, attributes).await;
        let until = Instant::now() + SOON;
        while self.livekit.participant(room, identity).await.unwrap().is_none() {
            assert!(Instant::now() < until, "{identity} is not in {room}");
            sleep(Duration::from_millis(20)).await;
        }
        socket
    }

    /// Somebody who joins the room and may be sent away before anybody has seen it there. The socket ends when it is.
    pub(crate) async fn enter(&self, room: &str, identity: &str, attributes: &[(&str, &str)]) -> TcpStream {
        let request = TokenRequest::new(room, identity).attributes(attributes.iter().copied());
        let token = self.livekit.participant_token(request).unwrap();
        let server = self.stack.http_url();
        let mut socket = TcpStream::connect(server.trim_start_matches("http://"))
            .await
            .unwrap();
        let upgrade = format!(
            "GET /rtc?protocol=15&auto_subscribe=0&access_token={} HTTP/1.1\r\nHost: livekit\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            token.expose()
        );
        socket.write_all(upgrade.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        socket
    }

    pub(crate) async fn rooms(&self) -> Vec<String> {
        let rooms = self.livekit.list_rooms(&[]).await.unwrap();
        rooms.into_iter().map(|room| room.name).collect()
    }
}

pub(crate) fn wanted(change: &Value) -> Value {
    let mut body = json!({"to": "+14155552671", "wait_until_answered": true});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn config() -> AccessConfig {
    let key = |name: &str, key: &str| AccessKey {
        name: name.into(),
        hash: KeyHash(Sha256::digest(key).into()),
        key: None,
        grant: Grant {
            scopes: vec![
                Scope::CallsRead,
                Scope::CallsWrite,
                Scope::RoomsRead,
                Scope::RoomsWrite,
            ],
            rooms: vec![format!("{name}-*")],
            limits: CallerLimits {
                concurrent: 3,
                calls_per_day: 20,
                minutes_per_day: 1_000,
            },
            ..Grant::default()
        },
    };
    let mut many = key("many", MANY);
    many.grant.limits = CallerLimits {
        concurrent: 1_000,
        calls_per_day: 1_000,
        minutes_per_day: 100_000,
    };
    AccessConfig {
        keys: vec![key("crm", KEY), key("other", OTHER), many],
        jwt: None,
        requests_per_minute: 6_000,
    }
}
