//! What several tests of this crate start from.

use events::{CallId, CallJob, ProfileHash, ProfileName, ProfileRef, RoomName, Timestamp};

/// A job of the first generation.
pub(crate) fn job() -> CallJob {
    CallJob {
        version: CallJob::VERSION,
        call: CallId::new("RM_test").unwrap(),
        room: RoomName::new("voice-ai-call-test").unwrap(),
        created_at: Timestamp::from_unix_ms(1_795_196_401_568).unwrap(),
        generation: 1,
        profile: ProfileRef {
            name: ProfileName::new("reception").unwrap(),
            hash: ProfileHash::of(b"prompt: hello"),
        },
        caller: None,
        called: None,
        participant: None,
        timeline: Vec::new(),
    }
}
