//! The HTTP API as a whole: calls, rooms, tokens, recordings, ingress and health behind one router, and the OpenAPI document that is made of it.
//!
//! # Calling contract
//!
//! - [`build`] needs the configuration's `access`; where there is none, nothing of this is to be served.
//! - Every answer has the header `x-request-id`; every failure is a problem by RFC 9457.
//! - `/health/live` and `/health/ready` are open. Everything else, the document at [`DOCUMENT_PATH`] included, needs a caller.
//!
//! # What it does not do
//!
//! It has no route of its own but the document. The webhook is not part of it: that has another sender and another key.

use std::sync::Arc;

use access::{Access, BEARER, Fail, JwksError, bearer_scheme, with_request_id};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use calls::{CallsState, Cursors};
pub use health::{Beside, Report};
use health::{HealthState, Tally};
use http::header::CONTENT_TYPE;
use ingress::IngressState;
use platform::{
    Secret,
    clock::SharedClock,
    config::{AccessConfig, CallsConfig, Config, IngressConfig, RecordingsConfig, TokenConfig},
    livekit::LiveKit,
    queue::Queue,
    store::Store,
};
use recordings::{RecordingsState, Signer};
use token::TokenState;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

/// Where the OpenAPI document is.
pub const DOCUMENT_PATH: &str = "/openapi.json";

/// What the functions work with.
#[derive(Clone)]
pub struct Parts {
    /// LiveKit's API.
    pub livekit: LiveKit,
    /// Where jobs wait.
    pub queue: Arc<dyn Queue>,
    /// Where records go.
    pub store: Arc<dyn Store>,
    /// Signs links where the store has none: LiveKit's API secret, which all processes of a deployment share.
    pub link_secret: Secret,
    /// The wall clock.
    pub clock: SharedClock,
    /// What runs beside the functions in this process, for health.
    pub beside: Vec<Beside>,
}

/// What they are told.
#[derive(Clone)]
pub struct Settings {
    /// `access`.
    pub access: AccessConfig,
    /// `token`.
    pub token: TokenConfig,
    /// `calls`.
    pub calls: CallsConfig,
    /// `recordings`.
    pub recordings: RecordingsConfig,
    /// `ingress`.
    pub ingress: IngressConfig,
}

impl Settings {
    /// What the configuration says; `None` without `access`: nobody may use the API.
    pub fn of(config: &Config) -> Option<Self> {
        Some(Self {
            access: config.access.clone()?,
            token: config.token.clone(),
            calls: config.calls.clone(),
            recordings: config.recordings.clone(),
            ingress: config.ingress.clone(),
        })
    }
}

/// The token endpoint alone, for a host that may touch neither queue nor store.
///
/// # Errors
/// When the machine's certificates cannot be read.
pub fn token_endpoint(
    settings: &Settings,
    livekit: LiveKit,
    clock: SharedClock,
) -> Result<Router, JwksError> {
    let access = Access::new(&settings.access, clock)?;
    let config = settings.token.clone();
    let (router, _) = token::router(&access, TokenState { livekit, config }).split_for_parts();
    Ok(router
        .method_not_allowed_fallback(|| async { Fail::no_method() })
        .fallback(|| async { Fail::not_found("no_route") })
        .layer(from_fn(with_request_id)))
}

/// Makes the router and its document. Fetches nothing yet.
///
/// # Errors
/// When the machine's certificates cannot be read.
pub fn build(settings: Settings, parts: &Parts) -> Result<(Router, OpenApi), JwksError> {
    let access = Access::new(&settings.access, parts.clock.clone())?;
    let tally = Tally::default();
    let health = HealthState {
        livekit: parts.livekit.clone(),
        queue: parts.queue.clone(),
        store: parts.store.clone(),
        tally: tally.clone(),
        beside: parts.beside.clone(),
    };
    let calls = CallsState {
        livekit: parts.livekit.clone(),
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        cursors: Cursors::new(&parts.link_secret),
        config: settings.calls,
    };
    let recordings = RecordingsState {
        livekit: parts.livekit.clone(),
        store: parts.store.clone(),
        signer: Signer::new(&parts.link_secret),
        clock: parts.clock.clone(),
        config: settings.recordings,
    };
    let ingress = IngressState {
        livekit: parts.livekit.clone(),
        config: settings.ingress,
    };
    let token = TokenState {
        livekit: parts.livekit.clone(),
        config: settings.token,
    };
    let (router, document) = OpenApiRouter::with_openapi(blank())
        .merge(calls::router(&access, calls))
        .merge(health::router(&access, health))
        .merge(ingress::router(&access, ingress))
        .merge(recordings::router(&access, recordings))
        .merge(token::router(&access, token))
        .split_for_parts();
    let router = router
        .merge(served(&access, &document))
        .method_not_allowed_fallback(|| async { Fail::no_method() })
        .fallback(|| async { Fail::not_found("no_route") })
        .layer(from_fn_with_state(tally, Tally::count))
        .layer(from_fn(with_request_id));
    Ok((router, document))
}

/// The document as it is checked in.
pub fn pretty(document: &OpenApi) -> String {
    document.to_pretty_json().unwrap_or_default() + "\n"
}

fn blank() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Trunkline")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Phone calls, rooms, tokens, recordings and ingress. Failures are problem details (RFC 9457) with `field` and `remedy`.",
        ));
    let components = ComponentsBuilder::new().security_scheme(BEARER, bearer_scheme());
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components.build()))
        .build()
}

fn served(access: &Access, document: &OpenApi) -> Router {
    let text: Arc<str> = pretty(document).into();
    let answer = move || {
        let text = text.clone();
        async move { ([(CONTENT_TYPE, "application/json")], text.to_string()) }
    };
    let known = from_fn_with_state(access.clone(), anybody_known);
    Router::new().route(DOCUMENT_PATH, get(answer).layer(known))
}

async fn anybody_known(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.caller(request.headers()).await {
        Ok(_) => next.run(request).await,
        Err(refusal) => {
            let caller = refusal.caller().unwrap_or_default().to_owned();
            tracing::warn!(
                caller,
                route = DOCUMENT_PATH,
                reason = refusal.reason(),
                "access refused"
            );
            Fail::from(refusal).into_response()
        }
    }
}
