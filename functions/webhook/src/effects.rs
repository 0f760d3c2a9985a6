//! Does what was planned.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use events::{
    CallEvent, CallId, CallJob, IndexEntry, RoomName, Step, TimelineEntry, Timestamp,
    agents::NoMatch,
    keys,
    livekit::{Metadata, WebhookEvent},
};
use platform::{
    livekit::LiveKit,
    queue::{QueueError, Sent},
    store::{Store, StoreError},
};
use serde::de::DeserializeOwned;

use crate::{Effect, TEST_ROOMS, WebhookState, egress, plan, unclaimed};

/// Setting metadata only informs: the webhook's queue in livekit-server must not wait for it.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes the metadata of rooms.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Sets the metadata of `room`.
    ///
    /// # Errors
    /// When it could not be set, as when the room is gone.
    async fn set_metadata(
        &self,
        room: &RoomName,
        metadata: &Metadata,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

#[async_trait]
impl Rooms for LiveKit {
    async fn set_metadata(
        &self,
        room: &RoomName,
        metadata: &Metadata,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.update_room_metadata(room.as_str(), metadata.as_str())
            .await?;
        Ok(())
    }
}

/// What became of a webhook that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is about no call, or a room of `trunkline doctor`, or of a kind that is not known.
    Ignored,
    /// It had been dealt with before.
    Replay,
    /// It was kept.
    Kept,
    /// The call got its job.
    JobEnqueued,
    /// The call had its job already.
    JobPresent,
    /// No entry of `agents:` takes the call.
    NoMatch(NoMatch),
    /// The call was closed: nobody had claimed it.
    Closed(events::Outcome),
    /// The call has ended; whoever claimed it closes it.
    LeftToHolder,
}

impl Outcome {
    /// Its name in the log and in the answer.
    pub fn name(&self) -> &str {
        match self {
            Self::Ignored => "ignored",
            Self::Replay => "replay",
            Self::Kept => "kept",
            Self::JobEnqueued => "job_enqueued",
            Self::JobPresent => "job_present",
            Self::NoMatch(_) => "no_match",
            Self::Closed(_) => "closed",
            Self::LeftToHolder => "left_to_holder",
        }
    }
}

/// What kept an accepted webhook from being dealt with.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The queue.
    #[error("the queue failed")]
    Queue(#[from] QueueError),
    /// Other events of the same call wrote its record again and again meanwhile.
    #[error("other late events of the call wrote its record at the same time")]
    Contended,
}

impl DeliverError {
    /// Whether the same webhook can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Queue(error) => error.is_retryable(),
            Self::Contended => true,
        }
    }
}

/// Deals with a webhook that has been verified and read: looks up its call, plans, and does the effects in their order.
///
/// Dropped or failed between any two effects, it is completed by calling it again with the same webhook.
///
/// # Errors
/// When store or queue fail.
pub async fn deliver(webhook: WebhookEvent, state: &WebhookState) -> Result<Outcome, DeliverError> {
    let received_at = Timestamp::from(state.clock.now());
    let known_creation = match webhook.event.room() {
        None => return Ok(Outcome::Ignored),
        Some(room) if room.name.as_str().starts_with(TEST_ROOMS) => return Ok(Outcome::Ignored),
        Some(room) if room.created_at.is_some() => None,
        Some(room) => read::<IndexEntry>(&*state.store, &keys::index(room.call))
            .await?
            .map(|entry| entry.created_at),
    };
    let Some(event) = CallEvent::new(webhook, received_at, known_creation) else {
        return Ok(Outcome::Ignored);
    };
    tracing::debug!(?event, "webhook");
    let done = keys::event(event.room_created_at, &event.call, &event.id);
    let is_replay = state.store.get(&done).await?.is_some();
    let effects = plan(&event, &state.policy).into_iter();
    // What comes behind the mark may be undone still.
    let of_mark = |effect: &Effect| matches!(effect, Effect::MarkDone);
    let left = effects.skip_while(|effect| is_replay && !of_mark(effect));
    let mut outcome = if is_replay { Outcome::Replay } else { Outcome::Kept };
    for effect in left.skip(usize::from(is_replay)) {
        if let Some(better) = perform(effect, &event, state).await? {
            outcome = better;
        }
    }
    Ok(outcome)
}

