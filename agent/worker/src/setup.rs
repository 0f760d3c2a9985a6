//! What a worker is given.

use std::{collections::HashMap, sync::Arc};

use events::{CallJob, ProfileHash, ProfileName, Regions, Timestamp};
use pipeline::{Phrases, Profile};
use platform::{
    aws::TaskProtection,
    clock::SharedClock,
    livekit::{LiveKit, LiveKitError},
    queue::Queue,
    store::Store,
    targets::Policy,
};
use providers::{Chain, Llm, Stt, Tts, tools::Toolbox};

use crate::{lease::LeaseTerms, protection::Protection, serving::Serving};

/// An agent profile, ready to take calls.
pub struct Agent {
    /// What it says and how.
    pub profile: Profile,
    /// The hash of its file, to be compared with the job's.
    pub hash: ProfileHash,
    /// What it hears with.
    pub stt: Chain<dyn Stt>,
    /// What it thinks with.
    pub llm: Chain<dyn Llm>,
    /// What it speaks with.
    pub tts: Chain<dyn Tts>,
    /// What it can do in every call; transfers and touch tones come with the call.
    pub tools: Toolbox,
    /// Its fixed sentences, synthesised once for all calls.
    pub phrases: Phrases,
}

/// The agents of this worker by the names of their profiles.
pub type Agents = HashMap<ProfileName, Arc<Agent>>;

/// Everything that a worker needs. Clones of its parts are cheap.
pub struct Setup {
    /// The worker's name, as claims and logs show it.
    pub(crate) name: Arc<str>,
    /// Calls at the same time.
    pub(crate) slots: usize,
    /// The room server, `ws://` or `wss://`.
    pub(crate) room_url: String,
    /// The API of the room server.
    pub(crate) livekit: LiveKit,
    /// The agents.
    pub(crate) agents: Agents,
    /// How numbers without a country code are read.
    pub(crate) regions: Regions,
    /// Whom calls may be transferred to.
    pub(crate) targets: Policy,
    pub(crate) terms: LeaseTerms,
    /// The calls that are served at this moment.
    pub(crate) serving: Serving,
    /// Where the worker is a task of ECS.
    pub(crate) protection: Option<Arc<Protection>>,
}

/// What a worker shares with the other parts of its process.
pub struct Shared {
    /// Where claims, progress, recordings and records go.
    pub store: Arc<dyn Store>,
    /// Where jobs come from.
    pub queue: Arc<dyn Queue>,
    /// The wall clock.
    pub clock: SharedClock,
    /// Whom calls may be transferred to.
    pub targets: Policy,
}

impl Setup {
    /// `room_url` is the room server, `ws://` or `wss://`. `regions` are those that the webhook function reads numbers by, so that both
    /// name a party alike. `config` says how many calls there may be at a time, how long a call whose
    /// worker is silent stays that worker's (`lease`), and how often that is renewed (`heartbeat`).
    pub fn new(
        name: &str,
        room_url: &str,
        livekit: LiveKit,
        agents: Agents,
        regions: Regions,
        shared: Shared,
        config: &platform::config::Worker,
    ) -> Self {
        let name: Arc<str> = name.into();
        let terms = LeaseTerms {
            store: shared.store,
            queue: shared.queue,
            clock: shared.clock,
            worker: name.clone(),
            lease: config.lease,
            heartbeat: config.heartbeat,
        };
        Self {
            name,
            slots: config.slots,
            room_url: room_url.to_owned(),
            livekit,
            agents,
            regions,
            targets: shared.targets,
            terms,
            serving: Serving::default(),
            protection: None,
        }
    }

    /// The same as a task of ECS, which is protected while it serves a call.
    #[must_use]
    pub fn protected_by(self, task: TaskProtection) -> Self {
        Self {
            protection: Some(Protection::new(task)),
            ..self
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.terms.clock.now().into()
    }

    /// Whether the room of this very call is still open: a later room of the same name is another call.
    pub(crate) async fn room_is_open(&self, job: &CallJob) -> Result<bool, LiveKitError> {
        let rooms = self.livekit.list_rooms(&[job.room.as_str()]).await?;
        Ok(rooms.iter().any(|room| room.sid == job.call.as_str()))
    }
}
