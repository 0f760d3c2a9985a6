//! Repairs whatever a lost webhook or a dead process left open: calls that wait for an agent because nobody heard of them, and calls
//! that are over without a record.
//!
//! # Calling contract
//!
//! - [`sweep`] is one run. Its host calls it at its start and every minute; `platform::install_providers` has run before.
//! - A run ends within [`RUN_LIMIT`] beyond [`State::patience`], looks at [`MAX_CALLS`] calls at most and repairs [`MAX_SUSPECTS`] at
//!   most, and at as many egresses. Where there are more, the clock turns which ones come first.
//! - Dropped or killed anywhere, it is completed by the next run. Several at once do no harm: every effect is idempotent by its key, and
//!   a call that somebody had claimed is closed under a claim only.
//!
//! # How it knows
//!
//! The calls that are not closed have a marker, `open/<CallId>`. They are compared with LiveKit's rooms:
//!
//! | room | store | what is done |
//! |---|---|---|
//! | any | the record, or a closed claim | the marker is removed |
//! | gone | no claim | what `room_finished` would have brought about: the record of an unclaimed call |
//! | gone | a claim that nobody renews | the claim is taken, and the call closed as the next worker would close it |
//! | there | nobody has heard of it | what the lost webhooks would have brought about: marker, index, job, events |
//! | there | a claim that nobody renews, or a job that nobody claims, for half a minute | an alert; LiveKit is made to look whether the room lives |
//! | there, with somebody who is no agent, and no agent | a claim that nobody renews, for half a minute | the same, and the job is enqueued again |
//!
//! Egresses have markers too, `open/egress/<EgressId>`, and are compared with LiveKit's list of them:
//!
//! | LiveKit | store | what is done |
//! |---|---|---|
//! | going on | neither marker nor record | the marker is put |
//! | any | the record, which lacks nothing | the marker is removed |
//! | any | the record, which lacks a file; the call is closed | the agent's own recording stands in, if there is one |
//! | ended | no record | what `egress_ended` would have brought about |
//! | going on, but not in the room | no record | the marker says since when |
//! | going on, but not in the room for two minutes (when it ends, 15); or forgotten | no record | the record of a lost egress, and an alert |
//!
//! The webhooks that were lost are made up and handed to `webhook::deliver`, so that a late one finds everything done and doubles
//! nothing. Their ids begin with `EV_sweep_`.
//!
//! # No clock is trusted
//!
//! The markers are read before LiveKit lists its rooms: a room exists before its marker does, so that one which is not in the list is
//! gone, not yet to come. Nothing is repaired on one look: whatever is wrong must be wrong in the same way a [`State::patience`] later
//! by this process's own timer. Within that, a webhook on its way arrives, a worker renews its claim, and a record is written. How old a
//! claim or a job is the store tells by its own clock. So LiveKit's clock and ours may be wrong by any amount. Only where the store does
//! not tell it, a claim is judged by our clock, and then it is still seen to be renewed.
//!
//! # What it does not do
//!
//! It holds no state between two runs, spawns no task, ends no call and deletes no room. A takeover is brought about by the queue, which
//! hands a job out again until it has failed three times. Only a call that has lost its workers so often, and in whose room somebody still
//! waits, is given its job anew, until nine workers have had it: what ends every worker must end some time. The job that the queue has put
//! aside stays there; moved back, it finds the record and is dropped. When LiveKit or the store does not answer, it does nothing about the calls concerned and says so.

mod acts;
mod egress;
mod look;
mod plan;
mod report;
mod rooms;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use events::{CallId, Timestamp, keys, livekit};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use platform::{
    livekit::LiveKit,
    store::{Page, Store, StoreError},
};
use tokio::time::{Instant, sleep, timeout};
use webhook::WebhookState;

pub use egress::{EgressLook, plan_egress};
pub use look::{Look, Stored};
pub use plan::{Act, Repair, Wrong, confirm, plan};
pub use report::{Done, Finding, Report};
pub use rooms::{Rooms, RoomsError};

/// The shortest patience: longer than a webhook takes from LiveKit's event to its last effect.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a run may take beyond its patience.
pub const RUN_LIMIT: Duration = Duration::from_secs(45);
/// How long a run looks at the egresses, so that they leave the calls most of it.
const EGRESS_LIMIT: Duration = Duration::from_secs(15);
/// The most calls that a run looks at.
pub const MAX_CALLS: usize = 1_000;
/// The most calls that a run repairs.
pub const MAX_SUSPECTS: usize = 200;

