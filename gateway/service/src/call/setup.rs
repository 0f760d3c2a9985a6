//! From the INVITE to the room: trunk, digest, SDP, dispatch rule, join.

use std::collections::HashMap;
use std::time::Duration;

use bus::ioinfo::{Dispatch, DispatchRequest, DispatchResult, SipCall, SipUri, TrunkAuthentication};
use events::{LegRecord, Regions, Timestamp};
use media::sdp::SdpError;
use platform::clock::{Clock as _, SystemClock};
use sip::digest::{Credentials, DEFAULT_REALM, Subject, Verdict};
use sip::{CallControl, Invite, Rejection};
use tokio::time::Instant;
use tracing::Span;

use super::Context;
use super::machine::Options;
use super::media_leg::{self, Encryption, MediaLeg, Offer};
use crate::attributes::{self, Moments};
use crate::room::RoomLeg;
use crate::token::{self, Joiner};

/// When to try again after 503, in seconds.
const RETRY_AFTER_S: &str = "10";
/// `SIPTrunkAuthenticationError`: over quota.
const OVER_QUOTA: i32 = 1;
/// `SIPTrunkAuthenticationError`: no trunk.
const NO_TRUNK: i32 = 2;

/// A call that has its room and waits for an agent.
pub(super) struct Joined {
    pub(super) room: RoomLeg,
    pub(super) media: MediaLeg,
    pub(super) options: Options,
    pub(super) ok_headers: Vec<(String, String)>,
    /// Attribute → header.
    pub(super) attributes_to_headers: HashMap<String, String>,
}

/// How a call is refused, and why, for the log.
pub(super) struct Refused {
    pub(super) rejection: Rejection,
    pub(super) why: &'static str,
}

impl Refused {
    fn new(code: u16, why: &'static str) -> Self {
        Self {
            rejection: Rejection::with_reason(code, why),
            why,
        }
    }

    /// 503 with Retry-After: the fault is ours and may pass.
    fn unavailable(why: &'static str) -> Self {
        let mut refused = Self::new(503, why);
        refused
            .rejection
            .headers
            .push(("Retry-After".to_owned(), RETRY_AFTER_S.to_owned()));
        refused
    }
}

/// A call that LiveKit wants, and what it joins with.
pub(super) struct Prepared {
    dispatch: Dispatch,
    media: MediaLeg,
    token: String,
    ringing_at: Timestamp,
}

impl Prepared {
    /// Tells the leg's record what is known before the join.
    pub(super) fn describe(&self, leg: &mut LegRecord, regions: &Regions) {
        let attributes = &self.dispatch.participant_attributes;
        super::detail::described(leg, attributes, regions);
        leg.ringing_at = Some(self.ringing_at);
    }
}

/// Everything before the join: it may be dropped at any time, and leaves nothing behind.
pub(super) async fn prepare(
    context: &Context,
    invite: &Invite,
    control: &CallControl,
    scl_id: &str,
) -> Result<Prepared, Refused> {
    let invite_at = SystemClock.now().into();
    let call = describe(invite, scl_id);
    let trunk = trunk(context, invite, &call).await?;
    // A call that we could not speak on must not ring.
    let offer = Offer::read(invite);
    if let Some(offer) = &offer {
        let checked = offer.check(&context.config.codecs);
        checked.map_err(|error| sdp_refusal(&error))?;
    }
    // The caller may be gone: its event says so.
    let _ = control.ringing().await;
    let ringing_at = SystemClock.now().into();
    tracing::info!(step = "ringing", trunk = trunk.sip_trunk_id, "180 sent");
    let dispatch = dispatch(context, trunk, call).await?;
    tracing::info!(
        step = "dispatched",
        rule = dispatch.sip_dispatch_rule_id,
        "a rule matches"
    );
    let codecs = media_leg::codecs(&context.config.codecs, dispatch.media.as_ref());
    let encryption = Encryption::of(dispatch.media.as_ref());
    let (address, bind) = (context.config.advertised_address, context.config.listen.ip());
    let port = context
        .ports
        .bind(bind)
        .map_err(|_| Refused::unavailable("no free RTP port"))?;
    let media = match &offer {
        Some(offer) => MediaLeg::negotiate(offer, port, address, &codecs, encryption)
            .map_err(|error| sdp_refusal(&error))?,
        None if codecs.is_empty() => return Err(Refused::new(488, "no common codec")),
        None => MediaLeg::offering(port, address, &codecs, encryption),
    };
    let moments = Moments {
        invite_at,
        ringing_at,
    };
    let attributes = attributes::at_join(&dispatch, invite, scl_id, moments);
    let token = mint(context, Joiner::from(&dispatch), &attributes).ok_or(Refused::new(500, "no token"))?;
    Ok(Prepared {
        dispatch,
        media,
        token,
        ringing_at,
    })
}

