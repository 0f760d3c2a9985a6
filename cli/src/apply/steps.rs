//! Carries a plan out, step by step.

use std::collections::HashMap;

use anyhow::Context;
use platform::{
    config::Telephony,
    livekit::{LiveKit, LiveKitError},
};

use super::plan::{Action, Found, Kind, Plan, Step};

/// Does every step, and tells of each that is done with the object's id. Ends at the first that fails: what comes later may hang on it, and the next run
/// goes on where this one ended.
pub(super) async fn carry_out(
    plan: &Plan,
    wanted: &Telephony,
    found: &Found,
    livekit: &LiveKit,
    done: &mut impl FnMut(&Step, String),
) -> anyhow::Result<()> {
    let mut ids: HashMap<String, String> = found
        .inbound
        .iter()
        .map(|trunk| (trunk.name.clone(), trunk.sip_trunk_id.clone()))
        .collect();
    for step in plan.steps.iter().filter(|step| step.is_change()) {
        let carried_out = match (step.kind, &step.action) {
            (Kind::Inbound | Kind::Outbound, Action::Delete { id }) => {
                livekit.delete_sip_trunk(id).await.map(|()| id.clone())
            }
            (Kind::Rule, Action::Delete { id }) => {
                livekit.delete_sip_dispatch_rule(id).await.map(|()| id.clone())
            }
            (Kind::Inbound, action) => inbound(action, &step.name, wanted, livekit).await,
            (Kind::Outbound, action) => outbound(action, &step.name, wanted, livekit).await,
            (Kind::Rule, action) => rule(action, &step.name, wanted, livekit, &ids).await,
        };
        let id = carried_out
            .with_context(|| format!("{} {}{}", step.kind.said(), step.name, hint(&step.action)))?;
        if step.kind == Kind::Inbound {
            ids.insert(step.name.clone(), id.clone());
        }
        done(step, id);
    }
    Ok(())
}

/// LiveKit refuses what collides with another trunk or rule.
fn hint(action: &Action) -> &'static str {
    match action {
        Action::Create => " (if it collides with one that is not in the file: --prune removes those)",
        _ => "",
    }
}

async fn inbound(
    action: &Action,
    name: &str,
    wanted: &Telephony,
    livekit: &LiveKit,
) -> Result<String, LiveKitError> {
    let Some(trunk) = wanted.inbound.iter().find(|trunk| trunk.name() == name) else {
        return Ok(String::new());
    };
    let made = match action {
        Action::Replace { id } => livekit.replace_sip_inbound_trunk(id, trunk.object()).await?,
        _ => livekit.create_sip_inbound_trunk(trunk.object()).await?,
    };
    Ok(made.sip_trunk_id)
}

async fn outbound(
    action: &Action,
    name: &str,
    wanted: &Telephony,
    livekit: &LiveKit,
) -> Result<String, LiveKitError> {
    let Some(trunk) = wanted.outbound.iter().find(|trunk| trunk.name() == name) else {
        return Ok(String::new());
    };
    let made = match action {
        Action::Replace { id } => livekit.replace_sip_outbound_trunk(id, trunk.object()).await?,
        _ => livekit.create_sip_outbound_trunk(trunk.object()).await?,
    };
    Ok(made.sip_trunk_id)
}

async fn rule(
    action: &Action,
    name: &str,
    wanted: &Telephony,
    livekit: &LiveKit,
    ids: &HashMap<String, String>,
) -> Result<String, LiveKitError> {
    let Some(rule) = wanted.rules.iter().find(|rule| rule.name() == name) else {
        return Ok(String::new());
    };
    let trunks = rule.trunks.iter();
    // What is no name is an id: the configuration has seen to it.
    let trunk_ids = trunks
        .map(|trunk| ids.get(trunk).unwrap_or(trunk).clone())
        .collect();
    let rule = rule.object(trunk_ids);
    let made = match action {
        Action::Replace { id } => livekit.replace_sip_dispatch_rule(id, rule).await?,
        _ => livekit.create_sip_dispatch_rule(rule).await?,
    };
    Ok(made.sip_dispatch_rule_id)
}
