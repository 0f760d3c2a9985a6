//! A service on loopback that replays what OpenAI and its imitators send, and remembers what it was asked.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use futures_util::{StreamExt, stream};
use providers::openai::{Client, OpenAiConfig};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

/// The key that every test uses; no output may show it.
pub(crate) const KEY: &str = "sk-canary-7c1e";

/// What the service sends.
#[derive(Clone)]
pub(crate) struct Replay {
    pub(crate) status: u16,
    pub(crate) media_type: &'static str,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) ending: Ending,
}

/// What happens after the last piece.
#[derive(Clone)]
pub(crate) enum Ending {
    Proper,
    /// The connection stays open and nothing comes.
    Hang,
    /// The connection breaks when that is notified.
    BreakOn(Arc<Notify>),
}

impl Replay {
    pub(crate) fn new(status: u16, media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            media_type,
            pieces: vec![body.into()],
            ending: Ending::Proper,
        }
    }

    /// A streamed reply, cut into pieces of `piece_bytes`.
    pub(crate) fn events(events: &str, piece_bytes: usize) -> Self {
        let pieces = events
            .as_bytes()
            .chunks(piece_bytes)
            .map(<[u8]>::to_vec)
            .collect();
        Self {
            status: 200,
            media_type: "text/event-stream",
            pieces,
            ending: Ending::Proper,
        }
    }

    pub(crate) fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// What the service was asked.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: String,
    pub(crate) media_type: String,
    pub(crate) body: Bytes,
}

/// Runs until it is dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _server: JoinSet<io::Result<()>>,
}

#[derive(Clone)]
struct Script {
    /// By how the path ends.
    replays: Vec<(&'static str, Replay)>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    /// Answers every request with `replay`.
    pub(crate) async fn start(replay: Replay) -> Self {
        Self::with(vec![("", replay)]).await
    }

    /// Answers every request with the first of `replays` whose text its path ends with.
    pub(crate) async fn with(replays: Vec<(&'static str, Replay)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::default());
        let script = Script {
            replays,
            asked: Arc::clone(&asked),
        };
        let router = Router::new().fallback(answer).with_state(script);
        let mut server = JoinSet::new();
        server.spawn(axum::serve(listener, router).into_future());
        Self {
            address,
            asked,
            _server: server,
        }
    }

    pub(crate) fn config(&self) -> OpenAiConfig {
        OpenAiConfig::new(KEY.to_owned(), format!("http://{}/v1/", self.address))
    }

    pub(crate) fn client(&self) -> Client {
        install_tls();
        Client::new(&self.config()).unwrap()
    }

    /// The paths of all requests that came.
    pub(crate) fn paths(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|asked| asked.path.clone()).collect()
    }

    /// The only request that came.
    pub(crate) fn asked(&self) -> Asked {
        let asked = self.asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "requests");
        asked[0].clone()
    }
}

/// Does what a process does when it starts.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (authorization, media_type) = (
        header(&request, "authorization"),
        header(&request, "content-type"),
    );
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 16 << 20).await.unwrap();
    script.asked.lock().unwrap().push(Asked {
        path: path.clone(),
        query,
        authorization,
        media_type,
        body,
    });
    let found = script.replays.iter().find(|(end, _)| path.ends_with(end));
    let replay = found.map_or_else(
        || Replay::new(404, "text/plain", ""),
        |(_, replay)| replay.clone(),
    );

    let Replay {
        status,
        media_type,
        pieces,
        ending,
    } = replay;
    let end = match ending {
        Ending::Proper => stream::empty().boxed(),
        Ending::Hang => stream::pending().boxed(),
        Ending::BreakOn(moment) => stream::once(async move {
            moment.notified().await;
            Err(io::Error::other("broken"))
        })
        .boxed(),
    };
    let pieces = stream::iter(pieces).map(|piece| Ok(Bytes::from(piece)));
    Response::builder()
        .status(status)
        .header("content-type", media_type)
        .body(Body::from_stream(pieces.chain(end)))
        .unwrap()
}

fn header(request: &Request, name: &str) -> String {
    let value = request.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}
