//! The worker's loop: a free slot first, then a job, then a task of its own for the call.

use std::{sync::Arc, time::Duration};

use events::CallJob;
use futures_util::future::join_all;
use platform::{lifecycle::Lifecycle, queue::Received};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tracing::Instrument;

use crate::{Setup, cause, serve};

/// How long one receive waits for a job.
const RECEIVE_WAIT: Duration = Duration::from_secs(10);
/// How long the synthesis of fixed phrases may hold up the start.
const PREPARE_LIMIT: Duration = Duration::from_secs(10);
/// How long the loop waits after the queue failed.
const QUEUE_BACKOFF: Duration = Duration::from_secs(1);

/// Takes calls from the queue and serves them, as many at a time as there are slots.
pub struct Worker {
    setup: Arc<Setup>,
    slots: Arc<Semaphore>,
}

impl Worker {
    /// A worker that is ready to [`run`](Worker::run).
    pub fn new(setup: Setup) -> Self {
        let slots = Arc::new(Semaphore::new(setup.slots));
        Self {
            setup: Arc::new(setup),
            slots,
        }
    }

    /// Synthesises what the agents say in every call, so that the first caller of the day is greeted as soon as the others. At most
    /// 10 s; what is not ready by then, or fails, is synthesised by the first call that says it. Cancel-safe.
    pub async fn prepare(&self) {
        prepare(&self.setup).await;
    }

    /// Takes jobs until the soft token; calls that are under way go on, as tasks of `life`. [`Worker::prepare`] comes first.
    pub async fn run(self, life: Lifecycle) {
        if let Some(protection) = self.setup.protection.clone() {
            let calls = self.setup.serving.calls();
            life.tasks.spawn(protection.keep(calls, life.soft.clone()));
        }
        tracing::info!(worker = %self.setup.name, slots = self.setup.slots, "waiting for calls");
        loop {
            let Some((received, slot)) = self.next(&life).await else {
                break;
            };
            let setup = self.setup.clone();
            let job = match CallJob::decode(received.body.as_bytes()) {
                Ok(job) => job,
                Err(error) => {
                    // It stays leased and comes again until the queue puts it aside: it fails alone, and is not lost.
                    tracing::error!(
                        error = cause(&error),
                        group = received.group,
                        "a job that cannot be read"
                    );
                    continue;
                }
            };
            let span = tracing::info_span!("call", call_id = job.call.as_str());
            let of_process = life.clone();
            let call = async move {
                serve::job(&setup, job, &received, &of_process).await;
                drop(slot);
            };
            life.tasks.spawn(call.instrument(span));
        }
        tracing::info!("taking no more calls");
    }

    /// The next job with a slot for it; `None` when the worker is to stop.
    async fn next(&self, life: &Lifecycle) -> Option<(Received, OwnedSemaphorePermit)> {
        // Cancel-safe: a permit that is not taken stays with the semaphore.
        let slot = tokio::select! {
            () = life.soft.cancelled() => return None,
            slot = self.slots.clone().acquire_owned() => slot.ok()?,
        };
        loop {
            // Cancel-safe, as the queue promises: what was leased by a dropped receive comes again.
            let received = tokio::select! {
                () = life.soft.cancelled() => return None,
                received = self.setup.terms.queue.receive(1, self.setup.terms.lease, RECEIVE_WAIT) => received,
            };
            match received {
                Ok(mut jobs) => {
                    if let Some(job) = jobs.pop() {
                        return Some((job, slot));
                    }
                }
                Err(error) => {
                    tracing::error!(error = cause(&error), "the queue gave no job");
                    tokio::select! {
                        () = life.soft.cancelled() => return None,
                        () = tokio::time::sleep(QUEUE_BACKOFF) => {}
                    }
                }
            }
        }
    }
}

async fn prepare(setup: &Setup) {
    let agents = setup.agents.iter().map(|(name, agent)| async move {
        let preparing = agent
            .phrases
            .prepare(&agent.profile, agent.tts.clone(), pipeline::SAMPLE_RATE_HZ);
        match timeout(PREPARE_LIMIT, preparing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    profile = name.as_str(),
                    error = cause(&error),
                    "the fixed phrases could not be prepared"
                );
            }
            Err(_) => tracing::warn!(
                profile = name.as_str(),
                "the fixed phrases were not prepared within {PREPARE_LIMIT:?}"
            ),
        }
    });
    join_all(agents).await;
}
