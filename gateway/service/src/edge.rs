//! What the SIP edge turns away, told in few words: whoever sends a thousand bad datagrams shall not write a thousand lines.

use std::time::{Duration, Instant};

use sip::{Refusal, Refusals};

/// At most one line per reason in this time.
const EVERY: Duration = Duration::from_secs(10);

/// What has been told so far.
#[derive(Debug, Default)]
pub(crate) struct EdgeLog {
    told: [Told; Refusal::ALL.len()],
}

#[derive(Debug, Default, Clone, Copy)]
struct Told {
    count: u64,
    at: Option<Instant>,
}

impl EdgeLog {
    /// Logs what has been turned away since it was last told, without a word on whose it was.
    pub(crate) fn tell(&mut self, refusals: &Refusals, now: Instant) {
        for (refusal, count) in self.due(refusals, now) {
            let reason = refusal.as_str();
            tracing::warn!(reason, count, "requests were turned away at the SIP edge");
        }
    }

    fn due(&mut self, refusals: &Refusals, now: Instant) -> Vec<(Refusal, u64)> {
        let mut due = Vec::new();
        for (refusal, told) in Refusal::ALL.into_iter().zip(&mut self.told) {
            let total = refusals.of(refusal);
            let rests = told
                .at
                .is_some_and(|at| now.saturating_duration_since(at) < EVERY);
            if total > told.count && !rests {
                due.push((refusal, total - told.count));
                *told = Told {
                    count: total,
                    at: Some(now),
                };
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_at_once_and_then_at_most_every_ten_seconds_with_its_count() {
        let (mut log, mut refusals) = (EdgeLog::default(), Refusals::default());
        let start = tokio::time::Instant::now().into_std();
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(log.due(&refusals, at(0)), []);
        refusals.add(Refusal::Malformed);
        assert_eq!(log.due(&refusals, at(1)), [(Refusal::Malformed, 1)]);
        for _ in 0..1000 {
            refusals.add(Refusal::Malformed);
        }
        refusals.add(Refusal::Busy);
        assert_eq!(log.due(&refusals, at(2)), [(Refusal::Busy, 1)]);
        assert_eq!(log.due(&refusals, at(10)), []);
        assert_eq!(log.due(&refusals, at(11)), [(Refusal::Malformed, 1000)]);
        assert_eq!(log.due(&refusals, at(60)), []);
    }
}
