//! What `POST /v1/calls` asks for, checked.

use std::{collections::BTreeMap, time::Duration};

use access::{Caller, Fail, caps::Wanted};
use events::RoomName;
use platform::{
    livekit::{ProtoDuration, proto},
    targets::Target,
};

use crate::{Shared, StartCall, legs::LEG, rooms::bounded};

const MAX_HEADERS: usize = 16;
/// The longest ringing that a request can wait for: hosts and clouds cut it off after 30 s.
const MAX_AWAITED: Duration = Duration::from_secs(20);

/// What a phone is not called: whoever joins under the identity of another puts it out.
const NOT_PHONES: [&str; 3] = ["agent", "eg_", "in_"];

/// A request that may be done.
pub(crate) struct Dial {
    pub(crate) participant: proto::CreateSipParticipantRequest,
    pub(crate) target: Target,
    pub(crate) trunk: String,
    pub(crate) room: RoomName,
    pub(crate) room_is_ours: bool,
    pub(crate) metadata: String,
    pub(crate) ringing_s: u32,
    pub(crate) longest: Duration,
    pub(crate) leg: String,
    /// The request's text, for its idempotency key.
    pub(crate) request: String,
}

impl Dial {
    pub(crate) fn new(shared: &Shared, caller: &Caller, wanted: StartCall) -> Result<Self, Fail> {
        let config = &shared.state.config;
        let request = serde_json::to_string(&wanted).unwrap_or_default();
        let target = shared
            .targets
            .check(&wanted.to, &caller.numbers)
            .map_err(|error| Fail::target(error, "to"))?;
        let leg = format!("{:016x}", rand::random::<u64>());
        let (room, room_is_ours) = room(caller, wanted.room, &leg)?;
        let ringing_s = ringing(
            wanted.ringing_timeout_s,
            config.ringing_timeout,
            wanted.wait_until_answered,
        )?;
        let longest_s = within("max_duration_s", wanted.max_duration_s, 10, config.max_duration)?;
        let identity = identity(wanted.participant_identity, &leg)?;
        for (field, text, most) in [
            ("participant_name", &wanted.participant_name, 256),
            ("display_name", &wanted.display_name, 128),
            ("metadata", &wanted.metadata, 16 * 1024),
        ] {
            bounded(field, text.as_deref().unwrap_or_default(), most)?;
        }
        check_display_name(wanted.display_name.as_deref())?;
        let dtmf = wanted.dtmf.unwrap_or_default();
        crate::control::check_digits("dtmf", &dtmf, true)?;
        let mut participant = proto::CreateSipParticipantRequest {
            room_name: room.as_str().to_owned(),
            participant_identity: identity,
            participant_name: wanted.participant_name.unwrap_or_default(),
            sip_number: from(wanted.from)?,
            dtmf,
            play_dialtone: wanted.play_dialtone,
            wait_until_answered: wanted.wait_until_answered,
            headers: sip_headers(wanted.headers)?,
            display_name: wanted.display_name,
            participant_attributes: [(LEG.to_owned(), leg.clone())].into(),
            ringing_timeout: Some(seconds(ringing_s)),
            max_call_duration: Some(seconds(longest_s)),
            ..proto::CreateSipParticipantRequest::default()
        };
        let trunk = match &target {
            Target::Number(number) => {
                participant.sip_call_to.clone_from(number);
                participant.sip_trunk_id = trunk(&config.trunks, wanted.trunk)?;
                participant.sip_trunk_id.clone()
            }
            Target::Sip { user, host, .. } => {
                if participant.sip_number.is_empty() {
                    return Err(Fail::invalid(
                        "from",
                        "it is missing, and there is no trunk to take it from",
                        "set the number or name to show to the address called",
                    ));
                }
                participant.sip_call_to.clone_from(user);
                participant.trunk = Some(proto::SipOutboundConfig {
                    hostname: host.clone(),
                    ..proto::SipOutboundConfig::default()
                });
                host.clone()
            }
        };
        Ok(Self {
            participant,
            target,
            trunk,
            room,
            room_is_ours,
            metadata: wanted.metadata.unwrap_or_default(),
            ringing_s,
            longest: Duration::from_secs(u64::from(longest_s) + u64::from(ringing_s)),
            leg,
            request,
        })
    }

    /// The number to show is one of the trunk's, or one that the configuration lists.
    ///
    /// # Errors
    /// 403 when it is not; LiveKit's, when it cannot say what the trunk's numbers are.
    pub(crate) async fn check_from(&self, shared: &Shared) -> Result<(), Fail> {
        let from = &self.participant.sip_number;
        let listed = &shared.state.config.from;
        if from.is_empty() || listed.iter().any(|own| own == "*" || own == from) {
            return Ok(());
        }
        if matches!(self.target, Target::Number(_)) {
            let trunks = shared.state.livekit.list_sip_outbound_trunks().await?;
            let is_its_own = trunks
                .iter()
                .filter(|trunk| trunk.sip_trunk_id == self.trunk)
                .any(|trunk| trunk.numbers.contains(from));
            if is_its_own {
                return Ok(());
            }
        }
        Err(Fail::refused(
            "from_not_listed",
            "from",
            "it is not one of the trunk's numbers",
            "write one of those, or let calls.from list it; where a SIP URI is called, only calls.from counts",
        ))
    }

