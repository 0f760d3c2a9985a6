//! The connection to Redis: publishes what callers queue, routes what arrives, reconnects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rand::Rng as _;
use redis::aio::{MultiplexedConnection, PubSubStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::BusError;
use crate::pending::Pending;
use crate::wire::Frame;

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A publish that Redis does not acknowledge within this time means a dead connection.
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A message to publish, unless its deadline has passed by then.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) channel: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) deadline: Instant,
}

/// How the link stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LinkState {
    Connecting,
    Connected,
    /// The last attempt failed, for this reason.
    Failed(String),
}

pub(crate) struct Link {
    pub(crate) redis: redis::Client,
    pub(crate) channels: Vec<String>,
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) state: watch::Sender<LinkState>,
    pub(crate) cancel: CancellationToken,
}

impl Link {
    /// Runs until cancelled.
    pub(crate) async fn run(mut self) {
        let cancel = self.cancel.clone();
        let mut backoff = Backoff::default();
        while !cancel.is_cancelled() {
            match self.connect().await {
                Ok((publisher, subscriber)) => {
                    backoff = Backoff::default();
                    self.state.send_replace(LinkState::Connected);
                    self.serve(publisher, subscriber).await;
                }
                Err(reason) => {
                    tracing::warn!(reason, "no connection to Redis");
                    self.state.send_replace(LinkState::Failed(reason));
                }
            }
            let _ = timeout(backoff.next(), cancel.cancelled()).await;
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, PubSubStream), String> {
        let connecting = async {
            let mut subscriber = self.redis.get_async_pubsub().await?;
            subscriber.subscribe(&self.channels).await?;
            let publisher = self.redis.get_multiplexed_async_connection().await?;
            Ok::<_, redis::RedisError>((publisher, subscriber.into_on_message()))
        };
        tokio::select! {
            () = self.cancel.cancelled() => Err("closed".to_owned()),
            outcome = timeout(CONNECT_TIMEOUT, connecting) => match outcome {
                Ok(Ok(connections)) => Ok(connections),
                // The error's text may hold the address with its password; its category does not.
                Ok(Err(error)) => Err(error.category().to_owned()),
                Err(_) => Err("timed out".to_owned()),
            },
        }
    }

    /// Returns when the connection is lost, or on cancellation.
    async fn serve(&mut self, mut publisher: MultiplexedConnection, mut subscriber: PubSubStream) {
        loop {
            // Both receiving arms are cancel-safe; a publish runs to its end outside the select.
            let outcome = tokio::select! {
                () = self.cancel.cancelled() => return,
                message = subscriber.next() => match message {
                    Some(message) => self.route(message.get_payload_bytes(), &mut publisher).await,
                    None => Err("the subscription ended"),
                },
                outgoing = self.outgoing.recv() => match outgoing {
                    Some(outgoing) if outgoing.deadline > Instant::now() => {
                        publish(&mut publisher, &outgoing.channel, &outgoing.payload).await
                    }
                    Some(_) => Ok(()),
                    None => return,
                },
            };
            if let Err(reason) = outcome {
                tracing::warn!(reason, "connection to Redis lost");
                self.state.send_replace(LinkState::Connecting);
                return;
            }
        }
    }

    async fn route(&self, payload: &[u8], publisher: &mut MultiplexedConnection) -> Result<(), &'static str> {
        match Frame::parse(payload) {
            Ok(Some(Frame::ClaimRequest(claim))) => {
                if let Some(grant) = self.pending.bid(&claim) {
                    return publish(publisher, &grant.channel, &grant.payload).await;
                }
            }
            Ok(Some(Frame::Response(response))) => self.pending.complete(response),
            Ok(other) => tracing::debug!(known = other.is_some(), "unexpected message ignored"),
            Err(error) => tracing::warn!(%error, "malformed message ignored"),
        }
        Ok(())
    }
}

/// Ever longer waits between attempts to connect, each drawn from the upper half of its length.
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF_MIN)
    }
}

impl Backoff {
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.0.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.0 = (self.0 * 2).min(BACKOFF_MAX);
        wait
    }
}

/// Waits for the first connection.
pub(crate) async fn await_connected(
    state: &watch::Receiver<LinkState>,
    deadline: Instant,
) -> Result<(), BusError> {
    let mut waiting = state.clone();
    let outcome = timeout_at(deadline, waiting.wait_for(|state| *state == LinkState::Connected)).await;
    match outcome {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(BusError::Closed),
        Err(_) => Err(BusError::Connect(match &*state.borrow() {
            LinkState::Failed(reason) => reason.clone(),
            _ => "timed out".to_owned(),
        })),
    }
}

pub(crate) async fn publish(
    publisher: &mut MultiplexedConnection,
    channel: &str,
    payload: &[u8],
) -> Result<(), &'static str> {
    let mut command = redis::cmd("PUBLISH");
    command.arg(channel).arg(payload);
    match timeout(PUBLISH_TIMEOUT, command.query_async::<i64>(publisher)).await {
        Ok(Ok(_subscribers)) => Ok(()),
        Ok(Err(_)) => Err("a publish failed"),
        Err(_) => Err("a publish timed out"),
    }
}
