//! The plan and its end, for people and for programs.

use serde_json::{Value, json};

use super::{
    fields::Change,
    plan::{Action, Kind, Plan, Step},
};
use crate::paint::{Line, Tone};

/// The columns of the parts of a line: what a name and an id need, and a field.
pub(super) struct Columns {
    name: usize,
    id: usize,
    field: usize,
}

impl Columns {
    pub(super) fn of(plan: &Plan) -> Self {
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
        let steps = || plan.steps.iter();
        Self {
            name: longest(&mut steps().map(|step| said_name(step).chars().count())),
            id: longest(&mut steps().map(|step| step.id().map_or(0, str::len))),
            field: longest(
                &mut steps().flat_map(|step| step.changes.iter().map(|change| change.field.len())),
            ),
        }
    }

    /// Where the values begin.
    pub(super) fn values(&self) -> usize {
        FIELD_AT + self.field + 2
    }
}

/// Where the names of fields begin.
const FIELD_AT: usize = 6;

/// The plan with every field that changes.
pub(super) fn plan(plan: &Plan, server: &str, columns: &Columns) -> Vec<Line> {
    let mut lines = vec![
        Line::empty(),
        Line::heading("  Trunks and dispatch rules").and(format!("   {server}"), Tone::Dim),
        Line::empty(),
    ];
    for step in &plan.steps {
        lines.push(headline(step, columns));
        let is_new = step.action == Action::Create;
        let changes = step
            .changes
            .iter()
            .filter(|change| change.field != "name" || !is_new);
        lines.extend(changes.map(|change| field(change, is_new, columns)));
    }
    lines
}

fn headline(step: &Step, columns: &Columns) -> Line {
    let (sign, tone, remark) = match step.action {
        Action::Create => ("+", Tone::Good, "to be made"),
        Action::Replace { .. } => ("~", Tone::Warn, "differs on the server"),
        Action::Keep { .. } => ("=", Tone::Dim, "as it should be"),
        Action::Leave { .. } => ("?", Tone::Warn, "not in the file: left alone, --prune removes it"),
        Action::Delete { .. } => ("-", Tone::Bad, "not in the file: to be removed"),
    };
    let name_tone = if step.is_change() {
        Tone::Strong
    } else {
        Tone::Plain
    };
    let (name, id) = (said_name(step), step.id().unwrap_or_default());
    let line = Line::of(format!("  {sign} "), tone)
        .and(format!("{:<15}", step.kind.said()), Tone::Dim)
        .and(format!("{name:<width$}  ", width = columns.name), name_tone);
    let line = if columns.id == 0 {
        line
    } else {
        line.and(format!("{id:<width$}  ", width = columns.id), Tone::Dim)
    };
    line.and(remark, tone)
}

fn said_name(step: &Step) -> &str {
    if step.name.is_empty() {
        "(no name)"
    } else {
        &step.name
    }
}

fn field(change: &Change, is_new: bool, columns: &Columns) -> Line {
    let name = format!(
        "{:FIELD_AT$}{:<width$}  ",
        "",
        change.field,
        width = columns.field
    );
    let line = Line::of(name, Tone::Dim);
    let (from, to) = (change.from.as_deref(), change.to.as_deref());
    match (from, to) {
        _ if is_new => line.and(to.unwrap_or_default().join(", "), Tone::Plain),
        _ if change.is_hidden() => line.and("another one; not shown", Tone::Warn),
        (Some(from), Some(to)) if from.len() > 1 || to.len() > 1 => items(line, from, to),
        _ => line
            .and(single(from), Tone::Bad)
            .and(" → ", Tone::Dim)
            .and(single(to), Tone::Good),
    }
}

fn single(value: Option<&[String]>) -> String {
    value.map_or_else(|| "(default)".to_owned(), |items| items.join(", "))
}

/// What goes from a list, what comes, and how much stays.
fn items(line: Line, from: &[String], to: &[String]) -> Line {
    let gone = from.iter().filter(|item| !to.contains(item));
    let line = gone.fold(line, |line, item| line.and(format!("- {item}  "), Tone::Bad));
    let new = to.iter().filter(|item| !from.contains(item));
    let line = new.fold(line, |line, item| line.and(format!("+ {item}  "), Tone::Good));
    match from.iter().filter(|item| to.contains(item)).count() {
        0 => line,
        // The same items: codecs count in their order.
        stay if stay == from.len() && stay == to.len() => line
            .and(from.join(", "), Tone::Bad)
            .and(" → ", Tone::Dim)
            .and(to.join(", "), Tone::Good),
        1 => line.and("(1 stays)", Tone::Dim),
        stay => line.and(format!("({stay} stay)"), Tone::Dim),
    }
}

/// A step that is done.
pub(super) fn done(step: &Step, id: &str) -> Line {
    let verb = match step.action {
        Action::Create => "made",
        Action::Delete { .. } => "removed",
        _ => "replaced",
    };
    Line::step(&format!("{} {} {verb}", step.kind.said(), said_name(step))).and(format!("  {id}"), Tone::Dim)
}

/// Outbound trunks of the file that nothing may use: `listed` is `calls.trunks`.
pub(super) fn idle(plan: &Plan, done: &[String], listed: &[String]) -> Option<Line> {
    let ids = plan.ids(done).filter_map(|(step, id)| match step.action {
        Action::Leave { .. } | Action::Delete { .. } => None,
        _ if step.kind != Kind::Outbound => None,
        _ => id.filter(|id| !listed.iter().any(|known| known == id)),
    });
    let ids: Vec<&str> = ids.collect();
    let said = format!(
        "  ! calls.trunks does not list {}: nobody is called by it",
        ids.join(", ")
    );
    (!ids.is_empty()).then(|| Line::of(said, Tone::Warn))
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
    vec![Line::empty(), line]
}

/// The whole run as one object. `done` are the ids of the changes that were carried out, in their order.
pub(super) fn json(plan: &Plan, done: &[String], failure: Option<&anyhow::Error>) -> Value {
    let changes = plan.steps.iter().filter(|step| step.is_change()).count();
    let steps: Vec<Value> = plan.ids(done).map(|(step, id)| step_json(step, id)).collect();
    json!({
        "changes": changes,
        "done": done.len(),
        "error": failure.map(|failure| format!("{failure:#}")),
        "objects": steps,
    })
}

fn step_json(step: &Step, id: Option<&str>) -> Value {
    let action = match step.action {
        Action::Create => "create",
        Action::Replace { .. } => "replace",
        Action::Keep { .. } => "keep",
        Action::Leave { .. } => "leave",
        Action::Delete { .. } => "delete",
    };
    let said = |value: &Option<Vec<String>>| value.as_ref().map(|items| items.join(", "));
    let fields: Vec<Value> = step
        .changes
        .iter()
        .map(|change| json!({"field": change.field, "from": said(&change.from), "to": said(&change.to)}))
        .collect();
    json!({
        "kind": step.kind.said().replace(' ', "_"),
        "name": step.name,
        "id": id,
        "action": action,
        "fields": fields,
    })
}
