//! What is to be done: the configuration beside what the server has.

use std::collections::{HashMap, HashSet};

use anyhow::bail;
use platform::{
    config::{InboundTrunk, Telephony},
    livekit::{
        LiveKit, LiveKitError,
        proto::{SipDispatchRuleInfo, SipInboundTrunkInfo, SipOutboundTrunkInfo},
    },
};

use serde::Serialize;

use super::fields::{self, Change, Fields};

type Objects = anyhow::Result<Vec<Object>>;

/// What the server has.
pub(crate) struct Found {
    pub(crate) inbound: Vec<SipInboundTrunkInfo>,
    pub(crate) outbound: Vec<SipOutboundTrunkInfo>,
    pub(crate) rules: Vec<SipDispatchRuleInfo>,
}

impl Found {
    pub(crate) async fn of(livekit: &LiveKit) -> Result<Self, LiveKitError> {
        let (inbound, outbound, rules) = tokio::try_join!(
            livekit.list_sip_inbound_trunks(),
            livekit.list_sip_outbound_trunks(),
            livekit.list_sip_dispatch_rules(),
        )?;
        Ok(Self {
            inbound,
            outbound,
            rules,
        })
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Inbound,
    Outbound,
    Rule,
}

/// What happens to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    /// It differs: replaced.
    Replace {
        id: String,
    },
    /// It is as it should be.
    Keep {
        id: String,
    },
    /// The configuration does not know it: left alone.
    Leave {
        id: String,
    },
    /// The same with `--prune`.
    Delete {
        id: String,
    },
}

/// One object with what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) action: Action,
    /// What differs; for a new object all that is set.
    pub(super) changes: Vec<Change>,
}

/// Everything, in the order in which it is done: what goes is gone before its numbers are given to others.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) steps: Vec<Step>,
}

/// An object of either side.
struct Object {
    name: String,
    id: String,
    fields: Fields,
}

impl Plan {
    pub(crate) fn new(wanted: &Telephony, found: &Found, prune: bool) -> anyhow::Result<Self> {
        let names = Names::of(wanted, found);
        let inbound: Objects = wanted
            .inbound
            .iter()
            .map(|trunk| inbound_trunk(&trunk.object()))
            .collect();
        let has_inbound: Objects = found.inbound.iter().map(inbound_trunk).collect();
        let outbound: Objects = wanted
            .outbound
            .iter()
            .map(|trunk| outbound_trunk(&trunk.object()))
            .collect();
        let has_outbound: Objects = found.outbound.iter().map(outbound_trunk).collect();
        let rules: Objects = wanted
            .rules
            .iter()
            .map(|rule| names.rule(&rule.object(rule.trunks.clone())))
            .collect();
        let has_rules: Objects = found.rules.iter().map(|rule| names.rule(rule)).collect();
        let mut steps = Vec::new();
        compare(Kind::Inbound, &inbound?, has_inbound?, prune, &mut steps)?;
        compare(Kind::Outbound, &outbound?, has_outbound?, prune, &mut steps)?;
        compare(Kind::Rule, &rules?, has_rules?, prune, &mut steps)?;
        steps.sort_by_key(|step| match (&step.action, step.kind) {
            (Action::Delete { .. }, Kind::Rule) => 0,
            (Action::Delete { .. }, _) => 1,
            (_, Kind::Inbound) => 2,
            (_, Kind::Outbound) => 3,
            (_, Kind::Rule) => 4,
        });
        Ok(Self { steps })
    }

    /// Every step with the object's id, as far as it has one. `done` are the ids of the changes that were carried out, in
    /// their order.
    pub(super) fn ids<'i>(&'i self, done: &'i [String]) -> impl Iterator<Item = (&'i Step, Option<&'i str>)> {
        let mut given = done.iter().map(String::as_str);
        self.steps.iter().map(move |step| {
            let id = if step.is_change() { given.next() } else { None };
            (step, id.or(step.id()))
        })
    }

    /// What is to be done something about: `inbound trunk desk`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let steps = self.steps.iter().filter(|step| step.is_change());
        steps
            .map(|step| format!("{} {}", step.kind.said(), step.name))
            .collect()
    }

    pub(super) fn has_changes(&self) -> bool {
        self.steps.iter().any(Step::is_change)
    }
}

impl Step {
    pub(super) fn is_change(&self) -> bool {
        matches!(
            self.action,
            Action::Create | Action::Replace { .. } | Action::Delete { .. }
        )
    }

    /// The server's id, unless it is still to be given.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.action {
            Action::Create => None,
            Action::Replace { id } | Action::Keep { id } | Action::Leave { id } | Action::Delete { id } => {
                Some(id)
            }
        }
    }
}

fn object(name: &str, id: &str, it: &impl Serialize) -> anyhow::Result<Object> {
    Ok(Object {
        name: name.to_owned(),
        id: id.to_owned(),
        fields: fields::of(it)?,
    })
}

fn inbound_trunk(trunk: &SipInboundTrunkInfo) -> anyhow::Result<Object> {
    object(&trunk.name, &trunk.sip_trunk_id, trunk)
}

fn outbound_trunk(trunk: &SipOutboundTrunkInfo) -> anyhow::Result<Object> {
    object(&trunk.name, &trunk.sip_trunk_id, trunk)
}

/// The names of the file's inbound trunks by their ids. Both sides' rules are compared by them, since a trunk that is still to be made
/// has no id; of other trunks names tell nothing, and ids stay.
struct Names<'f>(HashMap<&'f str, &'f str>);

