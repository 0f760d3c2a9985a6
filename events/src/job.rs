//! The job that the webhook function enqueues and an agent takes: one per call.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    CallId, DecodeError, ParticipantIdentity, Party, ProfileName, RoomName, TimelineEntry, Timestamp,
    versioned,
};

/// One call that waits for an agent, or (from generation 2 on) that has lost the one it had.
///
/// A job that was made at `room_started` knows no participant yet: `caller`, `called` and `participant` are then `None`, and the
/// worker learns them in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallJob {
    /// The version of this format; [`CallJob::VERSION`] when made by this code.
    pub version: u32,
    /// The call.
    pub call: CallId,
    /// The room to join.
    pub room: RoomName,
    /// When the room was created: its day is part of the call's storage keys.
    pub created_at: Timestamp,
    /// 1 at first, raised by each takeover. Of two workers the one with the higher generation owns the call.
    pub generation: u64,
    /// The agent's profile.
    pub profile: ProfileRef,
    /// The remote party, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Party>,
    /// The number or name that was called, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Party>,
    /// The participant that brought the job about; `None` when it was the room itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantIdentity>,
    /// What happened before the job was enqueued; the worker's record goes on from it.
    #[serde(default)]
    pub timeline: Vec<TimelineEntry>,
}

impl CallJob {
    /// The version that this code writes. It reads every version from 1 up to this one.
    pub const VERSION: u32 = 1;

    /// The body of the queue message.
    pub fn encode(&self) -> String {
        // Serializing plain structs with string keys into memory has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the body of a queue message.
    ///
    /// # Errors
    /// [`DecodeError`]: park the message, a body that fails once fails always.
    pub fn decode(body: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        versioned::decode(body.as_ref(), "call job", Self::VERSION)
    }

    /// The queue's group: messages of one call are delivered one at a time and in order.
    pub fn group(&self) -> &str {
        self.call.as_str()
    }

    /// `<CallId>:<generation>`: of several messages with this id the queue keeps one.
    pub fn dedup_id(&self) -> String {
        format!("{}:{}", self.call, self.generation)
    }

    /// The job for the worker that takes the call over, one generation later.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        Self {
            generation: self.generation.saturating_add(1),
            ..self.clone()
        }
    }
}

/// A profile by its name and by what it said when the job was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProfileRef {
    /// The profile's name.
    pub name: ProfileName,
    /// The hash of its file.
    pub hash: ProfileHash,
}

/// SHA-256 of a profile's file, as 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileHash(Box<str>);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 64 lower-case hexadecimal digits")]
pub struct ProfileHashError;

impl ProfileHash {
    /// The hash of a profile's file.
    pub fn of(content: &[u8]) -> Self {
        let digest = Sha256::digest(content);
        Self(
            digest
                .iter()
                .fold(String::with_capacity(64), |hex, byte| {
                    hex + &format!("{byte:02x}")
                })
                .into(),
        )
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProfileHash {
    type Error = ProfileHashError;
    fn try_from(text: String) -> Result<Self, ProfileHashError> {
        let hex = text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex {
            Ok(Self(text.into()))
        } else {
            Err(ProfileHashError)
        }
    }
}

impl From<ProfileHash> for String {
    fn from(hash: ProfileHash) -> Self {
        hash.0.into_string()
    }
}

impl fmt::Debug for ProfileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// What `index/<CallId>` holds: how to get from a call's id to its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// When the room was created.
    pub created_at: Timestamp,
    /// The room's name.
    pub room: RoomName,
}
