//! `GET /health`: every part that calls depend on, tried, timed, and with a remedy where it fails; `/health/live` and `/health/ready`
//! for what restarts and balances processes.
//!
//! # Calling contract
//!
//! - `/health/live` says that the process answers, and tries nothing. `/health/ready` tries LiveKit, queue and store, at most once a
//!   second whoever asks, and says no more than yes or no. Both are open.
//! - `/health` needs `health:read`. Each part is tried once, all at the same time, each within [`PROBE_TIMEOUT`].
//! - The answer is 503 when a part failed that no call can do without, and 200 with `degraded` when another one did.
//!
//! # What it does not do
//!
//! No probe places a call, starts a recording or makes a room. SIP, egress and ingress are asked for their lists, which livekit-server
//! answers out of Redis: that shows a server without Redis, and not that a gateway, egress or ingress process runs.

mod beside;
mod probes;
mod routes;
mod tally;

use std::{sync::Arc, time::Duration};

use access::{Access, guard};
use platform::{livekit::LiveKit, queue::Queue, store::Store};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes as described};

pub use beside::{Beside, Report};
pub use probes::{egress, ingress, livekit, queue, sip, store};
pub use routes::{Component, Health, Ready, Status};
pub use tally::{Tally, WINDOW};

/// How long a part may take to answer.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the function works with.
#[derive(Clone)]
pub struct HealthState {
    /// LiveKit's API.
    pub livekit: LiveKit,
    /// Where jobs wait.
    pub queue: Arc<dyn Queue>,
    /// Where records go.
    pub store: Arc<dyn Store>,
    /// The answers of this process, counted by [`Tally::count`].
    pub tally: Tally,
    /// What runs beside the functions in this process.
    pub beside: Vec<Beside>,
}

struct Shared {
    state: HealthState,
    /// The last verdict of `/health/ready`, and when it was given.
    ready: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

/// The function as a router with its description.
pub fn router(access: &Access, state: HealthState) -> OpenApiRouter {
    let shared = Arc::new(Shared {
        state,
        ready: tokio::sync::Mutex::new(None),
    });
    OpenApiRouter::new()
        .routes(described!(routes::live))
        .routes(described!(routes::ready))
        .routes(guard(access, described!(routes::full)))
        .with_state(shared)
}
