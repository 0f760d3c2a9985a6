//! The types of `access` and `token`: who may use the HTTP API, and for what.

use std::{fmt, str::FromStr};

use events::agents::Pattern;

use crate::Secret;

/// `access`. Without this section the routes of the API are not served at all.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// `keys`: bearer keys, each a caller of its own.
    pub keys: Vec<AccessKey>,
    /// `jwt`: tokens of an identity provider.
    pub jwt: Option<IdentityProvider>,
    /// `requests_per_minute`: of one caller, on each host. 1 to 100,000, default 600.
    pub requests_per_minute: u32,
}

/// An entry of `access.keys`.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// `name`: what logs call it. 1–64 of A-Z a-z 0-9 _ -; unique.
    pub name: String,
    /// `key_sha256`, 64 hexadecimal digits; or `key`, at least 32 characters, of which only the hash is kept.
    pub hash: KeyHash,
    /// `key`, for the logs to mask; `None` when only the hash was given.
    pub key: Option<Secret>,
    /// What it may do.
    pub grant: Grant,
}

/// The SHA-256 of a bearer key. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// `access.jwt`: an identity provider whose access tokens are taken.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// `issuer`: what `iss` must be, to the letter.
    pub issuer: String,
    /// `audience`: what `aud` must be or hold.
    pub audience: String,
    /// `jwks_url`: where its public keys are; `https://`, `http://` only on loopback.
    pub jwks_url: String,
    /// What its tokens may do at most: the scopes of a token count as far as they are listed here.
    pub grant: Grant,
}

/// What a caller may do.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    /// `scopes`.
    pub scopes: Vec<Scope>,
    /// `rooms`: patterns of the rooms that are the caller's own; all others do not exist for it. In `access.jwt`, `{sub}` stands
    /// for the token's subject.
    pub rooms: Vec<String>,
    /// `numbers`: what it may call and transfer to, as prefixes of E.164, within `calls.targets`. Default: all of those.
    pub numbers: Vec<NumberPrefix>,
    /// `limits`: on the calls that it starts.
    pub limits: CallerLimits,
    /// `token`: what a client may ask for in a token.
    pub token: TokenGrant,
}

/// `limits` of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    /// `concurrent`: calls at the same time. Default 5.
    pub concurrent: u32,
    /// `calls_per_day`, by UTC. Default 200.
    pub calls_per_day: u32,
    /// `minutes_per_day`, by UTC; a call counts with its longest duration until it has ended. Default 600.
    pub minutes_per_day: u32,
}

impl Default for CallerLimits {
    fn default() -> Self {
        Self {
            concurrent: 5,
            calls_per_day: 200,
            minutes_per_day: 600,
        }
    }
}

/// `token` of a caller: what it may set of the participant that it makes a token for.
#[derive(Debug, Clone, Default)]
pub struct TokenGrant {
    /// `identities`: patterns of identities that it may choose. Default: none, the identity is drawn.
    pub identities: Vec<Pattern>,
    /// `name`: whether it may set the name. Default false.
    pub name: bool,
    /// `metadata`: whether it may set metadata. Default false.
    pub metadata: bool,
    /// `attributes`: the names of the attributes that it may set. Default none.
    pub attributes: Vec<String>,
    /// `room_config`: whether it may set timeouts, size and metadata of a room that its join makes. Default false.
    pub room_config: bool,
    /// `agents`: the names of the LiveKit agents that it may dispatch. Default none.
    pub agents: Vec<String>,
}

/// `token`: the endpoint that clients get their tokens from.
#[derive(Debug, Clone, Default)]
pub struct TokenConfig {
    /// `server_url`: where clients connect, `wss://…`. Default: `livekit.url`.
    pub server_url: Option<String>,
    /// `origins`: the pages that may call it, `https://app.example.com` each; no patterns. Default: none, servers only.
    pub origins: Vec<String>,
}

/// What a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Scope {
    TokenCreate,
    CallsRead,
    CallsWrite,
    RoomsRead,
    RoomsWrite,
    RecordingsRead,
    RecordingsWrite,
    IngressRead,
    IngressWrite,
    HealthRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::TokenCreate,
        Self::CallsRead,
        Self::CallsWrite,
        Self::RoomsRead,
        Self::RoomsWrite,
        Self::RecordingsRead,
        Self::RecordingsWrite,
        Self::IngressRead,
        Self::IngressWrite,
        Self::HealthRead,
    ];

    /// As it stands in the configuration, in tokens and in the OpenAPI document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenCreate => "token:create",
            Self::CallsRead => "calls:read",
            Self::CallsWrite => "calls:write",
            Self::RoomsRead => "rooms:read",
            Self::RoomsWrite => "rooms:write",
            Self::RecordingsRead => "recordings:read",
            Self::RecordingsWrite => "recordings:write",
            Self::IngressRead => "ingress:read",
            Self::IngressWrite => "ingress:write",
            Self::HealthRead => "health:read",
        }
    }
}

/// The text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no scope")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(ScopeError)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The beginning of numbers in E.164: `+` and 1–15 digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NumberPrefix(Box<str>);

/// The text is no such beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no beginning of a number in E.164")]
pub struct NumberPrefixError;

impl NumberPrefix {
    /// Whether a number in E.164 begins with it.
    pub fn covers(&self, number: &str) -> bool {
        number.starts_with(&*self.0)
    }

    /// Whether all that it covers begins with `code`.
    pub fn is_within(&self, code: &str) -> bool {
        self.0.starts_with(code)
    }
}

impl FromStr for NumberPrefix {
    type Err = NumberPrefixError;
    fn from_str(text: &str) -> Result<Self, NumberPrefixError> {
        let digits = text.strip_prefix('+').ok_or(NumberPrefixError)?;
        let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| Self(text.into())).ok_or(NumberPrefixError)
    }
}

/// A whole number may stand here.
impl fmt::Debug for NumberPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", events::mask_digits(&self.0))
    }
}
