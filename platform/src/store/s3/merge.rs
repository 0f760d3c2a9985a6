//! Making an object of the segments of its streams.

use std::{io::Write, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use tokio::time::{Duration, Instant, sleep};

use super::{
    bucket::{Bucket, Condition, GetError, Got, Head},
    failed,
    multipart::{MIN_PART_BYTES, PART_BYTES, Upload},
    segments::{Piece, STREAMS, Segment, newest, part_name, pieces},
    spool::{self, InUse, Spool, SpoolFile},
};
use crate::{
    aws::fault::Fault,
    store::{MAX_PAGE, StoreError, folder::blocking},
};

/// The longest segment: what is read from the spool, or from S3, at once.
pub(super) const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// How many segments are read from S3 at the same time.
const READERS: usize = 4;
/// More segments than any stream of the longest length has.
const MAX_SEGMENTS: usize = 100_000;
/// How often it is begun anew when somebody else does the same.
const ROUNDS: usize = 3;
/// How long a writer that is ending on this machine is waited for.
const ENDING: Duration = Duration::from_secs(3);

/// The store's parts that streams work with.
pub(super) struct Core {
    pub(super) bucket: Bucket,
    pub(super) spool: Spool,
}

/// What there is of one key.
pub(super) struct Survey {
    pub(super) object: Option<Head>,
    pub(super) segments: Vec<Segment>,
}

impl Survey {
    pub(super) fn length(&self) -> u64 {
        self.object.as_ref().map_or(0, |head| head.length)
    }

    /// The highest number that a stream of this key has had.
    pub(super) fn newest(&self) -> u32 {
        let merged = self.object.as_ref().map_or(0, |head| head.streams);
        merged.max(newest(&self.segments))
    }
}

impl Core {
    /// The name of an object in the bucket.
    pub(super) fn name(&self, key: &str) -> String {
        match self.bucket.config.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// The name of a segment, or with `""` what all of a key begin with.
    pub(super) fn segment(&self, key: &str, name: &str) -> String {
        self.name(&format!("{STREAMS}{key}/{name}"))
    }

    /// Segments first: whoever merges makes the object before deleting them.
    pub(super) async fn survey(&self, key: &str) -> Result<Survey, Fault> {
        let prefix = self.segment(key, "");
        let mut segments = Vec::new();
        let mut after = None;
        loop {
            let (items, more) = self.bucket.list(&prefix, after, MAX_PAGE).await?;
            after = items.last().map(|item| item.name.clone());
            segments.extend(
                items
                    .iter()
                    .filter_map(|item| Segment::parse(item.name.strip_prefix(&prefix)?, item.size)),
            );
            if segments.len() > MAX_SEGMENTS {
                return Err(Fault::new("the stream has more segments than any can have"));
            }
            if !more {
                break;
            }
        }
        let object = self.bucket.head(&self.name(key)).await?;
        Ok(Survey { object, segments })
    }

    /// Makes the object of all that was flushed and can be had. Returns its length, if there is one.
    pub(super) async fn recover(&self, key: &str) -> Result<Option<u64>, StoreError> {
        const ACTION: &str = "complete a stream";
        self.send_left_behind(key).await?;
        for _ in 0..ROUNDS {
            let survey = self.survey(key).await.map_err(|fault| failed(ACTION, fault))?;
            let (pieces, end) = pieces(survey.length(), &survey.segments);
            if pieces.is_empty() {
                self.forget(key, &survey.segments).await;
                return Ok(survey.object.map(|head| head.length));
            }
            let parts = Parts {
                object: survey.object.as_ref(),
                pieces: &pieces,
                own: None,
                streams: survey.newest(),
            };
            if self.merge(key, parts).await? {
                self.forget(key, &survey.segments).await;
                return Ok(Some(end));
            }
        }
        Err(failed(
            ACTION,
            Fault::new("others were completing it at the same time"),
        ))
    }

    /// Stores what streams of this key have left on this machine, so that any machine can go on.
    pub(super) async fn send_left_behind(&self, key: &str) -> Result<(), StoreError> {
        for file in self.left_behind(key).await? {
            self.send(key, Arc::new(file)).await?;
        }
        Ok(())
    }

    /// Waits a little for a writer that is just ending.
    async fn left_behind(&self, key: &str) -> Result<Vec<SpoolFile>, StoreError> {
        const ACTION: &str = "open a stream";
        let deadline = Instant::now() + ENDING;
        loop {
            let (spool, wanted) = (self.spool.clone(), key.to_owned());
            match blocking(ACTION, move || spool.left_behind(&wanted)).await? {
                Ok(files) => return Ok(files),
                Err(InUse) if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
                Err(error) => {
                    return Err(StoreError::Unavailable {
                        action: ACTION,
                        source: Box::new(error),
                    });
                }
            }
        }
    }

    async fn send(&self, key: &str, file: Arc<SpoolFile>) -> Result<(), StoreError> {
        const ACTION: &str = "store what a stream left on this machine";
        let (ordinal, start) = (file.header.ordinal, file.header.start);
        let survey = self.survey(key).await.map_err(|fault| failed(ACTION, fault))?;
        let (_, stored) = pieces(survey.length(), &survey.segments);
        let length = io(ACTION, file.clone(), SpoolFile::length).await?;
        let end = start + length;
        if survey.newest() > ordinal || stored < start {
            // Another machine went on without it, or what came before it was deleted.
            let lost_bytes = end.saturating_sub(stored.max(start));
            tracing::warn!(key, lost_bytes, "the end of a stream came too late to be stored");
        } else {
            let mut from = stored - start;
            while from < length {
                let take = (length - from).min(MAX_SEGMENT_BYTES);
                let bytes = io(ACTION, file.clone(), move |file| file.read(from, take)).await?;
                let name = self.segment(key, &part_name(ordinal, start + from));
                self.bucket
                    .put(&name, bytes, Condition::Always, 0)
                    .await
                    .map_err(|fault| failed(ACTION, fault))?;
                from += take;
            }
        }
        io(ACTION, file, SpoolFile::remove).await
    }

    /// Makes the object of its parts. False: it has changed meanwhile, and nothing was done.
    pub(super) async fn merge(&self, key: &str, parts: Parts<'_>) -> Result<bool, StoreError> {
        const ACTION: &str = "complete a stream";
        let condition = match parts.object {
            Some(head) => Condition::Match(&head.etag),
            None => Condition::Absent,
        };
        let copied = parts.object.filter(|head| head.length >= MIN_PART_BYTES);
        let Some(mut rest) = self.fetch(key, &parts, copied.is_none()).await? else {
            return Ok(false);
        };
        let name = self.name(key);
        if copied.is_none() && rest.left() <= PART_BYTES {
            let bytes = rest.next(PART_BYTES).await?;
            let written = self.bucket.put(&name, bytes, condition, parts.streams).await;
            return written
                .map(|etag| etag.is_some())
                .map_err(|fault| failed(ACTION, fault));
        }
        let mut upload = Upload::create(&self.bucket, name, parts.streams)
            .await
            .map_err(|fault| failed(ACTION, fault))?;
        let outcome = fill(&mut upload, copied, &mut rest, condition).await;
        if !matches!(outcome, Ok(true)) {
            upload.abort().await;
        }
        match outcome {
            Ok(completed) => Ok(completed),
            Err(Filling::Store(error)) => Err(error),
            // The object that was to be copied has changed.
            Err(Filling::Fault(fault)) if fault.status == Some(412) => Ok(false),
            Err(Filling::Fault(fault)) => Err(failed(ACTION, fault)),
        }
    }

    /// Brings what is not on this machine into a file: the object, if it is too short to be copied, and the pieces.
    /// `None`: one of them is gone, since somebody else has merged them.
    async fn fetch(
        &self,
        key: &str,
        parts: &Parts<'_>,
        with_object: bool,
    ) -> Result<Option<Rest>, StoreError> {
        const ACTION: &str = "write to its spool";
        let mut rest = Rest::new(parts.own.clone())?;
        let object = parts.object.filter(|head| with_object && head.length > 0);
        if object.is_none() && parts.pieces.is_empty() {
            return Ok(Some(rest));
        }
        let spool = self.spool.clone();
        let file = Arc::new(blocking(ACTION, move || spool.nameless()).await?);
        if let Some(head) = object {
            match self.read(&self.name(key), MIN_PART_BYTES).await? {
                Some((bytes, etag, _)) if etag == head.etag => rest.fetched += write(&file, bytes).await?,
                _ => return Ok(None),
            }
        }
        for pieces in parts.pieces.chunks(READERS) {
            let mut reads = Vec::with_capacity(pieces.len());
            for piece in pieces {
                reads.push(self.piece(key, piece));
            }
            for bytes in try_join_all(reads).await? {
                let Some(bytes) = bytes else { return Ok(None) };
                rest.fetched += write(&file, bytes).await?;
            }
        }
        rest.file = Some(file);
        Ok(Some(rest))
    }

    /// The bytes of a piece; `None` when its segment is gone, or shorter than it was.
    async fn piece(&self, key: &str, piece: &Piece) -> Result<Option<Bytes>, StoreError> {
        let found = self
            .read(&self.segment(key, &piece.name), MAX_SEGMENT_BYTES)
            .await?;
        Ok(found.and_then(|(bytes, ..)| cut(&bytes, piece)))
    }

    async fn read(&self, name: &str, limit: u64) -> Result<Option<Got>, StoreError> {
        const ACTION: &str = "read the segments of a stream";
        match self.bucket.get(name, limit).await {
            Ok(found) => Ok(found),
            Err(GetError::TooLong) => Err(failed(ACTION, Fault::new("a segment is too long"))),
            Err(GetError::Fault(fault)) => Err(failed(ACTION, fault)),
        }
    }

    /// Deletes the object and its streams: else one that nobody finished would bring it back. True: there was something.
    pub(super) async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        const ACTION: &str = "delete an object";
        let mut found = false;
        for file in self.left_behind(key).await? {
            found |= io(ACTION, Arc::new(file), |file| {
                file.remove()?;
                Ok(file.length()? > 0)
            })
            .await?;
        }
        let survey = self.survey(key).await.map_err(|fault| failed(ACTION, fault))?;
        if survey.object.is_some() {
            let deleted = self.bucket.delete(&self.name(key)).await;
            deleted.map_err(|fault| failed(ACTION, fault))?;
        }
        self.forget(key, &survey.segments).await;
        Ok(found || survey.object.is_some() || !pieces(0, &survey.segments).0.is_empty())
    }

    /// Deletes segments that are in the object. What this misses, the next stream or the lifecycle rule finds.
    pub(super) async fn forget(&self, key: &str, segments: &[Segment]) {
        let names: Vec<String> = segments
            .iter()
            .map(|segment| self.segment(key, &segment.name))
            .collect();
        for names in names.chunks(MAX_PAGE) {
            if let Err(error) = self.bucket.delete_many(names).await {
                tracing::warn!(%error, key, "segments of a finished stream were not deleted");
                return;
            }
        }
    }
}

/// What an object is made of, in this order.
pub(super) struct Parts<'a> {
    pub(super) object: Option<&'a Head>,
    pub(super) pieces: &'a [Piece],
    /// This machine's own stream, from here on.
    pub(super) own: Option<(Arc<SpoolFile>, u64)>,
    /// The number of its last stream.
    pub(super) streams: u32,
}

