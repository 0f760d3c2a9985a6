//! What a client may ask for: every field is allowed by its caller's grant, or refused by name.

use std::collections::BTreeMap;

use access::{Caller, Fail};
use platform::{
    config::TokenGrant,
    livekit::{TokenRequest as Join, proto},
};

use crate::{RoomConfig, TokenRequest, not_yours};

/// LiveKit's own bound for names and identities.
const MAX_NAME_BYTES: usize = 256;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_ATTRIBUTES: usize = 32;
const MAX_ATTRIBUTE_NAME_BYTES: usize = 128;
const MAX_ATTRIBUTE_BYTES: usize = 2 * 1024;
const MAX_AGENTS: usize = 4;

/// Attributes that LiveKit and this program read.
const RESERVED_ATTRIBUTES: [&str; 4] = ["sip.", "lk.", "trunkline.", "ingress."];
/// Identities of phones, agents, egress and ingress: who takes one sends its owner away.
const RESERVED_IDENTITIES: [&str; 6] = ["sip_", "sip-", "phone-", "agent", "eg_", "in_"];

/// Makes a join of a request, or says what is not allowed.
pub(crate) fn join(caller: &Caller, request: TokenRequest) -> Result<Join, Fail> {
    let grant = &caller.token;
    let room = room(caller, request.room_name)?;
    let identity = identity(grant, request.participant_identity)?;
    let mut join = Join::new(room, identity).microphone_only();
    if let Some(name) = request.participant_name.filter(|name| !name.is_empty()) {
        let field = "participant_name";
        allowed(grant.name, field, "the caller's token.name allows it")?;
        bounded(&name, MAX_NAME_BYTES, field)?;
        join = join.name(name);
    }
    if let Some(metadata) = request.participant_metadata.filter(|text| !text.is_empty()) {
        let field = "participant_metadata";
        allowed(grant.metadata, field, "the caller's token.metadata allows it")?;
        bounded(&metadata, MAX_METADATA_BYTES, field)?;
        join = join.metadata(metadata);
    }
    if let Some(attributes) = request.participant_attributes {
        check_attributes(grant, &attributes)?;
        join = join.attributes(attributes);
    }
    if let Some(config) = request.room_config {
        join = join.room_config(room_config(grant, config)?);
    }
    Ok(join)
}

fn room(caller: &Caller, wanted: Option<String>) -> Result<String, Fail> {
    let field = "room_name";
    let Some(name) = wanted.filter(|name| !name.is_empty()) else {
        return caller
            .rooms
            .name(&random())
            .ok_or_else(|| Fail::invalid(field, "it is missing", "name one of the caller's rooms"));
    };
    bounded(&name, MAX_NAME_BYTES, field)?;
    if caller.rooms.own(&name) {
        Ok(name)
    } else {
        Err(not_yours(field, "the caller's rooms list what it may join"))
    }
}

fn identity(grant: &TokenGrant, wanted: Option<String>) -> Result<String, Fail> {
    let field = "participant_identity";
    let Some(identity) = wanted.filter(|identity| !identity.is_empty()) else {
        return Ok(format!("user-{}", random()));
    };
    bounded(&identity, MAX_NAME_BYTES, field)?;
    if !is_readable(&identity) {
        return Err(Fail::invalid(
            field,
            "it has characters that are not seen, or that look like others",
            "use letters, digits and the marks of ASCII, without a space at either end",
        ));
    }
    let lower = identity.to_ascii_lowercase();
    let reserved = RESERVED_IDENTITIES.iter().any(|begin| lower.starts_with(begin));
    if reserved || !grant.identities.iter().any(|pattern| pattern.matches(&identity)) {
        return Err(not_yours(
            field,
            "leave it out and one is drawn, or let the caller's token.identities allow it",
        ));
    }
    Ok(identity)
}

/// Whether it is what it looks like, as far as whole kinds of characters go: `agent-1` is written without a zero-width space before it, and not in
/// full-width or mathematical letters.
fn is_readable(identity: &str) -> bool {
    let in_disguise = |c: char| matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ff00}'..='\u{ffef}' | '\u{1d400}'..='\u{1d7ff}');
    let plain = |c: char| c.is_ascii_graphic() || c == ' ' || (c.is_alphanumeric() && !in_disguise(c));
    identity.trim() == identity && identity.chars().all(plain)
}

