//! A stream that is being written: into the spool at once, to S3 from time to time, into the object at the end.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{task::JoinSet, time::Instant};

use super::{
    bucket::Condition,
    failed,
    merge::{Core, MAX_SEGMENT_BYTES, Parts, io},
    segments::{Segment, open_name, part_name, pieces},
    spool::SpoolFile,
};
use crate::{
    aws::fault::Fault,
    store::{Append, MAX_STREAM_BYTES, SYNC_EVERY, StoreError, folder::blocking},
};

/// Bytes gathered before they go to the spool without a flush being asked for.
const BUFFER_BYTES: usize = 64 * 1024;
/// So many bytes are uploaded before their time.
const EARLY_BYTES: u64 = 1024 * 1024;
/// How often the end is begun anew when somebody else changes the object.
const ROUNDS: usize = 3;

pub(super) struct S3Append {
    core: Arc<Core>,
    file: Arc<SpoolFile>,
    buffer: Vec<u8>,
    /// Bytes in the spool.
    flushed: u64,
    segments: Segments,
    broken: bool,
}

impl S3Append {
    pub(super) async fn open(core: Arc<Core>, key: &str) -> Result<Self, StoreError> {
        const ACTION: &str = "open a stream";
        core.send_left_behind(key).await?;
        let survey = core.survey(key).await.map_err(|fault| failed(ACTION, fault))?;
        let (_, start) = pieces(survey.length(), &survey.segments);
        let ordinal = survey.newest() + 1;
        // Before any byte of it, so that an earlier writer's late segments count no more.
        let name = core.segment(key, &open_name(ordinal, start));
        core.bucket
            .put(&name, bytes::Bytes::new(), Condition::Always, 0)
            .await
            .map_err(|fault| failed(ACTION, fault))?;
        let (for_spool, for_key) = (core.clone(), key.to_owned());
        let file = blocking(ACTION, move || for_spool.spool.create(&for_key, ordinal, start)).await?;
        Ok(Self {
            core,
            file: Arc::new(file),
            buffer: Vec::new(),
            flushed: 0,
            segments: Segments::new(),
            broken: false,
        })
    }

    fn key(&self) -> &str {
        &self.file.header.key
    }

    /// Moves the buffer to the spool.
    async fn drain(&mut self) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Unavailable {
                action: "go on with a stream that failed before",
                source: "an earlier write failed or was cancelled".into(),
            });
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let length = buffer.len() as u64;
        // Until it is known to be written whole: a write that is cancelled or fails may have written a part.
        self.broken = true;
        io("write to its spool", self.file.clone(), move |file| {
            file.append(&buffer)
        })
        .await?;
        self.broken = false;
        self.flushed += length;
        Ok(())
    }

    /// Waits until all that was flushed is at S3.
    async fn upload_all(&mut self) -> Result<(), StoreError> {
        loop {
            self.segments
                .ended()
                .await
                .map_err(|fault| failed("store a segment", fault))?;
            if self.segments.sent >= self.flushed {
                return Ok(());
            }
            self.segments.start(&self.core, &self.file, self.flushed);
        }
    }

    /// One attempt to make the object; `None` when it changed meanwhile.
    async fn complete(&self) -> Result<Option<u64>, StoreError> {
        const ACTION: &str = "complete a stream";
        let (ordinal, start) = (self.file.header.ordinal, self.file.header.start);
        let end = start + self.flushed;
        let survey = self
            .core
            .survey(self.key())
            .await
            .map_err(|fault| failed(ACTION, fault))?;
        if survey.newest() > ordinal {
            io(ACTION, self.file.clone(), SpoolFile::remove).await?;
            return Err(StoreError::Refused {
                what: "the stream",
                limit: "one writer at a time: another one has gone on with this object",
            });
        }
        let length = survey.length();
        let is_merged = survey.object.as_ref().is_some_and(|head| head.streams == ordinal);
        let (before, from) = if is_merged {
            // Somebody has merged this stream's segments already, though it was not finished.
            (Vec::new(), length.checked_sub(start))
        } else {
            let earlier: Vec<Segment> = survey
                .segments
                .iter()
                .filter(|segment| segment.ordinal < ordinal || segment.name == open_name(ordinal, start))
                .cloned()
                .collect();
            let (before, reached) = pieces(length, &earlier);
            (before, (reached == start).then_some(0))
        };
        let Some(from) = from.filter(|from| *from <= self.flushed) else {
            return Err(failed(
                ACTION,
                Fault::new("what came before it is not there any more"),
            ));
        };
        let is_complete = survey.object.is_some() && before.is_empty() && from == self.flushed;
        if !is_complete {
            let parts = Parts {
                object: survey.object.as_ref(),
                pieces: &before,
                own: Some((self.file.clone(), from)),
                streams: ordinal,
            };
            if !self.core.merge(self.key(), parts).await? {
                return Ok(None);
            }
        }
        io(ACTION, self.file.clone(), SpoolFile::remove).await?;
        self.core.forget(self.key(), &survey.segments).await;
        Ok(Some(end))
    }
}