enum Filling {
    Fault(Fault),
    Store(StoreError),
}

impl From<Fault> for Filling {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn fill(
    upload: &mut Upload<'_>,
    copied: Option<&Head>,
    rest: &mut Rest,
    condition: Condition<'_>,
) -> Result<bool, Filling> {
    if let Some(head) = copied {
        upload.copy(head).await?;
    }
    while rest.left() > 0 {
        let bytes = rest.next(PART_BYTES).await.map_err(Filling::Store)?;
        upload.part(bytes).await?;
    }
    Ok(upload.complete(condition).await?)
}

/// The bytes behind what is copied: those that were fetched, then this machine's own.
struct Rest {
    file: Option<Arc<std::fs::File>>,
    fetched: u64,
    own: Option<(Arc<SpoolFile>, u64)>,
    own_end: u64,
    /// How many of the fetched ones have been taken.
    taken: u64,
}

impl Rest {
    fn new(own: Option<(Arc<SpoolFile>, u64)>) -> Result<Self, StoreError> {
        let own_end = match &own {
            Some((file, _)) => file.length().map_err(unavailable)?,
            None => 0,
        };
        Ok(Self {
            file: None,
            fetched: 0,
            own,
            own_end,
            taken: 0,
        })
    }

    fn left(&self) -> u64 {
        let own = self.own.as_ref().map_or(0, |(_, from)| self.own_end - from);
        self.fetched - self.taken + own
    }

