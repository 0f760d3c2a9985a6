//! The server's connection to Redis: subscribes to what is served, bids, hands on what is granted, publishes answers, reconnects.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::registry::{Registry, Route};
use super::request::{Incoming, Reply};
use crate::link::{Backoff, CONNECT_TIMEOUT, LinkState, Outgoing, PUBLISH_TIMEOUT, publish};
use crate::wire::{ClaimRequest, ClaimResponse, Frame, Framed as _, Request};
use crate::{CLOCK_SKEW, Channel};

/// How long a bid waits for its grant at most; clients grant the first bid at once, or give up after a second.
pub(super) const GRANT_WAIT: Duration = Duration::from_secs(2);
/// For so long all servers together answer a request once, however often it arrives.
const DEDUP_S: u64 = 5;
/// What psrpc's own servers bid where a method has no rule for it. Clients take the first bid; one that sets a minimum would look at it.
const AFFINITY: f32 = 1.0;
/// Bids that may wait for their grant.
const MAX_BIDS: usize = 1024;
/// The longest that a request may want to wait.
const MAX_TIMEOUT: Duration = Duration::from_mins(5);
/// How long waiting answers may take at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a link is made of.
pub(super) struct Parts {
    pub(super) redis: redis::Client,
    pub(super) server: String,
    pub(super) registry: Arc<Registry>,
    pub(super) answers_tx: mpsc::Sender<Outgoing>,
    pub(super) answers: mpsc::Receiver<Outgoing>,
    pub(super) state: watch::Sender<LinkState>,
    pub(super) now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    pub(super) cancel: CancellationToken,
}

pub(super) struct ServerLink {
    parts: Parts,
    /// By request id.
    bids: HashMap<String, Bid>,
    subscribed: HashSet<String>,
}

/// A request that was bid for.
struct Bid {
    route: Arc<Route>,
    request: Request,
    /// When the client stops waiting for the answer.
    deadline: Instant,
    /// When the grant is no longer to be expected.
    until: Instant,
}

/// The connection is lost, for this reason.
type Lost = &'static str;

