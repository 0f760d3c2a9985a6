//! A call to each configured number, as far as it goes without a telephone that rings: the gateway's own questions about it, put to
//! livekit-server over the bus, and the worker's, put to `agents`.

use std::collections::BTreeMap;

use bus::{
    BusError,
    ioinfo::{Dispatch, DispatchRequest, DispatchResult, SipCall, SipUri},
};
use events::{
    Parties, ProfileHash, RoomName,
    agents::{Agents, Candidate, NoMatch},
    livekit::Attributes,
};
use platform::{
    config::Config,
    livekit::{LiveKit, proto::SipInboundTrunkInfo},
};

use super::{Area, Finding, server::connect};
use crate::apply::Found;

/// Who calls, and from where, when the trunk lets everybody: for documentation (RFC 5737), and a number for fiction.
const ANY_ADDRESS: &str = "192.0.2.1";
const ANY_NUMBER: &str = "+12025550100";
/// Numbers that are tried at most.
const MOST: usize = 50;

/// A call that is only asked about.
struct Trial<'t> {
    trunk: &'t SipInboundTrunkInfo,
    called: String,
    from: String,
    source: String,
}

impl Trial<'_> {
    fn question(&self, host: &str) -> SipCall {
        let uri = |user: &str| {
            Some(SipUri {
                user: user.to_owned(),
                host: host.to_owned(),
                ..SipUri::default()
            })
        };
        SipCall {
            lk_call_id: "SCL_doctor".to_owned(),
            source_ip: self.source.clone(),
            address: uri(&self.called),
            from: uri(&self.from),
            to: uri(&self.called),
            ..SipCall::default()
        }
    }

    fn says(&self, what: &str) -> String {
        format!("a call to {} from {} {what}", self.called, self.source)
    }
}

pub(super) async fn examine(config: &Config, livekit: &LiveKit) -> Vec<Finding> {
    let found = match Found::of(livekit).await {
        Ok(found) => found,
        Err(error) => {
            let remedy = error.remedy().unwrap_or("look at the area `livekit`");
            return vec![Finding::error(Area::Call, error.to_string(), remedy)];
        }
    };
    let trials: Vec<Trial<'_>> = found.inbound.iter().flat_map(trials_of).take(MOST).collect();
    if trials.is_empty() {
        return vec![Finding::note(
            Area::Call,
            "no inbound trunk names a number: no call to try",
            "write trunks and dispatch_rules into the configuration, and `trunkline apply` it",
        )];
    }
    let bus = match connect(config).await {
        Ok(bus) => bus,
        Err(error) => {
            return vec![Finding::error(
                Area::Call,
                error.to_string(),
                "look at the area `bus`",
            )];
        }
    };
    let host = config.sip.advertised_address.to_string();
    let asked = trials
        .iter()
        .map(|trial| asked(&bus, trial, &host, config, &found));
    let findings: Vec<Finding> = futures_util::future::join_all(asked)
        .await
        .into_iter()
        .flatten()
        .collect();
    bus.shutdown().await;
    if findings.is_empty() {
        let says = match trials.len() {
            1 => "to the configured number finds trunk, rule and agent".to_owned(),
            number => format!("to each of {number} configured numbers finds trunk, rule and agent"),
        };
        return vec![Finding::well(Area::Call, says)];
    }
    findings
}

/// A call to each number of the trunk, by somebody whom it lets in.
fn trials_of(trunk: &SipInboundTrunkInfo) -> impl Iterator<Item = Trial<'_>> {
    let first = |list: &[String], other: &str| list.first().map_or(other, String::as_str).to_owned();
    let source = first(&trunk.allowed_addresses, ANY_ADDRESS);
    // A network stands for its own first address.
    let source = source.split('/').next().unwrap_or(ANY_ADDRESS).to_owned();
    let from = first(&trunk.allowed_numbers, ANY_NUMBER);
    trunk.numbers.iter().map(move |number| Trial {
        trunk,
        called: number.clone(),
        from: from.clone(),
        source: source.clone(),
    })
}

