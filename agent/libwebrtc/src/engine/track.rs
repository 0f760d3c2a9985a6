//! Tracks: what a sender takes its sound from, and where a receiver's sound goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::audio::{Sink, SourceQueue};

pub(crate) struct Track {
    pub(crate) id: String,
    enabled: AtomicBool,
    pub(crate) source: Option<Arc<SourceQueue>>,
    sinks: Mutex<Vec<Arc<Sink>>>,
}

impl Track {
    pub(crate) fn local(id: &str, source: Option<Arc<SourceQueue>>) -> Arc<Self> {
        Self::new(id.to_owned(), source)
    }

    pub(crate) fn remote(id: String) -> Arc<Self> {
        Self::new(id, None)
    }

    fn new(id: String, source: Option<Arc<SourceQueue>>) -> Arc<Self> {
        Arc::new(Self {
            id,
            enabled: AtomicBool::new(true),
            source,
            sinks: Mutex::default(),
        })
    }

    pub(crate) fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    pub(crate) fn add_sink(&self, sink: Arc<Sink>) {
        self.sinks.lock().push(sink);
    }

    pub(crate) fn remove_sink(&self, sink: &Arc<Sink>) {
        self.sinks.lock().retain(|other| !Arc::ptr_eq(other, sink));
    }

    /// A new stream of packets begins: another SSRC.
    pub(crate) fn restart(&self) {
        for sink in self.sinks.lock().iter() {
            sink.restart();
        }
    }

    /// An Opus packet that arrived at `now`. Returns whether anybody listens.
    pub(crate) fn receive(&self, sequence: u16, timestamp: u32, payload: &[u8], now: Duration) -> bool {
        if !self.enabled() {
            return false;
        }
        let sinks = self.sinks.lock();
        for sink in sinks.iter() {
            sink.receive(sequence, timestamp, payload, now);
        }
        !sinks.is_empty()
    }

    /// 10 ms have passed: every sink that has started yields a frame. Returns whether any has.
    pub(crate) fn tick(&self, now: Duration) -> bool {
        let mut playing = false;
        for sink in self.sinks.lock().iter() {
            playing |= sink.tick(now);
        }
        playing
    }
}
