//! What the system itself says about the call: the store that `trunkline serve` writes.

use anyhow::{Context, bail};
use events::CallRecord;
use platform::store::{FolderStore, Page, Store};

/// Follows the one call of a fresh store.
pub(super) struct Progress<'a> {
    store: &'a FolderStore,
    /// `calls/<day>/<call>/`, once it is there.
    folder: Option<String>,
    latest: Option<CallRecord>,
    closed: bool,
}

/// What is left of the call.
pub(super) struct Archive {
    pub(super) record: CallRecord,
    pub(super) record_key: String,
    pub(super) transcript: Option<serde_json::Value>,
    /// The recording's file.
    pub(super) recording: Option<Vec<u8>>,
    /// How many webhooks were kept.
    pub(super) events: usize,
}

impl<'a> Progress<'a> {
    pub(super) fn new(store: &'a FolderStore) -> Self {
        Self {
            store,
            folder: None,
            latest: None,
            closed: false,
        }
    }

    /// The record so far, or the final one.
    pub(super) fn latest(&self) -> Option<&CallRecord> {
        self.latest.as_ref()
    }

    /// Whether the record is written.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads what has come. What cannot be read now is read at the next look.
    pub(super) async fn look(&mut self) {
        if self.folder.is_none() {
            self.folder = self.find().await;
        }
        let Some(folder) = self.folder.clone() else {
            return;
        };
        for (name, last) in [("record.json", true), ("agent.json", false)] {
            let found = self.store.get(&format!("{folder}{name}")).await.ok().flatten();
            // `agent.json` is a record with its writer's name and generation beside it.
            if let Some(record) = found.and_then(|object| CallRecord::decode(&object.bytes).ok()) {
                self.latest = Some(record);
                self.closed = last;
                return;
            }
        }
    }

    /// Reads everything, after the end.
    pub(super) async fn archive(&self) -> anyhow::Result<Archive> {
        let (Some(record), Some(folder)) = (self.latest.clone().filter(|_| self.closed), &self.folder) else {
            bail!("the call has no record");
        };
        let transcript = match &record.transcript {
            Some(key) => self
                .object(key)
                .await?
                .map(|bytes| serde_json::from_slice(&bytes))
                .transpose()?,
            None => None,
        };
        let recording = match &record.recording {
            Some(recording) => self.object(&recording.key).await?,
            None => None,
        };
        let events = self
            .store
            .list(&format!("{folder}events/"), Page::default())
            .await?;
        Ok(Archive {
            record,
            record_key: format!("{folder}record.json"),
            transcript,
            recording,
            events: events.entries.len(),
        })
    }

    async fn find(&self) -> Option<String> {
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        let listing = self.store.list("calls/", page).await.ok()?;
        let key = &listing.entries.first()?.key;
        let parts: Vec<&str> = key.splitn(4, '/').collect();
        match parts.as_slice() {
            [calls, day, call, _] => Some(format!("{calls}/{day}/{call}/")),
            _ => None,
        }
    }

    async fn object(&self, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let found = self
            .store
            .get(key)
            .await
            .with_context(|| format!("reading {key}"))?;
        Ok(found.map(|object| object.bytes.to_vec()))
    }
}
