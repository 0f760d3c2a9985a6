//! What is kept of a call once it is over: its detail record and, where that is wanted, its messages.

mod ladder;

use std::sync::Arc;
use std::time::Duration;

use events::{LegRecord, Timestamp, keys};
use platform::clock::{Clock as _, SystemClock};
use platform::config::SipLadder;
use platform::store::{Store, StoreError};
use sip::Ladder;
use tokio::time::{Instant, sleep, timeout};

/// A gateway that stops waits 5 s for its calls.
const PUT_TIMEOUT: Duration = Duration::from_secs(4);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Where calls are recorded, if they are.
#[derive(Clone)]
pub(crate) struct Records {
    store: Option<Arc<dyn Store>>,
    ladder: SipLadder,
}

impl Records {
    pub(crate) fn new(store: Option<Arc<dyn Store>>, ladder: SipLadder) -> Self {
        Self { store, ladder }
    }

    /// Keeps what a call was; at most 4 s. `room_created_at` says under which day; without it the call had no room, and is kept only where
    /// messages are. A failure is logged and has no other effect.
    pub(crate) async fn put(&self, leg: &LegRecord, room_created_at: Option<Timestamp>, ladder: &Ladder) {
        let Some(store) = self.store.as_deref() else {
            return;
        };
        let (record, messages) = match (&leg.call, room_created_at) {
            (Some(call), Some(created_at)) => (
                keys::leg(created_at, call, &leg.sip_call),
                keys::ladder(created_at, call, &leg.sip_call),
            ),
            // Whoever sends INVITEs that are refused shall not fill the store.
            _ if ladder.is_kept() => keys::refused(leg.started_at, &leg.sip_call),
            _ => return,
        };
        let put = async {
            put(store, &record, leg.encode()).await?;
            if ladder.is_kept() {
                let text = self.told(leg, ladder);
                put(store, &messages, text.into_bytes()).await?;
            }
            Ok::<_, StoreError>(())
        };
        match timeout(PUT_TIMEOUT, put).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the call's detail record was not kept"),
            Err(_) => tracing::warn!("the call's detail record was not kept in time"),
        }
    }

    fn told(&self, leg: &LegRecord, ladder: &Ladder) -> String {
        let (now, wall) = (Instant::now().into_std(), Timestamp::from(SystemClock.now()));
        let at = |instant: std::time::Instant| {
            let ago = now.saturating_duration_since(instant).as_millis();
            let ago = i64::try_from(ago).unwrap_or(i64::MAX);
            Timestamp::from_unix_ms(wall.unix_ms().saturating_sub(ago)).unwrap_or(wall)
        };
        ladder::render(leg, ladder, self.ladder == SipLadder::Whole, at)
    }
}

/// Once more when the store is away for a moment.
async fn put(store: &dyn Store, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
    match store.put(key, bytes.clone().into()).await {
        Err(error) if error.is_retryable() => {
            sleep(RETRY_AFTER).await;
            store.put(key, bytes.into()).await.map(drop)
        }
        done => done.map(drop),
    }
}
