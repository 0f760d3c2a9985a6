//! `agent.json`: what the record would say if the worker died this moment.
//!
//! Written at every step by the holder of the claim, and by conditional writes, so that a zombie cannot overwrite its
//! heir. Whoever finds the call without a holder closes it with what is in here.

use std::sync::Arc;

use bytes::Bytes;
use events::{CallId, CallJob, CallRecord, Progress, Session, Step, TimelineEntry, Timestamp, keys};
use platform::store::{ETag, Store, StoreError};

/// The one owner of a call's progress.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    key: String,
    etag: Option<ETag>,
    /// When an earlier holder wrote last.
    left_at: Option<Timestamp>,
    /// How many steps of the timeline are earlier holders'.
    left_steps: usize,
    progress: Progress,
}

/// Why the progress was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// Somebody else has written it: the call is lost. Fall silent; do not retry.
    #[error("another worker has written the call's progress")]
    Lost,
    /// The store does not answer. The next step tries again with all of it.
    #[error("the call's progress could not be written")]
    Store(#[from] StoreError),
}

impl Journal {
    /// Goes on from what an earlier holder of the claim left, or starts anew.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        job: &CallJob,
        generation: u64,
        worker: &str,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let key = keys::agent(job.created_at, &job.call);
        let found = store.get(&key).await?;
        let left = found.as_ref().and_then(|object| Progress::decode(&object.bytes));
        let left_at = left.as_ref().map(|left| left.record.ended_at);
        let left_steps = left.as_ref().map_or(0, |left| left.record.timeline.len());
        let (record, session) = match left {
            Some(left) => (left.record, left.session),
            None => (CallRecord::of_job(job, now), Session::default()),
        };
        let progress = Progress {
            generation,
            worker: worker.to_owned(),
            record,
            session,
        };
        Ok(Self {
            store,
            key,
            etag: found.map(|object| object.etag),
            left_at,
            left_steps,
            progress,
        })
    }

    /// What is known so far.
    pub(crate) fn record(&self) -> &CallRecord {
        &self.progress.record
    }

    /// What an earlier holder left, or else what is known so far.
    pub(crate) fn left(&self) -> CallRecord {
        let mut record = self.progress.record.clone();
        record.ended_at = self.left_at.unwrap_or(record.ended_at);
        record
    }

    /// What is known so far, to be changed; [`Journal::write`] makes it stay.
    pub(crate) fn record_mut(&mut self) -> &mut CallRecord {
        &mut self.progress.record
    }

    /// What the report will say beside the record.
    pub(crate) fn session_mut(&mut self) -> &mut Session {
        &mut self.progress.session
    }

    /// Adds a step, and logs it without any content of the call.
    pub(crate) fn step(&mut self, step: Step, at: Timestamp) {
        let since_start_ms = at.ms_since(self.progress.record.started_at);
        tracing::info!(step = step.as_str(), since_start_ms, "step");
        self.progress.record.timeline.push(TimelineEntry::new(step, at));
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, now: Timestamp) -> Result<(), JournalError> {
        // Further rounds are needed when an earlier write was carried out and its answer lost, also one of an earlier holder that arrives
        // only now.
        for _ in 0..3 {
            // The worker before may have had a clock that is ahead of this one's.
            self.progress.record.ended_at = now.max(self.left_at.unwrap_or(now));
            let body = Bytes::from(self.progress.encode());
            let written = match &self.etag {
                Some(etag) => self.store.put_if_match(&self.key, etag, body).await?,
                None => self.store.put_if_absent(&self.key, body).await?,
            };
            if written.is_some() {
                self.etag = written;
                return Ok(());
            }
            let Some(object) = self.store.get(&self.key).await? else {
                break;
            };
            let ours = &self.progress;
            match Progress::decode(&object.bytes) {
                // Whoever takes the call raises the generation.
                Some(earlier) if earlier.generation < ours.generation => self.go_on_from(earlier),
                Some(own) if own.generation == ours.generation && own.worker == ours.worker => {}
                _ => break,
            }
            self.etag = Some(object.etag);
        }
        Err(JournalError::Lost)
    }

    /// What the holder before wrote after this one had read is kept: it can only be before this one's first write, so nothing but
    /// steps is this one's own.
    fn go_on_from(&mut self, earlier: Progress) {
        let before = &mut self.progress.record;
        let steps = before.timeline.len().min(self.left_steps);
        let own = before.timeline.split_off(steps);
        self.left_at = Some(earlier.record.ended_at);
        self.left_steps = earlier.record.timeline.len();
        self.progress.record = earlier.record;
        self.progress.record.timeline.extend(own);
        self.progress.session = earlier.session;
    }
}

