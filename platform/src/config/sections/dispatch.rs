//! `dispatch_rules`: which room a call goes to.

use livekit_protocol as proto;
use proto::sip_dispatch_rule::Rule;

use super::{
    HOUR, listed, not_empty, placed,
    registrations::{plain, sip_user},
    trunks::{media, name, names_differ, timeout},
};
use crate::config::{
    fault::Place,
    reader::{Context, Section},
    suggest::closest,
    telephony::{DispatchRule, InboundTrunk, Telephony},
    tree::Node,
    values::{Wrong, flag, whole_number, wrong},
};

/// The most participants that a room may be limited to.
const MAX_PARTICIPANTS: usize = 10_000;

/// Adds the rules to the trunks that they name.
pub(super) fn dispatch_rules(
    cx: &Context<'_>,
    items: Option<Vec<(String, Node)>>,
    trunks: Telephony,
) -> Telephony {
    let rules: Vec<(Place, DispatchRule)> = items
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(path, item)| rule(cx, Section::of(cx, path, item), &trunks))
        .collect();
    let names = rules.iter().map(|(place, rule)| (place, rule.name()));
    names_differ(cx, "dispatch_rules", names);
    let rules = rules.into_iter().map(|(_, rule)| rule).collect();
    Telephony { rules, ..trunks }
}

fn rule(cx: &Context<'_>, mut section: Section<'_>, telephony: &Telephony) -> Option<(Place, DispatchRule)> {
    let place = section.place();
    let name = name(&mut section, "give the rule a name: it is known by it");
    let trunks = trunk_names(cx, &mut section, telephony);
    let kind = section.or("kind", Kind::Individual, kind);
    let room = section.required(
        "room",
        &[],
        "set it to the room's name, or to what the names of the rooms begin with, like call",
        room_name,
    );
    let pin = section.or("pin", String::new(), plain);
    let random = section.or("random", kind == Kind::Individual, flag);
    let numbers = listed(cx, &mut section, "numbers", sip_user);
    let callers_at = section.path("inbound_numbers");
    let callers = listed(cx, &mut section, "inbound_numbers", sip_user);
    let hide_phone_number = section.or("hide_phone_number", false, flag);
    let metadata = section.or("metadata", String::new(), not_empty);
    let attributes = section.texts("attributes").into_iter().collect();
    let room_config = room_config(cx, &mut section);
    let room_preset = section.or("room_preset", String::new(), not_empty);
    let krisp_enabled = section.or("krisp_enabled", false, flag);
    let media = media(cx, &mut section);
    section.finish();
    let (trunks, callers) = (trunks?, callers?);
    callers_are_no_own_numbers(cx, &callers_at, &place, &callers, &trunks, telephony);
    let info = proto::SipDispatchRuleInfo {
        rule: Some(proto::SipDispatchRule {
            rule: Some(kind.rule(room?, pin, random)),
        }),
        hide_phone_number,
        inbound_numbers: callers,
        numbers: numbers?,
        name: name?,
        metadata,
        attributes,
        room_preset,
        room_config,
        media,
        krisp_enabled,
        ..Default::default()
    };
    Some((place, DispatchRule { info, trunks }))
}

fn trunk_names(cx: &Context<'_>, section: &mut Section<'_>, telephony: &Telephony) -> Option<Vec<String>> {
    let known: Vec<&str> = telephony.inbound.iter().map(InboundTrunk::name).collect();
    let trunks = listed(cx, section, "trunks", |text| {
        let name = not_empty(text)?;
        if name.starts_with("ST_") || known.contains(&name.as_str()) {
            return Ok(name);
        }
        let remedy = match closest(&name, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "name one of trunks.inbound ({}), or an id, ST_…",
                known.join(", ")
            ),
        };
        wrong(format!("there is no inbound trunk \"{name}\""), remedy)
    });
    let (any, _) = placed(cx, section, "any_trunk", false, flag);
    match &trunks {
        Some(named) if named.is_empty() && !any => cx.fault(
            section.path("trunks"),
            section.place(),
            "the rule names no trunk: it would take calls from anywhere, with no trunk and no password",
            "name its trunks; any_trunk: true if that is wanted",
        ),
        Some(named) if !named.is_empty() && any => cx.fault(
            section.path("any_trunk"),
            section.place(),
            "the rule names trunks, and says any_trunk too",
            "leave one of them out",
        ),
        _ => {}
    }
    trunks
}

