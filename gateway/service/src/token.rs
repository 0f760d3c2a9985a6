//! The token that a call joins its room with.

use std::collections::HashMap;
use std::time::Duration;

use bus::ioinfo::Dispatch;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use livekit_protocol::RoomConfiguration;
use platform::{Secret, clock};
use prost::Message as _;
use serde::Serialize;
use thiserror::Error;

/// livekit-sip's. The server renews the tokens of connected clients, so it matters at the join alone.
const LIFETIME: Duration = Duration::from_hours(24);

/// Why there is no token. Both are final for the call.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    #[error("the rule's room configuration cannot be read")]
    RoomConfig(#[from] prost::DecodeError),
    #[error("the token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    nbf: u64,
    exp: u64,
    name: &'a str,
    metadata: &'a str,
    attributes: &'a HashMap<String, String>,
    kind: &'static str,
    video: Grants<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_config: Option<RoomConfiguration>,
    #[serde(skip_serializing_if = "str::is_empty")]
    room_preset: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "they are LiveKit's grants")]
struct Grants<'a> {
    room_join: bool,
    room: &'a str,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
    /// For the changes of `sip.callStatus`.
    can_update_own_metadata: bool,
}

/// Who joins which room.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Joiner<'a> {
    pub(crate) room: &'a str,
    pub(crate) identity: &'a str,
    pub(crate) name: &'a str,
    pub(crate) metadata: &'a str,
    /// A `livekit.RoomConfiguration`, still encoded.
    pub(crate) room_config: Option<&'a [u8]>,
    pub(crate) room_preset: &'a str,
}

impl<'a> From<&'a Dispatch> for Joiner<'a> {
    fn from(dispatch: &'a Dispatch) -> Self {
        Self {
            room: &dispatch.room_name,
            identity: &dispatch.participant_identity,
            name: &dispatch.participant_name,
            metadata: &dispatch.participant_metadata,
            room_config: dispatch.room_config.as_deref(),
            room_preset: &dispatch.room_preset,
        }
    }
}

/// Mints the token of one call. `now` counts from the Unix epoch.
pub(crate) fn mint(
    api_key: &str,
    api_secret: &Secret,
    joiner: Joiner<'_>,
    attributes: &HashMap<String, String>,
    now: Duration,
) -> Result<String, TokenError> {
    let room_config = joiner.room_config.map(RoomConfiguration::decode).transpose()?;
    let claims = Claims {
        iss: api_key,
        sub: joiner.identity,
        // livekit-server refuses a token that is not valid for another minute, and this machine's clock may be ahead of its.
        nbf: now.saturating_sub(clock::SKEW).as_secs(),
        exp: (now + LIFETIME).as_secs(),
        name: joiner.name,
        metadata: joiner.metadata,
        attributes,
        kind: "sip",
        video: Grants {
            room_join: true,
            room: joiner.room,
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_update_own_metadata: true,
        },
        room_config,
        room_preset: joiner.room_preset,
    };
    let key = EncodingKey::from_secret(api_secret.expose().as_bytes());
    Ok(jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &key,
    )?)
}

#[cfg(test)]
mod tests {
    use livekit_api::access_token::TokenVerifier;

    use super::*;

    #[test]
    fn livekits_own_verifier_reads_the_token() {
        platform::install_providers();
        let secret = Secret::new("a-secret-of-more-than-thirty-two-characters");
        let dispatch = Dispatch {
            room_name: "r".into(),
            participant_identity: "sip_1".into(),
            participant_name: "Phone 1".into(),
            room_preset: "p".into(),
            room_config: Some(
                RoomConfiguration {
                    metadata: "m".into(),
                    ..Default::default()
                }
                .encode_to_vec(),
            ),
            ..Dispatch::default()
        };
        let attributes = HashMap::from([("sip.callStatus".to_owned(), "ringing".to_owned())]);
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        let token = mint("key", &secret, Joiner::from(&dispatch), &attributes, now).expect("minted");
        let claims = TokenVerifier::with_api_key("key", secret.expose())
            .verify(&token)
            .expect("valid");
        assert_eq!(
            (claims.sub.as_str(), claims.name.as_str(), claims.kind.as_str()),
            ("sip_1", "Phone 1", "sip")
        );
        assert_eq!(
            (
                claims.video.room.as_str(),
                claims.video.room_join,
                claims.video.hidden
            ),
            ("r", true, false)
        );
        assert_eq!(claims.attributes, attributes);
        assert_eq!(claims.room_config.expect("room config").metadata, "m");
        let payload = token.split('.').nth(1).expect("payload");
        assert!(payload.len() > 10, "the preset is a claim of its own: {payload}");
    }
}