/// Puts the record, once and for all; false: somebody else has closed the call before.
pub(crate) async fn close(store: &dyn Store, record: &CallRecord) -> Result<bool, StoreError> {
    let key = keys::record(record.started_at, &record.call);
    let mut record = record.clone();
    record.timeline.sort_by_key(|entry| entry.at);
    Ok(store.put_if_absent(&key, record.encode().into()).await?.is_some())
}

/// Takes the call's marker away, now that its record is written. Where that fails, the sweep does it.
pub(crate) async fn unmark(store: &dyn Store, call: &CallId) {
    if let Err(error) = store.delete(&keys::open(call)).await {
        tracing::debug!(%error, "the call's marker stays until the sweep removes it");
    }
}

/// Whether the call's record is written.
pub(crate) async fn is_closed(
    store: &dyn Store,
    created_at: Timestamp,
    call: &CallId,
) -> Result<bool, StoreError> {
    Ok(store.get(&keys::record(created_at, call)).await?.is_some())
}

#[cfg(test)]
mod tests {
    use events::Outcome;
    use platform::store::FolderStore;

    use super::*;
    use crate::testing::job;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_196_401_568 + ms).unwrap()
    }

    #[tokio::test]
    async fn an_heir_goes_on_from_what_was_written_and_the_zombie_cannot_write_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(FolderStore::open(folder.path()).await.unwrap());
        let mut zombie = Journal::open(store.clone(), &job(), 1, "a", at(0)).await.unwrap();
        zombie.step(Step::Claimed, at(5));
        zombie.write(at(5)).await.unwrap();

        let mut heir = Journal::open(store.clone(), &job(), 2, "b", at(20_000))
            .await
            .unwrap();
        assert_eq!(heir.record().timeline.len(), 1);
        heir.write(at(20_000)).await.unwrap();
        assert_eq!(
            heir.left().ended_at,
            at(5),
            "the call ended before it was taken over"
        );

        zombie.step(Step::UserTurn, at(20_001));
        assert!(matches!(zombie.write(at(20_001)).await, Err(JournalError::Lost)));
        assert_eq!(heir.record().outcome, Outcome::Interrupted);
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(FolderStore::open(folder.path()).await.unwrap());
        let mut journal = Journal::open(store.clone(), &job(), 1, "a", at(0)).await.unwrap();
        for ms in [5, 10] {
            let before = journal.etag.clone();
            journal.write(at(ms)).await.unwrap();
            // As if the store had carried it out and not answered.
            journal.etag = before;
        }
        journal.write(at(15)).await.unwrap();
        let kept = store.get(&journal.key).await.unwrap().unwrap();
        assert_eq!(Progress::decode(&kept.bytes).unwrap().record.ended_at, at(15));
    }

    #[tokio::test]
    async fn what_the_holder_before_wrote_at_the_last_moment_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(FolderStore::open(folder.path()).await.unwrap());
        let mut before = Journal::open(store.clone(), &job(), 1, "a", at(0)).await.unwrap();
        before.write(at(5)).await.unwrap();
        let mut heir = Journal::open(store.clone(), &job(), 2, "b", at(20))
            .await
            .unwrap();
        heir.step(Step::Claimed, at(20));
        before.step(Step::UserTurn, at(21));
        before.write(at(21)).await.unwrap();

        heir.write(at(22)).await.unwrap();
        assert_eq!(heir.left().ended_at, at(21));
        let kept = store.get(&heir.key).await.unwrap().unwrap();
        let kept = Progress::decode(&kept.bytes).unwrap();
        assert_eq!((kept.generation, &*kept.worker), (2, "b"));
        let steps: Vec<_> = kept.record.timeline.iter().map(|entry| &entry.step).collect();
        assert_eq!(steps, [&Step::UserTurn, &Step::Claimed]);
        assert!(matches!(before.write(at(23)).await, Err(JournalError::Lost)));
    }

    #[tokio::test]
    async fn a_record_is_put_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path()).await.unwrap();
        let record = CallRecord::of_job(&job(), at(0));
        assert!(close(&store, &record).await.unwrap());
        let other = CallRecord {
            outcome: Outcome::Completed,
            ..record.clone()
        };
        assert!(!close(&store, &other).await.unwrap());
        assert!(is_closed(&store, record.started_at, &record.call).await.unwrap());
    }
}
