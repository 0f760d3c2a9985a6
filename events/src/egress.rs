//! What is kept of an egress once it has ended.

use serde::{Deserialize, Serialize};

use crate::{
    CallId, DecodeError, EgressId, RoomName, Timestamp,
    livekit::{Egress, EgressFile, EgressStatus},
    open_enum::open_enum,
    versioned,
};

open_enum! {
    /// How an egress ended.
    pub enum EgressEnd {
        /// Well.
        Complete = "complete",
        /// At a limit; what there is has been kept.
        LimitReached = "limit_reached",
        /// It was stopped before anything was there to be recorded.
        Aborted = "aborted",
        /// It failed.
        Failed = "failed",
        /// Its process died and LiveKit never heard of it: the sweep found it.
        Lost = "lost",
    }
}

/// Marks an egress that has not ended, or whose record waits for the call to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEgress {
    /// The call.
    pub call: CallId,
    /// Its room.
    pub room: RoomName,
    /// When the room was created: decides where the record lies.
    pub created_at: Timestamp,
    /// When the marker was put, by the clock of whoever put it.
    pub since: Timestamp,
    /// When the sweep first missed it in its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_at: Option<Timestamp>,
    /// The files that it is to write, as its first event named them. Names with a time in them change until it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<EgressFile>,
}

impl OpenEgress {
    /// The stored object.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored object; `None` for what cannot be read.
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// The record of one egress, put once it has ended by the webhook function, or by the sweep.
///
/// It is replaced in two cases only: one that was [`EgressEnd::Lost`] comes to another end after all, and one whose files are missing gets
/// its stand-in when the call is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRecord {
    /// The version of this format; [`EgressRecord::VERSION`] when made by this code.
    pub version: u32,
    /// The egress.
    pub egress: EgressId,
    /// The call that it recorded.
    pub call: CallId,
    /// The room that it recorded.
    pub room: RoomName,
    /// How it ended.
    pub end: EgressEnd,
    /// 0, or the HTTP-like code of its failure.
    #[serde(default)]
    pub error_code: i32,
    /// When it ended, to the second; when it was found, if it was lost.
    pub ended_at: Timestamp,
    /// The files, by their names in the bucket. One without a size was not stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<EgressFile>,
    /// The storage key of what the agent recorded of the call, where a file is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<String>,
}

impl EgressRecord {
    /// The version that this code writes. It reads every version from 1 up to this one.
    pub const VERSION: u32 = 1;

    /// The record of an egress whose end an event has told of.
    pub fn ended(egress: &Egress, call: CallId, room: RoomName, ended_at: Timestamp) -> Self {
        let is_stored = !egress.files.is_empty() && egress.files.iter().all(is_stored);
        let end = match &egress.status {
            EgressStatus::Complete => EgressEnd::Complete,
            EgressStatus::LimitReached => EgressEnd::LimitReached,
            EgressStatus::Aborted => EgressEnd::Aborted,
            // It has ended, and does not say how: what it left does.
            EgressStatus::Starting | EgressStatus::Active | EgressStatus::Ending if is_stored => {
                EgressEnd::Complete
            }
            EgressStatus::Failed | EgressStatus::Starting | EgressStatus::Active | EgressStatus::Ending => {
                EgressEnd::Failed
            }
            EgressStatus::Unknown(name) => EgressEnd::Unknown(name.clone()),
        };
        Self {
            version: Self::VERSION,
            egress: egress.id.clone(),
            call,
            room,
            end,
            error_code: egress.error_code,
            ended_at,
            files: egress.files.clone(),
            stand_in: None,
        }
    }

    /// The record of an egress whose process is gone.
    pub fn lost(egress: EgressId, open: &OpenEgress, now: Timestamp) -> Self {
        Self {
            version: Self::VERSION,
            egress,
            call: open.call.clone(),
            room: open.room.clone(),
            end: EgressEnd::Lost,
            error_code: 0,
            ended_at: now,
            files: open.files.clone(),
            stand_in: None,
        }
    }

    /// How many of its files were not stored.
    pub fn missing_files(&self) -> usize {
        self.files.iter().filter(|file| !is_stored(file)).count()
    }

    /// Whether a file is missing and nothing stands in for it yet.
    pub fn wants_stand_in(&self) -> bool {
        self.missing_files() > 0 && self.stand_in.is_none()
    }