/// The number that was dialled in the place of who has dialled it: such a rule never matches.
fn callers_are_no_own_numbers(
    cx: &Context<'_>,
    key: &str,
    place: &Place,
    callers: &[String],
    trunks: &[String],
    telephony: &Telephony,
) {
    let bare = |number: &str| number.trim_start_matches('+').to_owned();
    let served = telephony
        .inbound
        .iter()
        .filter(|trunk| trunks.iter().any(|name| name == trunk.name()))
        .flat_map(|trunk| &trunk.info.numbers);
    let served: Vec<String> = served.map(|number| bare(number)).collect();
    if callers.iter().any(|caller| served.contains(&bare(caller))) {
        cx.fault(
            key,
            place.clone(),
            "a number that the rule's trunk serves stands among those of callers",
            "inbound_numbers are who calls; write the number that is called into numbers",
        );
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Individual,
    Direct,
    Callee,
}

impl Kind {
    fn rule(self, room: String, pin: String, random: bool) -> Rule {
        match self {
            Self::Individual => Rule::DispatchRuleIndividual(proto::SipDispatchRuleIndividual {
                room_prefix: room,
                pin,
                no_randomness: !random,
            }),
            Self::Direct => Rule::DispatchRuleDirect(proto::SipDispatchRuleDirect { room_name: room, pin }),
            Self::Callee => Rule::DispatchRuleCallee(proto::SipDispatchRuleCallee {
                room_prefix: room,
                pin,
                randomize: random,
            }),
        }
    }
}

fn kind(text: &str) -> Result<Kind, Wrong> {
    match text.trim() {
        "individual" => Ok(Kind::Individual),
        "direct" => Ok(Kind::Direct),
        "callee" => Ok(Kind::Callee),
        other => wrong(
            format!("\"{other}\" is none of individual, direct, callee"),
            "write individual for a room of its own for each call",
        ),
    }
}

/// LiveKit knows no templates here.
fn room_name(text: &str) -> Result<String, Wrong> {
    let name = not_empty(text)?;
    if name.contains(['{', '}']) {
        return wrong(
            "LiveKit fills nothing in between braces",
            "write what the names begin with; an individual rule adds the caller and a random part",
        );
    }
    Ok(name)
}

/// What the room of a call is made with.
fn room_config(cx: &Context<'_>, section: &mut Section<'_>) -> Option<proto::RoomConfiguration> {
    let is_there = section.has("room_config");
    let mut section = section.section("room_config");
    let seconds = |found: Option<pbjson_types::Duration>| {
        found.map_or(0, |found| u32::try_from(found.seconds).unwrap_or(u32::MAX))
    };
    let empty_timeout = seconds(timeout(&mut section, "empty_timeout", HOUR * 24));
    let departure_timeout = seconds(timeout(&mut section, "departure_timeout", HOUR * 24));
    let max_participants = section.or("max_participants", 0, whole_number(0..=MAX_PARTICIPANTS));
    let metadata = section.or("metadata", String::new(), not_empty);
    let tags = section.texts("tags").into_iter().collect();
    let agents = section.list("agents").unwrap_or_default();
    let agents = agents
        .into_iter()
        .filter_map(|(path, item)| agent(Section::of(cx, path, item)))
        .collect();
    section.finish();
    is_there.then(|| proto::RoomConfiguration {
        empty_timeout,
        departure_timeout,
        max_participants: u32::try_from(max_participants).unwrap_or_default(),
        metadata,
        agents,
        tags,
        ..Default::default()
    })
}

/// An agent of LiveKit's own kind, which is dispatched by name.
fn agent(mut section: Section<'_>) -> Option<proto::RoomAgentDispatch> {
    let agent_name = section.required("agent_name", &[], "set it to the agent's name", not_empty);
    let metadata = section.or("metadata", String::new(), not_empty);
    section.finish();
    Some(proto::RoomAgentDispatch {
        agent_name: agent_name?,
        metadata,
        ..Default::default()
    })
}