impl ServerLink {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            bids: HashMap::new(),
            subscribed: HashSet::new(),
        }
    }

    /// Runs until cancelled.
    pub(super) async fn run(mut self) {
        let cancel = self.parts.cancel.clone();
        let mut backoff = Backoff::default();
        while !cancel.is_cancelled() {
            match self.connect().await {
                Ok((publisher, sink, stream)) => {
                    backoff = Backoff::default();
                    self.parts.state.send_replace(LinkState::Connected);
                    self.serve(publisher, sink, stream).await;
                    // Nothing arrives until it is subscribed to again, and grants of before are lost.
                    self.subscribed.clear();
                    self.bids.clear();
                    for route in self.parts.registry.routes() {
                        route.set_live(false);
                    }
                }
                Err(reason) => {
                    tracing::warn!(reason, "no connection to Redis");
                    self.parts.state.send_replace(LinkState::Failed(reason));
                }
            }
            let _ = timeout(backoff.next(), cancel.cancelled()).await;
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, PubSubSink, PubSubStream), String> {
        let redis = &self.parts.redis;
        let connecting = async {
            let (sink, stream) = redis.get_async_pubsub().await?.split();
            let publisher = redis.get_multiplexed_async_connection().await?;
            Ok::<_, redis::RedisError>((publisher, sink, stream))
        };
        tokio::select! {
            () = self.parts.cancel.cancelled() => Err("closed".to_owned()),
            outcome = timeout(CONNECT_TIMEOUT, connecting) => match outcome {
                Ok(Ok(connections)) => Ok(connections),
                // The error's text may hold the address with its password; its category does not.
                Ok(Err(error)) => Err(error.category().to_owned()),
                Err(_) => Err("timed out".to_owned()),
            },
        }
    }

    /// Returns when the connection is lost, or on cancellation.
    async fn serve(
        &mut self,
        mut publisher: MultiplexedConnection,
        mut sink: PubSubSink,
        mut stream: PubSubStream,
    ) {
        let cancel = self.parts.cancel.clone();
        let registry = Arc::clone(&self.parts.registry);
        loop {
            if let Err(reason) = self.reconcile(&mut sink).await {
                return self.lost(reason);
            }
            let stale_at = self.bids.values().map(|bid| bid.until).min();
            // All arms are cancel-safe; what they lead to runs outside the select's arms to its end.
            let outcome = tokio::select! {
                () = cancel.cancelled() => {
                    let _ = timeout(FLUSH_TIMEOUT, self.flush(&mut publisher)).await;
                    return;
                }
                () = registry.changed.notified() => Ok(()),
                () = sleep_until(stale_at.unwrap_or_else(Instant::now)), if stale_at.is_some() => Ok(()),
                message = stream.next() => match message {
                    Some(message) => {
                        let channel = message.get_channel_name();
                        self.heard(channel, message.get_payload_bytes(), &mut publisher).await
                    }
                    None => Err("the subscription ended"),
                },
                Some(answer) = self.parts.answers.recv() => say(&mut publisher, &answer).await,
            };
            let now = Instant::now();
            self.bids.retain(|_, bid| bid.until > now);
            if let Err(reason) = outcome {
                return self.lost(reason);
            }
        }
    }

    fn lost(&self, reason: Lost) {
        tracing::warn!(reason, "connection to Redis lost");
        self.parts.state.send_replace(LinkState::Connecting);
    }

    async fn flush(&mut self, publisher: &mut MultiplexedConnection) {
        while let Ok(answer) = self.parts.answers.try_recv() {
            if say(publisher, &answer).await.is_err() {
                return;
            }
        }
    }

    /// Subscribes to what is served, and to nothing else. A route that is withdrawn keeps the channel of its grants while bids are open.
    async fn reconcile(&mut self, sink: &mut PubSubSink) -> Result<(), Lost> {
        let routes = self.parts.registry.routes();
        let mut wanted = HashSet::new();
        for route in &routes {
            let has_bids = || self.bids.values().any(|bid| Arc::ptr_eq(&bid.route, route));
            if !route.is_withdrawn() {
                wanted.insert(route.request_channel.clone());
                wanted.insert(route.grant_channel.clone());
            } else if has_bids() {
                wanted.insert(route.grant_channel.clone());
            }
        }
        let gone: Vec<String> = self.subscribed.difference(&wanted).cloned().collect();
        let new: Vec<String> = wanted.difference(&self.subscribed).cloned().collect();
        if !gone.is_empty() {
            within(sink.unsubscribe(&gone)).await?;
        }
        if !new.is_empty() {
            within(sink.subscribe(&new)).await?;
        }
        self.subscribed = wanted;
        for route in routes {
            let is_withdrawn = route.is_withdrawn();
            route.set_live(!is_withdrawn);
            if is_withdrawn && !self.subscribed.contains(&route.grant_channel) {
                self.parts.registry.remove(&route);
            }
        }
        Ok(())
    }

    async fn heard(
        &mut self,
        channel: &str,
        payload: &[u8],
        publisher: &mut MultiplexedConnection,
    ) -> Result<(), Lost> {
        match Frame::parse(payload) {
            Ok(Some(Frame::Request(request))) => {
                if let Some(route) = self.parts.registry.by_request_channel(channel) {
                    return self.bid(route, request, payload, publisher).await;
                }
            }
            Ok(Some(Frame::ClaimResponse(grant))) => self.granted(&grant),
            Ok(other) => tracing::debug!(known = other.is_some(), "unexpected message ignored"),
            Err(error) => tracing::warn!(%error, "malformed message ignored"),
        }
        Ok(())
    }

    async fn bid(
        &mut self,
        route: Arc<Route>,
        request: Request,
        payload: &[u8],
        publisher: &mut MultiplexedConnection,
    ) -> Result<(), Lost> {
        let is_ours = !request.multi && !route.is_withdrawn() && self.bids.len() < MAX_BIDS;
        let Some(wait) = wait_of(&request, (self.parts.now)()).filter(|_| is_ours && (route.gate)()) else {
            return Ok(());
        };
        if !first(payload, publisher).await? {
            return Ok(());
        }
        let claim = ClaimRequest {
            request_id: request.request_id.clone(),
            server_id: self.parts.server.clone(),
            affinity: AFFINITY,
        };
        let channel = Channel::Claim {
            service: &route.service,
            client: &request.client_id,
        };
        let name = channel.name();
        let now = Instant::now();
        let bid = Bid {
            deadline: now + wait,
            until: now + wait.min(GRANT_WAIT),
            route,
            request,
        };
        // Before the bid is out: the grant may overtake the acknowledgement of the publish.
        self.bids.insert(claim.request_id.clone(), bid);
        publish(publisher, &name, &claim.frame()).await
    }

    fn granted(&mut self, grant: &ClaimResponse) {
        let Some(bid) = self.bids.remove(&grant.request_id) else {
            return;
        };
        if grant.server_id != self.parts.server {
            return;
        }
        let Bid {
            route,
            request,
            deadline,
            ..
        } = bid;
        let reply = Reply {
            service: route.service.clone(),
            client_id: request.client_id,
            request_id: request.request_id,
            server_id: self.parts.server.clone(),
            sent_at: (self.parts.now)(),
            answers: self.parts.answers_tx.clone(),
        };
        route.deliver(Incoming::new(request.raw_request, deadline, reply));
    }
}