fn check_attributes(grant: &TokenGrant, attributes: &BTreeMap<String, String>) -> Result<(), Fail> {
    let field = "participant_attributes";
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Fail::invalid(
            field,
            format!("there are more than {MAX_ATTRIBUTES}"),
            "send fewer",
        ));
    }
    for (name, value) in attributes {
        bounded(name, MAX_ATTRIBUTE_NAME_BYTES, field)?;
        let field = format!("{field}.{}", events::mask_digits(name));
        let lower = name.trim().to_ascii_lowercase();
        if RESERVED_ATTRIBUTES.iter().any(|begin| lower.starts_with(begin)) {
            return Err(not_yours(
                field,
                "names with this beginning are LiveKit's and this program's",
            ));
        }
        if !grant.attributes.contains(name) {
            return Err(not_yours(
                field,
                "the caller's token.attributes list what it may set",
            ));
        }
        bounded(value, MAX_ATTRIBUTE_BYTES, &field)?;
    }
    Ok(())
}

fn room_config(grant: &TokenGrant, config: RoomConfig) -> Result<proto::RoomConfiguration, Fail> {
    let never = [
        ("name", config.name.is_some()),
        ("egress", config.egress.is_some()),
        ("min_playout_delay", config.min_playout_delay.is_some()),
        ("max_playout_delay", config.max_playout_delay.is_some()),
        ("sync_streams", config.sync_streams.is_some()),
        ("tags", config.tags.is_some()),
    ];
    if let Some((name, _)) = never.iter().find(|(_, set)| *set) {
        return Err(not_yours(
            format!("room_config.{name}"),
            "no client may set it; make the room by POST /v1/rooms",
        ));
    }
    let set = [
        ("empty_timeout", config.empty_timeout, 0..=3_600),
        ("departure_timeout", config.departure_timeout, 0..=600),
        ("max_participants", config.max_participants, 2..=100),
    ];
    for (name, value, bounds) in set {
        let field = format!("room_config.{name}");
        let Some(value) = value else { continue };
        allowed(
            grant.room_config,
            &field,
            "the caller's token.room_config allows it",
        )?;
        if !bounds.contains(&value) {
            let between = format!("set it to {} to {}", bounds.start(), bounds.end());
            return Err(Fail::invalid(field, "it is out of bounds", between));
        }
    }
    if let Some(metadata) = &config.metadata {
        let field = "room_config.metadata";
        allowed(
            grant.room_config,
            field,
            "the caller's token.room_config allows it",
        )?;
        bounded(metadata, MAX_METADATA_BYTES, field)?;
    }
    Ok(proto::RoomConfiguration {
        empty_timeout: config.empty_timeout.unwrap_or_default(),
        departure_timeout: config.departure_timeout.unwrap_or_default(),
        max_participants: config.max_participants.unwrap_or_default(),
        metadata: config.metadata.unwrap_or_default(),
        agents: agents(grant, config.agents.unwrap_or_default())?,
        ..proto::RoomConfiguration::default()
    })
}

fn agents(
    grant: &TokenGrant,
    agents: Vec<crate::AgentDispatch>,
) -> Result<Vec<proto::RoomAgentDispatch>, Fail> {
    if agents.len() > MAX_AGENTS {
        return Err(Fail::invalid(
            "room_config.agents",
            "there are more than 4",
            "send fewer",
        ));
    }
    let dispatch = |(at, agent): (usize, crate::AgentDispatch)| {
        let field = format!("room_config.agents[{at}].agent_name");
        if !grant.agents.contains(&agent.agent_name) {
            return Err(not_yours(
                field,
                "the caller's token.agents list what it may send",
            ));
        }
        let metadata = agent.metadata.unwrap_or_default();
        bounded(&metadata, MAX_METADATA_BYTES, &field)?;
        Ok(proto::RoomAgentDispatch {
            agent_name: agent.agent_name,
            metadata,
            ..proto::RoomAgentDispatch::default()
        })
    };
    agents.into_iter().enumerate().map(dispatch).collect()
}

fn allowed(allowed: bool, field: &str, remedy: &str) -> Result<(), Fail> {
    if allowed {
        Ok(())
    } else {
        Err(not_yours(field, remedy))
    }
}

fn bounded(text: &str, most: usize, field: &str) -> Result<(), Fail> {
    // Metadata is JSON, and may have line breaks.
    let wild = |c: char| c.is_control() && (most <= MAX_NAME_BYTES || !"\n\r\t".contains(c));
    if text.len() > most || text.chars().any(wild) {
        return Err(Fail::invalid(
            field,
            format!("it is longer than {most} bytes, or has control characters"),
            "shorten it",
        ));
    }
    Ok(())
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}
