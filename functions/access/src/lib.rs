//! Who may do what over the HTTP API: the one place where callers are told apart and refused.
//!
//! # Calling contract
//!
//! - A function wraps every route in [`guard`]. The scope is read from the route's own OpenAPI description
//!   (`security(("bearer" = ["calls:read"]))`), so that document and check cannot differ; a route without a scope answers 403 to all.
//! - Handlers take [`Caller`] and ask it whether a resource is theirs ([`Caller::owns_room`]); what is not theirs does not exist (404).
//! - What is dialled goes through [`platform::targets::Policy`], refused as [`Fail::target`] says, and is counted by [`caps::Caps`] before it is dialled.
//! - What must not be done twice asks [`idempotency::once`] before it is done.
//! - URLs that other services are made to fetch or push to go through [`outside::OutsideUrl`].
//! - Bodies come in by [`Body`], queries by [`Params`], the names in paths by [`Path`]: all of it bounded in bytes and time, without unknown fields, and refused as a
//!   problem.
//! - Refusals are [`Fail`], problem details by RFC 9457. The guard logs each 401, 403, 404 and 429 as one line with the caller's
//!   name, the route and a reason, and nothing else.
//!
//! # What this crate does not do
//!
//! It knows no session, no user and no password, and keeps nothing but the public keys of the identity provider and the moments of
//! the last requests. The rate of requests is therefore limited per process; what costs money is counted in the store.
#![warn(missing_docs)]

mod caller;
pub mod caps;
mod fail;
mod guard;
pub mod idempotency;
mod jwks;
mod jwt;
mod keys;
pub mod outside;
mod page;
mod rate;
mod refusal;
mod request;

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use platform::{clock::SharedClock, config::AccessConfig};

pub use caller::{Caller, Rooms};
pub use fail::{Fail, Outcome};
pub use guard::{BEARER, bearer_scheme, guard};
pub use jwks::{JwksError, MAX_JWKS_BYTES};
pub use page::{MAX_LIMIT, page};
pub use refusal::Refusal;
pub use request::{BODY_TIMEOUT, Body, MAX_BODY_BYTES, Params, Path, REQUEST_ID, RequestId, with_request_id};

use crate::{jwt::Provider, keys::Keys, rate::Rate};

/// No token of ours or of a provider is longer.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Tells callers apart. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
    provider: Option<Provider>,
    rate: Rate,
    clock: SharedClock,
}

impl Access {
    /// Takes the configuration. Fetches nothing yet.
    ///
    /// # Errors
    /// When the machine's certificates cannot be read.
    pub fn new(config: &AccessConfig, clock: SharedClock) -> Result<Self, JwksError> {
        let provider = config.jwt.clone().map(Provider::new).transpose()?;
        Ok(Self {
            inner: Arc::new(Inner {
                keys: Keys::new(&config.keys),
                provider,
                rate: Rate::per_minute(config.requests_per_minute),
                clock,
            }),
        })
    }

    /// Who asks.
    ///
    /// # Errors
    /// When there is no valid key or token, or the caller asks too often.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::NoToken)?;
        if values.next().is_some() || value.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::MalformedToken);
        }
        let text = value.to_str().map_err(|_| Refusal::MalformedToken)?;
        let (scheme, token) = text.split_once(' ').ok_or(Refusal::MalformedToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::MalformedToken);
        }
        let token = token.trim();
        let Inner {
            keys,
            provider,
            rate,
            clock,
        } = &*self.inner;
        let caller = match (keys.caller(token), provider) {
            (Some(caller), _) => caller,
            (None, Some(provider)) if jwt::looks_like(token) => {
                provider.caller(token, clock.now().unix_timestamp()).await?
            }
            (None, _) => return Err(Refusal::UnknownKey),
        };
        if rate.admits(&caller.name) {
            Ok(caller)
        } else {
            Err(Refusal::TooOften { caller: caller.name })
        }
    }
}
