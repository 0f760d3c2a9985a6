//! Our own link to a recording, opened.

use std::{io::SeekFrom, path::Path as FilePath, sync::Arc};

use access::{Fail, Params, Path, RequestId};
use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use events::CallId;
use futures_util::stream;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        RANGE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use platform::{problem::Problem, store::StoreError};
use serde::Deserialize;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};
use utoipa::IntoParams;

use crate::{
    RecordingsState, link,
    range::{Range, Wanted},
    sign::BadLink,
};

const ROUTE: &str = "/v1/recordings/{call}";
const PIECE_BYTES: usize = 64 * 1024;

/// What makes a link.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Signed {
    /// Seconds since 1970.
    expires: i64,
    /// Of this API.
    signature: String,
}

/// The agent's recording of a call, for whoever has a link from `GET /v1/calls/{call}/recording`. Takes `Range`.
#[utoipa::path(get, path = "/v1/recordings/{call}", tag = "recordings",
    params(("call" = String, Path, description = "`RM_…`"), Signed), security(()),
    responses(
        (status = 200, description = "OGG/Opus, caller left, agent right", content_type = "audio/ogg"),
        (status = 206, description = "The part of it that `Range` names", content_type = "audio/ogg"),
        (status = 400, description = "The link is incomplete"),
        (status = 403, description = "The link is not one of ours, or no longer good"),
        (status = 404, description = "The recording is gone"),
        (status = 416, description = "`Range` is beyond its end"),
    ))]
pub(crate) async fn download(
    State(state): State<Arc<RecordingsState>>,
    id: Option<Extension<RequestId>>,
    Path(call): Path<String>,
    Params(signed): Params<Signed>,
    headers: HeaderMap,
) -> Result<Response, Fail> {
    let id = id.map(|Extension(id)| id).unwrap_or_default();
    let opened = open(&state, &call, &signed, &headers).await;
    let request_id = id.as_str();
    match &opened {
        Ok((call, _)) => {
            tracing::info!(
                call_id = call.as_str(),
                route = ROUTE,
                request_id,
                "a recording was opened by its link"
            );
        }
        Err(fail) => {
            let reason = fail.reason();
            tracing::warn!(route = ROUTE, request_id, reason, "access refused");
        }
    }
    opened.map(|(_, response)| response)
}

async fn open(
    state: &RecordingsState,
    call: &str,
    signed: &Signed,
    headers: &HeaderMap,
) -> Result<(CallId, Response), Fail> {
    let call = CallId::new(call).map_err(|_| refused(BadLink::Forged))?;
    let now = state.clock.now().unix_timestamp();
    state
        .signer
        .check(&call, signed.expires, &signed.signature, now)
        .map_err(refused)?;
    let gone = || Fail::not_found("recording_gone");
    let key = link::key_of(&*state.store, &call).await?.ok_or_else(gone)?;
    let content = Content::of(state, &key).await?.ok_or_else(gone)?;
    let response = answer(&call, content, headers).await?;
    Ok((call, response))
}

fn refused(bad: BadLink) -> Fail {
    let reason = match bad {
        BadLink::Expired => "link_expired",
        BadLink::Forged => "link_forged",
    };
    Fail::refused(
        reason,
        "signature",
        bad.to_string(),
        "get a new one by GET /v1/calls/{call}/recording",
    )
}

/// A recording, ready to be read.
enum Content {
    /// Where the store is a folder: of any length.
    File { file: File, length: u64 },
    /// From any other store: at most as long as an object may be.
    Bytes(Bytes),
}

impl Content {
    async fn of(state: &RecordingsState, key: &str) -> Result<Option<Self>, Fail> {
        let place = state.store.location(key)?;
        let place = FilePath::new(&place);
        if place.is_absolute() {
            return match File::open(place).await {
                Ok(file) => {
                    let length = file.metadata().await.map_err(unreadable)?.len();
                    Ok(Some(Self::File { file, length }))
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(unreadable(error)),
            };
        }
        let object = state.store.get(key).await?;
        Ok(object.map(|object| Self::Bytes(object.bytes)))
    }

    fn length(&self) -> u64 {
        match self {
            Self::File { length, .. } => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    async fn body(self, range: Range) -> Result<Body, Fail> {
        match self {
            Self::File { mut file, .. } => {
                file.seek(SeekFrom::Start(range.first))
                    .await
                    .map_err(unreadable)?;
                Ok(Body::from_stream(pieces(file, range.length)))
            }
            Self::Bytes(bytes) => {
                let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(Body::from(
                    bytes.slice(at(range.first)..at(range.first + range.length)),
                ))
            }
        }
    }
}

fn unreadable(source: std::io::Error) -> Fail {
    Fail::from(StoreError::Unavailable {
        action: "read a recording",
        source: Box::new(source),
    })
}

/// One piece in memory at a time, however long the file is.
fn pieces(file: File, length: u64) -> impl stream::Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = vec![0; most];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        Ok(Some((Bytes::from(piece), (file, left - read as u64))))
    })
}

async fn answer(call: &CallId, content: Content, headers: &HeaderMap) -> Result<Response, Fail> {
    let length = content.length();
    let wanted = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let (status, range) = match Wanted::of(wanted, length) {
        Wanted::All => (StatusCode::OK, Range { first: 0, length }),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Beyond => return Ok(beyond(length)),
    };
    let mut response = content.body(range).await?.into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "audio/ogg"),
        (ACCEPT_RANGES, "bytes"),
        (CACHE_CONTROL, "private, no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.length));
    if let Ok(value) = HeaderValue::from_str(&format!("inline; filename=\"{call}.ogg\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    if let Some(value) = range
        .header(length)
        .filter(|_| status == StatusCode::PARTIAL_CONTENT)
    {
        headers.insert(CONTENT_RANGE, value);
    }
    Ok(response)
}

fn beyond(length: u64) -> Response {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "/problems/range",
        "Beyond the end",
    )
    .detail("the recording is shorter")
    .field("Range")
    .remedy("ask for less");
    let mut response = Fail::new(problem, "range").into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}
