//! The functions over a folder and a real livekit-server, whose webhooks they get.

use std::{sync::Arc, time::Duration};

use access::Access;
use axum::{Router, body::Body};
use dev::{LocalStack, LocalStackConfig};
use events::{CallId, CallRecord, EgressRecord, IndexEntry, Outcome, Recording, RecordingPolicy, keys};
use http::{HeaderMap, Request};
use ingress::IngressState;
use parking_lot::Mutex;
use platform::{
    Secret,
    clock::{Clock, ManualClock, SystemClock},
    config::{
        AccessConfig, AccessKey, Grant, IngressConfig, KeyHash, LiveKitConfig, RecordingsConfig, S3Target,
        Scope,
    },
    livekit::{LiveKit, proto},
    queue::SqliteQueue,
    store::{FolderStore, Page, Store},
};
use recordings::{RecordingsState, Signer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sweep::{Report, sweep};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use webhook::{Keys, Policy, WebhookState};

use crate::{
    log,
    peer::{Fate, Peer},
    samples,
};

pub(crate) const KEY: &str = "crm-0123456789-0123456789-0123456789-01";
pub(crate) const OTHER: &str = "other-0123456789-0123456789-0123456789";

/// What must be seen nowhere but on the bus.
pub(crate) const CANARIES: [&str; 3] = ["canary-s3-secret", "canary-s3-key", "canary-stream-key"];
/// A public address; nothing is sent there.
pub(crate) const STREAM: &str = "rtmp://93.184.216.34/live/canary-stream-key";

/// Longer than anything takes that is waited for, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Host {
    pub(crate) stack: LocalStack,
    pub(crate) livekit: LiveKit,
    pub(crate) store: Arc<FolderStore>,
    pub(crate) webhook: WebhookState,
    /// The store lives in it, and goes with it.
    _folder: tempfile::TempDir,
    app: Router,
    answers: Mutex<String>,
    /// The webhooks that have been dealt with: event, and id of egress, ingress or room.
    seen: watch::Receiver<Vec<(String, String)>>,
    _server: AbortOnDropHandle<()>,
}

impl Host {
    pub(crate) async fn start() -> Self {
        log::keep();
        platform::install_providers();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook_url = format!("http://{}{}", listener.local_addr().unwrap(), webhook::PATH);
        let stack = LocalStack::start(LocalStackConfig {
            webhook_url: Some(webhook_url),
            ..LocalStackConfig::default()
        })
        .await
        .unwrap();
        let (api_key, api_secret) = (stack.keys().api_key(), stack.keys().api_secret());
        let livekit = LiveKit::new(&LiveKitConfig {
            url: stack.ws_url(),
            api_key: api_key.into(),
            api_secret: Secret::new(api_secret),
            webhook_keys: Vec::new(),
        })
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FolderStore::open(folder.path().join("store")).await.unwrap());
        let clock = Arc::new(SystemClock);
        let queue = SqliteQueue::open(folder.path().join("queue.sqlite"), clock.clone())
            .await
            .unwrap();
        let webhook = WebhookState {
            keys: Keys::new([(api_key.to_owned(), Secret::new(api_secret))]),
            policy: Policy::default(),
            queue: Arc::new(queue),
            store: store.clone(),
            clock: clock.clone(),
            rooms: None,
        };
        let (told, seen) = watch::channel(Vec::new());
        let server = webhook_server(listener, webhook::router(webhook.clone()), told);
        let access = Access::new(&access_config(), clock.clone()).unwrap();
        let recordings = RecordingsState {
            livekit: livekit.clone(),
            store: store.clone(),
            signer: Signer::new(&Secret::new(api_secret)),
            clock,
            config: recordings_config(),
        };
        let ingress = IngressState {
            livekit: livekit.clone(),
            config: IngressConfig::default(),
        };
        let (app, _) = recordings::router(&access, recordings)
            .merge(ingress::router(&access, ingress))
            .split_for_parts();
        Self {
            stack,
            livekit,
            store,
            webhook,
            _folder: folder,
            app,
            answers: Mutex::default(),
            seen,
            _server: server,
        }
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer::start(&self.stack.redis_url()).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
        let (status, _, body) = self.send(method, path, key, body, &[]).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self
            .app
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1_000_000).await.unwrap().to_vec();
        // A link to a file has the id of its key in it, as all of S3's have.
        if !path.contains("/files/") {
            self.answers.lock().push_str(&String::from_utf8_lossy(&bytes));
        }
        (parts.status.as_u16(), parts.headers, bytes)
    }

    /// Makes a room, whose call is then known to the functions.
    pub(crate) async fn room(&self, name: &str) -> CallId {
        let request = proto::CreateRoomRequest {
            name: name.to_owned(),
            empty_timeout: 120,
            ..proto::CreateRoomRequest::default()
        };
        let room = self.livekit.create_room(request).await.unwrap();
        self.webhook("room_started", &room.sid).await;
        room.sid.parse().unwrap()
    }

    /// Asks for an egress that goes on as the recorded one did; returns its id.
    pub(crate) async fn record(&self, peer: &Peer, recorded: &str, wanted: &Value) -> String {
        let recorded = samples::states("egressInfo", recorded);
        peer.will(Fate::Play(recorded));
        let (status, started) = self.ask("POST", "/v1/egress", KEY, Some(wanted.clone())).await;
        assert_eq!(status, 201, "{started}");
        assert_eq!(started["status"], "starting", "{started}");
        let egress = started["egress"].as_str().unwrap().to_owned();
        self.webhook("egress_started", &egress).await;
        egress
    }

    /// Waits until the webhook has been dealt with.
    pub(crate) async fn webhook(&self, event: &str, id: &str) {
        let mut seen = self.seen.clone();
        let is_there = |seen: &Vec<(String, String)>| seen.iter().any(|(name, of)| name == event && of == id);
        let waited = timeout(PATIENCE, seen.wait_for(is_there)).await;
        assert!(
            waited.is_ok(),
            "no {event} of {id} came: {:?}",
            *self.seen.borrow()
        );
    }

    async fn created_at(&self, call: &CallId) -> events::Timestamp {
        let index = self.store.get(&keys::index(call)).await.unwrap().unwrap();
        serde_json::from_slice::<IndexEntry>(&index.bytes)
            .unwrap()
            .created_at
    }

    pub(crate) async fn egress_record(&self, call: &CallId, egress: &str) -> Option<EgressRecord> {
        let key = keys::egress(self.created_at(call).await, call, &egress.parse().unwrap());
        let object = self.store.get(&key).await.unwrap()?;
        Some(EgressRecord::decode(object.bytes).unwrap())
    }

    pub(crate) async fn is_marked(&self, egress: &str) -> bool {
        let key = keys::open_egress(&egress.parse().unwrap());
        self.store.get(&key).await.unwrap().is_some()
    }

    /// The agent has recorded the call, and closed it.
    pub(crate) async fn agent_recorded(&self, call: &CallId, room: &str, bytes: &[u8]) -> String {
        let at = self.created_at(call).await;
        let key = keys::recording(at, call);
        self.store.put(&key, bytes.to_vec().into()).await.unwrap();
        let mut record = CallRecord::new(call.clone(), room.parse().unwrap(), Outcome::Completed, at, at);
        record.recording = Some(Recording {
            key: key.clone(),
            duration_ms: 5_000,
            policy: RecordingPolicy::Always,
            gate_opened_at: at,
        });
        self.store
            .put(&keys::record(at, call), record.encode().into())
            .await
            .unwrap();
        self.store.delete(&keys::open(call)).await.unwrap();
        key
    }

    /// One run of the sweep, which waits only a little: nothing else works on this store.
    pub(crate) async fn sweep(&self) -> Report {
        self.sweep_after(Duration::ZERO).await
    }

    /// The same, when this long will have gone by.
    pub(crate) async fn sweep_after(&self, later: Duration) -> Report {
        let clock = ManualClock::at(SystemClock.now() + later);
        let webhook = WebhookState {
            clock: Arc::new(clock),
            ..self.webhook.clone()
        };
        sweep(&sweep::State {
            webhook,
            livekit: Arc::new(self.livekit.clone()),
            patience: Duration::from_millis(50),
        })
        .await
    }

    /// No secret is in any answer, object or line of the log.
    pub(crate) async fn assert_no_secrets(&self, more: &[String]) {
        let mut all = log::text() + &self.answers.lock();
        // Through the store: a webhook may still be putting an object in its place.
        let listing = self.store.list("", Page::default()).await.unwrap();
        assert!(listing.next.is_none(), "more than one page");
        for entry in listing.entries {
            let object = self.store.get(&entry.key).await.unwrap();
            all += &object.map_or_else(String::new, |object| {
                String::from_utf8_lossy(&object.bytes).into_owned()
            });
        }
        let more = more.iter().map(String::as_str);
        for canary in CANARIES.into_iter().chain(more) {
            assert!(!all.contains(canary), "{canary}");
        }
    }
}

