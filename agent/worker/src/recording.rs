//! The recording of one call: a task that takes 20 ms slots and appends OGG pages to the store every second.
//!
//! Nothing reaches it before the consent gate opens: the gate is at the sender. What was flushed survives the death of
//! the process. A call that is taken over goes on in the same object, as a chained OGG stream (RFC 3533 §4).

use std::{io, sync::Arc};

use audio::ogg::{Options, OpusWriter};
use parking_lot::Mutex;
use pipeline::{Delays, FRAME_SAMPLES, Slot, Tap};
use platform::store::{Append, Store};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::cause;

/// Slots that may wait for the disk: five seconds. A disk that is slower than that loses slots, not the call.
const WAITING_SLOTS: usize = 250;

/// A recording that may begin, or goes on.
pub(crate) struct Recorder {
    task: JoinHandle<u64>,
}

/// Where the conversation puts its slots.
pub(crate) struct RecorderTap {
    slots: mpsc::Sender<Slot>,
    delays: Delays,
    /// Slots of silence owed for slots that were lost, so that both sides stay on the call's clock.
    owed: u32,
    lost: u64,
}

impl Recorder {
    /// Starts the task; the object at `key` is opened when the first slot comes. `generation` numbers the OGG stream,
    /// `delays` say how far the phone is.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        key: String,
        generation: u64,
        delays: Delays,
        tasks: &TaskTracker,
    ) -> (Self, RecorderTap) {
        let (slots, waiting) = mpsc::channel(WAITING_SLOTS);
        let task = async move {
            let mut recording = Recording::default();
            if let Err(error) = recording.run(store, &key, generation, waiting).await {
                tracing::error!(
                    error = cause(&error),
                    seconds = recording.slots / 50,
                    "the recording broke off"
                );
            }
            recording.slots * 20
        };
        let task = tasks.spawn(task.in_current_span());
        (
            Self { task },
            RecorderTap {
                slots,
                delays,
                owed: 0,
                lost: 0,
            },
        )
    }

    /// Waits until the tap is gone and all is stored; returns the recording's length in milliseconds.
    pub(crate) async fn finish(self) -> u64 {
        self.task.await.unwrap_or(0)
    }
}

impl Tap for RecorderTap {
    fn slot(&mut self, slot: &Slot) {
        while self.owed > 0 {
            let silence = Slot {
                caller: [0; FRAME_SAMPLES],
                agent: [0; FRAME_SAMPLES],
                ..slot.clone()
            };
            if self.slots.try_send(silence).is_err() {
                break;
            }
            self.owed -= 1;
        }
        if self.owed > 0 || self.slots.try_send(slot.clone()).is_err() {
            self.owed = self.owed.saturating_add(1);
            self.lost += 1;
        }
    }

    fn delays(&self) -> Delays {
        self.delays
    }
}

impl Drop for RecorderTap {
    fn drop(&mut self) {
        if self.lost > 0 {
            tracing::warn!(
                lost = self.lost,
                "slots of the recording were lost, and are silence: the store was slow, or the call's sound stood still and came all at once"
            );
        }
    }
}

/// How long the recording at `key` plays, in milliseconds, also when its writer died; 0 when there is none that can be read.
pub(crate) async fn length_ms(store: &dyn Store, key: &str) -> u64 {
    match store.get(key).await {
        Ok(Some(object)) => events::recording_ms(&object.bytes),
        Ok(None) | Err(_) => 0,
    }
}

#[derive(Default)]
struct Recording {
    slots: u64,
}

