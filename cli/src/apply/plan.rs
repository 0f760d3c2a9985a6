//! What is to be done: the configuration beside what the server has.

use std::collections::HashMap;

use anyhow::bail;
use platform::{
    config::Telephony,
    livekit::{
        LiveKit, LiveKitError,
        proto::{SipDispatchRuleInfo, SipInboundTrunkInfo, SipOutboundTrunkInfo},
    },
};

use super::fields::{self, Change, Fields};

/// What the server has.
pub(super) struct Found {
    pub(super) inbound: Vec<SipInboundTrunkInfo>,
    pub(super) outbound: Vec<SipOutboundTrunkInfo>,
    pub(super) rules: Vec<SipDispatchRuleInfo>,
}

impl Found {
    pub(super) async fn of(livekit: &LiveKit) -> Result<Self, LiveKitError> {
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
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

/// An object of either side.
struct Object {
    name: String,
    id: String,
    fields: Fields,
}

impl Plan {
    pub(super) fn new(wanted: &Telephony, found: &Found, prune: bool) -> anyhow::Result<Self> {
        let inbound = wanted.inbound.iter().map(|trunk| {
            let fields = fields::of(&trunk.object())?;
            Ok(object(trunk.name(), "", fields))
        });
        let inbound: anyhow::Result<Vec<Object>> = inbound.collect();
        let outbound = wanted.outbound.iter().map(|trunk| {
            let fields = fields::of(&trunk.object())?;
            Ok(object(trunk.name(), "", fields))
        });
        let outbound: anyhow::Result<Vec<Object>> = outbound.collect();
        // Both sides' rules name trunks by their names here, since a trunk that is still to be made has no id.
        let rules = wanted.rules.iter().map(|rule| {
            let fields = fields::of(&rule.object(rule.trunks.clone()))?;
            Ok(object(rule.name(), "", fields))
        });
        let rules: anyhow::Result<Vec<Object>> = rules.collect();
        let mut steps = Vec::new();
        compare(
            Kind::Inbound,
            &inbound?,
            existing_inbound(found)?,
            prune,
            &mut steps,
        )?;
        compare(
            Kind::Outbound,
            &outbound?,
            existing_outbound(found)?,
            prune,
            &mut steps,
        )?;
        compare(Kind::Rule, &rules?, existing_rules(found)?, prune, &mut steps)?;
        steps.sort_by_key(|step| match (&step.action, step.kind) {
            (Action::Delete { .. }, Kind::Rule) => 0,
            (Action::Delete { .. }, _) => 1,
            (_, Kind::Inbound) => 2,
            (_, Kind::Outbound) => 3,
            (_, Kind::Rule) => 4,
        });
        Ok(Self { steps })
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

fn object(name: &str, id: &str, fields: Fields) -> Object {
    Object {
        name: name.to_owned(),
        id: id.to_owned(),
        fields,
    }
}

fn existing_inbound(found: &Found) -> anyhow::Result<Vec<Object>> {
    let objects = found.inbound.iter();
    objects
        .map(|trunk| Ok(object(&trunk.name, &trunk.sip_trunk_id, fields::of(trunk)?)))
        .collect()
}

fn existing_outbound(found: &Found) -> anyhow::Result<Vec<Object>> {
    let objects = found.outbound.iter();
    objects
        .map(|trunk| Ok(object(&trunk.name, &trunk.sip_trunk_id, fields::of(trunk)?)))
        .collect()
}

fn existing_rules(found: &Found) -> anyhow::Result<Vec<Object>> {
    let names: HashMap<&str, &str> = found
        .inbound
        .iter()
        .filter(|trunk| !trunk.name.is_empty())
        .map(|trunk| (trunk.sip_trunk_id.as_str(), trunk.name.as_str()))
        .collect();
    let objects = found.rules.iter();
    objects
        .map(|rule| {
            let named = rule.trunk_ids.iter();
            let trunk_ids = named
                .map(|id| (*names.get(id.as_str()).unwrap_or(&id.as_str())).to_owned())
                .collect();
            let named = SipDispatchRuleInfo {
                trunk_ids,
                ..rule.clone()
            };
            Ok(object(
                &rule.name,
                &rule.sip_dispatch_rule_id,
                fields::of(&named)?,
            ))
        })
        .collect()
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
