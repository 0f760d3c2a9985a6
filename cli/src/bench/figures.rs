//! What was measured: rows, and how their figures are spread. Pure.

use std::time::Duration;

use serde::Serialize;

use super::caller::Called;
use super::share::Share;

/// An answer that takes longer in one call of twenty is no conversation.
pub(super) const LIMIT: Duration = Duration::from_secs(2);
/// Reasons of failures that are told.
const REASONS: usize = 5;

/// How figures are spread, in milliseconds, by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100);
            let figure = all.get(rank.saturating_sub(1)).copied()?;
            // Tenths are more than the clocks are good for.
            Some((figure * 10.0).round() / 10.0)
        };
        Some(Self {
            count: all.len(),
            p50: rank(50)?,
            p95: rank(95)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }

    fn of_durations(all: impl Iterator<Item = Duration>) -> Option<Self> {
        Self::of(all.map(|took| took.as_secs_f64() * 1_000.0).collect())
    }
}

/// The agent's own share of its answers, beyond endpointing and providers: the whole, and where it comes about. `hearing` and `delivery`,
/// which are not in the whole, are the ways between caller and agent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Own {
    pub(super) total: Spread,
    pub(super) transcription: Spread,
    pub(super) llm: Spread,
    pub(super) end_of_turn: Spread,
    pub(super) tts: Spread,
    pub(super) playout: Spread,
    pub(super) hearing: Spread,
    pub(super) delivery: Spread,
}

impl Own {
    /// `None` of nothing.
    pub(super) fn of(shares: &[Share]) -> Option<Self> {
        // A part that is over sooner than it could be is a matter of clocks: voices end within a frame of 20 ms.
        let spread = |part: fn(&Share) -> i64| {
            let all = shares
                .iter()
                .map(|share| part(share).clamp(0, i64::from(i32::MAX)));
            Spread::of(
                all.filter_map(|ms| i32::try_from(ms).ok())
                    .map(f64::from)
                    .collect(),
            )
        };
        Some(Self {
            total: spread(|share| share.total)?,
            transcription: spread(|share| share.transcription)?,
            llm: spread(|share| share.llm)?,
            end_of_turn: spread(|share| share.end_of_turn)?,
            tts: spread(|share| share.tts)?,
            playout: spread(|share| share.playout)?,
            hearing: spread(|share| share.hearing)?,
            delivery: spread(|share| share.delivery)?,
        })
    }
}

/// So many callers at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) callers: u16,
    /// Calls that did not come to their end, and why, each reason once.
    pub(super) failed: usize,
    pub(super) failures: Vec<String>,
    /// From the last sample of a caller's speech to the agent's first audible one.
    pub(super) e2e_ms: Option<Spread>,
    /// From the caller's being in the room to the agent's first audible sample.
    pub(super) greeting_ms: Option<Spread>,
    /// From a caller's first sample over the agent's speech to the agent's last audible one.
    pub(super) barge_in_ms: Option<Spread>,
    pub(super) own_ms: Option<Own>,
    /// Of one processor core, for each call, its beginning and end included.
    pub(super) cpu_percent_per_call: Option<f64>,
    /// How much more memory of its own, files apart, the agent had at most than after a first call, for each.
    pub(super) memory_kb_per_call: Option<i64>,
    /// How late the machine itself was.
    pub(super) late_ms: Option<Spread>,
}

/// What a row is made from.
pub(super) struct Measured<E> {
    pub(super) calls: Vec<Result<Called, E>>,
    pub(super) shares: Vec<Share>,
    /// The agent's processor time, from before the first call to after the last.
    pub(super) cpu: Option<Duration>,
    /// How much more memory it had at most.
    pub(super) grown_kb: Option<i64>,
    pub(super) late: Vec<f64>,
}

