use std::{collections::BTreeMap, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use livekit_api::access_token::{AccessToken, SIPGrants, TokenVerifier, VideoGrants};

use super::{LiveKit, LiveKitError, proto};
use crate::{Secret, clock};

/// How long a token for joining is valid. It matters at the connect only: the server renews the tokens of those who are
/// in a room.
pub const JOIN_TTL: Duration = Duration::from_mins(10);
/// How long a token for an operator is valid.
const ADMIN_TTL: Duration = Duration::from_hours(1);
/// How long a token of one API call is valid.
const CALL_TTL: Duration = Duration::from_mins(2);

/// As whom a participant joins; LiveKit shows it to the others and in webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParticipantKind {
    /// A person with a browser or an app.
    #[default]
    Standard,
    /// A phone.
    Sip,
    /// A voice agent.
    Agent,
}

/// Who wants to join what. Publishes, subscribes and sends data; updates its own attributes unless it is a person.
#[derive(Clone, Default)]
pub struct TokenRequest {
    room: String,
    identity: String,
    name: String,
    metadata: String,
    attributes: BTreeMap<String, String>,
    kind: ParticipantKind,
    microphone_only: bool,
    room_config: Option<proto::RoomConfiguration>,
}

impl std::fmt::Debug for TokenRequest {
    /// Identities, names and attributes of phones hold numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl TokenRequest {
    /// A person who joins `room` as `identity`, which is unique in the room: a second one evicts the first.
    pub fn new(room: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            room: room.into(),
            identity: identity.into(),
            ..Self::default()
        }
    }

    /// Joins as this kind.
    #[must_use]
    pub fn kind(mut self, kind: ParticipantKind) -> Self {
        self.kind = kind;
        self
    }

    /// Publishes its microphone and nothing else: no camera, no screen.
    #[must_use]
    pub fn microphone_only(mut self) -> Self {
        self.microphone_only = true;
        self
    }

    /// The name that others see.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The participant's metadata.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// The participant's attributes.
    #[must_use]
    pub fn attributes<K: Into<String>, V: Into<String>>(
        mut self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.attributes = attributes
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        self
    }

    /// What the room is made with if this join makes it.
    #[must_use]
    pub fn room_config(mut self, config: proto::RoomConfiguration) -> Self {
        self.room_config = Some(config);
        self
    }
}

impl LiveKit {
    /// A token to join with, valid for [`JOIN_TTL`].
    ///
    /// # Errors
    /// [`LiveKitError::Token`] when room or identity is empty.
    pub fn participant_token(&self, request: TokenRequest) -> Result<Secret, LiveKitError> {
        self.inner.signer.join(request)
    }

    /// A token for the agent of a call: kind AGENT, valid for [`JOIN_TTL`].
    ///
    /// # Errors
    /// [`LiveKitError::Token`] when room or identity is empty.
    pub fn agent_token(&self, room: &str, identity: &str) -> Result<Secret, LiveKitError> {
        self.participant_token(TokenRequest::new(room, identity).kind(ParticipantKind::Agent))
    }
}

impl LiveKit {
    /// A token for an operator: all of LiveKit's API, for one hour. What is done inside a room needs that room's name. Never for a
    /// client, and never over HTTP.
    ///
    /// # Errors
    /// [`LiveKitError::Token`].
    pub fn admin_token(&self, room: Option<&str>) -> Result<Secret, LiveKitError> {
        self.inner.signer.admin(room)
    }
}