    /// Whether somebody has to know of it. One that was stopped before there was anything to record is as it was wanted.
    pub fn is_alarming(&self) -> bool {
        match self.end {
            EgressEnd::Aborted => false,
            EgressEnd::Complete | EgressEnd::LimitReached => self.missing_files() > 0,
            EgressEnd::Failed | EgressEnd::Lost | EgressEnd::Unknown(_) => true,
        }
    }

    /// Whether it says more than `kept`, which is the record so far.
    pub fn supersedes(&self, kept: &Self) -> bool {
        let comes_to_an_end = kept.end == EgressEnd::Lost && self.end != EgressEnd::Lost;
        let stands_in = kept.end == self.end && kept.stand_in.is_none() && self.stand_in.is_some();
        comes_to_an_end || stands_in
    }

    /// The stored object: JSON, indented, since people read it too.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads a stored object.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        versioned::decode(body.as_ref(), "egress record", Self::VERSION)
    }
}

/// LiveKit tells a size only of what has reached its place.
fn is_stored(file: &EgressFile) -> bool {
    file.size_bytes > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size_bytes: u64) -> EgressFile {
        EgressFile {
            filename: "a.ogg".to_owned(),
            size_bytes,
            duration_ms: 1_000,
        }
    }

    fn record(status: EgressStatus, sizes: &[u64]) -> EgressRecord {
        let egress = Egress {
            id: "EG_x".parse().unwrap(),
            call: None,
            room: None,
            status,
            error_code: 0,
            updated_at: None,
            files: sizes.iter().copied().map(file).collect(),
        };
        let (call, room) = ("RM_x".parse().unwrap(), "call-x".parse().unwrap());
        EgressRecord::ended(&egress, call, room, Timestamp::EPOCH)
    }

    #[test]
    fn what_is_missing_and_what_alarms() {
        for (status, sizes, end, missing, alarms) in [
            (EgressStatus::Complete, &[9][..], EgressEnd::Complete, 0, false),
            (EgressStatus::Complete, &[9, 0], EgressEnd::Complete, 1, true),
            (EgressStatus::Complete, &[], EgressEnd::Complete, 0, false),
            (
                EgressStatus::LimitReached,
                &[9],
                EgressEnd::LimitReached,
                0,
                false,
            ),
            (EgressStatus::Failed, &[0], EgressEnd::Failed, 1, true),
            // Ended by SIGINT: the file is there.
            (EgressStatus::Failed, &[9], EgressEnd::Failed, 0, true),
            (EgressStatus::Failed, &[], EgressEnd::Failed, 0, true),
            (EgressStatus::Aborted, &[0], EgressEnd::Aborted, 1, false),
            // The server leaves the first of its enum out.
            (EgressStatus::Starting, &[9], EgressEnd::Complete, 0, false),
            (EgressStatus::Starting, &[0], EgressEnd::Failed, 1, true),
            (EgressStatus::Starting, &[], EgressEnd::Failed, 0, true),
        ] {
            let case = format!("{status:?} {sizes:?}");
            let record = record(status, sizes);
            assert_eq!(record.end, end, "{case}");
            assert_eq!(record.missing_files(), missing, "{case}");
            assert_eq!(record.is_alarming(), alarms, "{case}");
        }
    }

    #[test]
    fn only_a_lost_end_and_a_missing_stand_in_are_written_over() {
        let failed = record(EgressStatus::Failed, &[0]);
        let complete = record(EgressStatus::Complete, &[9]);
        let lost = EgressRecord {
            end: EgressEnd::Lost,
            ..failed.clone()
        };
        let filled = EgressRecord {
            stand_in: Some("recording.ogg".to_owned()),
            ..failed.clone()
        };
        assert!(complete.supersedes(&lost) && failed.supersedes(&lost) && filled.supersedes(&failed));
        for (new, kept) in [
            (&failed, &failed),
            (&complete, &failed),
            (&lost, &complete),
            (&lost, &lost),
            (&failed, &filled),
            (&filled, &filled),
        ] {
            assert!(!new.supersedes(kept), "{new:?} {kept:?}");
        }
        assert!(failed.wants_stand_in() && !filled.wants_stand_in() && !complete.wants_stand_in());
    }
}