/// What stands against it; nothing when all is well.
async fn asked(
    bus: &bus::Client,
    trial: &Trial<'_>,
    host: &str,
    config: &Config,
    found: &Found,
) -> Option<Finding> {
    let call = trial.question(host);
    let trunk = match bus.trunk_authentication(call.clone()).await {
        Ok(trunk) => trunk,
        Err(error) => return Some(unanswered(trial, &error)),
    };
    if trunk.drop || trunk.sip_trunk_id.is_empty() {
        return Some(Finding::error(
            Area::Call,
            trial.says(&format!(
                "matches no trunk, though {} is meant for it: it is refused with 404",
                named(trial.trunk)
            )),
            "compare the trunk's numbers, allowed_addresses and allowed_numbers with what the provider sends",
        ));
    }
    let question = DispatchRequest {
        sip_trunk_id: trunk.sip_trunk_id,
        call: Some(call),
        ..DispatchRequest::default()
    };
    let dispatch = match bus.evaluate_dispatch_rules(question).await {
        Ok(dispatch) => dispatch,
        Err(error) => return Some(unanswered(trial, &error)),
    };
    match verdict(&dispatch) {
        Verdict::Room => no_agent(trial, &dispatch, config, found),
        // Which room it goes to shows only with the PIN.
        Verdict::Pin => None,
        Verdict::No => Some(Finding::error(
            Area::Call,
            trial.says("matches a trunk and no dispatch rule: it is refused with 404"),
            "give a dispatch rule the trunk (`trunks`) and, where it has `numbers`, this number as it stands at the trunk, with its `+`",
        )),
    }
}

enum Verdict {
    Room,
    Pin,
    No,
}

fn verdict(dispatch: &Dispatch) -> Verdict {
    match dispatch.result() {
        DispatchResult::Accept => Verdict::Room,
        DispatchResult::RequestPin => Verdict::Pin,
        DispatchResult::Legacy if dispatch.request_pin => Verdict::Pin,
        DispatchResult::Legacy if !dispatch.room_name.is_empty() => Verdict::Room,
        DispatchResult::Drop | DispatchResult::Reject | DispatchResult::Legacy => Verdict::No,
    }
}

fn unanswered(trial: &Trial<'_>, error: &BusError) -> Finding {
    match error {
        BusError::Remote { .. } => Finding::error(
            Area::Call,
            trial.says(&format!("is refused by livekit-server: {error}")),
            "more than one trunk or rule may fit: give them numbers, allowed_numbers or allowed_addresses that exclude each other",
        ),
        _ => Finding::error(
            Area::Call,
            trial.says(&format!("cannot be asked about: {error}")),
            "look at the area `bus`",
        ),
    }
}

/// What the webhook function would say of the caller who joins.
fn no_agent(trial: &Trial<'_>, dispatch: &Dispatch, config: &Config, found: &Found) -> Option<Finding> {
    // The hash plays no part in who takes a call.
    let hash = ProfileHash::of(b"");
    let entries = config.agents.iter().map(|rule| (rule.clone(), hash.clone()));
    let agents = Agents::new(entries.collect()).ok()?;
    let room = RoomName::new(dispatch.room_name.clone()).ok()?;
    let rule = found
        .rules
        .iter()
        .find(|rule| rule.sip_dispatch_rule_id == dispatch.sip_dispatch_rule_id);
    let metadata = rule.and_then(|rule| rule.room_config.as_ref());
    let metadata = metadata.map_or("", |room| room.metadata.as_str());
    // As the gateway writes it on the participant.
    let mut attributes: BTreeMap<String, String> =
        dispatch.participant_attributes.clone().into_iter().collect();
    attributes
        .entry("sip.trunkPhoneNumber".to_owned())
        .or_insert_with(|| trial.called.clone());
    let attributes = Attributes::from(attributes);
    let parties = Parties::of(&attributes, &config.sip.regions());
    let candidate = Candidate {
        room: &room,
        metadata,
        called: Some(&parties.called),
        attributes: &attributes,
    };
    if agents.for_room(&room, metadata).is_some() {
        return None;
    }
    let reason = agents.for_participant(&candidate).err()?;
    let (why, remedy) = match reason {
        NoMatch::NoAgents => ("`agents` is empty", "name a profile in `agents`"),
        NoMatch::NumberNotListed => (
            "an entry of `agents` would, but for its `numbers`",
            "add the number to `agents[].numbers`, in E.164 (`+` and country code)",
        ),
        NoMatch::RoomNotListed => (
            "an entry of `agents` would, but for its `rooms`",
            "let `agents[].rooms` match the room that the dispatch rule makes: its prefix, or its name",
        ),
        _ => (
            "no entry of `agents` fits",
            "compare `agents[]` (numbers, rooms, attributes) with the dispatch rule",
        ),
    };
    Some(Finding::warning(
        Area::Call,
        trial.says(&format!("reaches a room, and no agent takes it: {why}")),
        remedy,
    ))
}

fn named(trunk: &SipInboundTrunkInfo) -> &str {
    if trunk.name.is_empty() {
        &trunk.sip_trunk_id
    } else {
        &trunk.name
    }
}