/// What an API call needs to be allowed.
pub(super) enum Grant<'a> {
    RoomCreate,
    RoomList,
    RoomAdmin(&'a str),
    SipAdmin,
    /// To place calls.
    SipCall,
    /// To move a call away; LiveKit wants both.
    SipTransfer(&'a str),
    RoomRecord,
    IngressAdmin,
}

#[derive(Clone)]
pub(super) struct Signer {
    api_key: String,
    api_secret: Secret,
}

impl Signer {
    pub(super) fn new(api_key: &str, api_secret: &Secret) -> Self {
        Self {
            api_key: api_key.to_owned(),
            api_secret: api_secret.clone(),
        }
    }

    pub(super) fn call(&self, grant: &Grant<'_>) -> Result<Secret, LiveKitError> {
        let token = self.blank().with_ttl(CALL_TTL);
        let video = VideoGrants::default();
        self.sign(match grant {
            Grant::RoomCreate => token.with_grants(VideoGrants {
                room_create: true,
                ..video
            }),
            Grant::RoomList => token.with_grants(VideoGrants {
                room_list: true,
                ..video
            }),
            Grant::RoomAdmin(room) => token.with_grants(VideoGrants {
                room_admin: true,
                room: (*room).to_owned(),
                ..video
            }),
            Grant::SipAdmin => token.with_sip_grants(SIPGrants {
                admin: true,
                call: false,
            }),
            Grant::SipCall => token.with_sip_grants(SIPGrants {
                admin: false,
                call: true,
            }),
            Grant::SipTransfer(room) => token
                .with_sip_grants(SIPGrants {
                    admin: false,
                    call: true,
                })
                .with_grants(VideoGrants {
                    room_admin: true,
                    room: (*room).to_owned(),
                    ..video
                }),
            Grant::RoomRecord => token.with_grants(VideoGrants {
                room_record: true,
                ..video
            }),
            Grant::IngressAdmin => token.with_grants(VideoGrants {
                ingress_admin: true,
                ..video
            }),
        })
    }

    fn admin(&self, room: Option<&str>) -> Result<Secret, LiveKitError> {
        let video = VideoGrants {
            room_create: true,
            room_list: true,
            room_record: true,
            room_admin: true,
            ingress_admin: true,
            room: room.unwrap_or_default().to_owned(),
            ..VideoGrants::default()
        };
        let sip = SIPGrants {
            admin: true,
            call: true,
        };
        self.sign(
            self.blank()
                .with_ttl(ADMIN_TTL)
                .with_grants(video)
                .with_sip_grants(sip),
        )
    }

    fn join(&self, request: TokenRequest) -> Result<Secret, LiveKitError> {
        let kind = match request.kind {
            ParticipantKind::Standard => "standard",
            ParticipantKind::Sip => "sip",
            ParticipantKind::Agent => "agent",
        };
        let grants = VideoGrants {
            room_join: true,
            room: request.room,
            can_publish: Some(true),
            can_publish_sources: if request.microphone_only {
                vec!["microphone".to_owned()]
            } else {
                Vec::new()
            },
            can_subscribe: Some(true),
            can_publish_data: Some(true),
            can_update_own_metadata: Some(request.kind != ParticipantKind::Standard),
            ..VideoGrants::default()
        };
        let mut token = self
            .blank()
            .with_ttl(JOIN_TTL)
            .with_identity(&request.identity)
            .with_name(&request.name)
            .with_kind(kind)
            .with_metadata(&request.metadata)
            .with_attributes(request.attributes)
            .with_grants(grants);
        if let Some(config) = request.room_config {
            token = token.with_room_config(config);
        }
        self.sign(token)
    }

    fn blank(&self) -> AccessToken {
        AccessToken::with_api_key(&self.api_key, self.api_secret.expose())
    }

    /// The SDK makes and checks the claims; only the moment from which they are valid is moved.
    fn sign(&self, token: AccessToken) -> Result<Secret, LiveKitError> {
        let failed = |reason: String| LiveKitError::Token { reason };
        let token = token.to_jwt().map_err(|error| failed(error.to_string()))?;
        let verifier = TokenVerifier::with_api_key(&self.api_key, self.api_secret.expose());
        let mut claims = verifier
            .verify(&token)
            .map_err(|error| failed(error.to_string()))?;
        // livekit-server refuses a token that is not valid for another minute, and this machine's clock may be ahead of its.
        let skew = usize::try_from(clock::SKEW.as_secs()).unwrap_or_default();
        claims.nbf = claims.nbf.saturating_sub(skew);
        let key = EncodingKey::from_secret(self.api_secret.expose().as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .map(Secret::new)
            .map_err(|error| failed(error.to_string()))
    }
}