/// The most pages of markers that a run lists.
const MAX_PAGES: usize = 10;
/// How many calls are looked at, or repaired, at a time.
const AT_A_TIME: usize = 8;

/// What the sweep works with.
#[derive(Clone)]
pub struct State {
    /// The webhook function, through which lost webhooks are made up for. Its keys are not used.
    pub webhook: WebhookState,
    /// LiveKit's rooms.
    pub livekit: Arc<dyn Rooms>,
    /// How long whatever is wrong must stay so before it is repaired: at least [`PATIENCE`], and longer than a worker's heartbeat.
    pub patience: Duration,
}

impl State {
    /// For workers that renew their claims every `heartbeat`.
    pub fn new(webhook: WebhookState, livekit: &LiveKit, heartbeat: Duration) -> Self {
        Self {
            webhook,
            livekit: Arc::new(livekit.clone()),
            patience: PATIENCE.max(heartbeat + Duration::from_secs(2)),
        }
    }

    fn now(&self) -> Timestamp {
        self.webhook.clock.now().into()
    }

    fn store(&self) -> &dyn Store {
        &*self.webhook.store
    }
}

/// What kept the sweep from its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("LiveKit's API failed")]
    LiveKit(#[source] RoomsError),
    #[error("a lost webhook could not be made up for")]
    Deliver(#[from] webhook::DeliverError),
    #[error("the call's marker cannot be read; remove open/<call>")]
    Marker,
    #[error("the egress' marker cannot be read; remove open/egress/<egress>")]
    EgressMarker,
    #[error("LiveKit and the store took too long to tell of the egresses")]
    Egresses,
    #[error("the run took too long")]
    Timeout,
}

/// One run: finds what is open and should not be, and repairs it.
///
/// Logs a line per finding, and one at INFO when anything was done; nothing when all is well.
pub async fn sweep(state: &State) -> Report {
    let started = Instant::now();
    let mut report = Report::default();
    // Cancel-safe: what is cut off is completed by the next run.
    let ran = timeout(state.patience + RUN_LIMIT, run(state, &mut report)).await;
    if let Err(error) = ran.map_err(|_| SweepError::Timeout).flatten() {
        report.failed(None, &error);
    }
    report.summarize(started.elapsed());
    report
}

async fn run(state: &State, report: &mut Report) -> Result<(), SweepError> {
    let suspects = suspects(state, report).await?;
    // While LiveKit tells nothing of egresses, or is slow to, the calls are repaired all the same. Cancel-safe: the next run looks again.
    let egresses = timeout(EGRESS_LIMIT, egress::suspects(state, report)).await;
    let egresses = match egresses.map_err(|_| SweepError::Egresses).flatten() {
        Ok(egresses) => egresses,
        Err(error) => {
            report.failed(None, &error);
            Vec::new()
        }
    };
    if suspects.is_empty() && egresses.is_empty() {
        return Ok(());
    }
    sleep(state.patience).await;
    let rooms = rooms(state).await?;
    let repairs = suspects
        .iter()
        .map(|before| repair(state, before, rooms.get(&before.call)).boxed());
    for (call, repaired) in some_at_a_time(repairs.collect()).await {
        match repaired {
            Ok(finding) => report.findings.extend(finding),
            Err(error) => report.failed(Some(call), &error),
        }
    }
    // Behind the calls: what one of them has just been closed with may stand in for a file.
    egress::repair(state, &egresses, report).await;
    Ok(())
}

/// The calls with which something is wrong, those first that can be mended.
async fn suspects(state: &State, report: &mut Report) -> Result<Vec<Look>, SweepError> {
    // In this order: see "No clock is trusted".
    let marked = marked(state.store(), keys::OPEN, keys::open_call).await?;
    let rooms = rooms(state).await?;
    let calls = turned(
        marked.union(&rooms.keys().cloned().collect()),
        MAX_CALLS,
        state.now(),
    );
    report.calls = calls.len();
    let soon = state.now().plus(state.patience);
    let looks = calls.iter().map(|call| {
        let look = look::at(state, call, rooms.get(call), marked.contains(call));
        async move { (call, look.await) }.boxed()
    });
    let looks = some_at_a_time(looks.collect()).await;
    let mut suspects = Vec::new();
    for (call, look) in looks {
        match look {
            Ok(Some(look)) => {
                let later = look.clone().later(state.patience);
                let repair = plan(&later, &state.webhook.policy, soon);
                suspects.extend(repair.map(|repair| (repair.mends(), look)));
            }
            Ok(None) => {}
            Err(error) => report.failed(Some(call), &error),
        }
    }
    suspects.sort_by_key(|(mends, _)| !mends);
    suspects.truncate(MAX_SUSPECTS);
    Ok(suspects.into_iter().map(|(_, look)| look).collect())
}

/// Does the work of all, [`AT_A_TIME`] of them at a time; the results in the order of the work.
async fn some_at_a_time<T>(work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(work).buffered(AT_A_TIME).collect().await
}

/// Looks again, and repairs what is still wrong in the same way.
async fn repair<'a>(
    state: &State,
    before: &'a Look,
    room: Option<&livekit::Room>,
) -> (&'a CallId, Result<Option<Finding>, SweepError>) {
    let repaired = async {
        let Some(after) = look::at(state, &before.call, room, false).await? else {
            return Ok(None);
        };
        let Some(repair) = confirm(before, &after, &state.webhook.policy, state.now()) else {
            return Ok(None);
        };
        let done = acts::act(state, &after, &repair).await?;
        Ok(done.map(|done| Finding::new(&before.call, repair.wrong, done)))
    };
    (&before.call, repaired.await)
}

