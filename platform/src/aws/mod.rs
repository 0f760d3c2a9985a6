//! What the adapters on AWS share: credentials, time limits, retries, and what a failure means for the caller.
//!
//! # Credentials
//!
//! They come by the SDK's default chain, in this order: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (with
//! `AWS_SESSION_TOKEN`); the profile that `AWS_PROFILE` names in the shared files (static keys, and `role_arn` with a
//! `source_profile` or `credential_source`); a web identity token (`AWS_WEB_IDENTITY_TOKEN_FILE`, as on EKS); the
//! container's endpoint (ECS, EKS Pod Identity); the instance's metadata (EC2). Temporary ones are renewed before they end.
//!
//! **Not supported**, because the crates are built without those features: profiles that use SSO (`aws sso login`), a
//! `credential_process`, or `aws login`. Export keys from them: `aws configure export-credentials --format env`.

pub(crate) mod fault;
mod protection;
mod secrets;

pub use protection::{ProtectionError, TaskProtection};
pub use secrets::AwsSecrets;

use std::{fmt, time::Duration};

use aws_config::{
    Region, default_provider::credentials::DefaultCredentialsChain, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};

use crate::Secret;

/// For a TCP connection and its TLS.
const CONNECT: Duration = Duration::from_millis(1_500);
/// For one attempt of a small request, its answer included: a heartbeat has time for one and the beginning of another.
const ATTEMPT: Duration = Duration::from_millis(2_500);
/// For all attempts of a request and the pauses between them, on top of one attempt's limit.
const MORE_ATTEMPTS: Duration = Duration::from_secs(5);
/// How often a request is tried that failed in passing: lost connections, time-outs, 500, 503 and throttling.
pub(crate) const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// In whose name requests are signed. `Debug` shows no key.
#[derive(Clone)]
pub enum Access {
    /// The SDK's default chain; see the [module](self).
    DefaultChain,
    /// These keys, whatever the environment says.
    Keys {
        /// The key's id.
        id: String,
        /// The secret beside it.
        secret: Secret,
    },
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DefaultChain => "DefaultChain",
            Self::Keys { .. } => "Keys",
        })
    }
}

impl Access {
    /// Makes the provider; nothing is asked for before the first request.
    pub(crate) async fn provider(&self, region: &str) -> SharedCredentialsProvider {
        match self {
            Self::DefaultChain => {
                let chain = DefaultCredentialsChain::builder().region(Region::new(region.to_owned()));
                SharedCredentialsProvider::new(chain.build().await)
            }
            Self::Keys { id, secret } => SharedCredentialsProvider::new(Credentials::new(
                id,
                secret.expose(),
                None,
                None,
                "configuration",
            )),
        }
    }
}

/// Retries with growing, random pauses.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE)
}

/// The limits of a request whose one attempt may take `more` than a small one: for a long poll, or many bytes.
pub(crate) fn limits(more: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(ATTEMPT + more)
        .operation_attempt_timeout(ATTEMPT + more)
        .operation_timeout(ATTEMPT + more + MORE_ATTEMPTS)
        .build()
}

/// A random pause before attempt `attempt` (counted from 1) of a request that is retried here and not by the SDK.
pub(crate) fn pause(attempt: u32) -> Duration {
    let longest = (FIRST_PAUSE * 2_u32.saturating_pow(attempt.min(10))).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.3..=1.0))
}
