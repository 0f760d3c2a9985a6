//! `Idempotency-Key`: a request that is sent twice is done once.
//!
//! What may have come of a request is known by how far it got, which is kept with its key: until [`Once::commit`] nothing was done that a
//! repeat would do twice, and from then on only who looks at what was done can tell. Each step is written on the condition that nobody has
//! taken the key over, so that a function which was taken for dead and goes on finds out before it does anything.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use events::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::LOCATION};
use platform::store::{ETag, Store, StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Caller, Fail};

/// The header with the key: 1 to 255 visible ASCII characters, good for a day.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const MAX_KEY_BYTES: usize = 255;
const VALID_MS: i64 = 24 * 60 * 60 * 1_000;

/// No function works at a request for so long: hosts and clouds end it after 30 s.
const ABANDONED_AFTER: Duration = Duration::from_mins(1);
/// So far apart may two functions' clocks be, where the store's does not say how old a key is.
const CLOCKS_APART: Duration = Duration::from_mins(2);

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
    /// What tells this attempt from a repeat of it. Without it nobody takes the key over from who has died.
    pub attempt: Option<&'a str>,
}

/// What is kept of a request under its key.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    /// Hash of the body: the same key with another body is a mistake.
    request: String,
    at: Timestamp,
    room: String,
    #[serde(default)]
    stage: Stage,
    answer: Option<T>,
}

/// How far it got.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// Nobody can tell; also what a version kept that knew no stages.
    #[default]
    Unknown,
    /// This attempt has done nothing yet that must not be done twice.
    Begun(String),
    /// It may have been done; where to look.
    Committed(Value),
    /// Nothing was done, and nobody is at it.
    Undone,
}

/// The right to do what was asked, once. Dropped without a word, as when the function dies, it leaves the key as it is: a repeat is refused
/// until nobody can be at it any more, and then told how far it got.
pub struct Once {
    slot: Option<Slot>,
}

struct Slot {
    key: String,
    request: String,
    at: Timestamp,
    room: String,
    stage: Stage,
    etag: ETag,
}

/// A request whose first attempt was left by who was at it.
pub struct Left {
    /// The right to do it, or to say what came of it.
    pub once: Once,
    /// The first attempt's room.
    pub room: String,
    /// How far it got.
    pub how_far: HowFar,
}

/// How far a request got that was left.
pub enum HowFar {
    /// Nothing was done that must not be done twice, and the attempt of this name will not do it any more.
    Begun(String),
    /// It may have been done: what was given to [`Once::commit`]. It is not to be done again.
    Committed(Value),
}

/// Whether it is to be done.
pub enum Turn<T> {
    /// It is; tell [`Once`] what came of it.
    First(Once),
    /// Somebody else has begun it, and is not at it any more.
    Left(Left),
    /// It was done; this was the answer.
    Done(T),
}

