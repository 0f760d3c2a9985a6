//! Ingress: media from outside into rooms, by RTMP, WHIP or from a URL.
//!
//! # Calling contract
//!
//! - An ingress belongs to its room, and so to whoever's patterns match that room; all others get 404.
//! - The stream key is shown once, to whoever makes the ingress, and never again.
//! - What a URL ingress fetches from is checked by [`access::outside`].
//!
//! # What this function does not do
//!
//! It touches no media and keeps nothing. Whether a source can be read shows in the ingress' state, not in the answer.

mod routes;
mod view;

use std::sync::Arc;

use access::{Access, guard};
use platform::{config::IngressConfig, livekit::LiveKit};
use utoipa_axum::{router::OpenApiRouter, routes as described};

/// What the function works with.
#[derive(Clone)]
pub struct IngressState {
    /// LiveKit's API.
    pub livekit: LiveKit,
    /// `ingress` of the configuration.
    pub config: IngressConfig,
}

/// The function as a router with its description.
pub fn router(access: &Access, state: IngressState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(guard(access, described!(routes::list, routes::create)))
        .routes(guard(
            access,
            described!(routes::read, routes::update, routes::delete),
        ))
        .with_state(Arc::new(state))
}
