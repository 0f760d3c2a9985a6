//! Trunks and rules: what is at the server, beside the configuration and by itself.

use std::collections::HashSet;

use platform::{
    config::{Config, DispatchRule, InboundTrunk},
    livekit::{
        LiveKit,
        proto::{SipDispatchRuleInfo, SipInboundTrunkInfo},
    },
};

use super::{Area, Finding};
use crate::apply::{Found, Plan};

pub(super) async fn examine(config: &Config, livekit: &LiveKit) -> Vec<Finding> {
    let found = match Found::of(livekit).await {
        Ok(found) => found,
        Err(error) => {
            let remedy = error.remedy().unwrap_or("look at the area `livekit`");
            return vec![Finding::error(Area::Trunks, error.to_string(), remedy)];
        }
    };
    let telephony = &config.telephony;
    // What the file says in so many words is meant.
    let meant: HashSet<&str> = telephony.inbound.iter().map(InboundTrunk::name).collect();
    let meant_rules: HashSet<&str> = telephony.rules.iter().map(DispatchRule::name).collect();
    let mut findings = Vec::new();
    if !telephony.is_empty() {
        findings.extend(drift(config, &found));
    }
    findings.extend(
        found
            .inbound
            .iter()
            .flat_map(|trunk| of_trunk(trunk, &found, &meant)),
    );
    findings.extend(
        found
            .rules
            .iter()
            .flat_map(|rule| of_rule(rule, &found, &meant_rules)),
    );
    findings.extend(overlaps(&found.inbound));
    if findings.is_empty() {
        let says = format!(
            "{} inbound and {} outbound trunks, {} dispatch rules",
            found.inbound.len(),
            found.outbound.len(),
            found.rules.len()
        );
        findings.push(Finding::well(Area::Trunks, says));
    }
    findings
}

/// The server beside the file.
fn drift(config: &Config, found: &Found) -> Option<Finding> {
    let plan = match Plan::new(&config.telephony, found, false) {
        Ok(plan) => plan,
        Err(error) => {
            let remedy = "see `trunkline apply --dry-run`";
            return Some(Finding::error(Area::Trunks, format!("{error:#}"), remedy));
        }
    };
    let differing = plan.changes();
    (!differing.is_empty()).then(|| {
        Finding::warning(
            Area::Trunks,
            format!("the server differs from the file: {}", differing.join(", ")),
            "look at `trunkline apply --dry-run`, then `trunkline apply`",
        )
    })
}

fn of_trunk(trunk: &SipInboundTrunkInfo, found: &Found, meant: &HashSet<&str>) -> Vec<Finding> {
    let name = said(&trunk.name, &trunk.sip_trunk_id);
    let mut findings = Vec::new();
    let addresses = &trunk.allowed_addresses;
    let lets_all_in = addresses.is_empty() || addresses.iter().any(|network| network.ends_with("/0"));
    if lets_all_in && trunk.auth_username.is_empty() && !meant.contains(trunk.name.as_str()) {
        findings.push(Finding::warning(
            Area::Trunks,
            format!("the inbound trunk {name} is open: whoever reaches the SIP port can call in by it"),
            "give it allowed_addresses or auth; or write it into the configuration with open: true, if that is wanted",
        ));
    }
    let is_served = |rule: &SipDispatchRuleInfo| {
        rule.trunk_ids.is_empty() || rule.trunk_ids.contains(&trunk.sip_trunk_id)
    };
    if !found.rules.iter().any(is_served) {
        findings.push(Finding::error(
            Area::Trunks,
            format!(
                "no dispatch rule takes the calls of the inbound trunk {name}: they are refused with 404"
            ),
            "name the trunk in the `trunks` of a dispatch rule",
        ));
    }
    findings
}

fn of_rule(rule: &SipDispatchRuleInfo, found: &Found, meant: &HashSet<&str>) -> Vec<Finding> {
    let name = said(&rule.name, &rule.sip_dispatch_rule_id);
    let mut findings = Vec::new();
    if rule.trunk_ids.is_empty() && !meant.contains(rule.name.as_str()) {
        findings.push(Finding::warning(
            Area::Trunks,
            format!(
                "the dispatch rule {name} names no trunk: it takes calls from anywhere, with no password"
            ),
            "give it trunks; or write it into the configuration with any_trunk: true, if that is wanted",
        ));
    }
    let own = |trunk: &&SipInboundTrunkInfo| rule.trunk_ids.contains(&trunk.sip_trunk_id);
    let trunks: Vec<&SipInboundTrunkInfo> = found.inbound.iter().filter(own).collect();
    if trunks.len() < rule.trunk_ids.len() {
        findings.push(Finding::warning(
            Area::Trunks,
            format!("the dispatch rule {name} names trunks that are gone"),
            "take them out, or make them again and apply the rule",
        ));
    }
    let served: HashSet<&str> = trunks
        .iter()
        .flat_map(|trunk| &trunk.numbers)
        .map(|n| bare(n))
        .collect();
    if rule
        .inbound_numbers
        .iter()
        .any(|number| served.contains(bare(number)))
    {
        findings.push(Finding::warning(
            Area::Trunks,
            format!("the dispatch rule {name} has a number of its trunk among those of callers"),
            "inbound_numbers are who calls; write the number that is called into numbers",
        ));
    }
    let takes_some = !rule.numbers.is_empty() && trunks.iter().all(|trunk| !trunk.numbers.is_empty());
    if takes_some && !trunks.is_empty() && !rule.numbers.iter().any(|number| served.contains(bare(number))) {
        findings.push(Finding::warning(
            Area::Trunks,
            format!("the dispatch rule {name} takes none of the numbers of its trunks"),
            "compare the rule's numbers with those of its trunks",
        ));
    }
    findings
}

