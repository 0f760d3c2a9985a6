//! The queue behind a `NativeAudioSource`: the program pushes frames of any length, the driver pulls 20 ms at a time.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::runtime;

const FRAME: Duration = Duration::from_millis(20);
/// From a sample's being pushed onto an empty queue to its packet on the wire, on average: half a frame until it is pulled, and what the
/// encoder looks ahead (6.5 ms).
pub(crate) const SEND_DELAY: Duration = Duration::from_micros(16_500);
/// A source that nothing has pulled from for so long is not connected.
const UNPULLED: Duration = Duration::from_millis(60);
/// What a source without a queue may hold: enough for a driver that is a little late.
const UNQUEUED_MS: u32 = 60;

pub(crate) struct SourceQueue {
    sample_rate: u32,
    channels: u32,
    /// Interleaved samples that may wait; `None` for a source that never makes its caller wait.
    limit: Option<usize>,
    state: Mutex<State>,
    drained: Notify,
}

struct State {
    samples: VecDeque<i16>,
    last_pull: Option<Instant>,
}

impl SourceQueue {
    pub(crate) fn new(sample_rate: u32, channels: u32, queue_size_ms: u32) -> Self {
        let per_second = u64::from(sample_rate) * u64::from(channels);
        let limit = u64::from(queue_size_ms) * per_second / 1_000;
        Self {
            sample_rate,
            channels,
            limit: (queue_size_ms > 0).then_some(limit as usize),
            state: Mutex::new(State {
                samples: VecDeque::new(),
                last_pull: None,
            }),
            drained: Notify::new(),
        }
    }

    pub(crate) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    pub(crate) fn channels(&self) -> u32 {
        self.channels
    }

    /// Interleaved samples in 20 ms.
    pub(crate) fn frame_samples(&self) -> usize {
        (self.sample_rate / 50 * self.channels) as usize
    }

    /// Queues `frame` and waits until no more than the limit is queued. At most one frame beyond the limit is ever held, also when
    /// callers give up waiting.
    pub(crate) async fn capture(&self, frame: &[i16]) {
        let Some(limit) = self.limit else {
            self.push_unqueued(frame);
            return;
        };
        self.drained_to(limit).await;
        self.state.lock().samples.extend(frame);
        self.drained_to(limit).await;
    }

    pub(crate) fn clear(&self) {
        self.state.lock().samples.clear();
        self.drained.notify_waiters();
    }

    /// Fills `frame` with the next 20 ms, padded with silence. False when there was no sound at all.
    pub(crate) fn pull(&self, frame: &mut Vec<i16>, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.last_pull = Some(now);
        let available = state.samples.len().min(self.frame_samples());
        frame.clear();
        frame.extend(state.samples.drain(..available));
        drop(state);
        frame.resize(self.frame_samples(), 0);
        if available > 0 {
            self.drained.notify_waiters();
        }
        available > 0
    }

    fn push_unqueued(&self, frame: &[i16]) {
        let most = self.frame_samples() * UNQUEUED_MS as usize / FRAME.as_millis() as usize;
        let mut state = self.state.lock();
        state.samples.extend(frame);
        let surplus = state.samples.len().saturating_sub(most);
        state.samples.drain(..surplus);
    }

    async fn drained_to(&self, limit: usize) {
        loop {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.state.lock().samples.len() <= limit {
                return;
            }
            // The engine's timer: the caller may be on any executor.
            let frame_time = {
                let _guard = runtime().enter();
                tokio::time::sleep(FRAME)
            };
            tokio::select! {
                // Both arms are cancel-safe: what they wait for is looked at again.
                () = drained => {}
                () = frame_time => self.drop_unpulled(tokio::time::Instant::now().into_std()),
            }
        }
    }

    /// Drops 20 ms when nothing pulls.
    fn drop_unpulled(&self, now: Instant) {
        let mut state = self.state.lock();
        let pulled = state
            .last_pull
            .is_some_and(|at| now.saturating_duration_since(at) < UNPULLED);
        if !pulled {
            let dropped = state.samples.len().min(self.frame_samples());
            state.samples.drain(..dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn capture_returns_when_the_queue_is_down_to_its_size() {
        let source = SourceQueue::new(16_000, 1, 40);
        let frame = [1; 320];
        assert!(poll(pin!(source.capture(&frame))));
        assert!(poll(pin!(source.capture(&frame))));
        let mut third = pin!(source.capture(&frame));
        assert!(!poll(third.as_mut()), "60 ms would be queued");
        assert!(source.pull(&mut Vec::new(), now()));
        assert!(poll(third.as_mut()), "40 ms are queued");
    }

    #[test]
    fn a_size_below_the_frame_is_honoured() {
        let source = SourceQueue::new(48_000, 1, 10);
        let frame = [1; 960];
        let mut first = pin!(source.capture(&frame));
        assert!(!poll(first.as_mut()), "20 ms are queued");
        source.pull(&mut Vec::new(), now());
        assert!(poll(first.as_mut()));
    }

    #[test]
    fn clearing_drops_everything_and_releases_the_caller() {
        let source = SourceQueue::new(16_000, 1, 100);
        let second = vec![1; 16_000];
        let mut long = pin!(source.capture(&second));
        assert!(!poll(long.as_mut()));
        source.clear();
        assert!(poll(long.as_mut()));
        let mut frame = Vec::new();
        assert!(!source.pull(&mut frame, now()));
        assert_eq!(frame, [0; 320]);
    }

    #[test]
    fn giving_up_never_holds_more_than_one_frame_beyond_the_size() {
        let source = SourceQueue::new(16_000, 1, 20);
        for _ in 0..10 {
            let _ = poll(pin!(source.capture(&[1; 320])));
        }
        assert_eq!(source.state.lock().samples.len(), 640);
    }

    #[test]
    fn a_short_frame_is_padded() {
        let source = SourceQueue::new(8_000, 1, 20);
        assert!(poll(pin!(source.capture(&[7; 80]))));
        let mut frame = Vec::new();
        assert!(source.pull(&mut frame, now()));
        assert_eq!((frame[79], frame[80], frame.len()), (7, 0, 160));
    }

    #[test]
    fn unconnected_sound_drains_and_connected_sound_waits() {
        let source = SourceQueue::new(16_000, 1, 20);
        let at = now();
        let _ = poll(pin!(source.capture(&[1; 640])));
        source.drop_unpulled(at);
        assert_eq!(source.state.lock().samples.len(), 320);
        source.pull(&mut Vec::new(), at);
        let _ = poll(pin!(source.capture(&[1; 640])));
        source.drop_unpulled(at + FRAME);
        assert_eq!(source.state.lock().samples.len(), 640);
        source.drop_unpulled(at + UNPULLED);
        assert_eq!(source.state.lock().samples.len(), 320);
    }

    #[test]
    fn without_a_queue_nobody_waits_and_the_oldest_is_dropped() {
        let source = SourceQueue::new(16_000, 1, 0);
        for value in 0..10 {
            assert!(poll(pin!(source.capture(&[value; 320]))));
        }
        let mut frame = Vec::new();
        source.pull(&mut frame, now());
        assert_eq!(frame[0], 7);
    }
}