impl<'f> Names<'f> {
    fn of(wanted: &Telephony, found: &'f Found) -> Self {
        let known: HashSet<&str> = wanted.inbound.iter().map(InboundTrunk::name).collect();
        let trunks = found.inbound.iter();
        let trunks = trunks.filter(|trunk| known.contains(trunk.name.as_str()));
        Self(
            trunks
                .map(|trunk| (trunk.sip_trunk_id.as_str(), trunk.name.as_str()))
                .collect(),
        )
    }

    fn rule(&self, rule: &SipDispatchRuleInfo) -> anyhow::Result<Object> {
        let trunks = rule.trunk_ids.iter().map(String::as_str);
        let trunk_ids = trunks
            .map(|id| (*self.0.get(id).unwrap_or(&id)).to_owned())
            .collect();
        let by_names = SipDispatchRuleInfo {
            trunk_ids,
            ..rule.clone()
        };
        object(&rule.name, &rule.sip_dispatch_rule_id, &by_names)
    }
}

fn compare(
    kind: Kind,
    wanted: &[Object],
    existing: Vec<Object>,
    prune: bool,
    steps: &mut Vec<Step>,
) -> anyhow::Result<()> {
    for Object { name, fields, .. } in wanted {
        let same: Vec<&Object> = existing.iter().filter(|object| object.name == *name).collect();
        let (action, changes) = match same.as_slice() {
            [] => (Action::Create, fields::changes(&Fields::new(), fields)),
            [one] => {
                let changes = fields::changes(&one.fields, fields);
                let id = one.id.clone();
                if changes.is_empty() {
                    (Action::Keep { id }, changes)
                } else {
                    (Action::Replace { id }, changes)
                }
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|object| object.id.as_str()).collect();
                bail!(
                    "the server has several {}s that are called {name} ({}); remove or rename all but one of them",
                    kind.said(),
                    ids.join(", ")
                );
            }
        };
        steps.push(Step {
            kind,
            name: name.clone(),
            action,
            changes,
        });
    }
    let strangers = existing
        .into_iter()
        .filter(|object| wanted.iter().all(|known| known.name != object.name));
    steps.extend(strangers.map(|Object { name, id, .. }| Step {
        kind,
        name,
        action: if prune {
            Action::Delete { id }
        } else {
            Action::Leave { id }
        },
        changes: Vec::new(),
    }));
    Ok(())
}

impl Kind {
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::Inbound => "inbound trunk",
            Self::Outbound => "outbound trunk",
            Self::Rule => "dispatch rule",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use platform::config;

    use super::*;

    fn telephony(yaml: &str) -> Telephony {
        let env = [
            ("LIVEKIT_API_KEY", "key"),
            ("LIVEKIT_API_SECRET", "0123456789abcdef0123456789abcdef"),
            ("TRUNKLINE__SIP__LISTEN", "127.0.0.1:0"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parsed = config::parse(yaml, None, Path::new("."), &BTreeMap::from(env));
        parsed.unwrap_or_else(|faults| panic!("{faults}")).telephony
    }

    fn trunk(id: &str, name: &str) -> SipInboundTrunkInfo {
        SipInboundTrunkInfo {
            sip_trunk_id: id.to_owned(),
            name: name.to_owned(),
            numbers: vec!["+15550100".to_owned()],
            auth_username: "u".to_owned(),
            auth_password: "p".to_owned(),
            ..Default::default()
        }
    }

    fn actions(yaml: &str, inbound: Vec<SipInboundTrunkInfo>, rule_of: &[&str]) -> Vec<Action> {
        let wanted = telephony(yaml);
        let mut rule = wanted.rules[0].object(rule_of.iter().map(|&id| id.to_owned()).collect());
        rule.sip_dispatch_rule_id = "SDR_1".to_owned();
        let found = Found {
            inbound,
            outbound: Vec::new(),
            rules: vec![rule],
        };
        let plan = Plan::new(&wanted, &found, false).unwrap();
        plan.steps.into_iter().map(|step| step.action).collect()
    }

    #[test]
    fn a_rule_that_names_a_trunk_by_its_id_is_as_it_should_be() {
        let found = actions(
            "dispatch_rules: [{name: r, trunks: [ST_1], room: call}]\n",
            vec![trunk("ST_1", "of-somebody-else")],
            &["ST_1"],
        );
        let keep = Action::Keep {
            id: "SDR_1".to_owned(),
        };
        let leave = Action::Leave {
            id: "ST_1".to_owned(),
        };
        assert_eq!(found, [leave, keep]);
    }

    #[test]
    fn a_rule_of_another_trunk_of_the_same_name_differs() {
        let found = actions(
            "dispatch_rules: [{name: r, trunks: [ST_1], room: call}]\n",
            vec![trunk("ST_1", "twin"), trunk("ST_2", "twin")],
            &["ST_2"],
        );
        let replace = Action::Replace {
            id: "SDR_1".to_owned(),
        };
        assert_eq!(found.last(), Some(&replace));
    }

    #[test]
    fn two_trunks_of_the_servers_that_have_the_files_name_are_refused() {
        let wanted = telephony(
            "trunks: {inbound: [{name: a, numbers: ['+15550100'], auth: {username: u, password: p}}]}\n",
        );
        let found = Found {
            inbound: vec![trunk("ST_1", "a"), trunk("ST_2", "a")],
            outbound: Vec::new(),
            rules: Vec::new(),
        };
        let refused = Plan::new(&wanted, &found, true).unwrap_err().to_string();
        assert!(refused.contains("ST_1, ST_2"), "{refused}");
    }
}
