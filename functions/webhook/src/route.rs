//! The route.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use events::livekit::{self, WebhookEvent};
use http::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH},
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{Outcome, Refusal, WebhookState, deliver};

/// Where LiveKit posts to.
pub const PATH: &str = "/webhooks/livekit";

/// The largest body, in bytes. The largest recorded one has some 5,000; metadata and attributes make it larger.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// LiveKit waits without limit, and holds the room's next webhook back meanwhile.
const DELIVER_TIMEOUT: Duration = Duration::from_secs(10);

/// The function as a router: `POST /webhooks/livekit`.
///
/// Answers 200 with `{"outcome": …}` to what was accepted, and problem details (RFC 9457) with `type`, `title`, `status`,
/// `detail`, `field` and `remedy` to what was not.
pub fn router(state: WebhookState) -> Router {
    let limit = DefaultBodyLimit::max(MAX_BODY_BYTES);
    Router::new()
        .route(PATH, post(receive))
        .layer(limit)
        .with_state(Arc::new(state))
}

async fn receive(State(state): State<Arc<WebhookState>>, request: Request) -> Response {
    let started = Instant::now();
    let mut seen = Seen::default();
    let result = accept(&state, request, &mut seen).await;
    seen.log(&result, started.elapsed());
    match result {
        Ok(outcome) => Json(json!({"outcome": outcome.name()})).into_response(),
        Err(refusal) => refusal.problem().into_response().map(Body::from),
    }
}

async fn accept(state: &WebhookState, request: Request, seen: &mut Seen) -> Result<Outcome, Refusal> {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .map(|value| value.to_str().map_err(|_| Refusal::MalformedToken));
    let hash = state
        .keys
        .check(token.transpose()?, state.clock.now().unix_timestamp())?;
    let body = read_body(request).await?;
    hash.check(&body)?;
    let webhook = livekit::parse(&body)?;
    seen.note(&webhook);
    // Cancel-safe: what is cut off between two effects is completed by the retry.
    timeout(DELIVER_TIMEOUT, deliver(webhook, state))
        .await
        .map_err(|_| Refusal::Timeout)?
        .map_err(Refusal::from)
}

async fn read_body(request: Request) -> Result<Bytes, Refusal> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(Refusal::TooLarge);
    }
    // Cancel-safe: the body is dropped with the request.
    let read = timeout(BODY_TIMEOUT, Bytes::from_request(request, &()))
        .await
        .map_err(|_| Refusal::NoBody)?;
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        _ => Refusal::NoBody,
    })
}

/// What the log line says of a webhook; empty until it has been read.
#[derive(Default)]
struct Seen {
    id: String,
    event: String,
    call: String,
}

impl Seen {
    fn note(&mut self, webhook: &WebhookEvent) {
        self.id = webhook.id.to_string();
        webhook.event.name().clone_into(&mut self.event);
        self.call = webhook
            .event
            .room()
            .map(|room| room.call.to_string())
            .unwrap_or_default();
    }

    /// One line per webhook: INFO, or WARN when it was accepted and then failed.
    fn log(&self, result: &Result<Outcome, Refusal>, took: Duration) {
        let Self { id, event, call } = self;
        let ms = took.as_secs_f64() * 1000.0;
        match result {
            Ok(outcome) => {
                let reason = match outcome {
                    Outcome::NoMatch(reason) => reason.as_str(),
                    Outcome::Closed(outcome) => outcome.kind(),
                    _ => "",
                };
                tracing::info!(
                    id,
                    event,
                    call_id = call,
                    outcome = outcome.name(),
                    reason,
                    ms,
                    "webhook"
                );
            }
            Err(refusal @ (Refusal::Deliver(_) | Refusal::Timeout)) => {
                let cause = causes(refusal);
                tracing::warn!(id, event, call_id = call, outcome = "failed", reason = %refusal, cause, ms, "webhook");
            }
            Err(refusal) => {
                tracing::info!(id, event, call_id = call, outcome = "refused", reason = %refusal, ms, "webhook");
            }
        }
    }
}

/// What lies behind an error, down to the root.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(error.source(), |cause| cause.source());
    events::mask_digits(&chain.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}
