//! One call: the agent joins the room, holds the conversation and leaves.

mod deafness;
mod distance;
mod end;
mod listen;
mod meeting;
mod observe;
mod presence;
mod room;
pub(crate) mod tools;
mod wire;

use std::{sync::Arc, time::Duration};

use events::{CallJob, CallRecord, Step};
use platform::{
    livekit::{LiveKitError, proto},
    store::{StoreError, call_events},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use room::JoinError;

use crate::{
    Agent, Setup, cause,
    progress::{Journal, JournalError},
};
use end::End;
use meeting::Meeting;
use room::AgentRoom;

/// How long joining and publishing may take: less than the gateway lets the phone ring, so that another attempt is possible.
const JOIN_LIMIT: Duration = Duration::from_secs(4);
/// Attempts to join.
const JOIN_ATTEMPTS: u32 = 2;
/// A room is made just before the one is in it whose join has made it. By the server's clock, in milliseconds.
const MADE_BY_JOIN_MS: i64 = 1_000;
/// What the agent said last is on its way to the phone for about so long after it has left this process.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Why a call could not be served. The job goes back, so that another worker, or this one, tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The job names a profile that this worker does not have.
    #[error("this worker has no profile {0:?}; add it to `agents` of its configuration")]
    NoProfile(String),
    /// The room could not be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// LiveKit's API did not do what it was asked.
    #[error("LiveKit's API: {0}")]
    LiveKit(#[from] LiveKitError),
    /// The store did not do what it was asked.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The call belongs to another worker.
    #[error("the call belongs to another worker")]
    Lost,
}

impl From<JournalError> for CallError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Lost => Self::Lost,
            JournalError::Store(error) => Self::Store(error),
        }
    }
}