#[async_trait]
impl Append for S3Append {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.file.header.start + self.flushed + self.buffer.len() as u64;
        if written + bytes.len() as u64 > MAX_STREAM_BYTES {
            return Err(StoreError::Refused {
                what: "stream",
                limit: "at most 5 GiB",
            });
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.drain().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.drain().await?;
        self.segments.look(&self.file.header.key, self.flushed);
        if self.segments.is_due(self.flushed, Instant::now()) {
            self.segments.start(&self.core, &self.file, self.flushed);
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), StoreError> {
        self.drain().await?;
        self.upload_all().await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        self.drain().await?;
        // A segment that arrives later would be left over; one that failed is in the spool.
        let _ = self.segments.ended().await;
        for _ in 0..ROUNDS {
            if let Some(length) = self.complete().await? {
                return Ok(length);
            }
        }
        Err(failed(
            "complete a stream",
            Fault::new("others were completing it at the same time"),
        ))
    }
}

/// What of the spool is at S3. One segment at a time is under way.
struct Segments {
    sent: u64,
    /// The one that is under way or is to be tried again: a segment keeps its bounds, so that attempts do not overlap.
    current: Option<(u64, u64)>,
    /// At most one task, aborted with the stream.
    task: JoinSet<Result<(), Fault>>,
    /// When the next one is to be uploaded.
    due: Option<Instant>,
    is_failing: bool,
}

impl Segments {
    fn new() -> Self {
        Self {
            sent: 0,
            current: None,
            task: JoinSet::new(),
            due: None,
            is_failing: false,
        }
    }

    /// Whether it is time for a segment, `flushed` bytes being in the spool.
    fn is_due(&mut self, flushed: u64, now: Instant) -> bool {
        if flushed <= self.sent || !self.task.is_empty() {
            return false;
        }
        let due = *self.due.get_or_insert(now + SYNC_EVERY);
        now >= due || (flushed - self.sent >= EARLY_BYTES && !self.is_failing)
    }

    fn start(&mut self, core: &Arc<Core>, file: &Arc<SpoolFile>, flushed: u64) {
        let (from, to) = *self
            .current
            .get_or_insert((self.sent, flushed.min(self.sent + MAX_SEGMENT_BYTES)));
        let header = &file.header;
        let name = core.segment(&header.key, &part_name(header.ordinal, header.start + from));
        let (core, file) = (core.clone(), file.clone());
        self.task.spawn(async move {
            let read = move |file: &SpoolFile| file.read(from, to - from);
            let bytes = io("read its spool", file, read)
                .await
                .map_err(|error| Fault::new(error.to_string()))?;
            core.bucket
                .put(&name, bytes, Condition::Always, 0)
                .await
                .map(|_| ())
        });
    }

    /// Notes the end of the one that was under way, without waiting.
    fn look(&mut self, key: &str, flushed: u64) {
        let Some(ended) = self.task.try_join_next() else {
            return;
        };
        match self.settle(ended) {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!(key, "segments of the stream are stored again");
            }
            Ok(()) => {}
            Err(error) if self.is_failing => tracing::debug!(%error, key, "a segment was not stored"),
            Err(error) => {
                self.is_failing = true;
                let waiting_bytes = flushed - self.sent;
                tracing::warn!(%error, key, waiting_bytes, "a segment was not stored; it waits on this machine");
            }
        }
    }

    /// Waits for the end of the one that is under way.
    async fn ended(&mut self) -> Result<(), Fault> {
        match self.task.join_next().await {
            Some(ended) => self.settle(ended),
            None => Ok(()),
        }
    }

    fn settle(&mut self, ended: Result<Result<(), Fault>, tokio::task::JoinError>) -> Result<(), Fault> {
        self.due = None;
        ended.map_err(|error| Fault::new(error.to_string()))??;
        if let Some((_, to)) = self.current.take() {
            self.sent = to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn segments_are_due_by_time_or_by_size_and_one_at_a_time() {
        let mut segments = Segments::new();
        let now = Instant::now();
        assert!(!segments.is_due(0, now), "nothing was written");
        assert!(!segments.is_due(100, now));
        assert!(
            !segments.is_due(200, now + SYNC_EVERY / 2),
            "it counts from the first byte that waits"
        );
        assert!(segments.is_due(200, now + SYNC_EVERY));
        assert!(Segments::new().is_due(EARLY_BYTES, now));
        segments.task.spawn(async { Err(Fault::new("down")) });
        assert!(
            !segments.is_due(EARLY_BYTES, now + SYNC_EVERY),
            "one is under way"
        );
        segments.current = Some((0, 200));
        while !segments.task.is_empty() && !segments.is_failing {
            tokio::task::yield_now().await;
            segments.look("k", 300);
        }
        assert!(segments.is_failing && segments.sent == 0 && segments.current == Some((0, 200)));
        assert!(
            !segments.is_due(EARLY_BYTES, now),
            "a service that fails is not asked more often"
        );
        segments.task.spawn(async { Ok(()) });
        segments.ended().await.unwrap();
        assert_eq!((segments.sent, segments.current), (200, None));
    }

    #[test]
    fn a_pause_between_segments_is_shorter_than_what_may_be_lost() {
        assert!(SYNC_EVERY <= Duration::from_secs(30));
    }
}