impl Row {
    pub(super) fn of<E: std::fmt::Display>(measured: Measured<E>) -> Self {
        let callers = u16::try_from(measured.calls.len()).unwrap_or(u16::MAX);
        let (mut called, mut failures) = (Vec::new(), Vec::new());
        for call in measured.calls {
            match call {
                Ok(call) => called.push(call),
                Err(error) => failures.push(error.to_string()),
            }
        }
        let failed = failures.len();
        failures.sort_unstable();
        failures.dedup();
        failures.truncate(REASONS);
        let in_calls: Duration = called.iter().map(|call| call.lasted).sum();
        // Calls that failed took something too, so that there is no telling what one takes.
        let is_whole = failed == 0 && !in_calls.is_zero();
        let cpu = measured.cpu.filter(|_| is_whole);
        let percent = cpu.map(|cpu| cpu.as_secs_f64() / in_calls.as_secs_f64() * 100.0);
        Self {
            callers,
            failed,
            failures,
            e2e_ms: Spread::of_durations(
                called
                    .iter()
                    .flat_map(|call| call.answers.iter().map(|answer| answer.waited)),
            ),
            greeting_ms: Spread::of_durations(called.iter().map(|call| call.greeting)),
            barge_in_ms: Spread::of_durations(called.iter().map(|call| call.barge_in)),
            own_ms: Own::of(&measured.shares),
            cpu_percent_per_call: percent.map(|percent| (percent * 100.0).round() / 100.0),
            memory_kb_per_call: measured.grown_kb.map(|kb| kb / i64::from(callers.max(1))),
            late_ms: Spread::of(measured.late),
        }
    }

    /// Whether all calls came to their end, and nineteen of twenty answers in time.
    pub(super) fn is_good(&self) -> bool {
        let in_time = |spread: Spread| spread.p95 < LIMIT.as_secs_f64() * 1_000.0;
        self.failed == 0 && self.e2e_ms.is_some_and(in_time)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::caller::Answer;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    pub(in crate::bench) fn row(answers_ms: &[u64], failures: &[&'static str]) -> Row {
        let called = Called {
            greeting: MS(250),
            room: String::new(),
            answers: answers_ms
                .iter()
                .map(|waited| Answer {
                    waited: MS(*waited),
                    asked_ms: 0,
                    heard_ms: 0,
                })
                .collect(),
            barge_in: MS(200),
            lasted: MS(10_000),
        };
        let failures = failures.iter().map(|reason| Err(*reason));
        Row::of(Measured {
            calls: std::iter::once(Ok(called)).chain(failures).collect(),
            shares: vec![Share {
                total: 20,
                transcription: 5,
                llm: 4,
                end_of_turn: -3,
                tts: 2,
                playout: 12,
                hearing: 90,
                delivery: 70,
            }],
            cpu: Some(MS(250)),
            grown_kb: Some(3_000),
            late: vec![0.25],
        })
    }

    #[test]
    fn a_row_says_what_a_call_takes_and_how_its_latencies_are_spread() {
        let all: Vec<u64> = (1..=100).map(|n| n * 10).collect();
        let row = row(&all, &[]);
        let spread = row.e2e_ms.unwrap();
        assert_eq!(
            (spread.count, spread.p50, spread.p95, spread.p99, spread.max),
            (100, 500.0, 950.0, 990.0, 1_000.0)
        );
        assert_eq!(
            (row.cpu_percent_per_call, row.memory_kb_per_call),
            (Some(2.5), Some(3_000))
        );
        let own = row.own_ms.unwrap();
        assert_eq!(
            (own.total.p50, own.end_of_turn.p50, own.playout.p50),
            (20.0, 0.0, 12.0)
        );
        assert!(row.is_good());
    }

    #[test]
    fn a_row_with_a_failed_call_or_late_answers_is_not_good_and_tells_each_reason_once() {
        assert!(!row(&[700, 2_000], &[]).is_good());
        let row = row(&[700], &["no greeting", "no answer", "no greeting"]);
        assert!(!row.is_good());
        assert_eq!((row.callers, row.failed), (4, 3));
        assert_eq!(row.failures, ["no answer", "no greeting"]);
        assert_eq!(row.cpu_percent_per_call, None);
    }
}