    pub(crate) fn counted_as<'a>(&'a self, shared: &Shared, caller: &'a Caller) -> Wanted<'a> {
        Wanted {
            caller: &caller.name,
            limits: caller.limits,
            trunk: &self.trunk,
            per_trunk: shared.state.config.per_trunk,
            number: self.target.as_str(),
            per_number: shared.state.config.per_number,
            room: self.room.as_str(),
            longest: self.longest,
        }
    }
}

/// What ends a quoted text in SIP, or changes it.
fn check_display_name(name: Option<&str>) -> Result<(), Fail> {
    if name.is_some_and(|name| name.contains(['"', '\\'])) {
        return Err(Fail::invalid(
            "display_name",
            "it has a quotation mark or a backslash",
            "leave them out",
        ));
    }
    Ok(())
}

/// The phone's, drawn where none is named.
fn identity(wanted: Option<String>, leg: &str) -> Result<String, Fail> {
    let identity = wanted.unwrap_or_else(|| format!("phone-{leg}"));
    bounded("participant_identity", &identity, 256)?;
    let lower = identity.to_ascii_lowercase();
    if NOT_PHONES.iter().any(|begin| lower.starts_with(begin)) {
        return Err(Fail::refused(
            "identity_reserved",
            "participant_identity",
            "it is what agents, egresses and ingresses are called",
            "choose another, such as phone-1",
        ));
    }
    Ok(identity)
}

fn room(caller: &Caller, wanted: Option<String>, leg: &str) -> Result<(RoomName, bool), Fail> {
    let (name, is_ours) = if let Some(name) = wanted {
        bounded("room", &name, 256)?;
        if !caller.rooms.own(&name) {
            return Err(Fail::refused(
                "another_callers_room",
                "room",
                "it is not one of the caller's rooms",
                "the caller's rooms list what it may use",
            ));
        }
        (name, false)
    } else {
        let drawn = caller.rooms.name(leg);
        let drawn =
            drawn.ok_or_else(|| Fail::invalid("room", "it is missing", "name one of the caller's rooms"))?;
        (drawn, true)
    };
    let name = RoomName::new(name).map_err(|error| Fail::invalid("room", error.to_string(), "set it"))?;
    Ok((name, is_ours))
}

fn trunk(listed: &[String], wanted: Option<String>) -> Result<String, Fail> {
    match (wanted, listed) {
        (Some(trunk), listed) if listed.contains(&trunk) => Ok(trunk),
        (None, [only]) => Ok(only.clone()),
        (None, [_, _, ..]) => Err(Fail::invalid(
            "trunk",
            "there are several",
            "name one of calls.trunks",
        )),
        _ => Err(Fail::refused(
            "trunk_not_listed",
            "trunk",
            "it is not in the list of trunks",
            "calls.trunks lists what may be used",
        )),
    }
}

fn from(wanted: Option<String>) -> Result<String, Fail> {
    let number = wanted.unwrap_or_default();
    let plain = number
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    if plain && number.len() <= 64 {
        Ok(number)
    } else {
        Err(Fail::invalid(
            "from",
            "it is no number",
            "write one of the trunk's numbers",
        ))
    }
}

/// `X-` headers only: any other would let a client write into the signalling.
fn sip_headers(headers: BTreeMap<String, String>) -> Result<std::collections::HashMap<String, String>, Fail> {
    let is_name = |name: &str| {
        name.len() <= 64
            && name
                .get(..2)
                .is_some_and(|begin| begin.eq_ignore_ascii_case("x-"))
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_value = |value: &str| value.len() <= 256 && value.bytes().all(|b| (b' '..=b'~').contains(&b));
    if headers.len() > MAX_HEADERS
        || !headers
            .iter()
            .all(|(name, value)| is_name(name) && is_value(value))
    {
        return Err(Fail::invalid(
            "headers",
            "there are too many, or one is no X- header of visible ASCII",
            "send at most 16 headers like X-Order: 12",
        ));
    }
    Ok(headers.into_iter().collect())
}

/// How long it may ring, in seconds.
pub(crate) fn ringing(wanted: Option<u32>, most: Duration, is_awaited: bool) -> Result<u32, Fail> {
    let most = if is_awaited { most.min(MAX_AWAITED) } else { most };
    within("ringing_timeout_s", wanted, 5, most)
}

fn within(field: &str, wanted: Option<u32>, least: u32, most: Duration) -> Result<u32, Fail> {
    let most = u32::try_from(most.as_secs()).unwrap_or(u32::MAX);
    match wanted {
        None => Ok(most),
        Some(value) if (least..=most).contains(&value) => Ok(value),
        Some(_) => Err(Fail::invalid(
            field,
            "it is out of bounds",
            format!("set it to {least} to {most}"),
        )),
    }
}

pub(crate) fn seconds(seconds: u32) -> ProtoDuration {
    ProtoDuration {
        seconds: i64::from(seconds),
        nanos: 0,
    }
}
