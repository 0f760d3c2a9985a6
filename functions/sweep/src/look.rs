//! One look at a call: what LiveKit and the store say of it at this moment.

use std::time::Duration;

use events::{
    CallId, CallJob, Claim, IndexEntry, Standing, Step, Timestamp, keys,
    livekit::{Participant, Room},
};
use platform::store::{Age, Object, StoreError};

use crate::{State, SweepError, plan::ENQUEUE_AFTER};

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The call.
    pub call: CallId,
    /// Where its objects lie, and its room's name.
    pub entry: IndexEntry,
    /// Whether it has its marker; and its index, too, where it has neither record nor claim nor job.
    pub marked: bool,
    /// Its room; `None` when that is gone.
    pub room: Option<Room>,
    /// Who is in the room. Asked for only while the call has no record and nobody holds it, and it has no job or was held once.
    pub participants: Vec<Participant>,
    /// What is kept of it.
    pub stored: Stored,
}

/// What the store says, as far as it matters: of a call in a living room that is claimed, only the claim; of one whose room is gone,
/// only record and claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Whether there is a record.
    pub record: bool,
    /// Who serves the call.
    pub claim: Option<Claim>,
    /// How old that claim is.
    pub claim_age: Age,
    /// How long ago its job was enqueued, at least.
    pub job_for: Option<Duration>,
    /// Whether it is known why no entry of `agents:` takes it.
    pub no_match: bool,
}

impl Look {
    /// What it will show `by` later, if nobody does anything.
    #[must_use]
    pub fn later(mut self, by: Duration) -> Self {
        self.stored.claim_age = self.stored.claim_age.later(by);
        self.stored.job_for = self.stored.job_for.map(|age| age.saturating_add(by));
        self
    }
}

impl Stored {
    /// What the claim means to the sweep, whose clock says `now`.
    pub(crate) fn standing(&self, now: Timestamp) -> Option<Standing> {
        let claim = self.claim.as_ref()?;
        Some(self.claim_age.standing(claim, now))
    }
}

/// Looks at `call`, which LiveKit lists as `room`; `None` when it is not open (any more). `marked`: its marker is known to be there.
pub(crate) async fn at(
    state: &State,
    call: &CallId,
    room: Option<&Room>,
    marked: bool,
) -> Result<Option<Look>, SweepError> {
    match room {
        Some(room) => living(state, room, marked).await,
        None => gone(state, call).await,
    }
}

async fn living(state: &State, room: &Room, marked: bool) -> Result<Option<Look>, SweepError> {
    let (store, call) = (state.store(), &room.call);
    let Some(created_at) = room.created_at else {
        return Ok(None);
    };
    let mut look = Look {
        call: call.clone(),
        entry: IndexEntry {
            created_at,
            room: room.name.clone(),
        },
        marked: marked || store.get(&keys::open(call)).await?.is_some(),
        room: Some(room.clone()),
        participants: Vec::new(),
        stored: claim(state, created_at, call).await?,
    };
    if look.stored.claim.is_none() || !look.marked {
        look.stored.record = store.get(&keys::record(created_at, call)).await?.is_some();
    }
    if look.stored.claim.is_none() && !look.stored.record {
        look.stored.job_for = job_for(state, created_at, call).await?;
    }
    let standing = look
        .clone()
        .later(state.patience)
        .stored
        .standing(state.now().plus(state.patience));
    let is_claimed_no_more = matches!(standing, Some(Standing::Expired { .. }));
    let waits = look.stored.job_for.map(|age| age.saturating_add(state.patience));
    let is_unclaimed = waits.is_some_and(|waits| waits >= ENQUEUE_AFTER);
    if (is_claimed_no_more || is_unclaimed) && !look.stored.record {
        // Where LiveKit does not tell, as of a room whose server has died, nobody is there to be served.
        look.participants = state.livekit.participants(&room.name).await.unwrap_or_default();
    }
    if look.stored.claim.is_none() && !look.stored.record && look.stored.job_for.is_none() {
        look.marked &= store.get(&keys::index(call)).await?.is_some();
        look.stored.no_match = store.get(&keys::no_match(created_at, call)).await?.is_some();
        let participants = state.livekit.participants(&room.name).await;
        look.participants = participants.map_err(SweepError::LiveKit)?;
    }
    Ok(Some(look))
}

async fn gone(state: &State, call: &CallId) -> Result<Option<Look>, SweepError> {
    let store = state.store();
    let Some(marker) = store.get(&keys::open(call)).await? else {
        return Ok(None);
    };
    let entry = if let Some(entry) = entry(&marker) {
        entry
    } else {
        let index = store.get(&keys::index(call)).await?;
        index.as_ref().and_then(self::entry).ok_or(SweepError::Marker)?
    };
    let record = store.get(&keys::record(entry.created_at, call)).await?;
    Ok(Some(Look {
        call: call.clone(),
        marked: true,
        room: None,
        participants: Vec::new(),
        stored: Stored {
            record: record.is_some(),
            ..claim(state, entry.created_at, call).await?
        },
        entry,
    }))
}

fn entry(object: &Object) -> Option<IndexEntry> {
    serde_json::from_slice(&object.bytes).ok()
}

/// The claim, and how old it is.
async fn claim(state: &State, created_at: Timestamp, call: &CallId) -> Result<Stored, StoreError> {
    let found = state.store().get_aged(&keys::claim(created_at, call)).await?;
    Ok(found.map_or_else(Stored::default, |(object, claim_age)| Stored {
        claim: Some(Claim::decode(&object.bytes)),
        claim_age,
        ..Stored::default()
    }))
}

/// By the store's clock, which wrote it down; only where that is not told, by those of the functions.
async fn job_for(
    state: &State,
    created_at: Timestamp,
    call: &CallId,
) -> Result<Option<Duration>, StoreError> {
    let found = state.store().get_aged(&keys::job(created_at, call)).await?;
    Ok(found.map(|(object, age)| {
        if !age.is_unknown() {
            return age.at_least;
        }
        let job = CallJob::decode(&object.bytes).ok();
        let enqueued = |job: CallJob| {
            let mut steps = job.timeline.into_iter();
            steps.find(|entry| entry.step == Step::JobEnqueued)
        };
        let at = job.and_then(enqueued).map_or(Timestamp::EPOCH, |entry| entry.at);
        since(at, state.now())
    }))
}

/// How long ago that was; zero when it is to come.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.ms_since(at)).unwrap_or(0))
}
