//! The LiveKit API client: rooms, participants, SIP, egress, ingress, and tokens.
//!
//! # The contract
//!
//! - One pooled HTTP client; clones of [`LiveKit`] share it.
//! - Every call ends within its deadline ([`DEFAULT_DEADLINE`]), repeats included.
//! - A call is repeated, with exponential backoff and full jitter, only when a repeat is safe: reads, deletes and updates that
//!   set a value. A call that would do its work twice is repeated only when it never reached the server.
//! - Every error says what is wrong and what to do ([`LiveKitError::remedy`]). None carries a token: LiveKit's middleware
//!   echoes the caller's token in its 401s, which is masked here.
//! - Every request has a token of its own with only the grants that it needs, valid for two minutes.

mod egress;
mod error;
mod ingress;
mod outbound;
mod rooms;
mod sip;
mod token;
mod twirp;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use egress::EgressStart;
pub use error::{AuthFault, LiveKitError};
pub use livekit_protocol as proto;
pub use outbound::PhoneOutcome;
pub use pbjson_types::Duration as ProtoDuration;
pub use rooms::{Data, ParticipantUpdate};
pub use token::{JOIN_TTL, ParticipantKind, TokenRequest};

use crate::config::LiveKitConfig;
use token::Signer;
use twirp::Twirp;

/// How long one call may take with all its repeats.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The API of one LiveKit server.
#[derive(Clone)]
pub struct LiveKit {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    signer: Signer,
    twirp: Twirp,
}

impl std::fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKit")
            .field("url", &self.inner.url)
            .finish_non_exhaustive()
    }
}

impl LiveKit {
    /// A client for the server of `config`. Opens no connection yet.
    ///
    /// # Errors
    /// [`LiveKitError::Setup`] when the URL is none, or when the machine's certificates cannot be read.
    pub fn new(config: &LiveKitConfig) -> Result<Self, LiveKitError> {
        Self::with_deadline(config, DEFAULT_DEADLINE)
    }

    /// The same with another deadline for every call.
    ///
    /// # Errors
    /// As [`LiveKit::new`].
    pub fn with_deadline(config: &LiveKitConfig, deadline: Duration) -> Result<Self, LiveKitError> {
        Self::with_twirp(config, Twirp::new(&config.url, deadline)?)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of its two callers")]
    fn with_twirp(config: &LiveKitConfig, twirp: Twirp) -> Result<Self, LiveKitError> {
        crate::install_providers();
        let signer = Signer::new(&config.api_key, &config.api_secret);
        Ok(Self {
            inner: Arc::new(Inner {
                url: config.url.clone(),
                signer,
                twirp,
            }),
        })
    }

    /// The same server with another deadline for every call, over the same connections.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        let mut twirp = self.inner.twirp.clone();
        twirp.limits = twirp::Limits::within(deadline);
        Self {
            inner: Arc::new(Inner {
                url: self.inner.url.clone(),
                signer: self.inner.signer.clone(),
                twirp,
            }),
        }
    }

    /// Where participants join: `ws://` or `wss://`.
    pub fn url(&self) -> &str {
        &self.inner.url
    }
}