/// How long the client waits; `None` when the request is out of date. The length is taken from the request itself, since the clocks of
/// the machines differ.
fn wait_of(request: &Request, now: SystemTime) -> Option<Duration> {
    let wait = u64::try_from(request.expiry.checked_sub(request.sent_at)?).ok()?;
    let skew = i64::try_from(CLOCK_SKEW.as_nanos()).unwrap_or(i64::MAX);
    let is_late = crate::wire::nanos_of(now) > request.expiry.saturating_add(skew);
    (wait > 0 && !is_late).then(|| Duration::from_nanos(wait).min(MAX_TIMEOUT))
}

/// Whether this server is the first to see the request.
async fn first(payload: &[u8], publisher: &mut MultiplexedConnection) -> Result<bool, Lost> {
    let key = STANDARD.encode(Sha256::digest(payload));
    let mut command = redis::cmd("SET");
    command.arg(key).arg(1).arg("NX").arg("EX").arg(DEDUP_S);
    match timeout(PUBLISH_TIMEOUT, command.query_async::<Option<String>>(publisher)).await {
        Ok(Ok(done)) => Ok(done.is_some()),
        Ok(Err(_)) => Err("a lock failed"),
        Err(_) => Err("a lock timed out"),
    }
}

async fn say(publisher: &mut MultiplexedConnection, answer: &Outgoing) -> Result<(), Lost> {
    if answer.deadline > Instant::now() {
        publish(publisher, &answer.channel, &answer.payload).await
    } else {
        Ok(())
    }
}

async fn within(change: impl Future<Output = redis::RedisResult<()>>) -> Result<(), Lost> {
    match timeout(PUBLISH_TIMEOUT, change).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("a subscription failed"),
        Err(_) => Err("a subscription timed out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_as_long_as_it_says_whatever_the_clocks_say() {
        let second = 1_000_000_000;
        let request = |sent_at: i64, expiry: i64| Request {
            sent_at: sent_at * second,
            expiry: expiry * second,
            ..Request::default()
        };
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let wait = Some(Duration::from_secs(30));
        assert_eq!(wait_of(&request(1_000, 1_030), at(1_001)), wait);
        assert_eq!(
            wait_of(&request(1_000, 1_030), at(900)),
            wait,
            "our clock is behind"
        );
        assert_eq!(
            wait_of(&request(1_000, 1_030), at(1_140)),
            wait,
            "our clock is ahead"
        );
        assert_eq!(wait_of(&request(1_000, 1_030), at(1_151)), None, "out of date");
        assert_eq!(wait_of(&request(1_030, 1_000), at(1_001)), None);
        assert_eq!(wait_of(&request(0, 1_000_000), at(1)), Some(MAX_TIMEOUT));
        assert_eq!(wait_of(&request(0, 0), at(1)), None);
    }
}
