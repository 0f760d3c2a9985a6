//! From the INVITE to the room: trunk, digest, SDP, dispatch rule, join.

use std::collections::HashMap;
use std::time::Duration;

use bus::ioinfo::{Dispatch, DispatchRequest, DispatchResult, SipCall, SipUri};
use events::livekit::attribute;
use events::{LegRecord, Regions, Timestamp};
use media::sdp::SdpError;
use platform::clock::{Clock as _, SystemClock};
use sip::{CallControl, Invite, Rejection};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Span;

use super::machine::Options;
use super::media_leg::{self, Encryption, MediaLeg, Offer};
use super::{Context, trunk};
use crate::attributes::Moments;
use crate::methods::RemoteHeaders;
use crate::room::RoomLeg;
use crate::token::{self, Joiner};

/// When to try again after 503, in seconds.
const RETRY_AFTER_S: &str = "10";

/// A call that has its room.
pub(super) struct Joined {
    pub(super) room: RoomLeg,
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
    pub(super) fn new(code: u16, why: &'static str) -> Self {
        Self {
            rejection: Rejection::with_reason(code, why),
            why,
        }
    }

    /// 503 with Retry-After: the fault is ours and may pass.
    pub(super) fn unavailable(why: &'static str) -> Self {
        let mut refused = Self::new(503, why);
        refused
            .rejection
            .headers
            .push(("Retry-After".to_owned(), RETRY_AFTER_S.to_owned()));
        refused
    }
}

/// A call that may go on.
pub(super) struct Prepared {
    pub(super) media: MediaLeg,
    pub(super) moments: Moments,
    pub(super) entry: Entry,
}

/// What LiveKit wants of it.
pub(super) enum Entry {
    Room(Box<Dispatch>),
    /// A PIN first.
    Pin(Box<Locked>),
}

/// A call that lacks a PIN.
pub(super) struct Locked {
    /// Its question to LiveKit, which the PIN is to be put into.
    pub(super) question: DispatchRequest,
    /// The caller's place among those who enter one.
    pub(super) place: OwnedSemaphorePermit,
}

/// What a call joins its room with.
pub(super) struct Admission {
    dispatch: Dispatch,
    token: String,
    rate_hz: u32,
    remote_headers: RemoteHeaders,
    /// From when on an agent is waited for.
    since: Instant,
}

impl Admission {
    pub(super) fn new(
        context: &Context,
        invite: &Invite,
        dispatch: Dispatch,
        attributes: &HashMap<String, String>,
        media: &MediaLeg,
        since: Instant,
    ) -> Result<Self, Refused> {
        let token =
            mint(context, Joiner::from(&dispatch), attributes).ok_or(Refused::new(500, "no token"))?;
        let remote_headers = RemoteHeaders::default();
        let shown = dispatch
            .participant_attributes
            .contains_key(attribute::SIP_NUMBER);
        let hidden = (!shown).then_some(invite.from.user.as_str());
        remote_headers.set(&invite.headers, hidden);
        Ok(Self {
            dispatch,
            token,
            remote_headers,
            rate_hz: media.sample_rate_hz().unwrap_or(media_leg::UNKNOWN_RATE_HZ),
            since,
        })
    }