/// Takes the key of the request, if it has one.
///
/// # Errors
/// 409 while the first request with this key is under way, or when nobody can find out its outcome; 400 when the key is none, or was used for
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
    let mut slot = Slot {
        key,
        request: hash(asked.body),
        at: now,
        room: asked.room.to_owned(),
        stage: asked
            .attempt
            .map_or(Stage::Unknown, |name| Stage::Begun(name.to_owned())),
        etag: ETag::new(""),
    };
    // At most two rounds: the second one when an old key was taken over by somebody else in between.
    for _ in 0..2 {
        if let Some(etag) = store.put_if_absent(&slot.key, slot.encode::<()>(None)).await? {
            slot.etag = etag;
            return Ok(first(slot));
        }
        let Some((object, age)) = store.get_aged(&slot.key).await? else {
            continue;
        };
        let found: Kept<T> = serde_json::from_slice(&object.bytes).map_err(|_| {
            Fail::conflict(
                "idempotency_unreadable",
                "what is kept under this key cannot be read",
                "use a new key",
            )
        })?;
        slot.etag = object.etag;
        if now.ms_since(found.at) > VALID_MS || matches!(found.stage, Stage::Undone) {
            if slot.write::<()>(store, None).await? {
                return Ok(first(slot));
            }
            continue;
        }
        if found.request != slot.request {
            return Err(Fail::invalid(
                "Idempotency-Key",
                "the key was used for another request",
                "use a new key for each",
            ));
        }
        if let Some(answer) = found.answer {
            return Ok(Turn::Done(answer));
        }
        let by_any_clock = ms(ABANDONED_AFTER.saturating_add(CLOCKS_APART));
        if age.at_least <= ABANDONED_AFTER && now.ms_since(found.at) <= by_any_clock {
            return Err(under_way());
        }
        let how_far = match found.stage {
            Stage::Begun(attempt) if slot.write::<()>(store, None).await? => HowFar::Begun(attempt),
            Stage::Committed(place) => {
                (slot.at, slot.stage) = (found.at, Stage::Committed(place.clone()));
                HowFar::Committed(place)
            }
            // It was taken over by another repeat, or nobody can tell.
            Stage::Begun(_) | Stage::Unknown | Stage::Undone => return Err(under_way()),
        };
        let once = Once { slot: Some(slot) };
        return Ok(Turn::Left(Left {
            once,
            room: found.room,
            how_far,
        }));
    }
    Err(under_way())
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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

/// 409: the outcome is not known, or not yet.
pub fn under_way() -> Fail {
    Fail::conflict(
        "idempotency_under_way",
        "the first request with this key is under way, or its outcome is not known",
        "send it again in a while; when that does not help, look for what it was to bring about before using a new key",
    )
    .retry_after(2)
}

impl Once {
    /// From here on it may have been done: keeps where a repeat has to look for what came of it.
    ///
    /// # Errors
    /// 409 when the request was taken for dead and a repeat has it now, so that it must not be done here; else when the store fails.
    pub async fn commit(&mut self, store: &dyn Store, place: &impl Serialize) -> Result<(), Fail> {
        let Some(slot) = &mut self.slot else {
            return Ok(());
        };
        slot.stage = Stage::Committed(serde_json::to_value(place).unwrap_or_default());
        if slot.write::<()>(store, None).await? {
            Ok(())
        } else {
            Err(under_way())
        }
    }

    /// Keeps the answer for whoever repeats the request. What cannot be kept is found out by a repeat, where somebody can.
    pub async fn done<T: Serialize>(self, store: &dyn Store, answer: &T) {
        let Some(mut slot) = self.slot else { return };
        warn(slot.write(store, Some(answer)).await);
    }

    /// Nothing was done: the key may be used again.
    pub async fn undone(self, store: &dyn Store) {
        let Some(mut slot) = self.slot else { return };
        // Not deleted: it may be another's by now.
        slot.stage = Stage::Undone;
        warn(slot.write::<()>(store, None).await);
    }
}

fn warn(written: Result<bool, StoreError>) {
    if let Err(error) = written {
        tracing::warn!(%error, "an idempotency key stays undecided");
    }
}

impl Slot {
    /// Whether it was still ours.
    async fn write<T: Serialize>(
        &mut self,
        store: &dyn Store,
        answer: Option<&T>,
    ) -> Result<bool, StoreError> {
        let bytes = self.encode(answer);
        let written = store.put_if_match(&self.key, &self.etag, bytes).await?;
        let is_ours = written.is_some();
        if let Some(etag) = written {
            self.etag = etag;
        }
        Ok(is_ours)
    }

    fn encode<T: Serialize>(&self, answer: Option<&T>) -> axum::body::Bytes {
        let kept = Kept {
            request: self.request.clone(),
            at: self.at,
            room: self.room.clone(),
            stage: self.stage.clone(),
            answer,
        };
        serde_json::to_vec(&kept).unwrap_or_default().into()
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |hex, byte| {
            hex + &format!("{byte:02x}")
        })
}
