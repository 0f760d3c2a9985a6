//! What functions, worker and gateway are told of the configuration.

use anyhow::Context;
use events::{ClosePolicy, Regions};
use platform::config::Config;
use service::GatewayConfig;

/// The gateway's part.
pub(crate) fn gateway(config: &Config) -> anyhow::Result<GatewayConfig> {
    GatewayConfig::from_platform(config).context("key `sip`")
}

/// How an unclaimed call is judged.
pub(crate) fn close(config: &Config) -> ClosePolicy {
    ClosePolicy {
        no_agent_after: config.sip.no_agent_timeout,
        regions: regions(config),
    }
}

/// How functions and worker read numbers without a country code.
pub(crate) fn regions(config: &Config) -> Regions {
    Regions {
        default: Some(config.sip.default_region),
        ..Regions::default()
    }
}
