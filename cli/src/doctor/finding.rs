//! What was found, and how it is told.

use health::{Component, Status};
use serde_json::{Value, json};

use super::Area;
use crate::paint::{Line, Tone};

/// Where the words of a finding begin.
pub(super) const SAYS_AT: usize = 14;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// As it should be.
    Well,
    /// Nothing to do about it, perhaps.
    Note,
    /// Calls go on, or some of them.
    Warning,
    /// Calls fail.
    Error,
}

/// One thing about an area.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    area: &'static str,
    pub(super) severity: Severity,
    says: String,
    remedy: Option<String>,
}

impl Finding {
    pub(super) fn well(area: Area, says: impl Into<String>) -> Self {
        Self {
            area: area.name(),
            severity: Severity::Well,
            says: says.into(),
            remedy: None,
        }
    }

    pub(super) fn note(area: Area, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(area, Severity::Note, says, remedy)
    }

    pub(super) fn warning(area: Area, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(area, Severity::Warning, says, remedy)
    }

    pub(super) fn error(area: Area, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(area, Severity::Error, says, remedy)
    }

    /// What cannot be known while nothing is answered over the bus.
    pub(super) fn unless_bus_fails(self) -> Self {
        if self.severity == Severity::Well || !self.is_of(Area::Call) {
            return self;
        }
        Self {
            severity: Severity::Note,
            says: "not known while `bus` is broken".to_owned(),
            remedy: None,
            ..self
        }
    }

    /// What cannot be known while LiveKit's API does not answer.
    pub(super) fn unless_livekit_fails(self) -> Self {
        let hangs_on_it = [
            Area::Sip,
            Area::Trunks,
            Area::Call,
            Area::Sound,
            Area::Egress,
            Area::Ingress,
        ];
        if self.severity == Severity::Well || !hangs_on_it.iter().any(|area| area.name() == self.area) {
            return self;
        }
        Self {
            severity: Severity::Note,
            says: "not known while `livekit` is broken".to_owned(),
            remedy: None,
            ..self
        }
    }

    pub(super) fn area(&self) -> &'static str {
        self.area
    }

    pub(super) fn is_of(&self, area: Area) -> bool {
        self.area == area.name()
    }

    /// What is to be done about; nothing, when it is well.
    pub(super) fn matter(&self) -> Option<String> {
        let remedy = self.remedy.as_deref().unwrap_or_default();
        (self.severity != Severity::Well).then(|| format!("{:?} {} {remedy}", self.severity, self.says))
    }

    pub(super) fn is_broken(&self, area: Area) -> bool {
        self.severity == Severity::Error && self.area == area.name()
    }

    fn with(area: Area, severity: Severity, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            area: area.name(),
            severity,
            says: says.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// The finding, and what to do below it.
    pub(super) fn lines(&self) -> Vec<Line> {
        let (sign, tone) = match self.severity {
            Severity::Well => ("✓", Tone::Good),
            Severity::Note => ("·", Tone::Dim),
            Severity::Warning => ("!", Tone::Warn),
            Severity::Error => ("✗", Tone::Bad),
        };
        let words = match self.severity {
            Severity::Well => Tone::Dim,
            Severity::Note => Tone::Plain,
            _ => tone,
        };
        let said = Line::of(format!("  {sign} "), tone)
            .and(format!("{:<10}", self.area), Tone::Strong)
            .and(self.says.as_str(), words);
        let remedy = self.remedy.iter();
        let remedy = remedy.map(|remedy| Line::of(format!("{:SAYS_AT$}→ {remedy}", ""), Tone::Plain));
        [said].into_iter().chain(remedy).collect()
    }

    fn json(&self) -> Value {
        let severity = match self.severity {
            Severity::Well => "well",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        json!({"area": self.area, "severity": severity, "says": self.says, "remedy": self.remedy})
    }
}

/// What `/health` says, too. Calls go on without egress and ingress.
impl From<Component> for Finding {
    fn from(component: Component) -> Self {
        let severity = match (component.status, component.name) {
            (Status::Ok, _) if component.remedy.is_none() => Severity::Well,
            (Status::Ok | Status::Degraded, _) | (Status::Failed, "egress" | "ingress") => Severity::Warning,
            (Status::Failed, _) => Severity::Error,
        };
        let remedy = component.remedy.unwrap_or_default();
        // LiveKit's errors end with it.
        let says = component.detail.trim_end_matches(remedy).trim_end_matches("; ");
        Self {
            area: component.name,
            severity,
            says: says.to_owned(),
            remedy: component.remedy.map(str::to_owned),
        }
    }
}

pub(super) fn end(errors: usize, warnings: usize) -> Vec<Line> {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    let line = match (errors, warnings) {
        (0, 0) => Line::of("  Nothing is wrong.", Tone::Good),
        (0, _) => Line::of(format!("  {}.", count(warnings, "warning")), Tone::Warn),
        (_, 0) => Line::of(format!("  {}.", count(errors, "error")), Tone::Bad),
        _ => Line::of(
            format!("  {}, {}.", count(errors, "error"), count(warnings, "warning")),
            Tone::Bad,
        ),
    };
    vec![Line::empty(), line, Line::empty()]
}

pub(super) fn json(findings: &[Finding], errors: usize, warnings: usize) -> Value {
    let findings: Vec<Value> = findings.iter().map(Finding::json).collect();
    json!({"errors": errors, "warnings": warnings, "findings": findings})
}