    /// The next bytes: `most`, or all that are left.
    async fn next(&mut self, most: u64) -> Result<Bytes, StoreError> {
        const ACTION: &str = "read its spool";
        let mut bytes = BytesMut::new();
        let take = (self.fetched - self.taken).min(most);
        if let Some(file) = self.file.clone().filter(|_| take > 0) {
            let from = self.taken;
            bytes.extend_from_slice(&blocking(ACTION, move || spool::read(&file, from, take)).await?);
            self.taken += take;
        }
        if let Some((file, from)) = &mut self.own {
            let (take, at) = ((self.own_end - *from).min(most - take), *from);
            let read = io(ACTION, file.clone(), move |file| file.read(at, take)).await?;
            *from += take;
            if bytes.is_empty() {
                return Ok(read);
            }
            bytes.extend_from_slice(&read);
        }
        Ok(bytes.freeze())
    }
}

async fn write(file: &Arc<std::fs::File>, bytes: Bytes) -> Result<u64, StoreError> {
    let file = file.clone();
    blocking("write to its spool", move || {
        (&*file).write_all(&bytes)?;
        Ok(bytes.len() as u64)
    })
    .await
}

/// The piece's part of its segment; `None` when the segment is shorter than it was.
fn cut(bytes: &Bytes, piece: &Piece) -> Option<Bytes> {
    let from = usize::try_from(piece.skip).ok()?;
    let to = from.checked_add(usize::try_from(piece.take).ok()?)?;
    (to <= bytes.len()).then(|| bytes.slice(from..to))
}

/// Works on a spool file on the blocking pool.
pub(super) async fn io<T: Send + 'static>(
    action: &'static str,
    file: Arc<SpoolFile>,
    work: impl FnOnce(&SpoolFile) -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    blocking(action, move || work(&file)).await
}

fn unavailable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable {
        action: "read its spool",
        source: Box::new(error),
    }
}
