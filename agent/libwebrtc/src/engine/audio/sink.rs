//! What is behind a `NativeAudioStream`: a playout and a bounded queue of frames for its reader.

use std::{
    collections::VecDeque,
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;

use super::playout::{Playout, REORDER_WAIT};
use crate::audio_frame::AudioFrame;

/// One second. A reader that is later than that hears the latest second.
const MOST_FRAMES: usize = 100;
/// From a packet's arrival to its first sample in the reader's hands, on average: the wait, and half a tick of 10 ms.
pub(crate) const RECEIVE_DELAY: Duration = REORDER_WAIT.saturating_add(Duration::from_millis(5));

pub(crate) struct Sink {
    sample_rate: u32,
    channels: u32,
    state: Mutex<State>,
}

struct State {
    /// `None` when the reader asked for what cannot be made of Opus: then the stream is silent.
    playout: Option<Playout>,
    frames: VecDeque<AudioFrame<'static>>,
    reader: Option<Waker>,
    closed: bool,
}

impl Sink {
    pub(crate) fn new(sample_rate: u32, channels: u32) -> Self {
        let channels = if channels == 2 { 2 } else { 1 };
        let playout = Playout::new(sample_rate, channels);
        if playout.is_none() {
            log::error!("{sample_rate} Hz cannot be made of Opus; the stream stays silent");
        }
        Self {
            sample_rate,
            channels,
            state: Mutex::new(State {
                playout,
                frames: VecDeque::new(),
                reader: None,
                closed: false,
            }),
        }
    }

    /// Another stream of packets follows.
    pub(crate) fn restart(&self) {
        if let Some(playout) = &mut self.state.lock().playout {
            playout.restart();
        }
    }

    pub(crate) fn receive(&self, sequence: u16, timestamp: u32, payload: &[u8], now: Duration) {
        if let Some(playout) = &mut self.state.lock().playout {
            playout.receive(sequence, timestamp, payload, now);
        }
    }

    /// 10 ms have passed. Returns whether the stream has started.
    pub(crate) fn tick(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        let Some(playout) = state.playout.as_mut().filter(|playout| playout.started()) else {
            return false;
        };
        let data = playout.frame(now);
        let frame = AudioFrame {
            samples_per_channel: data.len() as u32 / self.channels,
            data: data.into(),
            sample_rate: self.sample_rate,
            num_channels: self.channels,
        };
        if state.frames.len() == MOST_FRAMES {
            state.frames.pop_front();
        }
        state.frames.push_back(frame);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Option<AudioFrame<'static>>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.reader = Some(waker.clone());
        Poll::Pending
    }

    /// Ends the stream. What is queued is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.frames.clear();
        state.playout = None;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
    const TICK: Duration = Duration::from_millis(10);

    fn read(sink: &Sink) -> usize {
        std::iter::from_fn(|| match sink.poll(Waker::noop()) {
            Poll::Ready(frame) => frame,
            Poll::Pending => None,
        })
        .count()
    }

    #[test]
    fn frames_flow_from_the_first_packet_on() {
        let sink = Sink::new(48_000, 2);
        assert!(!sink.tick(TICK));
        assert_eq!(read(&sink), 0);
        sink.receive(1, 960, &SILENCE, TICK);
        for tick in 2..52 {
            assert!(sink.tick(TICK * tick));
        }
        assert_eq!(read(&sink), 50);
    }

    #[test]
    fn a_slow_reader_gets_the_latest_second() {
        let sink = Sink::new(8_000, 1);
        sink.receive(1, 960, &SILENCE, TICK);
        for tick in 2..500 {
            sink.tick(TICK * tick);
        }
        assert_eq!(read(&sink), MOST_FRAMES);
    }

    #[test]
    fn closing_ends_the_stream() {
        let sink = Sink::new(8_000, 1);
        sink.receive(1, 960, &SILENCE, TICK);
        sink.tick(TICK);
        sink.close();
        assert!(matches!(sink.poll(Waker::noop()), Poll::Ready(None)));
        assert!(!sink.tick(TICK));
    }
}
