//! How a process ends: softly when asked once, hard when asked twice or when draining takes too long.
//!
//! | signal | soft token | hard token |
//! |---|---|---|
//! | first SIGTERM, SIGINT or Ctrl-C | cancelled: take no new work, finish what runs | |
//! | second one, or the drain limit | | cancelled: drop what runs at the next await |
//!
//! Cancelling the hard token cancels the soft one too, so that a task needs to watch one of them only.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks get to run their last steps after the hard token.
const HARD_LIMIT: Duration = Duration::from_secs(5);

/// The tokens and the task tracker of one process. Clones share them.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// Cancelled when the process shall take no new work.
    pub soft: CancellationToken,
    /// Cancelled when the process shall drop its work.
    pub hard: CancellationToken,
    /// Owns every task of the process.
    pub tasks: TaskTracker,
    /// Owns the task that takes the process's signals, which nobody waits for.
    signals: TaskTracker,
}

/// How the process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every task finished by itself after the soft token.
    Drained,
    /// The hard token was needed; every task then ended.
    Cut,
    /// So many tasks ignored the hard token and were left behind. A bug: log it.
    Abandoned(usize),
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// Fresh tokens and an empty tracker.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        Self {
            soft: hard.child_token(),
            hard,
            tasks: TaskTracker::new(),
            signals: TaskTracker::new(),
        }
    }

    /// Takes the process's signals from here on, by a task that ends with the process: the first one cancels `soft`, one after that
    /// `hard`. To be called once, before anything that takes time, so that none is lost.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn take_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        self.signals.spawn(async move {
            loop {
                // Both arms are cancel-safe: a signal that is not taken now is taken next time.
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                life.told_to_end(name);
            }
        });
        Ok(())
    }

    fn told_to_end(&self, signal: &str) {
        if self.soft.is_cancelled() {
            tracing::warn!(signal, tasks = self.tasks.len(), "told to stop now");
            self.hard.cancel();
        } else {
            tracing::info!(signal, "told to end");
            self.soft.cancel();
        }
    }

    /// Does `work`, which comes before [`supervise`](Self::supervise); `None` when the process is told to end meanwhile. `work` has
    /// to be cancel-safe.
    pub async fn prepare<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.soft.run_until_cancelled(work).await
    }

    /// Waits for the first signal (or for somebody to cancel `soft`, as a vital task does when it fails), drains for up
    /// to `drain_limit`, and returns when all tasks have ended or have been given up.
    pub async fn supervise(&self, drain_limit: Duration) -> Ending {
        self.soft.cancelled().await;
        tracing::info!(limit = ?drain_limit, "draining");
        self.tasks.close();
        let drain_until = Instant::now() + drain_limit;
        tokio::select! {
            // Cancel-safe, all three. In this order, because tasks that ended on the hard token were cut and did not drain,
            // however soon after it they ended.
            biased;
            () = self.hard.cancelled() => {}
            () = self.tasks.wait() => return Ending::Drained,
            _ = timeout_at(drain_until, std::future::pending::<()>()) => {
                tracing::warn!(limit = ?drain_limit, tasks = self.tasks.len(), "drain limit reached, stopping now");
            }
        }
        self.hard.cancel();
        match timeout(HARD_LIMIT, self.tasks.wait()).await {
            Ok(()) => Ending::Cut,
            Err(_) => Ending::Abandoned(self.tasks.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a process that gets signals at the given seconds of virtual time.
    async fn ending(life: &Lifecycle, signals: &[u64], drain_limit: Duration) -> Ending {
        let start = Instant::now();
        let sent = async {
            for at in signals {
                tokio::time::sleep_until(start + Duration::from_secs(*at)).await;
                life.told_to_end("TEST");
            }
            std::future::pending().await
        };
        tokio::select! {
            ending = sent => ending,
            ending = life.supervise(drain_limit) => ending,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_signal_drains_and_waits_for_the_tasks() {
        let life = Lifecycle::new();
        let soft = life.soft.clone();
        life.tasks.spawn(async move {
            soft.cancelled().await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        });
        let start = Instant::now();
        assert_eq!(ending(&life, &[1], Duration::from_mins(1)).await, Ending::Drained);
        assert_eq!(start.elapsed().as_secs(), 31);
        assert!(!life.hard.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cuts_the_drain_short() {
        let life = Lifecycle::new();
        let hard = life.hard.clone();
        life.tasks.spawn(async move { hard.cancelled().await });
        let start = Instant::now();
        assert_eq!(ending(&life, &[1, 3], Duration::from_mins(1)).await, Ending::Cut);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_limit_cuts_and_a_deaf_task_is_counted() {
        let life = Lifecycle::new();
        life.tasks.spawn(std::future::pending::<()>());
        let start = Instant::now();
        assert_eq!(
            ending(&life, &[0], Duration::from_secs(7)).await,
            Ending::Abandoned(1)
        );
        assert_eq!(start.elapsed(), Duration::from_secs(7) + HARD_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_vital_task_drains_without_any_signal() {
        let life = Lifecycle::new();
        let soft = life.soft.clone();
        life.tasks.spawn(async move { soft.cancel() });
        assert_eq!(ending(&life, &[], Duration::from_secs(7)).await, Ending::Drained);
    }

    #[tokio::test]
    async fn a_real_sigterm_ends_what_is_prepared_and_is_not_forgotten_after_it() {
        let life = Lifecycle::new();
        life.take_signals().unwrap();
        let pid = std::process::id().to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        assert_eq!(life.prepare(std::future::pending::<()>()).await, None);
        assert_eq!(life.supervise(Duration::from_secs(5)).await, Ending::Drained);
        assert!(life.soft.is_cancelled() && !life.hard.is_cancelled());
    }

    #[test]
    fn hard_implies_soft_and_not_the_other_way_round() {
        let life = Lifecycle::new();
        life.soft.cancel();
        assert!(!life.hard.is_cancelled());
        let life = Lifecycle::new();
        life.hard.cancel();
        assert!(life.soft.is_cancelled());
    }
}