/// LiveKit does not know which one a call comes by, and refuses it.
fn overlaps(trunks: &[SipInboundTrunkInfo]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, trunk) in trunks.iter().enumerate() {
        for other in trunks.iter().skip(at + 1) {
            if both_take(trunk, other) {
                findings.push(Finding::error(
                    Area::Trunks,
                    format!(
                        "the inbound trunks {} and {} take the same calls: those are refused with 503",
                        said(&trunk.name, &trunk.sip_trunk_id),
                        said(&other.name, &other.sip_trunk_id)
                    ),
                    "give them numbers, allowed_numbers or allowed_addresses that exclude each other, or remove one",
                ));
            }
        }
    }
    findings
}

/// As far as it can be told from numbers and from addresses that are the same, or missing.
fn both_take(one: &SipInboundTrunkInfo, other: &SipInboundTrunkInfo) -> bool {
    let share = |ours: &[String], theirs: &[String]| {
        ours.is_empty() && theirs.is_empty() || ours.iter().any(|a| theirs.iter().any(|b| bare(a) == bare(b)))
    };
    share(&one.numbers, &other.numbers)
        && share(&one.allowed_addresses, &other.allowed_addresses)
        && share(&one.allowed_numbers, &other.allowed_numbers)
}

/// LiveKit takes a trunk's numbers with and without `+`.
fn bare(number: &str) -> &str {
    number.trim_start_matches('+')
}

fn said<'n>(name: &'n str, id: &'n str) -> &'n str {
    if name.is_empty() { id } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn trunk(id: &str, numbers: &[&str], addresses: &[&str]) -> SipInboundTrunkInfo {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        SipInboundTrunkInfo {
            sip_trunk_id: id.to_owned(),
            numbers: owned(numbers),
            allowed_addresses: owned(addresses),
            ..Default::default()
        }
    }

    fn rule(trunks: &[&str]) -> SipDispatchRuleInfo {
        SipDispatchRuleInfo {
            sip_dispatch_rule_id: "SDR_1".to_owned(),
            trunk_ids: trunks.iter().map(|&id| id.to_owned()).collect(),
            ..Default::default()
        }
    }

    fn told(inbound: Vec<SipInboundTrunkInfo>, rules: Vec<SipDispatchRuleInfo>) -> Vec<String> {
        let found = Found {
            inbound,
            outbound: Vec::new(),
            rules,
        };
        let nobody = HashSet::new();
        let of_trunks = found
            .inbound
            .iter()
            .flat_map(|trunk| of_trunk(trunk, &found, &nobody));
        let of_rules = found.rules.iter().flat_map(|rule| of_rule(rule, &found, &nobody));
        let all = of_trunks.chain(of_rules).chain(overlaps(&found.inbound));
        all.map(|finding| {
            assert!(finding.severity != Severity::Well);
            format!("{finding:?}")
        })
        .collect()
    }

    #[test]
    fn sound_trunks_and_rules_are_passed_in_silence() {
        let trunks = vec![
            trunk("ST_1", &["+1"], &["192.0.2.1"]),
            trunk("ST_2", &["+2"], &["192.0.2.1"]),
        ];
        let found = told(trunks, vec![rule(&["ST_1", "ST_2"])]);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn what_lets_anybody_in_or_takes_no_call_is_told() {
        let open = trunk("ST_1", &["+1"], &["0.0.0.0/0"]);
        let closed = || trunk("ST_1", &["+1"], &["192.0.2.1"]);
        let callers = SipDispatchRuleInfo {
            inbound_numbers: vec!["1".to_owned()],
            ..rule(&["ST_1"])
        };
        let called = SipDispatchRuleInfo {
            numbers: vec!["+2".to_owned()],
            ..rule(&["ST_1"])
        };
        let twin = trunk("ST_2", &["1"], &["192.0.2.1"]);
        for (trunks, rules, says) in [
            (vec![open], vec![rule(&["ST_1"])], "is open"),
            (vec![closed()], vec![], "no dispatch rule takes"),
            (vec![closed()], vec![rule(&[])], "names no trunk"),
            (
                vec![closed()],
                vec![rule(&["ST_1", "ST_9"])],
                "trunks that are gone",
            ),
            (vec![closed()], vec![callers], "among those of callers"),
            (vec![closed()], vec![called], "none of the numbers"),
            (
                vec![closed(), twin],
                vec![rule(&["ST_1", "ST_2"])],
                "the same calls",
            ),
        ] {
            let found = told(trunks, rules);
            assert!(found.len() == 1 && found[0].contains(says), "{says}: {found:#?}");
        }
    }
}
