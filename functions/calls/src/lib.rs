//! Calls, rooms and participants over HTTP.
//!
//! # Calling contract
//!
//! - A call is one room session, and its id is the room's sid (`RM_…`). Outbound, the room is made first, then the phone is dialled.
//! - Before anything is dialled, in this order: the target is allowed ([`platform::targets`]), the trunk is listed, the idempotency key is
//!   taken by put-if-absent, and the call is counted ([`access::caps`]). Nothing is ever dialled twice for one key, also not when the
//!   function dies in between, or is taken for dead and goes on: the last thing before it dials is to write that it does, on the condition
//!   that nobody has taken its key. Who repeats the request then learns what came of it, or dials where that was not written ([`resume`]).
//! - Whoever hangs up while a phone is dialled ends it: it is put out when it comes, by whoever learns of it first ([`legs`]). Its place in
//!   the caps is free when LiveKit has told that it came and it is out, or that it never comes, and not before.
//! - A phone that is busy, declines, does not answer or does not exist is an outcome, not an error: the answer is 201 with `outcome`.
//! - Every resource belongs to whoever's room patterns its room matches; all others get 404.
//!
//! # What this function does not do
//!
//! It holds no state between two requests, touches no audio, and waits for nobody but LiveKit.

mod control;
mod cursor;
mod dial;
mod hang_up;
mod legs;
mod list;
mod locate;
mod outcome;
mod participants;
mod place;
mod resume;
mod rooms;
mod start;
mod view;

use std::{error::Error, sync::Arc};

use access::{
    Access,
    caps::{Caps, LiveRooms},
    guard,
};
use async_trait::async_trait;
use platform::{clock::SharedClock, config::CallsConfig, livekit::LiveKit, store::Store, targets::Policy};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use cursor::Cursors;
pub use outcome::CallOutcome;
pub use start::{CallStarted, StartCall};

/// What the function works with.
#[derive(Clone)]
pub struct CallsState {
    /// LiveKit's API.
    pub livekit: LiveKit,
    /// Where records, idempotency keys and ledgers are.
    pub store: Arc<dyn Store>,
    /// The wall clock.
    pub clock: SharedClock,
    /// Seals the cursors of lists.
    pub cursors: Cursors,
    /// `calls` of the configuration.
    pub config: CallsConfig,
}

struct Shared {
    state: CallsState,
    targets: Policy,
    caps: Caps,
}

/// The function as a router with its description.
pub fn router(access: &Access, state: CallsState) -> OpenApiRouter {
    let rooms = Arc::new(Existing(state.livekit.clone()));
    let shared = Arc::new(Shared {
        targets: Policy::new(state.config.targets.clone()),
        caps: Caps::new(state.store.clone(), state.clock.clone(), rooms),
        state,
    });
    OpenApiRouter::new()
        .routes(guard(access, routes!(list::list, start::start)))
        .routes(guard(access, routes!(list::read, hang_up::hang_up)))
        .routes(guard(access, routes!(control::mute)))
        .routes(guard(access, routes!(control::transfer)))
        .routes(guard(access, routes!(control::send_dtmf)))
        .routes(guard(access, routes!(rooms::list, rooms::create)))
        .routes(guard(access, routes!(rooms::read, rooms::update, rooms::delete)))
        .routes(guard(access, routes!(participants::list)))
        .routes(guard(
            access,
            routes!(participants::read, participants::update, participants::remove),
        ))
        .routes(guard(access, routes!(participants::mute_track)))
        .with_state(shared)
}

/// Asks LiveKit which rooms there still are.
struct Existing(LiveKit);

#[async_trait]
impl LiveRooms for Existing {
    async fn alive(&self, rooms: &[String]) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        let names: Vec<&str> = rooms.iter().map(String::as_str).collect();
        let found = self.0.list_rooms(&names).await?;
        Ok(found.into_iter().map(|room| room.name).collect())
    }
}