#[derive(Debug, thiserror::Error)]
enum RecordingError {
    #[error("encoding: {0}")]
    Encode(#[from] io::Error),
    #[error("storing: {0}")]
    Store(#[from] platform::store::StoreError),
}

impl Recording {
    async fn run(
        &mut self,
        store: Arc<dyn Store>,
        key: &str,
        generation: u64,
        mut waiting: mpsc::Receiver<Slot>,
    ) -> Result<(), RecordingError> {
        let Some(first) = waiting.recv().await else {
            return Ok(());
        };
        let mut out = store.append(key).await?;
        let pages = Pages::default();
        let serial = u32::try_from(generation).unwrap_or(u32::MAX);
        let mut writer = OpusWriter::new(
            pages.clone(),
            &Options {
                serial,
                ..Options::default()
            },
        )?;
        let mut next = Some(first);
        while let Some(slot) = next {
            writer.write(&slot.caller, &slot.agent)?;
            self.slots += 1;
            pages.drain_into(out.as_mut()).await?;
            next = waiting.recv().await;
        }
        writer.finish()?;
        pages.drain_into(out.as_mut()).await?;
        out.finish().await?;
        Ok(())
    }
}

/// Complete pages on their way from the encoder to the store.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    flushed: bool,
}

impl Pages {
    /// Passes on what the encoder has flushed.
    async fn drain_into(&self, out: &mut dyn Append) -> Result<(), platform::store::StoreError> {
        let bytes = {
            let mut written = self.0.lock();
            if !std::mem::take(&mut written.flushed) {
                return Ok(());
            }
            std::mem::take(&mut written.bytes)
        };
        out.write(&bytes).await?;
        out.flush().await
    }
}

impl io::Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flushed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use platform::store::FolderStore;

    use super::*;

    fn slot() -> Slot {
        Slot {
            index: 0,
            caller: [1000; FRAME_SAMPLES],
            agent: [-1000; FRAME_SAMPLES],
        }
    }

    async fn store() -> (Arc<dyn Store>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Arc::new(FolderStore::open(folder.path()).await.unwrap()), folder)
    }

    #[tokio::test]
    async fn a_finished_recording_has_its_exact_length() {
        let (store, folder) = store().await;
        let (recorder, mut tap) = Recorder::start(
            store.clone(),
            "a/recording.ogg".into(),
            1,
            Delays::default(),
            &TaskTracker::new(),
        );
        for _ in 0..125 {
            tap.slot(&slot());
        }
        drop(tap);
        assert_eq!(recorder.finish().await, 2500);
        let file = std::fs::File::open(folder.path().join("a/recording.ogg")).unwrap();
        let heard = audio::ogg::read(file, 16_000).unwrap();
        assert_eq!(heard.left.len(), 40_000);
        assert_eq!(length_ms(&*store, "a/recording.ogg").await, 2500);
    }

    #[tokio::test]
    async fn what_was_flushed_is_playable_when_the_task_is_dropped_in_the_middle() {
        let (store, folder) = store().await;
        let path = folder.path().join("a/recording.ogg");
        let runtime_tasks = TaskTracker::new();
        let (recorder, mut tap) = Recorder::start(
            store.clone(),
            "a/recording.ogg".into(),
            1,
            Delays::default(),
            &runtime_tasks,
        );
        for _ in 0..230 {
            tap.slot(&slot());
        }
        // Four full seconds are on their way; wait until they are in the file, then let the task die.
        while std::fs::read(&path).map_or(0, |bytes| {
            audio::ogg::read(std::io::Cursor::new(bytes), 16_000).map_or(0, |r| r.left.len())
        }) < 60_000
        {
            tokio::task::yield_now().await;
        }
        recorder.task.abort();
        let file = std::fs::File::open(&path).unwrap();
        let samples = audio::ogg::read(file, 16_000).unwrap().left.len() as u64;
        assert!(samples >= 60_000);
        assert_eq!(length_ms(&*store, "a/recording.ogg").await, samples / 16);
    }

    #[tokio::test]
    async fn lost_slots_are_replaced_by_silence() {
        let (store, folder) = store().await;
        let (recorder, mut tap) = Recorder::start(
            store,
            "a/recording.ogg".into(),
            1,
            Delays::default(),
            &TaskTracker::new(),
        );
        // Nothing is awaited here, so the task does not run and the queue overflows.
        for _ in 0..WAITING_SLOTS + 40 {
            tap.slot(&slot());
        }
        // One slot whenever the task has emptied its queue, as when the disk has caught up.
        while tap.owed > 0 {
            while tap.slots.capacity() < WAITING_SLOTS {
                tokio::task::yield_now().await;
            }
            tap.slot(&slot());
        }
        assert!(tap.lost >= 40);
        drop(tap);
        let ms = recorder.finish().await;
        let file = std::fs::File::open(folder.path().join("a/recording.ogg")).unwrap();
        let heard = audio::ogg::read(file, 16_000).unwrap();
        assert_eq!(heard.left.len() as u64, ms * 16);
    }
}
