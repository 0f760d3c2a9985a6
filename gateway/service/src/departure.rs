//! Makes sure that a participant who left is gone.
//!
//! The SDK sends its `Leave`, closes the WebSocket and does not wait for the server. When the server happens to write in that moment, it
//! meets a closed connection first, drops its own side and never reads the `Leave`: the phone then stays in the room for some 20 s, and
//! the agent with it (seen on a loaded machine, about once in 150 calls that hung up together; livekit-server 1.13.5).

use std::{collections::HashMap, time::Duration};

use platform::livekit::{LiveKit, LiveKitError, ParticipantUpdate};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// When we look, one after the other. A leave that was read has been carried out at the first look; at the last one who is still there is
/// sent away.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
];
/// Of each question to the server, and of all together where somebody waits: a gateway that stops waits 5 s for its calls.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(4);
/// The server tells the room of changes in batches, and of a participant that is gone by the end of one, only that.
const BATCH: Duration = Duration::from_millis(250);
/// Between questions to a server that does not answer, as while its Redis is away.
const AGAIN: Duration = Duration::from_secs(1);
/// For so long it is asked. It misses a participant after some 20 s from when it can.
const OUTAGE: Duration = Duration::from_secs(90);

/// A participant that has left by its own account.
#[must_use = "the server may not have heard of it"]
pub(crate) struct Departure {
    pub(crate) room: String,
    pub(crate) identity: String,
    /// Tells it from one who came back under the same identity.
    pub(crate) sid: String,
    /// What it has said of itself, last of all why it leaves: the server may not have heard of that either.
    pub(crate) labels: HashMap<String, String>,
}

impl Departure {
    /// Waits until the server has given the participant up; sends it away when that takes longer than 1.5 s. At most 4 s.
    pub(crate) async fn confirm(self, livekit: &LiveKit) {
        if timeout(CONFIRM_TIMEOUT, self.see_off(livekit)).await.is_err() {
            unconfirmed();
        }
    }

    /// The same, for as long as a server that does not answer may need to come back; a gateway that stops does not wait for that.
    pub(crate) async fn insist(self, livekit: &LiveKit, stop: &CancellationToken) {
        let stopped = async {
            stop.cancelled().await;
            sleep(CONFIRM_TIMEOUT).await;
        };
        // Both arms are cancel-safe: nobody asks after them.
        tokio::select! {
            () = stopped => unconfirmed(),
            done = timeout(OUTAGE, self.see_off(livekit)) => if done.is_err() {
                unconfirmed();
            },
        }
    }

    async fn see_off(&self, livekit: &LiveKit) {
        let livekit = livekit.within(QUESTION_TIMEOUT);
        let mut looks = LOOKS.into_iter();
        loop {
            let pause = looks.next();
            sleep(pause.unwrap_or(AGAIN)).await;
            let there = self.is_there(&livekit).await;
            let sent = match there {
                Ok(false) => return,
                Ok(true) if looks.len() > 0 => continue,
                Ok(true) => self.send_away(&livekit).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => {
                    tracing::warn!("the server had not heard that the caller left; the caller was removed");
                    return;
                }
                Err(error) => tracing::debug!(%error, "whether the caller has left the room is not known"),
            }
        }
    }

    async fn is_there(&self, livekit: &LiveKit) -> Result<bool, LiveKitError> {
        let found = livekit.participant(&self.room, &self.identity).await?;
        Ok(found.is_some_and(|participant| participant.sid == self.sid))
    }

    /// First what it says, so that nobody takes its removal for another's doing.
    async fn send_away(&self, livekit: &LiveKit) -> Result<(), LiveKitError> {
        if !self.labels.is_empty() {
            let update = ParticipantUpdate {
                attributes: self.labels.clone(),
                ..ParticipantUpdate::default()
            };
            match livekit
                .update_participant(&self.room, &self.identity, update)
                .await
            {
                Ok(_) => sleep(BATCH).await,
                Err(LiveKitError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        livekit.remove_participant(&self.room, &self.identity).await
    }
}

fn unconfirmed() {
    tracing::warn!("the server did not say whether the caller has left; it misses callers after some 20 s");
}
