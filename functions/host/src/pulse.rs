//! Where a connection stands between two requests, and until when it may stay there.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::Limits;

/// Shared by the parts of one connection and by the door, which closes silent ones.
#[derive(Debug)]
pub(crate) struct Pulse {
    limits: Limits,
    state: Mutex<State>,
    /// Told whenever the connection falls silent.
    silent: Arc<Notify>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    phase: Phase,
    deadline: Instant,
    /// Since when the sender takes nothing in.
    blocked: Option<Instant>,
    silent_since: Instant,
    /// Whether it has been answered with success.
    is_welcome: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was heard yet.
    New,
    /// Nothing was heard since the last answer.
    Idle,
    /// A request's head has begun.
    Head,
    /// The router has the request.
    Request,
    /// The answer is on its way.
    Answer,
}

/// How dispensable a silent connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) is_welcome: bool,
    pub(crate) since: Instant,
}

impl Pulse {
    /// A connection that was accepted now.
    pub(crate) fn new(limits: Limits, silent: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self {
            limits,
            state: Mutex::new(State {
                phase: Phase::New,
                deadline: now + limits.head,
                blocked: None,
                silent_since: now,
                is_welcome: false,
            }),
            silent,
        }
    }

    /// When the connection is to be closed if nothing changes.
    pub(crate) fn deadline(&self) -> Instant {
        let state = *self.state.lock();
        let blocked = state.blocked.map(|since| since + self.limits.write);
        blocked.map_or(state.deadline, |limit| limit.min(state.deadline))
    }

    /// `None` while a request is under way.
    pub(crate) fn silence(&self) -> Option<Silence> {
        let state = *self.state.lock();
        matches!(state.phase, Phase::New | Phase::Idle | Phase::Head).then_some(Silence {
            is_welcome: state.is_welcome,
            since: state.silent_since,
        })
    }

    /// Some bytes came.
    pub(crate) fn heard(&self) {
        let mut state = self.state.lock();
        match state.phase {
            // The limit runs since the connection was accepted.
            Phase::New => state.phase = Phase::Head,
            Phase::Idle => {
                state.phase = Phase::Head;
                state.deadline = Instant::now() + self.limits.head;
            }
            Phase::Head | Phase::Request | Phase::Answer => {}
        }
    }

    /// A head was read, and the router is asked.
    pub(crate) fn asked(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Request;
        // The router's own limit comes first, and has an answer.
        state.deadline = Instant::now() + self.limits.request + self.limits.write;
    }

    /// The router has answered.
    pub(crate) fn answered(&self, with_success: bool) {
        let mut state = self.state.lock();
        state.phase = Phase::Answer;
        state.deadline = Instant::now() + self.limits.request;
        state.is_welcome |= with_success;
    }

    /// A piece of the answer's body was made.
    pub(crate) fn gave(&self) {
        self.state.lock().deadline = Instant::now() + self.limits.request;
    }

    /// All of the answer was handed over.
    pub(crate) fn finished(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.phase = Phase::Idle;
        state.deadline = now + self.limits.idle;
        state.silent_since = now;
        drop(state);
        self.silent.notify_one();
    }

    /// Whether the sender takes nothing in.
    pub(crate) fn blocked(&self, is_blocked: bool) {
        let mut state = self.state.lock();
        state.blocked = is_blocked.then(|| state.blocked.unwrap_or_else(Instant::now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pulse() -> Pulse {
        Pulse::new(Limits::default(), Arc::default())
    }

    fn left(pulse: &Pulse) -> u64 {
        (pulse.deadline() - Instant::now()).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_one_limit_however_many_bytes_come() {
        let pulse = pulse();
        assert_eq!(left(&pulse), 10);
        advance(SECOND * 4).await;
        pulse.heard();
        assert_eq!(left(&pulse), 6, "it runs since the connection was accepted");
        pulse.heard();
        assert_eq!(left(&pulse), 6);

        pulse.asked();
        pulse.answered(true);
        pulse.finished();
        assert_eq!(left(&pulse), 120);
        advance(SECOND * 50).await;
        pulse.heard();
        assert_eq!(left(&pulse), 10, "it runs since the first byte");
        advance(SECOND * 3).await;
        pulse.heard();
        assert_eq!(left(&pulse), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_takes_nothing_in_has_ten_seconds_from_when_it_stopped() {
        let pulse = pulse();
        pulse.asked();
        pulse.answered(true);
        pulse.blocked(true);
        advance(SECOND * 4).await;
        pulse.gave();
        pulse.blocked(true);
        assert_eq!(left(&pulse), 6);
        pulse.blocked(false);
        assert_eq!(left(&pulse), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_silent_but_for_its_requests() {
        let pulse = pulse();
        assert!(pulse.silence().is_some_and(|silence| !silence.is_welcome));
        pulse.heard();
        assert!(pulse.silence().is_some(), "half a head says nothing");
        pulse.asked();
        assert_eq!(pulse.silence(), None);
        pulse.answered(false);
        pulse.finished();
        assert!(pulse.silence().is_some_and(|silence| !silence.is_welcome));
        pulse.asked();
        pulse.answered(true);
        pulse.finished();
        assert!(pulse.silence().is_some_and(|silence| silence.is_welcome));
    }
}
