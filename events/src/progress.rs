//! What is kept of a call while it goes on, and how it is closed when its holder is gone.

use serde::{Deserialize, Serialize};

use crate::{CallId, CallJob, CallRecord, Claim, Outcome, Session, Timestamp, TurnRecord, session};

/// The body of `agent.json`: what the record would say if the holder of the claim died this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The fencing token of its writer.
    pub generation: u64,
    /// Its writer.
    pub worker: String,
    /// The record so far; its outcome is `interrupted` until the call has come to a better end, and its end the moment of this writing.
    #[serde(flatten)]
    pub record: CallRecord,
    /// What the report will say beside it.
    #[serde(default)]
    pub session: Session,
}

impl Progress {
    /// The stored object.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored object; `None` for what cannot be read: it holds nothing that could be gone on from.
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

impl CallRecord {
    /// The reason of a call that every worker that took it gave up.
    pub const NOT_SERVED: &str = "no worker could serve the call";

    /// What is known of a call that has its job and nothing else.
    pub fn of_job(job: &CallJob, now: Timestamp) -> Self {
        let mut record = Self::new(
            job.call.clone(),
            job.room.clone(),
            Outcome::Interrupted,
            job.created_at,
            now,
        );
        record.caller.clone_from(&job.caller);
        record.called.clone_from(&job.called);
        record.profile = Some(job.profile.clone());
        record.timeline.clone_from(&job.timeline);
        record
    }

    /// The record of a claimed call whose room is gone and whose holder is, too. `self` is what that holder left in `agent.json`
    /// (or [`CallRecord::of_job`]), `last` its claim; `None` when nobody ever held one.
    ///
    /// - An end that the holder had come to, but not recorded: that end.
    /// - Never answered, nobody ever held a claim: the caller gave up, `cancelled`.
    /// - Never answered, and the holder had given up: `failed`, [`CallRecord::NOT_SERVED`].
    /// - Else `interrupted`.
    ///
    /// It ended at the last moment that is known of it. The recording, whose holder could not measure it, plays `recording_ms`.
    #[must_use]
    pub fn orphaned(mut self, last: Option<&Claim>, recording_ms: Option<u64>) -> Self {
        if self.outcome == Outcome::Interrupted && self.answered_at.is_none() {
            match last {
                None => self.outcome = Outcome::Cancelled,
                Some(last) if last.given_up => {
                    self.outcome = Outcome::Failed {
                        reason: Self::NOT_SERVED.to_owned(),
                    };
                }
                Some(_) => {}
            }
        }
        if let (Some(recording), Some(ms)) = (&mut self.recording, recording_ms) {
            recording.duration_ms = ms;
            let until = recording
                .gate_opened_at
                .plus(std::time::Duration::from_millis(ms));
            if self.outcome == Outcome::Interrupted {
                self.ended_at = self.ended_at.max(until);
            }
        }
        self
    }

    /// Whether its recording was left without a length, by a holder that died.
    pub fn lacks_recording_length(&self) -> bool {
        self.recording
            .as_ref()
            .is_some_and(|recording| recording.duration_ms == 0)
    }
}

/// The body of `transcript.json`: what was said.
#[derive(Debug, Serialize)]
pub struct Transcript<'a> {
    /// The version of this format: 1.
    pub version: u32,
    /// The call.
    pub call: &'a CallId,
    /// What was said, in the order of its start.
    pub turns: &'a [TurnRecord],
    /// What times are counted from where people read it.
    #[serde(skip)]
    begun: Timestamp,
}

impl<'a> Transcript<'a> {
    /// The transcript of a call; `None` when nothing was said.
    pub fn of(record: &'a CallRecord) -> Option<Self> {
        (!record.turns.is_empty()).then_some(Self {
            version: 1,
            call: &record.call,
            turns: &record.turns,
            begun: record.answered_at.unwrap_or(record.started_at),
        })
    }

    /// For people to read: a line a turn, with minutes and seconds since the answer.
    pub fn readable(&self) -> String {
        session::readable(self.call, self.begun, self.turns)
    }

    /// The stored object: JSON, indented, since people read it too.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Recording, RecordingPolicy};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_196_401_568 + ms).unwrap()
    }

    fn left(answered: bool) -> CallRecord {
        let (call, room) = ("RM_x".parse().unwrap(), "call-x".parse().unwrap());
        let mut record = CallRecord::new(call, room, Outcome::Interrupted, at(0), at(5_000));
        record.answered_at = answered.then(|| at(1_000));
        record
    }

    fn claim(given_up: bool) -> Claim {
        Claim {
            given_up,
            ..Claim::succeed(None, 1, "w", at(0), std::time::Duration::from_secs(9))
        }
    }

    #[test]
    fn how_a_call_ended_that_nobody_holds_any_more() {
        let not_served = Outcome::Failed {
            reason: CallRecord::NOT_SERVED.to_owned(),
        };
        for (answered, last, outcome) in [
            (false, None, Outcome::Cancelled),
            (false, Some(claim(false)), Outcome::Interrupted),
            (false, Some(claim(true)), not_served),
            (true, Some(claim(false)), Outcome::Interrupted),
            (true, Some(claim(true)), Outcome::Interrupted),
        ] {
            let record = left(answered).orphaned(last.as_ref(), None);
            assert_eq!(record.outcome, outcome, "answered {answered}, {last:?}");
            assert_eq!(record.ended_at, at(5_000));
        }
    }

    #[test]
    fn an_end_that_was_only_not_recorded_is_kept() {
        let mut record = left(true);
        record.outcome = Outcome::CallerHungUp;
        let record = record.orphaned(Some(&claim(true)), Some(60_000));
        assert_eq!(
            (record.outcome, record.ended_at),
            (Outcome::CallerHungUp, at(5_000))
        );
    }

    #[test]
    fn a_recording_that_broke_off_tells_how_long_the_call_lasted_at_least() {
        let mut record = left(true);
        record.recording = Some(Recording {
            key: "recording.ogg".to_owned(),
            duration_ms: 0,
            policy: RecordingPolicy::Always,
            gate_opened_at: at(2_000),
        });
        assert!(record.lacks_recording_length());
        let record = record.orphaned(Some(&claim(false)), Some(8_000));
        assert_eq!(record.ended_at, at(10_000));
        assert_eq!(record.recording.unwrap().duration_ms, 8_000);
    }
}