/// Does one effect; `Some` when it says more about the webhook than that it was kept.
async fn perform(
    effect: Effect,
    event: &CallEvent,
    state: &WebhookState,
) -> Result<Option<Outcome>, DeliverError> {
    let (created_at, call) = (event.room_created_at, &event.call);
    match effect {
        Effect::Open(entry) => {
            open(&*state.store, call, &entry).await?;
            Ok(None)
        }
        Effect::Enqueue(job) => enqueue(*job, state).await.map(Some),
        Effect::KeepNoMatch(reason) => {
            put_once(&*state.store, &keys::no_match(created_at, call), json(&reason)).await?;
            Ok(Some(Outcome::NoMatch(reason)))
        }
        Effect::SetMetadata(metadata) => {
            set_metadata(&metadata, event, state).await;
            Ok(None)
        }
        Effect::CloseUnclaimed => unclaimed::close(event, state).await.map(Some),
        Effect::CompleteUnclaimed => {
            unclaimed::complete(event, state).await?;
            Ok(None)
        }
        Effect::WatchEgress(id, open) => {
            egress::watch_egress(&*state.store, &id, &open).await?;
            Ok(None)
        }
        Effect::CloseEgress(record) => {
            let kept = egress::close_egress(&*state.store, created_at, *record).await?;
            egress::tell_of_egress(&kept);
            Ok(None)
        }
        Effect::TellOfIngress(id) => {
            tracing::warn!(call_id = %call, ingress_id = id.as_str(), "an ingress has failed");
            Ok(None)
        }
        Effect::MarkDone => {
            put_once(
                &*state.store,
                &keys::event(created_at, call, &event.id),
                event.encode(),
            )
            .await?;
            Ok(None)
        }
    }
}

/// The marker first: what has an index has, or had, its marker, and a late event does not bring back that of a closed call.
async fn open(store: &dyn Store, call: &CallId, entry: &IndexEntry) -> Result<(), StoreError> {
    let index = keys::index(call);
    if store.get(&index).await?.is_none() {
        put_once(store, &keys::open(call), json(entry)).await?;
        put_once(store, &index, json(entry)).await?;
    }
    Ok(())
}

/// The queue forgets dedup ids after five minutes, and a second participant may join later than that: `job.json` does not forget.
async fn enqueue(mut job: CallJob, state: &WebhookState) -> Result<Outcome, DeliverError> {
    let key = keys::job(job.created_at, &job.call);
    if state.store.get(&key).await?.is_some() {
        return Ok(Outcome::JobPresent);
    }
    job.timeline
        .push(TimelineEntry::new(Step::JobEnqueued, state.clock.now().into()));
    let body = job.encode();
    let sent = state.queue.send(job.group(), &job.dedup_id(), &body).await?;
    put_once(&*state.store, &key, body.into_bytes()).await?;
    Ok(match sent {
        // A job that was sent before and has no `job.json` yet counts as enqueued where the queue does not tell.
        Sent::Enqueued | Sent::Accepted => Outcome::JobEnqueued,
        Sent::Duplicate => Outcome::JobPresent,
    })
}

async fn set_metadata(metadata: &Metadata, event: &CallEvent, state: &WebhookState) {
    let Some(rooms) = &state.rooms else { return };
    // Cancel-safe: a request that is cut off has set the metadata or it has not.
    let result = tokio::time::timeout(METADATA_TIMEOUT, rooms.set_metadata(&event.room, metadata)).await;
    let failure = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took longer than a second".to_owned(),
    };
    tracing::warn!(call_id = %event.call, error = %events::mask_digits(&failure), "the room's metadata was not set");
}

/// An object that cannot be read counts as none.
pub(crate) async fn read<T: DeserializeOwned>(store: &dyn Store, key: &str) -> Result<Option<T>, StoreError> {
    Ok(store
        .get(key)
        .await?
        .and_then(|object| serde_json::from_slice(&object.bytes).ok()))
}

pub(crate) async fn put_once(store: &dyn Store, key: &str, bytes: Vec<u8>) -> Result<bool, StoreError> {
    Ok(store.put_if_absent(key, Bytes::from(bytes)).await?.is_some())
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Serializing plain structs with string keys into memory has no way to fail.
    serde_json::to_vec(value).unwrap_or_default()
}
