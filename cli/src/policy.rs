//! What the gateway is told of the configuration.

use anyhow::Context;
use platform::config::Config;
use service::GatewayConfig;

/// The gateway's part.
pub(crate) fn gateway(config: &Config) -> anyhow::Result<GatewayConfig> {
    GatewayConfig::from_platform(config).context("key `sip`")
}
