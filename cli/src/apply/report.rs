//! The plan and its end, for people and for programs.

use serde_json::{Value, json};

use super::{
    fields::Change,
    plan::{Action, Plan, Step},
};
use crate::paint::{Line, Tone};

/// Columns of a field's name.
const FIELD: usize = 34;

/// The plan with every field that changes.
pub(super) fn plan(plan: &Plan, server: &str) -> Vec<Line> {
    let mut lines = vec![
        Line::empty(),
        Line::heading("  Trunks and dispatch rules").and(format!("   {server}"), Tone::Dim),
        Line::empty(),
    ];
    for step in &plan.steps {
        lines.push(headline(step));
        let is_new = step.action == Action::Create;
        let changes = step
            .changes
            .iter()
            .filter(|change| change.field != "name" || !is_new);
        lines.extend(changes.map(|change| field(change, is_new)));
    }
    lines
}

fn headline(step: &Step) -> Line {
    let (sign, tone, remark) = match step.action {
        Action::Create => ("+", Tone::Good, "to be made"),
        Action::Replace { .. } => ("~", Tone::Warn, "differs on the server"),
        Action::Keep { .. } => ("=", Tone::Dim, "as it should be"),
        Action::Leave { .. } => ("?", Tone::Warn, "not in the file: left alone, --prune removes it"),
        Action::Delete { .. } => ("-", Tone::Bad, "not in the file: to be removed"),
    };
    let name = if step.name.is_empty() {
        "(no name)"
    } else {
        &step.name
    };
    let name_tone = if step.is_change() {
        Tone::Strong
    } else {
        Tone::Plain
    };
    Line::of(format!("  {sign} "), tone)
        .and(format!("{:<15}", step.kind.said()), Tone::Dim)
        .and(format!("{name:<24} "), name_tone)
        .and(format!("{:<18}", step.id().unwrap_or_default()), Tone::Dim)
        .and(remark, tone)
}

fn field(change: &Change, is_new: bool) -> Line {
    let line = Line::of(format!("      {:<FIELD$}", change.field), Tone::Dim);
    let to = change.to.as_deref();
    if is_new {
        return line.and(to.unwrap_or_default(), Tone::Plain);
    }
    let from = change.from.as_deref().unwrap_or("(default)");
    let is_hidden = change.from.is_some() && change.from == change.to;
    if is_hidden {
        return line.and("another one; not shown", Tone::Warn);
    }
    line.and(from, Tone::Bad)
        .and(" → ", Tone::Dim)
        .and(to.unwrap_or("(default)"), Tone::Good)
}

/// A step that is done.
pub(super) fn done(step: &Step) -> Line {
    let verb = match step.action {
        Action::Create => "made",
        Action::Delete { .. } => "removed",
        _ => "replaced",
    };
    Line::step(&format!("{} {} {verb}", step.kind.said(), step.name))
}

/// What it comes to.
pub(super) fn end(plan: &Plan, is_carried_out: bool) -> Vec<Line> {
    let count = |of: fn(&Action) -> bool| plan.steps.iter().filter(|step| of(&step.action)).count();
    let parts = [
        (count(|action| *action == Action::Create), "made", "to be made"),
        (
            count(|action| matches!(action, Action::Replace { .. })),
            "replaced",
            "to be replaced",
        ),
        (
            count(|action| matches!(action, Action::Delete { .. })),
            "removed",
            "to be removed",
        ),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, done, due)| format!("{count} {}", if is_carried_out { done } else { due }))
        .collect();
    let line = if said.is_empty() {
        Line::of("  Nothing to do: the server has what the file says.", Tone::Good)
    } else if is_carried_out {
        Line::of(format!("  Done: {}.", said.join(", ")), Tone::Good)
    } else {
        Line::of(format!("  Nothing was changed: {}.", said.join(", ")), Tone::Warn)
    };
    vec![Line::empty(), line, Line::empty()]
}

/// The whole run as one object. `done` of the changes were carried out.
pub(super) fn json(plan: &Plan, done: usize, failure: Option<&anyhow::Error>) -> Value {
    let changes = plan.steps.iter().filter(|step| step.is_change()).count();
    let steps: Vec<Value> = plan.steps.iter().map(step_json).collect();
    json!({
        "changes": changes,
        "done": done,
        "error": failure.map(|failure| format!("{failure:#}")),
        "objects": steps,
    })
}

fn step_json(step: &Step) -> Value {
    let action = match step.action {
        Action::Create => "create",
        Action::Replace { .. } => "replace",
        Action::Keep { .. } => "keep",
        Action::Leave { .. } => "leave",
        Action::Delete { .. } => "delete",
    };
    let fields: Vec<Value> = step
        .changes
        .iter()
        .map(|change| json!({"field": change.field, "from": change.from, "to": change.to}))
        .collect();
    json!({
        "kind": step.kind.said().replace(' ', "_"),
        "name": step.name,
        "id": step.id(),
        "action": action,
        "fields": fields,
    })
}