    /// Tells the leg's record what is known before the join.
    pub(super) fn describe(&self, leg: &mut LegRecord, regions: &Regions) {
        super::detail::described(leg, &self.dispatch.participant_attributes, regions);
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
    let trunk = trunk::of(context, invite, &call).await?;
    // A call that we could not speak on must not ring.
    let offer = Offer::read(invite);
    if let Some(offer) = &offer {
        let checked = offer.check(&context.config.codecs);
        checked.map_err(|error| sdp_refusal(&error))?;
    }
    // The caller may be gone: its event says so.
    let _ = control.ringing().await;
    let ringing_at: Timestamp = SystemClock.now().into();
    tracing::info!(step = "ringing", trunk = trunk.sip_trunk_id, "180 sent");
    let question = DispatchRequest {
        sip_trunk_id: trunk.sip_trunk_id,
        call: Some(call),
        ..DispatchRequest::default()
    };
    let dispatch = context
        .bus
        .evaluate_dispatch_rules(question.clone())
        .await
        .map_err(|error| {
            tracing::warn!(%error, "LiveKit did not say where the call goes");
            Refused::unavailable("dispatch look-up failed")
        })?;
    let verdict = Verdict::of(&dispatch);
    if verdict == Verdict::No {
        // livekit-sip leaves the caller in silence here; a caller is told at once that nobody is there.
        return Err(Refused::new(404, "no dispatch rule matches"));
    }
    tracing::info!(
        step = "dispatched",
        rule = dispatch.sip_dispatch_rule_id,
        "a rule matches"
    );
    let media = negotiate(context, offer.as_ref(), &dispatch)?;
    let entry = if verdict == Verdict::Pin {
        let place = context
            .pins
            .clone()
            .try_acquire_owned()
            .map_err(|_| Refused::unavailable("too many callers are entering a PIN"))?;
        Entry::Pin(Box::new(Locked { question, place }))
    } else {
        Entry::Room(Box::new(dispatch))
    };
    Ok(Prepared {
        media,
        moments: Moments {
            invite_at,
            ringing_at,
        },
        entry,
    })
}

fn negotiate(context: &Context, offer: Option<&Offer>, dispatch: &Dispatch) -> Result<MediaLeg, Refused> {
    let codecs = media_leg::codecs(&context.config.codecs, dispatch.media.as_ref());
    let encryption = Encryption::of(dispatch.media.as_ref());
    let (address, bind) = (context.config.advertised_address, context.config.listen.ip());
    let port = context
        .ports
        .bind(bind)
        .map_err(|_| Refused::unavailable("no free RTP port"))?;
    match offer {
        Some(offer) => MediaLeg::negotiate(offer, port, address, &codecs, encryption)
            .map_err(|error| sdp_refusal(&error)),
        None if codecs.is_empty() => Err(Refused::new(488, "no common codec")),
        None => Ok(MediaLeg::offering(port, address, &codecs, encryption)),
    }
}

/// What the dispatch rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Room,
    Pin,
    /// No rule matches; of a PIN: it is wrong.
    No,
}

impl Verdict {
    pub(super) fn of(dispatch: &Dispatch) -> Self {
        match dispatch.result() {
            DispatchResult::Accept => Self::Room,
            DispatchResult::RequestPin => Self::Pin,
            DispatchResult::Legacy if dispatch.request_pin => Self::Pin,
            DispatchResult::Legacy if !dispatch.room_name.is_empty() => Self::Room,
            DispatchResult::Drop | DispatchResult::Reject | DispatchResult::Legacy => Self::No,
        }
    }
}

/// Joins the room. Not cancel-safe: poll it to its end, and leave the room that it yields.
pub(super) async fn join(context: &Context, admission: Admission) -> Result<Joined, Refused> {
    let Admission {
        dispatch,
        token,
        rate_hz,
        remote_headers,
        since,
    } = admission;
    let room = RoomLeg::join(
        &context.livekit,
        &token,
        &dispatch.participant_identity,
        rate_hz,
        true,
        remote_headers,
    )
    .await;
    let room = room.map_err(|error| {
        tracing::warn!(%error, "the room was not joined");
        Refused::unavailable("room not joined")
    })?;
    Span::current().record("call_id", room.sid().await);
    let joined_ms = super::millis(since.elapsed());
    tracing::info!(step = "room_joined", joined_ms, "waiting for an agent");
    let options = options(context, &dispatch, since);
    Ok(Joined {
        room,
        options,
        ok_headers: dispatch.headers.into_iter().collect(),
        attributes_to_headers: dispatch.attributes_to_headers,
    })
}

fn options(context: &Context, dispatch: &Dispatch, since: Instant) -> Options {
    let timeouts = context.config.timeouts;
    // LiveKit passes the trunk's on with its answer.
    let shorter = |ours: Duration, trunk: Option<bus::wire::ProtoDuration>| {
        trunk
            .and_then(bus::wire::ProtoDuration::to_std)
            .map_or(ours, |trunk| trunk.min(ours))
    };
    Options {
        ringing_until: (since + shorter(timeouts.no_agent, dispatch.ringing_timeout)).into_std(),
        agent_gone: timeouts.agent_gone,
        max_call: shorter(timeouts.max_call, dispatch.max_call_duration),
        no_agent: context.no_agent(),
        holds: context.sounds.hold().is_some(),
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
