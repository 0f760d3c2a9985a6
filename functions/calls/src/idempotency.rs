//! `Idempotency-Key`: a request that is sent twice is done once.

use access::{Caller, Fail};
use events::{RoomName, Timestamp};
use http::{HeaderMap, HeaderName};
use platform::store::{ETag, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::CallStarted;

/// The header with the key: 1 to 255 visible ASCII characters, good for a day.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const MAX_KEY_BYTES: usize = 255;
const VALID_MS: i64 = 24 * 60 * 60 * 1_000;

/// What is kept of a request under its key.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Hash of the body: the same key with another body is a mistake.
    request: String,
    at: Timestamp,
    room: RoomName,
    /// `None` while it is being done, and for ever when the function died.
    answer: Option<CallStarted>,
}

/// The right to do what was asked, once.
pub(crate) struct Once {
    slot: Option<Slot>,
}

struct Slot {
    key: String,
    kept: Kept,
    etag: ETag,
}

/// Whether it is to be done.
pub(crate) enum Turn {
    /// It is; tell [`Once`] what came of it.
    First(Once),
    /// It was done; this was the answer.
    Done(CallStarted),
}

/// Takes the key of the request, if it has one.
///
/// # Errors
/// 409 while the first request with this key is under way or when its outcome is not known; 422-like 400 when the body is another.
pub(crate) async fn begin(
    store: &dyn Store,
    caller: &Caller,
    headers: &HeaderMap,
    body: &str,
    room: &RoomName,
    now: Timestamp,
) -> Result<Turn, Fail> {
    let mut sent = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else {
        return Ok(Turn::First(Once { slot: None }));
    };
    let is_key =
        |text: &&str| (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    let name = value
        .to_str()
        .ok()
        .filter(is_key)
        .filter(|_| sent.next().is_none());
    let name = name.ok_or_else(|| {
        Fail::invalid(
            "Idempotency-Key",
            "it is no key",
            "send 1 to 255 visible ASCII characters",
        )
    })?;
    let key = format!(
        "idempotency/calls/{}.json",
        hash(&format!("{}\n{name}", caller.name))
    );
    let kept = Kept {
        request: hash(body),
        at: now,
        room: room.clone(),
        answer: None,
    };
    // At most two rounds: the second one when an old key was taken over by somebody else in between.
    for _ in 0..2 {
        if let Some(etag) = store.put_if_absent(&key, encode(&kept)).await? {
            let slot = Some(Slot { key, kept, etag });
            return Ok(Turn::First(Once { slot }));
        }
        let Some(object) = store.get(&key).await? else {
            continue;
        };
        let found: Kept = serde_json::from_slice(&object.bytes).map_err(|_| {
            Fail::conflict(
                "idempotency_unreadable",
                "what is kept under this key cannot be read",
                "use a new key",
            )
        })?;
        if now.ms_since(found.at) > VALID_MS {
            if let Some(etag) = store.put_if_match(&key, &object.etag, encode(&kept)).await? {
                let slot = Some(Slot { key, kept, etag });
                return Ok(Turn::First(Once { slot }));
            }
            continue;
        }
        if found.request != kept.request {
            return Err(Fail::invalid(
                "Idempotency-Key",
                "the key was used for another request",
                "use a new key for each call",
            ));
        }
        return match found.answer {
            Some(answer) => Ok(Turn::Done(answer)),
            None => Err(under_way()),
        };
    }
    Err(under_way())
}

fn under_way() -> Fail {
    Fail::conflict(
        "idempotency_under_way",
        "the first request with this key is under way, or its outcome is not known",
        "send it again in a while; when that does not help, look for the call before using a new key",
    )
    .retry_after(2)
}

impl Once {
    /// Keeps the answer for whoever repeats the request. What cannot be kept stays undecided, so that nothing is dialled twice.
    pub(crate) async fn done(self, store: &dyn Store, answer: &CallStarted) {
        let Some(mut slot) = self.slot else { return };
        slot.kept.answer = Some(answer.clone());
        if let Err(error) = store
            .put_if_match(&slot.key, &slot.etag, encode(&slot.kept))
            .await
        {
            tracing::warn!(%error, "an idempotency key stays undecided");
        }
    }

    /// Nothing was dialled: the key may be used again.
    pub(crate) async fn undone(self, store: &dyn Store) {
        let Some(slot) = self.slot else { return };
        if let Err(error) = store.delete(&slot.key).await {
            tracing::warn!(%error, "an idempotency key stays undecided");
        }
    }
}

fn encode(kept: &Kept) -> axum::body::Bytes {
    serde_json::to_vec(kept).unwrap_or_default().into()
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |hex, byte| {
            hex + &format!("{byte:02x}")
        })
}
