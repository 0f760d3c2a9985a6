//! `POST /webhooks/livekit`: LiveKit tells what happens in its rooms, and calls get their jobs.
//!
//! # Calling contract
//!
//! - [`router`] needs a [`WebhookState`] and nothing else; `platform::install_providers` has run before.
//! - Every webhook is checked in this order: token ([`Keys`]), size, hash over the raw bytes, shape. Nothing is done, and no body is
//!   read, for a sender without a valid token.
//! - What it brings about is decided by [`plan`], which is pure, and done by [`deliver`], effect by effect. Each effect is idempotent
//!   by its key, and the event's own object is written behind them: its presence says that all the others are done. A function that is
//!   killed between any two of them leaves nothing behind that the retry does not complete, and nothing that it doubles.
//! - A refusal (4xx) is final: LiveKit does not repeat it. What failed on our side is 5xx: LiveKit repeats it four times within a minute.
//! - Twice, out of order or a minute late: what the webhooks of a room leave is the same. One that comes after the record of a call
//!   that nobody held completes that record.
//! - Unknown events and unknown enum values are acknowledged.
//!
//! # What this function does not do
//!
//! It holds no state between two requests. It never waits for an agent, ends no call and never speaks to a phone. It logs neither
//! bodies nor tokens: one line per webhook with id, event, call, outcome and milliseconds; at DEBUG the event with all that is
//! personal masked.
//!
//! # Where the objects of a call lie
//!
//! Under the day on which its room was created. Events of tracks, egresses and ingresses do not tell that day: it is looked up
//! in `index/<CallId>`, which the first event that tells it leaves behind. If all of those were lost, the event's own day stands in, so
//! that such an event can lie one day beside its call.
//!
//! Before the index, `open/<CallId>` is put: it marks the call as one that is not closed, until whoever writes its record removes it.

//!
//! # Egresses
//!
//! An egress has a record of its own, `egress/<EgressId>.json` beside the call's, and until then a marker, `open/egress/<EgressId>`. Names
//! are taken from `egress_ended` only, since those before it are not final, and `room_finished` may come first. Where a file did not reach
//! its place, the agent's own recording of the call stands in, once the call is closed.

mod effects;
mod egress;
mod plan;
mod refusal;
mod route;
mod token;
mod unclaimed;

use std::sync::Arc;

pub use effects::{DeliverError, Outcome, Rooms, deliver};
pub use egress::{close_egress, tell_of_egress, watch_egress};
use events::{ClosePolicy, agents::Agents};
pub use plan::{Effect, plan};
use platform::{clock::SharedClock, config::Config, livekit::LiveKit, queue::Queue, store::Store};
pub use refusal::Refusal;
pub use route::{MAX_BODY_BYTES, PATH, router};
pub use token::{BodyHash, Keys, LEEWAY_S, sign};

/// What the names of rooms begin with that `trunkline doctor` tries the sound in: none of them is a call, and their webhooks are ignored.
pub const TEST_ROOMS: &str = "trunkline-doctor-";

/// What the function works with.
#[derive(Clone)]
pub struct WebhookState {
    /// The keys that LiveKit may sign with.
    pub keys: Keys,
    /// Who takes which call, and how an unclaimed one is judged.
    pub policy: Policy,
    /// Where jobs go.
    pub queue: Arc<dyn Queue>,
    /// Where events and records go.
    pub store: Arc<dyn Store>,
    /// The wall clock.
    pub clock: SharedClock,
    /// Writes the metadata of rooms; `None`: rooms are left as they are.
    pub rooms: Option<Arc<dyn Rooms>>,
}

impl WebhookState {
    /// As the configuration says. `agents` are its entries with the hashes of their profiles.
    pub fn configured(
        config: &Config,
        agents: Agents,
        livekit: &LiveKit,
        queue: Arc<dyn Queue>,
        store: Arc<dyn Store>,
        clock: SharedClock,
    ) -> Self {
        let keys = config.livekit.webhook_keys.iter();
        Self {
            keys: Keys::new(keys.map(|key| (key.api_key.clone(), key.api_secret.clone()))),
            policy: Policy {
                agents,
                close: config.sip.close_policy(),
            },
            queue,
            store,
            clock,
            rooms: Some(Arc::new(livekit.clone())),
        }
    }
}

/// What decides about calls.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The entries of `agents:`.
    pub agents: Agents,
    /// How a call is judged that no agent ever claimed, and how its numbers are read.
    pub close: ClosePolicy,
}
