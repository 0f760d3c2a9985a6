//! `Idempotency-Key`: a request that is sent twice is done once.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use events::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::LOCATION};
use platform::store::{ETag, Store};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Caller, Fail};

/// The header with the key: 1 to 255 visible ASCII characters, good for a day.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const MAX_KEY_BYTES: usize = 255;
const VALID_MS: i64 = 24 * 60 * 60 * 1_000;

/// 201 with what was made, and where it is.
pub fn created(location: &str, made: &impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The answer to a repeat: the first one, marked.
pub fn replayed(mut first: Response) -> Response {
    first
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    first
}

/// A request that is to be done once.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is asked for, a word that can be part of a key: one client's keys for calls and for egresses do not meet.
    pub what: &'static str,
    /// All of it that decides about what is done. Only its hash is kept.
    pub body: &'a str,
    /// The room that it is about, for whoever looks at what is kept.
    pub room: &'a str,
}

/// What is kept of a request under its key.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    /// Hash of the body: the same key with another body is a mistake.
    request: String,
    at: Timestamp,
    room: String,
    /// `None` while it is being done, and for ever when the function died.
    answer: Option<T>,
}

/// The right to do what was asked, once. Dropped without a word, as when the function dies, it leaves the key undecided: a repeat is then
/// refused, and nothing is done twice.
pub struct Once {
    slot: Option<Slot>,
}

struct Slot {
    key: String,
    request: String,
    at: Timestamp,
    room: String,
    etag: ETag,
}

/// Whether it is to be done.
pub enum Turn<T> {
    /// It is; tell [`Once`] what came of it.
    First(Once),
    /// It was done; this was the answer.
    Done(T),
}

/// Takes the key of the request, if it has one.
///
/// # Errors
/// 409 while the first request with this key is under way or when its outcome is not known; 400 when the key is none, or was used for
/// another request.
pub async fn once<T: DeserializeOwned>(
    store: &dyn Store,
    caller: &Caller,
    headers: &HeaderMap,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Turn<T>, Fail> {
    let Some(name) = sent(headers)? else {
        return Ok(Turn::First(Once { slot: None }));
    };
    let key = format!(
        "idempotency/{}/{}.json",
        asked.what,
        hash(&format!("{}\n{name}", caller.name))
    );
    let slot = |key, etag| Slot {
        key,
        request: hash(asked.body),
        at: now,
        room: asked.room.to_owned(),
        etag,
    };
    let mine = encode::<()>(hash(asked.body), now, asked.room, None);
    // At most two rounds: the second one when an old key was taken over by somebody else in between.
    for _ in 0..2 {
        if let Some(etag) = store.put_if_absent(&key, mine.clone()).await? {
            return Ok(first(slot(key, etag)));
        }
        let Some(object) = store.get(&key).await? else {
            continue;
        };
        let found: Kept<T> = serde_json::from_slice(&object.bytes).map_err(|_| {
            Fail::conflict(
                "idempotency_unreadable",
                "what is kept under this key cannot be read",
                "use a new key",
            )
        })?;
        if now.ms_since(found.at) > VALID_MS {
            if let Some(etag) = store.put_if_match(&key, &object.etag, mine.clone()).await? {
                return Ok(first(slot(key, etag)));
            }
            continue;
        }
        if found.request != hash(asked.body) {
            return Err(Fail::invalid(
                "Idempotency-Key",
                "the key was used for another request",
                "use a new key for each",
            ));
        }
        return found.answer.map(Turn::Done).ok_or_else(under_way);
    }
    Err(under_way())
}

fn first<T>(slot: Slot) -> Turn<T> {
    Turn::First(Once { slot: Some(slot) })
}

fn sent(headers: &HeaderMap) -> Result<Option<&str>, Fail> {
    let mut sent = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    let is_key =
        |text: &&str| (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    let name = value.to_str().ok().filter(is_key);
    match name.filter(|_| sent.next().is_none()) {
        Some(name) => Ok(Some(name)),
        None => Err(Fail::invalid(
            "Idempotency-Key",
            "it is no key",
            "send 1 to 255 visible ASCII characters",
        )),
    }
}

fn under_way() -> Fail {
    Fail::conflict(
        "idempotency_under_way",
        "the first request with this key is under way, or its outcome is not known",
        "send it again in a while; when that does not help, look for what it was to bring about before using a new key",
    )
    .retry_after(2)
}

impl Once {
    /// Keeps the answer for whoever repeats the request. What cannot be kept stays undecided, so that nothing is done twice.
    pub async fn done<T: Serialize>(self, store: &dyn Store, answer: &T) {
        let Some(slot) = self.slot else { return };
        let kept = encode(slot.request, slot.at, &slot.room, Some(answer));
        if let Err(error) = store.put_if_match(&slot.key, &slot.etag, kept).await {
            tracing::warn!(%error, "an idempotency key stays undecided");
        }
    }

    /// Nothing was done: the key may be used again.
    pub async fn undone(self, store: &dyn Store) {
        let Some(slot) = self.slot else { return };
        if let Err(error) = store.delete(&slot.key).await {
            tracing::warn!(%error, "an idempotency key stays undecided");
        }
    }
}

fn encode<T: Serialize>(request: String, at: Timestamp, room: &str, answer: Option<&T>) -> axum::body::Bytes {
    let kept = Kept {
        request,
        at,
        room: room.to_owned(),
        answer,
    };
    serde_json::to_vec(&kept).unwrap_or_default().into()
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |hex, byte| {
            hex + &format!("{byte:02x}")
        })
}