/// Joins the room. Not cancel-safe: poll it to its end, and leave the room that it yields.
pub(super) async fn join(context: &Context, prepared: Prepared, invited: Instant) -> Result<Joined, Refused> {
    let Prepared {
        dispatch,
        media,
        token,
        ..
    } = prepared;
    let room = RoomLeg::join(
        &context.livekit,
        &token,
        &dispatch.participant_identity,
        media.sample_rate_hz().unwrap_or(media_leg::UNKNOWN_RATE_HZ),
        true,
    )
    .await;
    let room = room.map_err(|error| {
        tracing::warn!(%error, "the room was not joined");
        Refused::unavailable("room not joined")
    })?;
    Span::current().record("call_id", room.sid().await);
    let joined_ms = super::millis(invited.elapsed());
    tracing::info!(step = "room_joined", joined_ms, "waiting for an agent");
    let options = options(context, &dispatch, invited);
    Ok(Joined {
        room,
        media,
        options,
        ok_headers: dispatch.headers.into_iter().collect(),
        attributes_to_headers: dispatch.attributes_to_headers,
    })
}

fn options(context: &Context, dispatch: &Dispatch, invited: Instant) -> Options {
    let timeouts = context.config.timeouts;
    // LiveKit passes the trunk's on with its answer.
    let shorter = |ours: Duration, trunk: Option<bus::wire::ProtoDuration>| {
        trunk
            .and_then(bus::wire::ProtoDuration::to_std)
            .map_or(ours, |trunk| trunk.min(ours))
    };
    Options {
        ringing_until: (invited + shorter(timeouts.no_agent, dispatch.ringing_timeout)).into_std(),
        agent_gone: timeouts.agent_gone,
        max_call: shorter(timeouts.max_call, dispatch.max_call_duration),
    }
}

/// `None` is logged here.
pub(super) fn mint(
    context: &Context,
    joiner: Joiner<'_>,
    attributes: &HashMap<String, String>,
) -> Option<String> {
    let now = u64::try_from(SystemClock.now().unix_timestamp()).unwrap_or_default();
    let (key, secret) = (&context.config.api_key, &context.config.api_secret);
    token::mint(key, secret, joiner, attributes, Duration::from_secs(now))
        .inspect_err(|error| tracing::error!(%error, "no token for the call"))
        .ok()
}

