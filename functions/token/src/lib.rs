//! `POST /v1/token`: the endpoint that LiveKit's client SDKs get their tokens from.
//!
//! # Calling contract
//!
//! - The request has LiveKit's standard fields, all optional: `room_name`, `participant_name`, `participant_identity`,
//!   `participant_metadata`, `participant_attributes`, `room_config`. The answer is 201 `{server_url, participant_token}`.
//! - What a client may set is its caller's [`TokenGrant`](platform::config::TokenGrant); everything else is refused with the name of
//!   the field. What it does not set is drawn.
//! - Pages in browsers may call it from the listed origins only, byte for byte.
//!
//! # What a token never grants
//!
//! More than one room; a camera or a screen; any API (`roomAdmin`, `roomCreate`, `roomList`, `roomRecord`, SIP, ingress); being hidden,
//! a recorder, an agent or a phone; changing its own attributes; attributes that LiveKit or this program reads; an identity that
//! stands for a phone, an agent or a service. It is good for joining within ten minutes.

mod cors;
mod issue;
mod policy;
mod wire;

use std::sync::Arc;

use access::{Access, Fail, guard};
use axum::middleware::from_fn_with_state;
use platform::{config::TokenConfig, livekit::LiveKit};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use wire::{AgentDispatch, RoomConfig, TokenAnswer, TokenRequest};

/// Where tokens are had.
pub const PATH: &str = "/v1/token";

/// What the function works with.
#[derive(Clone)]
pub struct TokenState {
    /// Signs tokens.
    pub livekit: LiveKit,
    /// `token` of the configuration.
    pub config: TokenConfig,
}

/// The function as a router with its description.
pub fn router(access: &Access, state: TokenState) -> OpenApiRouter {
    let state = Arc::new(state);
    let (schemas, paths, guarded) = guard(access, routes!(issue::create));
    // A fallback that the whole API sets later would stand outside of the layer, and answer the preflights.
    let guarded = guarded.fallback(|| async { Fail::no_method() });
    // Outermost, so that a page of another origin learns nothing, and preflights need no token (Fetch §3.2.2).
    let guarded = guarded.layer(from_fn_with_state(state.clone(), cors::check));
    OpenApiRouter::new()
        .routes((schemas, paths, guarded))
        .with_state(state)
}

/// A field that this client may not set.
fn not_yours(field: impl Into<String>, remedy: &str) -> Fail {
    Fail::refused("token_policy", field, "this client may not set it so", remedy)
}
