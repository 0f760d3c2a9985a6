//! The serving side.

mod link;
mod registry;
mod request;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::LinkState;
use crate::{BusError, Id};
use link::ServerLink;
use registry::{Registry, Route};
pub use request::{Fault, Incoming};

/// Requests of one method that may wait for who serves it.
pub const REQUEST_QUEUE: usize = 64;
/// Answers that may wait for the connection.
const ANSWER_QUEUE: usize = 256;

/// What a [`Server`] needs.
#[derive(Clone)]
pub struct ServerOptions {
    /// `redis://[user:password@]host:port[/db]`, the very Redis that livekit-server uses.
    pub redis_url: String,
    /// Longest wait for the first connection.
    pub connect_timeout: Duration,
    /// Wall time, for the expiry of requests. The clocks of the machines may differ by two minutes.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions").finish_non_exhaustive()
    }
}

/// A method that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method<'a> {
    pub service: &'a str,
    pub method: &'a str,
    /// Empty for a method without topics.
    pub topic: &'a str,
}

/// Whether a request may be taken at this moment. One that may not is left to another server, without a word.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// Serves methods over Redis. Cheap to clone; the last clone's end closes the connection.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    registry: Arc<Registry>,
    state: watch::Receiver<LinkState>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Connects; nothing is served yet.
    ///
    /// # Errors
    /// [`BusError::Connect`] if the address is invalid or Redis does not answer within the time allowed.
    pub async fn connect(options: ServerOptions) -> Result<Self, BusError> {
        let redis = redis::Client::open(options.redis_url.as_str())
            .map_err(|error| BusError::Connect(error.category().to_owned()))?;
        let registry = Arc::new(Registry::default());
        let (answers_tx, answers) = mpsc::channel(ANSWER_QUEUE);
        let (state_tx, state) = watch::channel(LinkState::Connecting);
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let id = Id::Server.generate();
        let link = ServerLink::new(link::Parts {
            redis,
            server: id.clone(),
            registry: Arc::clone(&registry),
            answers_tx,
            answers,
            state: state_tx,
            now: options.now,
            cancel: cancel.clone(),
        });
        tasks.spawn(link.run());
        tasks.close();
        let inner = Inner {
            id,
            registry,
            state,
            cancel,
            tasks,
        };
        let server = Self {
            inner: Arc::new(inner),
        };
        crate::link::await_connected(&server.inner.state, Instant::now() + options.connect_timeout).await?;
        Ok(server)
    }

    /// Serves `method` until the value is dropped. A method that is served already is taken over.
    pub fn serve(&self, method: Method<'_>, gate: Gate) -> Requests {
        let (incoming_tx, incoming) = mpsc::channel(REQUEST_QUEUE);
        let (live_tx, live) = watch::channel(false);
        let route = Arc::new(Route::new(method, gate, incoming_tx, live_tx));
        self.inner.registry.add(Arc::clone(&route));
        Requests {
            route,
            registry: Arc::clone(&self.inner.registry),
            incoming,
            live,
        }
    }

    /// Whether Redis is connected at this moment.
    pub fn is_connected(&self) -> bool {
        *self.inner.state.borrow() == LinkState::Connected
    }

    /// Methods that are served, topics counted one by one.
    pub fn served(&self) -> usize {
        self.inner.registry.len()
    }

    /// Sends the answers that wait, closes the connection and waits for the task's end.
    pub async fn shutdown(&self) {
        self.inner.cancel.cancel();
        self.inner.tasks.wait().await;
    }
}

/// The requests of one method. Dropping it ends the serving; requests that it holds are answered as not served.
pub struct Requests {
    route: Arc<Route>,
    registry: Arc<Registry>,
    incoming: mpsc::Receiver<Incoming>,
    live: watch::Receiver<bool>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Requests {
    /// The next request that was granted to this server. After [`Requests::withdraw`] those that were under way, then `None`.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Waits until requests can arrive; `false` when that took longer than `within`, as it does without Redis.
    pub async fn ready(&mut self, within: Duration) -> bool {
        let live = self.live.wait_for(|live| *live);
        matches!(timeout_at(Instant::now() + within, live).await, Ok(Ok(_)))
    }

    /// Takes no new requests from now on. Those that were bid for still arrive, for [`link::GRANT_WAIT`] at most.
    pub fn withdraw(&self) {
        self.registry.withdraw(&self.route);
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.registry.remove(&self.route);
    }
}
