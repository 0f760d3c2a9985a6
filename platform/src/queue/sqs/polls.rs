//! Receives that outlive whoever waits for them.
//!
//! A request that is cut off while SQS answers it leases a body to nobody, for a whole lease. So every receive runs in a
//! task of its own: when its receiver goes away, the task waits for the answer and gives back what came. The next
//! receiver takes such a task over instead of starting another, so that the two do not compete for the same body.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::task::TaskTracker;

use crate::queue::{QueueError, Received};

/// What came of a receive: a body, or none within its wait.
pub(super) type Outcome = Result<Option<Received>, QueueError>;

/// One receive that is under way, or has ended.
struct Poll {
    /// Only a receiver that asks for the same lease can take it over.
    visibility: Duration,
    state: Mutex<State>,
    ended: Notify,
}

enum State {
    /// Somebody waits for it.
    Wanted,
    /// Its receiver went away.
    Abandoned,
    /// It has ended, and its receiver has not fetched the outcome yet.
    Ended(Outcome),
    /// Nothing is left to be had from it.
    Over,
}

/// The receives of one queue.
pub(super) struct Polls {
    /// Each ends by the time limit of its request.
    tasks: TaskTracker,
    abandoned: Arc<Mutex<VecDeque<Arc<Poll>>>>,
    give_back: Arc<dyn Fn(Received) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Polls {
    /// `give_back` ends the lease of a body that nobody waits for any more.
    pub(super) fn new(
        give_back: impl Fn(Received) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            tasks: TaskTracker::new(),
            abandoned: Arc::default(),
            give_back: Arc::new(give_back),
        }
    }

    /// Takes a receive over that was left behind, and waits for it; `None` when there is none with this lease.
    pub(super) async fn adopt(&self, visibility: Duration) -> Option<Outcome> {
        loop {
            let poll = {
                let mut abandoned = self.abandoned.lock();
                let at = abandoned.iter().position(|poll| poll.visibility == visibility)?;
                abandoned.remove(at)?
            };
            let is_ours = {
                let mut state = poll.state.lock();
                let still_runs = matches!(*state, State::Abandoned);
                if still_runs {
                    *state = State::Wanted;
                }
                still_runs
            };
            if is_ours {
                return Some(self.wait(poll).await);
            }
        }
    }

    /// Starts `request` and waits for it.
    pub(super) async fn start(
        &self,
        visibility: Duration,
        request: impl Future<Output = Outcome> + Send + 'static,
    ) -> Outcome {
        let poll = Arc::new(Poll {
            visibility,
            state: Mutex::new(State::Wanted),
            ended: Notify::new(),
        });
        let (task, abandoned, give_back) = (poll.clone(), self.abandoned.clone(), self.give_back.clone());
        self.tasks.spawn(async move {
            let outcome = request.await;
            let unwanted = {
                let mut state = task.state.lock();
                if matches!(*state, State::Wanted) {
                    *state = State::Ended(outcome);
                    None
                } else {
                    *state = State::Over;
                    outcome.ok().flatten()
                }
            };
            task.ended.notify_one();
            abandoned.lock().retain(|other| !Arc::ptr_eq(other, &task));
            if let Some(received) = unwanted {
                give_back(received).await;
            }
        });
        self.wait(poll).await
    }

    /// Ends the lease of a body whose receiver went away.
    pub(super) fn give_back(&self, received: Received) {
        // Without a runtime the process is ending, and the lease ends by itself.
        if let Ok(runtime) = Handle::try_current() {
            self.tasks.spawn_on((self.give_back)(received), &runtime);
        }
    }

    async fn wait(&self, poll: Arc<Poll>) -> Outcome {
        let waiting = Waiting { polls: self, poll };
        // Cancel-safe: dropped here, the poll is left behind or its outcome given back.
        waiting.poll.ended.notified().await;
        let state = std::mem::replace(&mut *waiting.poll.state.lock(), State::Over);
        match state {
            State::Ended(outcome) => outcome,
            // It is notified only when it has ended.
            _ => Ok(None),
        }
    }
}

/// Somebody who waits for a poll.
struct Waiting<'a> {
    polls: &'a Polls,
    poll: Arc<Poll>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.poll.state.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Wanted => {
                *state = State::Abandoned;
                self.polls.abandoned.lock().push_back(self.poll.clone());
            }
            State::Ended(Ok(Some(received))) => self.polls.give_back(received),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::queue::Receipt;

    const LEASE: Duration = Duration::from_secs(9);

    fn received(body: &str) -> Received {
        Received {
            receipt: Receipt::new("r"),
            group: "g".into(),
            body: body.into(),
            receive_count: 1,
            sent_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn polls() -> (Polls, mpsc::Receiver<String>) {
        let (tx, rx) = mpsc::channel(8);
        let polls = Polls::new(move |received: Received| {
            let tx = tx.clone();
            Box::pin(async move { tx.send(received.body).await.unwrap() })
        });
        (polls, rx)
    }

    fn request() -> (oneshot::Sender<&'static str>, impl Future<Output = Outcome>) {
        let (tx, rx) = oneshot::channel();
        (tx, async move { Ok(rx.await.ok().map(received)) })
    }

    async fn abandon(polls: &Polls, request: impl Future<Output = Outcome> + Send + 'static) {
        tokio::select! {
            biased;
            _ = polls.start(LEASE, request) => panic!("it was not answered yet"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn what_comes_when_nobody_waits_is_given_back() {
        let (polls, mut given_back) = polls();
        let (answer, request) = request();
        abandon(&polls, request).await;
        answer.send("late").unwrap();
        assert_eq!(given_back.recv().await.unwrap(), "late");
        assert!(polls.adopt(LEASE).await.is_none(), "it is over");
    }

    #[tokio::test]
    async fn the_next_receiver_takes_over_what_was_left_behind() {
        let (polls, mut given_back) = polls();
        let (answer, request) = request();
        abandon(&polls, request).await;
        assert!(polls.adopt(LEASE * 2).await.is_none(), "another lease");
        let (adopted, ()) = tokio::join!(polls.adopt(LEASE), async { answer.send("body").unwrap() });
        assert_eq!(adopted.unwrap().unwrap().unwrap().body, "body");
        assert!(given_back.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_answer_that_nobody_fetches_is_given_back() {
        let (polls, mut given_back) = polls();
        let (answer, request) = request();
        let mut receive = Box::pin(polls.start(LEASE, request));
        assert!(futures_util::poll!(receive.as_mut()).is_pending());
        answer.send("body").unwrap();
        // The task ends, and its receiver is not polled again.
        while !polls.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(receive);
        assert_eq!(given_back.recv().await.unwrap(), "body");
    }
}
