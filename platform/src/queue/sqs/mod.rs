//! The queue on SQS.

mod leases;
mod polls;
mod requests;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use self::{
    leases::Leases,
    polls::{Outcome, Polls},
    requests::Requests,
};
use super::{Depth, Queue, QueueError, Receipt, Received, Sent, check_receive, check_send, check_visibility};
use crate::{aws::Access, clock::SharedClock, config::SqsConfig};

/// The queue on SQS: a FIFO queue, for any number of machines.
///
/// # How the contract is kept
///
/// - `group` is the `MessageGroupId`, `dedup_id` the `MessageDeduplicationId`. SQS does not tell a duplicate from a new
///   body, so every accepted send is [`Sent::Accepted`]. The queue's `DeduplicationScope` should be `messageGroup`; with
///   `queue`, dedup ids count across groups.
/// - A lease is the visibility timeout, in whole seconds. A receipt also goes stale by this process's own clocks: SQS
///   accepts a late heartbeat as long as nobody else has received the body. SQS alone decides about receipts of
///   another process.
/// - Bodies are asked for one by one, since SQS would fill a batch with bodies of one group.
/// - A receive that is dropped goes on in the background, for 20 s and the request's limits at most. What it brings is
///   taken by the next receive, or released at once; that receive counts. Process death leaves it to the lease.
/// - Dead letters are what the queue's `RedrivePolicy` says, which should have `maxReceiveCount` 3
///   ([`MAX_RECEIVES`](super::MAX_RECEIVES)) and a FIFO queue as its target. Retention is set at the queues.
/// - A lost answer to a receive costs nothing: the retry carries the same `ReceiveRequestAttemptId`.
///
/// [`Queue::depth`] is approximate, as SQS says.
#[derive(Clone)]
pub struct SqsQueue {
    requests: Arc<Requests>,
    polls: Arc<Polls>,
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqsQueue").field(&self.requests.config).finish()
    }
}

impl SqsQueue {
    /// Makes the client; nothing is asked before the first call.
    pub async fn new(config: &SqsConfig, access: &Access, clock: SharedClock) -> Self {
        let requests = Arc::new(Requests::new(config, access, Leases::new(clock)).await);
        let giver = requests.clone();
        let polls = Polls::new(move |received: Received| {
            let requests = giver.clone();
            Box::pin(async move {
                if let Err(error) = requests.set_visibility(&received.receipt, Duration::ZERO).await {
                    tracing::debug!(%error, "a job that nobody waited for comes again when its lease ends");
                }
            })
        });
        Self {
            requests,
            polls: Arc::new(polls),
        }
    }

    /// Asks whether the queue can be used, and warns of settings that do not fit the contract.
    ///
    /// # Errors
    /// [`QueueError::Denied`] with the remedy, or [`QueueError::Unavailable`].
    pub async fn check(&self) -> Result<(), QueueError> {
        for warning in self.requests.settings().await?.warnings() {
            tracing::warn!(
                queue = self.requests.config.name(),
                warning,
                "the queue's settings"
            );
        }
        Ok(())
    }

    /// One body, of a receive that was left behind or of a new one. `wait` and all: without one, only a new receive tells
    /// what is there now.
    async fn one(&self, visibility: Duration, wait: Duration) -> Outcome {
        let until = Instant::now() + wait;
        if !wait.is_zero()
            && let Ok(Some(outcome)) = timeout_at(until, self.polls.adopt(visibility)).await
            && !matches!(outcome, Ok(None))
        {
            return outcome;
        }
        let left = until.saturating_duration_since(Instant::now());
        let requests = self.requests.clone();
        self.polls
            .start(
                visibility,
                async move { requests.receive(visibility, left).await },
            )
            .await
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, group: &str, dedup_id: &str, body: &str) -> Result<Sent, QueueError> {
        check_send(group, dedup_id, body)?;
        self.requests.send(group, dedup_id, body).await?;
        Ok(Sent::Accepted)
    }

    async fn receive(
        &self,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, QueueError> {
        check_receive(max, visibility, wait)?;
        let mut batch = Undelivered {
            queue: self,
            received: Vec::new(),
        };
        batch.received.extend(self.one(visibility, wait).await?);
        while !batch.received.is_empty() && batch.received.len() < max {
            match self.one(visibility, Duration::ZERO).await {
                Ok(Some(received)) => batch.received.push(received),
                // What came before the failure is worth more than the failure.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(std::mem::take(&mut batch.received))
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        check_visibility(visibility)?;
        self.requests.set_visibility(receipt, visibility).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.requests.delete(receipt).await
    }

    async fn release(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.requests.set_visibility(receipt, Duration::ZERO).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.requests.depth().await
    }
}

/// Bodies of a batch whose receiver may go away before it is complete.
struct Undelivered<'a> {
    queue: &'a SqsQueue,
    received: Vec<Received>,
}

impl Drop for Undelivered<'_> {
    fn drop(&mut self) {
        for received in self.received.drain(..) {
            self.queue.polls.give_back(received);
        }
    }
}