async fn trunk(context: &Context, invite: &Invite, call: &SipCall) -> Result<TrunkAuthentication, Refused> {
    let trunk = context
        .bus
        .trunk_authentication(call.clone())
        .await
        .map_err(|error| {
            tracing::warn!(%error, "LiveKit did not say which trunk the call comes by");
            Refused::unavailable("trunk look-up failed")
        })?;
    match trunk.error_code {
        OVER_QUOTA => return Err(Refused::unavailable("over quota")),
        NO_TRUNK => return Err(Refused::new(404, "no trunk")),
        _ if trunk.drop => return Err(Refused::new(404, "dropped by the trunk")),
        _ => {}
    }
    if trunk.username.is_empty() || trunk.password.is_empty() {
        return Ok(trunk);
    }
    let realm = if trunk.realm.is_empty() {
        DEFAULT_REALM
    } else {
        trunk.realm.as_str()
    };
    let subject = Subject {
        call_id: &invite.call_id,
        source: invite.source.ip(),
        method: "INVITE",
    };
    let credentials = Credentials {
        username: &trunk.username,
        password: &trunk.password,
        realm,
    };
    let now = context.started.elapsed();
    match context
        .authenticator
        .verify(invite.header("Proxy-Authorization"), subject, credentials, now)
    {
        Verdict::Accepted => Ok(trunk),
        Verdict::Wrong => Err(Refused {
            rejection: Rejection::code(401),
            why: "wrong credentials",
        }),
        Verdict::Challenge => {
            let challenge = context.authenticator.challenge(subject, realm, now);
            let headers = vec![("Proxy-Authenticate".to_owned(), challenge)];
            Err(Refused {
                rejection: Rejection {
                    headers,
                    ..Rejection::code(407)
                },
                why: "challenged",
            })
        }
    }
}

async fn dispatch(context: &Context, trunk: TrunkAuthentication, call: SipCall) -> Result<Dispatch, Refused> {
    let request = DispatchRequest {
        sip_trunk_id: trunk.sip_trunk_id,
        call: Some(call),
        ..DispatchRequest::default()
    };
    let dispatch = context
        .bus
        .evaluate_dispatch_rules(request)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "LiveKit did not say where the call goes");
            Refused::unavailable("dispatch look-up failed")
        })?;
    match dispatch.result() {
        DispatchResult::Accept => Ok(dispatch),
        DispatchResult::Legacy if !dispatch.request_pin && !dispatch.room_name.is_empty() => Ok(dispatch),
        DispatchResult::RequestPin | DispatchResult::Legacy if dispatch.request_pin => {
            Err(Refused::new(501, "rules with a PIN are not supported"))
        }
        DispatchResult::RequestPin => Err(Refused::new(501, "rules with a PIN are not supported")),
        // livekit-sip leaves the caller in silence here; a caller is told at once that nobody is there.
        DispatchResult::Drop | DispatchResult::Reject | DispatchResult::Legacy => {
            Err(Refused::new(404, "no dispatch rule matches"))
        }
    }
}

fn sdp_refusal(error: &SdpError) -> Refused {
    match error {
        SdpError::Syntax(_) | SdpError::TooLong(_) | SdpError::TooManyMedia(_) => {
            Refused::new(400, "unreadable SDP offer")
        }
        SdpError::NoCommonCodec { .. } => Refused::new(488, "no common codec"),
        SdpError::UnsupportedTransport(_) => Refused::new(488, "only RTP/AVP and RTP/SAVP are supported"),
        SdpError::EncryptionOff => Refused::new(488, "SRTP is off for this trunk"),
        SdpError::NotEncrypted => Refused::new(488, "SRTP is required"),
        SdpError::NoCommonSuite => Refused::new(488, "no common SRTP suite"),
        _ => Refused::new(488, "no usable audio in the SDP offer"),
    }
}

fn describe(invite: &Invite, scl_id: &str) -> SipCall {
    SipCall {
        lk_call_id: scl_id.to_owned(),
        source_ip: invite.source.ip().to_string(),
        address: Some(uri(&invite.request_uri)),
        from: Some(uri(&invite.from)),
        to: Some(uri(&invite.to)),
        via: invite
            .via
            .iter()
            .map(|(host, port)| SipUri {
                host: host.clone(),
                port: port.map(u32::from).unwrap_or_default(),
                ..SipUri::default()
            })
            .collect(),
        sip_call_id: invite.call_id.clone(),
    }
}

fn uri(uri: &sip::SipUri) -> SipUri {
    SipUri {
        user: uri.user.clone(),
        host: uri.host.clone(),
        port: uri.port.map(u32::from).unwrap_or_default(),
        ..SipUri::default()
    }
}
