//! Recordings: egress of rooms, participants and tracks to S3 and RTMP, what has been recorded of calls, and links to what agents have recorded.
//!
//! # Calling contract
//!
//! - An egress belongs to its room, and so to whoever's patterns match that room; all others get 404.
//! - Starting is asked for once. Where no egress process is free LiveKit says so after 22–24 s, so the deadline is [`START_DEADLINE`]; a
//!   start whose answer is lost is 504 and never repeated, also not by whoever sends its idempotency key again.
//! - Stream URLs are checked by [`access::outside`], file names may not climb, and neither stream keys nor S3 secrets come back.
//! - A link to a file of an egress is S3's own, made with the keys of `recordings.s3`.
//! - A link opens one recording, without a key, for ten minutes. Where the store has no links of its own, it is a path of ours,
//!   signed by [`Signer`]; that route alone is behind no [`access::guard`].
//!
//! # What this function does not do
//!
//! It touches no media and keeps nothing: LiveKit knows an egress for a day after its end, and the webhook function keeps its record.

mod call;
mod download;
mod egress;
mod link;
mod output;
mod range;
mod sign;
mod start;
mod update;
mod view;

use std::{sync::Arc, time::Duration};

use access::{Access, guard};
use platform::{clock::SharedClock, config::RecordingsConfig, livekit::LiveKit, store::Store};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use sign::Signer;

/// LiveKit's own limit is 24 s; below it an egress could be left that nobody knows of.
pub const START_DEADLINE: Duration = Duration::from_secs(28);

/// What the function works with.
#[derive(Clone)]
pub struct RecordingsState {
    /// LiveKit's API.
    pub livekit: LiveKit,
    /// Where records, recordings and idempotency keys are.
    pub store: Arc<dyn Store>,
    /// Makes links to our own route, where the store has none.
    pub signer: Signer,
    /// The wall clock.
    pub clock: SharedClock,
    /// `recordings` of the configuration.
    pub config: RecordingsConfig,
}

/// The function as a router with its description.
pub fn router(access: &Access, state: RecordingsState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(guard(access, routes!(egress::list, start::start)))
        .routes(guard(access, routes!(egress::read, egress::stop, update::update)))
        .routes(guard(access, routes!(update::update_streams)))
        .routes(guard(access, routes!(link::recording)))
        .routes(guard(access, routes!(link::egress_file)))
        .routes(guard(access, routes!(call::recordings)))
        .routes(routes!(download::download))
        .with_state(Arc::new(state))
}
