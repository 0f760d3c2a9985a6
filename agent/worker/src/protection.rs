//! Protects the ECS task that this worker is while it serves a call, so that neither scale-in nor a deployment stops it.
//!
//! A job that has come is claimed when the protection is in place, or has been asked for in vain; when the process is told to end before
//! that, the job goes to another worker. So no call begins in a task that is about to stop.

use std::{collections::HashSet, sync::Arc, time::Duration};

use events::CallId;
use platform::{aws::TaskProtection, lifecycle::Lifecycle};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::cause;

/// For how long it is asked for; where the process dies and its task does not, for so long ECS leaves that alone.
const MINUTES: u32 = 60;
/// How often it is asked for again.
const RENEW_EVERY: Duration = Duration::from_mins(30);
/// When ECS refused or did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a phone rings for it at most.
const WAIT_LIMIT: Duration = Duration::from_secs(1);

/// Who keeps the task.
pub(crate) struct Protection {
    task: TaskProtection,
    /// Whether it has been asked for since there is a call.
    asked: watch::Sender<bool>,
}

impl Protection {
    pub(crate) fn new(task: TaskProtection) -> Arc<Self> {
        Arc::new(Self {
            task,
            asked: watch::Sender::new(false),
        })
    }

    /// Waits until the task is protected, as far as that can be had; false when the process was told to end before.
    pub(crate) async fn is_in_place(&self, life: &Lifecycle) -> bool {
        let mut asked = self.asked.subscribe();
        let waits = timeout(WAIT_LIMIT, asked.wait_for(|asked| *asked));
        // Cancel-safe.
        life.soft.run_until_cancelled(waits).await.is_some()
    }

    /// Protects the task while there are `calls`, until the process is told to end and there are none.
    pub(crate) async fn keep(
        self: Arc<Self>,
        mut calls: watch::Receiver<HashSet<CallId>>,
        soft: CancellationToken,
    ) {
        loop {
            // Both are cancel-safe.
            tokio::select! {
                biased;
                some = calls.wait_for(|calls| !calls.is_empty()) => if some.is_err() { return },
                () = soft.cancelled() => return,
            }
            self.while_there_are(&mut calls).await;
            while let Err(error) = self.task.set(None).await {
                tracing::warn!(
                    error = cause(&error),
                    "the task is protected although it serves no call; that ends by itself within the hour"
                );
                let pause = soft.run_until_cancelled(sleep(RETRY_AFTER)).await;
                if pause.is_none() || !calls.borrow().is_empty() {
                    break;
                }
            }
        }
    }

    async fn while_there_are(&self, calls: &mut watch::Receiver<HashSet<CallId>>) {
        loop {
            let again = match self.task.set(Some(MINUTES)).await {
                Ok(()) => RENEW_EVERY,
                Err(error) => {
                    tracing::warn!(
                        error = cause(&error),
                        "ECS may stop this task in the middle of a call; allow it ecs:UpdateTaskProtection"
                    );
                    RETRY_AFTER
                }
            };
            self.asked.send_replace(true);
            let none_is_left = |calls: &HashSet<CallId>| {
                // No call can begin while they are looked at: the next one finds that it has to wait.
                if calls.is_empty() {
                    self.asked.send_replace(false);
                }
                calls.is_empty()
            };
            if timeout(again, calls.wait_for(none_is_left)).await.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
