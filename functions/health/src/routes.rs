//! The routes.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::IntoResponse};
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::{Shared, WINDOW, probes};

/// How often `/health/ready` tries anything.
const READY_EVERY: Duration = Duration::from_secs(1);
/// What no call can do without.
const VITAL: [&str; 3] = ["livekit", "queue", "store"];

/// How a part, or the whole, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It works.
    Ok,
    /// A part does not work that calls can do without.
    Degraded,
    /// It does not work.
    Failed,
}

/// One part.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Component {
    /// `livekit`, `sip`, `egress`, `ingress`, `queue`, `store`; `registrations` where a gateway with accounts runs in this process.
    #[schema(value_type = String)]
    pub name: &'static str,
    /// Whether it works.
    pub status: Status,
    /// How long it took to say so, in milliseconds.
    pub ms: u64,
    /// What it says.
    pub detail: String,
    /// What to do.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

/// Everything.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// The worst of the parts; `failed` when one failed that no call can do without.
    pub status: Status,
    /// Each part.
    pub components: Vec<Component>,
    /// Requests to this process in the last five minutes.
    pub requests: u64,
    /// Those of them that were answered with 500 and above.
    pub errors: u64,
    /// Errors per request; 0 without requests.
    pub error_rate: f64,
    /// What the last three are about, in seconds.
    pub window_s: u64,
}

/// Yes or no.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Ready {
    /// Whether it is.
    pub status: Status,
}

/// Whether this process answers.
#[utoipa::path(get, path = "/health/live", tag = "health",
    responses((status = 200, description = "It does", body = Ready)))]
pub(crate) async fn live() -> Json<Ready> {
    Json(Ready { status: Status::Ok })
}

/// Whether calls can be taken: LiveKit, queue and store, tried at most once a second.
#[utoipa::path(get, path = "/health/ready", tag = "health",
    responses((status = 200, description = "They can", body = Ready), (status = 503, description = "They cannot", body = Ready)))]
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    // Held while trying, so that one request tries for all that came meanwhile; each try is bounded.
    let mut last = shared.ready.lock().await;
    let known = last.filter(|(at, _)| at.elapsed() < READY_EVERY);
    let is_ready = if let Some((_, is_ready)) = known {
        is_ready
    } else {
        let is_ready = Box::pin(probes::ready(&shared.state)).await;
        *last = Some((Instant::now(), is_ready));
        is_ready
    };
    if is_ready {
        (StatusCode::OK, Json(Ready { status: Status::Ok }))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Ready {
                status: Status::Failed,
            }),
        )
    }
}

/// Try every part.
#[utoipa::path(get, path = "/health", tag = "health", security(("bearer" = ["health:read"])),
    responses(
        (status = 200, description = "Calls can be taken", body = Health),
        (status = 401, description = "No key or token, or a wrong one", content_type = "application/problem+json"),
        (status = 403, description = "The scope is missing", content_type = "application/problem+json"),
        (status = 503, description = "A part failed that no call can do without", body = Health),
    ))]
pub(crate) async fn full(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let components = Box::pin(probes::all(&shared.state)).await;
    let failed = |vital: bool| {
        let failed = |part: &&Component| part.status != Status::Ok;
        components
            .iter()
            .filter(failed)
            .any(|part| VITAL.contains(&part.name) == vital)
    };
    let status = match (failed(true), failed(false)) {
        (true, _) => Status::Failed,
        (false, true) => Status::Degraded,
        (false, false) => Status::Ok,
    };
    let (requests, errors) = shared.state.tally.lately();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let error_rate = if requests == 0 {
        0.0
    } else {
        errors as f64 / requests as f64
    };
    let code = if status == Status::Failed {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let health = Health {
        status,
        components,
        requests,
        errors,
        error_rate,
        window_s: WINDOW.as_secs(),
    };
    (code, Json(health))
}