/// What has a marker below `prefix`.
async fn marked<T: Ord>(
    store: &dyn Store,
    prefix: &str,
    of: fn(&str) -> Option<T>,
) -> Result<BTreeSet<T>, StoreError> {
    let mut marked = BTreeSet::new();
    let mut page = Page::default();
    for _ in 0..MAX_PAGES {
        let listing = store.list(prefix, page.clone()).await?;
        marked.extend(listing.entries.iter().filter_map(|entry| of(&entry.key)));
        match listing.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    Ok(marked)
}

async fn rooms(state: &State) -> Result<BTreeMap<CallId, livekit::Room>, SweepError> {
    let rooms = state.livekit.list().await.map_err(SweepError::LiveKit)?;
    Ok(rooms.into_iter().map(|room| (room.call.clone(), room)).collect())
}

/// At most so many of them, beginning elsewhere each minute.
fn turned<'a, T: Clone + 'a>(all: impl Iterator<Item = &'a T>, most: usize, now: Timestamp) -> Vec<T> {
    let mut all: Vec<T> = all.cloned().collect();
    let minutes = usize::try_from(now.unix_ms() / 60_000).unwrap_or(0);
    let start = minutes
        .wrapping_mul(MAX_SUSPECTS)
        .checked_rem(all.len())
        .unwrap_or(0);
    all.rotate_left(start);
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host may run it as a task of its own.
    #[expect(dead_code, reason = "it only has to compile")]
    fn can_be_sent(state: &State) -> impl Send {
        sweep(state)
    }

    #[test]
    fn every_call_gets_its_turn_when_there_are_too_many() {
        let calls: Vec<CallId> = (0..2_500)
            .map(|n| CallId::new(format!("RM_{n:04}")).unwrap())
            .collect();
        let minute = |n: i64| Timestamp::from_unix_ms(1_795_196_401_568 + n * 60_000).unwrap();
        let mut seen = BTreeSet::new();
        let mut first = BTreeSet::new();
        for n in 0..13 {
            let turn = turned(calls.iter(), MAX_CALLS, minute(n));
            assert_eq!(turn.len(), MAX_CALLS);
            first.extend(turn[..MAX_SUSPECTS].iter().cloned());
            seen.extend(turn);
        }
        assert_eq!(seen.len(), calls.len());
        assert_eq!(
            first.len(),
            calls.len(),
            "each is among the first that are repaired"
        );
        assert_eq!(turned(calls[..10].iter(), MAX_CALLS, minute(0)).len(), 10);
        assert!(turned::<CallId>([].iter(), MAX_CALLS, minute(0)).is_empty());
    }
}
