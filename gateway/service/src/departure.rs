//! Makes sure that a participant who left is gone.
//!
//! The SDK sends its `Leave`, closes the WebSocket and does not wait for the server. When the server happens to write in that moment, it
//! meets a closed connection first, drops its own side and never reads the `Leave`: the phone then stays in the room for some 20 s, and
//! the agent with it (seen on a loaded machine, about once in 150 calls that hung up together; livekit-server 1.13.5).

use std::time::Duration;

use platform::livekit::{LiveKit, LiveKitError};
use tokio::time::{sleep, timeout};

/// When we look, one after the other. A leave that was read has been carried out at the first look; at the last one who is still there is
/// sent away.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
];
/// Of each question to the server, and of all together: a gateway that stops waits 5 s for its calls.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(4);

/// A participant that has left by its own account.
#[must_use = "the server may not have heard of it"]
pub(crate) struct Departure {
    pub(crate) room: String,
    pub(crate) identity: String,
    /// Tells it from one who came back under the same identity.
    pub(crate) sid: String,
}

impl Departure {
    /// Waits until the server has given the participant up; sends it away when that takes longer than 1.5 s. At most 4 s.
    pub(crate) async fn confirm(self, livekit: &LiveKit) {
        let livekit = livekit.within(QUESTION_TIMEOUT);
        if timeout(CONFIRM_TIMEOUT, self.see_off(&livekit)).await.is_err() {
            tracing::warn!(
                "the server did not say whether the caller has left; it misses callers after some 20 s"
            );
        }
    }

    async fn see_off(&self, livekit: &LiveKit) {
        for look in LOOKS {
            sleep(look).await;
            match self.is_there(livekit).await {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => {
                    tracing::debug!(%error, "whether the caller has left the room is not known");
                }
            }
        }
        match livekit.remove_participant(&self.room, &self.identity).await {
            Ok(()) => tracing::warn!("the server had not heard that the caller left; the caller was removed"),
            Err(error) => {
                tracing::warn!(%error, "the caller stays in the room until the server misses it, some 20 s");
            }
        }
    }

    async fn is_there(&self, livekit: &LiveKit) -> Result<bool, LiveKitError> {
        let found = livekit.participant(&self.room, &self.identity).await?;
        Ok(found.is_some_and(|participant| participant.sid == self.sid))
    }
}
