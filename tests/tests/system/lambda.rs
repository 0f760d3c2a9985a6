//! Lambda as its functions see it: the runtime interface, and an HTTP front that makes events of requests.
//!
//! The interface is the documented one (`/2018-06-01/runtime`), so that the very binaries that are deployed run here. `cargo lambda watch`
//! would build them once more, for minutes. With [`PACKAGES`] its interface serves in place of the test's own, and what `make lambda` has
//! built in place of what the test was built with (`make test-lambda`).

use std::{
    collections::HashMap,
    fs::File,
    net::SocketAddr,
    path::{Path as FsPath, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{
    emulator::{self, Emulator},
    program::built,
};

/// The variable that names a folder of packages, as `make lambda` leaves one for each architecture.
const PACKAGES: &str = "TRUNKLINE_LAMBDA_PACKAGES";
/// As long as the longest of the functions may take.
const LIMIT: Duration = Duration::from_secs(55);
/// More than a test has under way.
const WAITING: usize = 64;

pub(crate) struct Event {
    pub(crate) body: Value,
    pub(crate) answer: oneshot::Sender<Value>,
}

/// A function with its process.
pub(crate) struct Function {
    events: mpsc::Sender<Event>,
    _process: Child,
    _interface: JoinSet<()>,
    _emulator: Option<Emulator>,
}

struct Interface {
    events: Mutex<mpsc::Receiver<Event>>,
    running: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    count: AtomicU32,
}

impl Function {
    /// Starts the binary as Lambda does: with its package's folder and the interface's address, and nothing else that it needs.
    pub(crate) async fn start(name: &str, package: &FsPath, env: &[(&str, String)], log: &FsPath) -> Self {
        let (events, receiver) = mpsc::channel(WAITING);
        let packages = std::env::var_os(PACKAGES).map(PathBuf::from);
        let (program, address, interface, emulator) = if let Some(packages) = packages {
            let emulator = Emulator::start(log).await;
            let interface = emulator::hand_over(emulator.invocations(name), receiver);
            let program = packages.join(name).join("bootstrap");
            (program, emulator.interface(name), interface, Some(emulator))
        } else {
            let (address, interface) = interface(receiver).await;
            (built(name), address.to_string(), interface, None)
        };
        let out = File::options().append(true).open(log).unwrap();
        let process = Command::new(program)
            .env_clear()
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", format!("trunkline-{name}"))
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .env("LAMBDA_TASK_ROOT", package)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            events,
            _process: process,
            _interface: interface,
            _emulator: emulator,
        }
    }

    /// Hands an event to the function and waits for its answer.
    pub(crate) async fn invoke(&self, body: Value) -> Value {
        invoke(&self.events, body).await.expect("the function answers")
    }
}

/// Lambda's interface for one function.
async fn interface(events: mpsc::Receiver<Event>) -> (SocketAddr, JoinSet<()>) {
    let interface = Arc::new(Interface {
        events: Mutex::new(events),
        running: Mutex::default(),
        count: AtomicU32::new(0),
    });
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(answered))
        .with_state(interface);
    serve(router, "127.0.0.1:0").await
}

async fn invoke(events: &mpsc::Sender<Event>, body: Value) -> Option<Value> {
    let (answer, answered) = oneshot::channel();
    events.send(Event { body, answer }).await.ok()?;
    timeout(LIMIT, answered).await.ok()?.ok()
}

async fn serve(router: Router, at: impl tokio::net::ToSocketAddrs) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, tasks)
}

async fn next(State(interface): State<Arc<Interface>>) -> Response {
    let Some(event) = interface.events.lock().await.recv().await else {
        // The test is over: Lambda, too, answers a function that is to go no more.
        return std::future::pending().await;
    };
    let id = format!(
        "00000000-0000-0000-0000-{:012}",
        interface.count.fetch_add(1, Ordering::Relaxed)
    );
    interface.running.lock().await.insert(id.clone(), event.answer);
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        // The year 2100: the functions have limits of their own.
        ("lambda-runtime-deadline-ms", "4102444800000".to_owned()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:test".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, event.body.to_string()).into_response()
}

async fn answered(
    State(interface): State<Arc<Interface>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    let Some(answer) = interface.running.lock().await.remove(&id) else {
        return StatusCode::NOT_FOUND;
    };
    // Whoever has asked may have gone.
    let _ = answer.send(serde_json::from_slice(&body).unwrap());
    StatusCode::ACCEPTED
}

/// The functions with HTTP events, behind one address.
pub(crate) struct Front {
    _serving: JoinSet<()>,
}

#[derive(Clone)]
struct Behind {
    webhook: mpsc::Sender<Event>,
    token: mpsc::Sender<Event>,
    api: mpsc::Sender<Event>,
}

impl Front {
    /// Requests go where the function URL and the HTTP API of `infra/terraform` send them.
    pub(crate) async fn start(at: SocketAddr, webhook: &Function, token: &Function, api: &Function) -> Self {
        let behind = Behind {
            webhook: webhook.events.clone(),
            token: token.events.clone(),
            api: api.events.clone(),
        };
        let router = Router::new().fallback(forward).with_state(behind);
        let (_, serving) = serve(router, at).await;
        Self { _serving: serving }
    }
}

async fn forward(State(behind): State<Behind>, request: Request) -> Response {
    let function = match request.uri().path() {
        "/webhooks/livekit" => &behind.webhook,
        "/v1/token" => &behind.token,
        _ => &behind.api,
    };
    let event = event(request).await;
    match invoke(function, event).await {
        Some(answer) => response(&answer),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// A request as version 2.0 of the payload has it, for HTTP APIs and function URLs. The body comes in base64, as it does for types that AWS
/// does not take for text.
async fn event(request: Request) -> Value {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1024 * 1024).await.unwrap();
    let path = parts.uri.path();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers(&parts.headers),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "test",
            "domainName": "test.lambda-url.us-east-1.on.aws",
            "domainPrefix": "test",
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
            "requestId": "test",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_u64,
        },
        "body": STANDARD.encode(&body),
        "isBase64Encoded": true,
    })
}

fn headers(headers: &HeaderMap) -> HashMap<&str, &str> {
    let text = |value| std::str::from_utf8(value).unwrap();
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), text(value.as_bytes())))
        .collect()
}

fn response(answer: &Value) -> Response {
    let Some(status) = answer["statusCode"].as_u64() else {
        // What a function answers that has failed.
        return (StatusCode::BAD_GATEWAY, answer.to_string()).into_response();
    };
    let body = answer["body"].as_str().unwrap_or_default();
    let body = if answer["isBase64Encoded"] == true {
        STANDARD.decode(body).unwrap()
    } else {
        body.as_bytes().to_vec()
    };
    let mut response = Response::builder().status(status as u16);
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().unwrap());
    }
    response.body(Body::from(body)).unwrap()
}
