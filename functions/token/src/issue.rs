//! The route.

use std::sync::Arc;

use access::{Body, Caller, Fail};
use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, header::CACHE_CONTROL};

use crate::{TokenAnswer, TokenRequest, TokenState, policy};

/// Make a token to join a room with.
///
/// LiveKit's standard token endpoint, as its client SDKs call it.
#[utoipa::path(
    post,
    path = "/v1/token",
    tag = "token",
    request_body = Option<TokenRequest>,
    security(("bearer" = ["token:create"])),
    responses(
        (status = 201, description = "The token", body = TokenAnswer),
        (status = 400, description = "A field is wrong", content_type = "application/problem+json"),
        (status = 401, description = "No key or token, or a wrong one", content_type = "application/problem+json"),
        (status = 403, description = "A field that this client may not set, or an origin that is not listed", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(state): State<Arc<TokenState>>,
    caller: Caller,
    Body(request): Body<TokenRequest>,
) -> Result<impl IntoResponse, Fail> {
    let join = policy::join(&caller, request)?;
    let token = state.livekit.participant_token(join)?;
    let answer = TokenAnswer {
        server_url: state
            .config
            .server_url
            .clone()
            .unwrap_or_else(|| state.livekit.url().to_owned()),
        participant_token: token.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)))
}