/// Serves the webhook function, and tells of each webhook once it has been dealt with.
fn webhook_server(
    listener: tokio::net::TcpListener,
    function: Router,
    told: watch::Sender<Vec<(String, String)>>,
) -> AbortOnDropHandle<()> {
    let told = Arc::new(told);
    let receive = move |request: Request<Body>| {
        let (function, told) = (function.clone(), told.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = axum::body::to_bytes(body, 1_000_000).await.unwrap();
            let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let response = function
                .oneshot(Request::from_parts(parts, Body::from(bytes)))
                .await
                .unwrap();
            assert_eq!(response.status(), 200, "{json}");
            let ids = ["/egressInfo/egressId", "/ingressInfo/ingressId", "/room/sid"];
            let id = ids.iter().find_map(|path| json.pointer(path)?.as_str());
            let event = json["event"].as_str().unwrap_or_default().to_owned();
            told.send_modify(|seen| seen.push((event, id.unwrap_or_default().to_owned())));
            response
        }
    };
    let server = Router::new().fallback(receive);
    #[expect(clippy::disallowed_methods, reason = "owned by the handle, which aborts it")]
    let serving = tokio::spawn(async move { axum::serve(listener, server).await.unwrap() });
    AbortOnDropHandle::new(serving)
}

fn recordings_config() -> RecordingsConfig {
    RecordingsConfig {
        s3: Some(S3Target {
            bucket: "recordings".into(),
            region: "us-east-1".into(),
            endpoint: None,
            path_style: false,
            access_key: CANARIES[1].into(),
            secret: Secret::new(CANARIES[0]),
        }),
        private_hosts: Vec::new(),
    }
}

fn access_config() -> AccessConfig {
    let key = |name: &str, key: &str| AccessKey {
        name: name.into(),
        hash: KeyHash(Sha256::digest(key).into()),
        key: None,
        grant: Grant {
            scopes: vec![
                Scope::RecordingsRead,
                Scope::RecordingsWrite,
                Scope::IngressRead,
                Scope::IngressWrite,
            ],
            rooms: vec![format!("{name}-*")],
            ..Grant::default()
        },
    };
    AccessConfig {
        keys: vec![key("crm", KEY), key("other", OTHER)],
        jwt: None,
        requests_per_minute: 6_000,
    }
}

/// A file of this kind of the whole room.
pub(crate) fn file(room: &str, kind: &str) -> Value {
    json!({"room": room, "outputs": {"file": {"kind": kind, "path": "calls/{room_name}-{time}"}}})
}
