//! Recordings: egress of rooms, participants and tracks to S3 and RTMP, and links to what agents have recorded.
//!
//! # Calling contract
//!
//! - An egress belongs to its room, and so to whoever's patterns match that room; all others get 404.
//! - Starting is asked for once. Where no egress process is free LiveKit says so after 22–24 s, so the deadline is [`START_DEADLINE`]; a
//!   start whose answer is lost is 504 and never repeated.
//! - Stream URLs are checked by [`access::outside`], file names may not climb, and neither stream keys nor S3 secrets come back.
//!
//! # What this function does not do
//!
//! It touches no media and keeps nothing: LiveKit knows an egress for a day after its end, and the webhook's events are in the store.

mod egress;
mod link;
mod output;
mod view;

use std::{sync::Arc, time::Duration};

use access::{Access, guard};
use platform::{clock::SharedClock, config::RecordingsConfig, livekit::LiveKit, store::Store};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use link::{Link, LinkError, Links, NoLinks};

/// LiveKit's own limit is 24 s; below it an egress could be left that nobody knows of.
pub const START_DEADLINE: Duration = Duration::from_secs(28);

/// What the function works with.
#[derive(Clone)]
pub struct RecordingsState {
    /// LiveKit's API.
    pub livekit: LiveKit,
    /// Where records and recordings are.
    pub store: Arc<dyn Store>,
    /// Makes links into the store.
    pub links: Arc<dyn Links>,
    /// The wall clock.
    pub clock: SharedClock,
    /// `recordings` of the configuration.
    pub config: RecordingsConfig,
}

/// The function as a router with its description.
pub fn router(access: &Access, state: RecordingsState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(guard(access, routes!(egress::list, egress::start)))
        .routes(guard(access, routes!(egress::read, egress::stop)))
        .routes(guard(access, routes!(egress::update_stream)))
        .routes(guard(access, routes!(link::recording)))
        .with_state(Arc::new(state))
}