/// A call that this worker owns, with all that it needs.
pub(crate) struct Call {
    pub(crate) setup: Arc<Setup>,
    pub(crate) job: CallJob,
    /// Above 1 the call was taken over from a worker that is gone.
    pub(crate) generation: u64,
    pub(crate) journal: Journal,
    /// Cancelled when the call is another worker's.
    pub(crate) fenced: CancellationToken,
    /// Cancelled when the process is to stop now.
    pub(crate) hard: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Call {
    /// Serves the call to its end and returns its record, not yet written.
    pub(crate) async fn run(mut self) -> Result<CallRecord, CallError> {
        let name = &self.job.profile.name;
        let agent = self.setup.agents.get(name).cloned();
        let agent = agent.ok_or_else(|| CallError::NoProfile(name.as_str().to_owned()))?;
        if agent.hash != self.job.profile.hash {
            tracing::warn!(
                profile = name.as_str(),
                "the profile has changed since the job was made"
            );
        }
        let room = self.join().await?;
        let now = self.setup.now();
        self.journal.step(Step::AgentJoined, now);
        self.journal.step(Step::TrackPublished, now);
        let (end, room) = if self.is_the_calls_room(&room) {
            match self.write_journal().await {
                Ok(()) => {}
                Err(JournalError::Lost) => {
                    room.hand_over().await;
                    return Err(CallError::Lost);
                }
                // The phone is answered: the next step writes it.
                Err(JournalError::Store(error)) => tracing::error!(
                    error = cause(&error),
                    "the call's progress was not written; the next step writes it"
                ),
            }
            self.meet(agent, room).await
        } else {
            tracing::info!("the call's room closed while the agent joined");
            self.dissolve().await;
            (End::Vanished, room)
        };
        self.conclude(&end, &room).await
    }

    /// The same room, not one that this join has made or that came later under the same name.
    fn is_the_calls_room(&self, room: &AgentRoom) -> bool {
        room.room
            .maybe_sid()
            .is_none_or(|sid| sid.as_str() == self.job.call.as_str())
    }

    /// Deletes the room if this join has made it: nobody else is in it, and it is no older than the agent's stay.
    async fn dissolve(&self) {
        let (name, livekit) = (self.job.room.as_str(), &self.setup.livekit);
        let made = async {
            let participants = livekit.list_participants(name).await?;
            let [us] = participants.as_slice() else {
                return Ok(());
            };
            let rooms = livekit.list_rooms(&[name]).await?;
            let is_ours = |room: &proto::Room| us.joined_at_ms - room.creation_time_ms <= MADE_BY_JOIN_MS;
            if us.identity == self.identity() && rooms.iter().all(is_ours) {
                livekit.delete_room(name).await?;
            }
            Ok::<_, LiveKitError>(())
        };
        if let Err(error) = made.await {
            tracing::warn!(
                error = cause(&error),
                "the room that the agent's join has made stays until it closes by itself"
            );
        }
    }

    async fn join(&self) -> Result<AgentRoom, CallError> {
        let identity = self.identity();
        let token = self
            .setup
            .livekit
            .agent_token(self.job.room.as_str(), &identity)?;
        let mut attempt = 1;
        loop {
            match AgentRoom::join(&self.setup.room_url, token.expose(), JOIN_LIMIT, &self.tasks).await {
                Ok(room) => return Ok(room),
                Err(error) if attempt == JOIN_ATTEMPTS => return Err(error.into()),
                Err(error) => tracing::warn!(error = cause(&error), attempt, "trying again"),
            }
            attempt += 1;
        }
    }

    /// An heir has one of its own: a zombie's SDK that wakes resumes its connection before anybody can tell it not to, and livekit-server
    /// would put the heir out for it (seen with 1.13.5).
    fn identity(&self) -> String {
        let call = self.job.call.as_str();
        match self.generation {
            0 | 1 => format!("agent-{call}"),
            generation => format!("agent-{call}-{generation}"),
        }
    }

    async fn meet(&mut self, agent: Arc<Agent>, room: AgentRoom) -> (End, AgentRoom) {
        let mut meeting = Meeting::new(self, agent, room);
        let end = meeting.run().await;
        let room = meeting.close(&end).await;
        (end, room)
    }

    /// Ends the room, leaves it, and completes the record.
    async fn conclude(mut self, end: &End, room: &AgentRoom) -> Result<CallRecord, CallError> {
        // Also when something else had ended it shortly before: whoever has the call now decides.
        if *end == End::Fenced || self.fenced.is_cancelled() {
            room.hand_over().await;
            return Err(CallError::Lost);
        }
        if *end == End::Goodbye {
            tokio::time::sleep(LAST_WORDS).await;
        }
        self.journal.step(Step::Hangup, self.setup.now());
        if end.ends_the_room() && self.is_the_calls_room(room) {
            // The phone first, then ourselves: a room that cannot be deleted closes by its departure timeout.
            if let Err(error) = self.setup.livekit.delete_room(self.job.room.as_str()).await {
                tracing::warn!(error = cause(&error), "the room could not be deleted");
            }
        }
        room.leave().await;
        let told = if end.is_unseen() {
            self.told_end().await
        } else {
            None
        };
        let record = self.journal.record_mut();
        record.outcome = told.as_ref().unwrap_or(end).outcome(record.answered_at.is_some());
        self.write_journal().await?;
        Ok(self.journal.record().clone())
    }

    /// What the gateway has said of the end, to a worker whose own connection was away at that moment.
    async fn told_end(&self) -> Option<End> {
        let record = self.journal.record();
        let store = self.setup.terms.store.as_ref();
        match call_events(store, record.started_at, &record.call).await {
            Ok(events) => events::told_end(&events).map(|cause| End::CallerLeft { cause: Some(cause) }),
            Err(error) => {
                tracing::warn!(
                    error = cause(&error),
                    "what the gateway said of the call's end is not known"
                );
                None
            }
        }
    }

    async fn write_journal(&mut self) -> Result<(), JournalError> {
        self.journal.write(self.setup.now()).await
    }
}
