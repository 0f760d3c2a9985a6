//! What a run found and did.

use std::{error::Error, iter::successors, time::Duration};

use events::{CallId, EgressEnd, Outcome, agents::NoMatch, mask_digits};

use crate::{SweepError, Wrong};

/// Failures are logged one by one up to so many; the summary has their number.
const LOGGED_FAILURES: usize = 3;

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many calls were looked at.
    pub calls: usize,
    /// What was wrong, and what was done about it.
    pub findings: Vec<Finding>,
    /// How often LiveKit, the store or the queue failed. What they concerned was left alone.
    pub failures: usize,
}

/// One call with which something was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The call.
    pub call: CallId,
    /// What was wrong.
    pub wrong: Wrong,
    /// What was done about it.
    pub done: Done,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The marker was removed.
    Unmarked,
    /// The marker was put.
    Marked,
    /// What is known of the call was kept.
    Kept,
    /// The call got its job.
    Enqueued,
    /// No entry of `agents:` takes the call, and the reason was kept.
    NoMatch(NoMatch),
    /// The record was written.
    Closed(Outcome),
    /// The record of an egress was kept.
    EgressClosed(EgressEnd),
    /// The agent's own recording stands in for what an egress did not store.
    Filled,
    /// Nothing that could be done from here: a person is wanted.
    Reported,
}

impl Done {
    /// Its name in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unmarked => "unmarked",
            Self::Marked => "marked",
            Self::Kept => "kept",
            Self::Enqueued => "job_enqueued",
            Self::NoMatch(_) => "no_match",
            Self::Closed(_) => "closed",
            Self::EgressClosed(_) => "egress_closed",
            Self::Filled => "filled",
            Self::Reported => "reported",
        }
    }
}

impl Finding {
    /// Logs what it says.
    pub(crate) fn new(call: &CallId, wrong: Wrong, done: Done) -> Self {
        let (sweep, outcome) = (wrong.name(), done.name());
        let reason = match &done {
            Done::NoMatch(reason) => reason.as_str(),
            Done::Closed(outcome) => outcome.kind(),
            Done::EgressClosed(end) => end.as_str(),
            _ => "",
        };
        let call_id = call.as_str();
        match wrong {
            Wrong::MarkerLeft
            | Wrong::MarkerMissing
            | Wrong::Old
            | Wrong::EgressUnheard
            | Wrong::EgressMissing
            | Wrong::EgressMarkerLeft => {
                tracing::debug!(call_id, sweep, outcome, reason, "sweep");
            }
            Wrong::Stranded => {
                tracing::error!(
                    call_id,
                    sweep,
                    outcome,
                    reason,
                    "nobody serves a call that goes on"
                );
            }
            Wrong::Waiting => tracing::warn!(call_id, sweep, outcome, reason, "no worker takes a call"),
            Wrong::EgressUnfilled => tracing::info!(call_id, sweep, outcome, reason, "repaired"),
            Wrong::WebhookLost
            | Wrong::Unclosed
            | Wrong::Orphaned
            | Wrong::EgressWebhookLost
            | Wrong::EgressDead => {
                tracing::warn!(call_id, sweep, outcome, reason, "repaired");
            }
        }
        Self {
            call: call.clone(),
            wrong,
            done,
        }
    }
}

impl Report {
    pub(crate) fn failed(&mut self, call: Option<&CallId>, error: &SweepError) {
        let error: &dyn Error = error;
        self.failures += 1;
        if self.failures <= LOGGED_FAILURES {
            let causes = successors(error.source(), |cause| (*cause).source());
            let cause = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            let cause = mask_digits(&cause);
            let call_id = call.map_or("", CallId::as_str);
            tracing::error!(call_id, outcome = "failed", reason = %error, cause, "sweep");
        }
    }

    /// One line, if anything was done.
    pub(crate) fn summarize(&self, took: Duration) {
        let count = |is: fn(&Done) -> bool| self.findings.iter().filter(|finding| is(&finding.done)).count();
        if !self.findings.is_empty() || self.failures > 0 {
            tracing::info!(
                calls = self.calls,
                enqueued = count(|done| *done == Done::Enqueued),
                closed = count(|done| matches!(done, Done::Closed(_))),
                egresses = count(|done| matches!(done, Done::EgressClosed(_) | Done::Filled)),
                reported = count(|done| *done == Done::Reported),
                markers = count(|done| matches!(done, Done::Marked | Done::Unmarked)),
                failures = self.failures,
                ms = took.as_secs_f64() * 1000.0,
                "swept"
            );
        }
    }
}
