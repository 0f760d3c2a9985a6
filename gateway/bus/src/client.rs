//! The calling side.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::{Link, LinkState, Outgoing};
use crate::pending::Pending;
use crate::wire::{Framed as _, Request, Response, nanos_of};
use crate::{BusError, CLOCK_SKEW, Channel, Code, Id};

/// How long a request waits for the first bid before it counts as unserved.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(1);

const OUTGOING_QUEUE: usize = 256;
/// What a [`Client`] needs.
#[derive(Clone)]
pub struct Options {
    /// `redis://[user:password@]host:port[/db]`, the very Redis that livekit-server uses.
    pub redis_url: String,
    /// The services that will be called.
    pub services: Vec<String>,
    /// Longest wait for the first connection.
    pub connect_timeout: Duration,
    /// Wall time, for the stamps on requests. The clocks of the machines may differ by two minutes.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// Calls services over Redis. Cheap to clone; the last clone's end closes the connection.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    pending: Arc<Pending>,
    outgoing: mpsc::Sender<Outgoing>,
    state: watch::Receiver<LinkState>,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects and subscribes.
    ///
    /// # Errors
    /// [`BusError::Connect`] if the address is invalid or Redis does not answer within the time allowed.
    pub async fn connect(options: Options) -> Result<Self, BusError> {
        let redis = redis::Client::open(options.redis_url.as_str())
            .map_err(|error| BusError::Connect(error.category().to_owned()))?;
        let id = Id::Client.generate();
        let channels = options
            .services
            .iter()
            .flat_map(|service| {
                [
                    Channel::Claim { service, client: &id }.name(),
                    Channel::Response { service, client: &id }.name(),
                ]
            })
            .collect();
        let pending = Arc::new(Pending::default());
        let (outgoing, outgoing_rx) = mpsc::channel(OUTGOING_QUEUE);
        let (state_tx, state) = watch::channel(LinkState::Connecting);
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let link = Link {
            redis,
            channels,
            outgoing: outgoing_rx,
            pending: Arc::clone(&pending),
            state: state_tx,
            cancel: cancel.clone(),
        };
        tasks.spawn(link.run());
        tasks.close();
        let client = Self {
            inner: Arc::new(Inner {
                id,
                pending,
                outgoing,
                state,
                now: options.now,
                cancel,
                tasks,
            }),
        };
        crate::link::await_connected(&client.inner.state, Instant::now() + options.connect_timeout).await?;
        Ok(client)
    }

    /// Whether Redis is connected at this moment.
    pub fn is_connected(&self) -> bool {
        *self.inner.state.borrow() == LinkState::Connected
    }

    /// Calls started and not yet ended.
    pub fn calls_under_way(&self) -> usize {
        self.inner.pending.len()
    }

    /// Calls `method` of `service` and waits for the answer, at most `timeout` altogether.
    ///
    /// `topic` is empty for a method without topics. `service` must be one of [`Options::services`].
    ///
    /// # Errors
    /// Every [`BusError`] but `Connect`; see there what to do next.
    pub async fn call<Req: Message, Res: Message + Default>(
        &self,
        service: &str,
        method: &str,
        topic: &str,
        request: &Req,
        timeout: Duration,
    ) -> Result<Res, BusError> {
        let raw_request = request.encode_to_vec();
        let response = self
            .exchange(service, method, topic, raw_request, timeout)
            .await?;
        match Code::parse(&response.code) {
            Some(code) => Err(BusError::Remote {
                code,
                message: response.error,
                details: response.error_details,
            }),
            None => Res::decode(response.raw_response.as_slice()).map_err(BusError::Malformed),
        }
    }

    async fn exchange(
        &self,
        service: &str,
        method: &str,
        topic: &str,
        raw_request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Response, BusError> {
        let started = Instant::now();
        let request_id = Id::Request.generate();
        let sent_at = (self.inner.now)();
        let request = Request {
            request_id: request_id.clone(),
            client_id: self.inner.id.clone(),
            sent_at: nanos_of(sent_at),
            expiry: nanos_of(sent_at + timeout + CLOCK_SKEW),
            raw_request,
            ..Request::default()
        };
        let grant_channel = Channel::ClaimGrant {
            service,
            method,
            topic,
        }
        .name();
        let mut ticket = self.inner.pending.register(&request_id, grant_channel)?;
        let outgoing = Outgoing {
            channel: Channel::Request {
                service,
                method,
                topic,
            }
            .name(),
            payload: request.frame(),
            deadline: started + CLAIM_TIMEOUT.min(timeout),
        };
        self.inner
            .outgoing
            .try_send(outgoing)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => BusError::Busy,
                mpsc::error::TrySendError::Closed(_) => BusError::Closed,
            })?;
        match timeout_at(started + CLAIM_TIMEOUT.min(timeout), &mut ticket.claimed).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(BusError::Closed),
            Err(_) => return Err(BusError::NoServer),
        }
        match timeout_at(started + timeout, &mut ticket.response).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(BusError::Closed),
            Err(_) => Err(BusError::Timeout),
        }
    }

    /// Closes the connection and waits for the task's end.
    pub async fn shutdown(&self) {
        self.inner.cancel.cancel();
        self.inner.tasks.wait().await;
    }
}
