//! The HTTP API beside the webhook.

use anyhow::Context;
use axum::Router;
use platform::config::Config;

/// Adds the routes of the API when the configuration says who may use them; otherwise says once that they are not served.
pub(crate) fn with_api(router: Router, config: &Config, parts: &api::Parts) -> anyhow::Result<Router> {
    let Some(settings) = api::Settings::of(config) else {
        tracing::info!("the HTTP API is not served: the configuration has no `access`");
        return Ok(router);
    };
    let (keys, jwt) = (settings.access.keys.len(), settings.access.jwt.is_some());
    let (added, _) = api::build(settings, parts).context("setting up the HTTP API (key `access.jwt`)")?;
    tracing::info!(keys, jwt, "the HTTP API is served");
    Ok(router.merge(added))
}
