//! What becomes of a job in the queue.

use std::time::Duration;

use events::CallJob;
use platform::queue::{MAX_RECEIVES, Received};

use crate::{Setup, cause};

/// How long a job that could not be served waits for its next attempt: two more fit into the time that a phone rings.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// No call lasts longer.
const SPARED_FOR_MS: i64 = 24 * 60 * 60 * 1_000;

/// The job is done.
pub(crate) async fn acknowledge(setup: &Setup, received: &Received) {
    if let Err(error) = setup.terms.queue.delete(&received.receipt).await {
        // The next worker finds the record and drops the job.
        tracing::debug!(%error, "the job was not deleted and comes again");
    }
}

/// The job comes again after `pause`.
pub(crate) async fn wait(setup: &Setup, received: &Received, pause: Duration) {
    if let Err(error) = setup.terms.queue.extend(&received.receipt, pause).await {
        tracing::debug!(%error, "the job comes again by itself");
    }
}

/// The job comes again soon, and has had one attempt more.
pub(crate) async fn give_back(setup: &Setup, received: &Received) {
    wait(setup, received, RETRY_AFTER).await;
}

/// The job comes again after `pause`, and however often it does it is not put aside.
pub(crate) async fn put_off(setup: &Setup, job: &CallJob, received: &Received, pause: Duration) {
    if !renew(setup, job, received).await {
        wait(setup, received, pause).await;
    }
}

/// The job comes again, and what failed was the store's fault and not the job's: it is not put aside while its call may go on, which
/// LiveKit is asked for. When that says that the room is gone, or says nothing for a day, the attempts count.
pub(crate) async fn spare(setup: &Setup, job: &CallJob, received: &Received) {
    let is_gone = match setup.room_is_open(job).await {
        Ok(is_open) => !is_open,
        Err(_) => setup.now().ms_since(job.created_at) > SPARED_FOR_MS,
    };
    if is_gone || !renew(setup, job, received).await {
        give_back(setup, received).await;
    }
}

/// The queue counts how often a job is given out, and puts it aside in the end; that somebody else holds its call, or that the store is
/// away, is no failure of the job's. So the last one but one is replaced by a new one, which waits behind it until it is deleted.
/// True: there is a new one.
pub(crate) async fn renew(setup: &Setup, job: &CallJob, received: &Received) -> bool {
    if received.receive_count + 1 < MAX_RECEIVES {
        return false;
    }
    let queue = &setup.terms.queue;
    let dedup_id = format!("{}:{}:{}", job.dedup_id(), setup.name, setup.now().unix_ms());
    let renewed = match queue.send(job.group(), &dedup_id, &received.body).await {
        // Only now: if anything fails in between there are two, and the claim decides.
        Ok(_) => queue.delete(&received.receipt).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &renewed {
        tracing::warn!(
            error = cause(error),
            "a job whose attempts failed for no fault of its own was not renewed"
        );
    }
    renewed.is_ok()
}
