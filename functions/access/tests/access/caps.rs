//! Caps, counted in a real store by many at once.

use std::{error::Error, sync::Arc, time::Duration};

use access::caps::{Cap, CapError, Caps, LiveRooms, Wanted};
use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;
use platform::{
    clock::{Clock as _, ManualClock},
    config::CallerLimits,
    store::{FolderStore, Store},
};

/// Rooms that are there; `None`: LiveKit does not answer.
#[derive(Default)]
struct Rooms(Mutex<Option<Vec<String>>>);

#[async_trait]
impl LiveRooms for Rooms {
    async fn alive(&self, _: &[String]) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        self.0.lock().clone().ok_or_else(|| "no answer".into())
    }
}

struct World {
    folder: tempfile::TempDir,
    store: Arc<FolderStore>,
    clock: ManualClock,
    rooms: Arc<Rooms>,
    caps: Caps,
}

impl World {
    /// Lets time go by, for the clock and for the store.
    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.make_older(by);
    }

    fn make_older(&self, by: Duration) {
        for kind in ["callers", "trunks", "numbers"] {
            let folder = self.folder.path().join("store/caps").join(kind);
            for ledger in std::fs::read_dir(folder).unwrap() {
                let path = ledger.unwrap().path();
                let file = std::fs::File::options().write(true).open(path).unwrap();
                let written = file.metadata().unwrap().modified().unwrap();
                file.set_modified(written - by).unwrap();
            }
        }
    }
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(FolderStore::open(folder.path().join("store")).await.unwrap());
    let (clock, rooms) = (ManualClock::default(), Arc::new(Rooms::default()));
    let caps = Caps::new(store.clone(), Arc::new(clock.clone()), rooms.clone());
    World {
        folder,
        store,
        clock,
        rooms,
        caps,
    }
}

fn wanted<'a>(room: &'a str, number: &'a str) -> Wanted<'a> {
    Wanted {
        caller: "crm",
        limits: CallerLimits {
            concurrent: 5,
            calls_per_day: 8,
            minutes_per_day: 100,
        },
        trunk: "ST_1",
        per_trunk: 6,
        number,
        per_number: 1,
        room,
        longest: Duration::from_mins(10),
    }
}

fn cap(result: Result<access::caps::Counted, CapError>) -> Option<Cap> {
    match result {
        Ok(_) => None,
        Err(CapError::Reached(cap)) => Some(cap),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn of_twenty_calls_at_once_as_many_are_counted_as_there_are_places() {
    let world = world().await;
    let names: Vec<(String, String)> = (0..20)
        .map(|at| (format!("crm-{at}"), format!("+1415555{at:04}")))
        .collect();
    let counted = join_all(names.iter().map(|(room, number)| {
        let caps = world.caps.clone();
        async move { cap(caps.count(&wanted(room, number)).await) }
    }))
    .await;
    assert_eq!(counted.iter().filter(|cap| cap.is_none()).count(), 5);
    assert_eq!(
        counted
            .iter()
            .flatten()
            .filter(|cap| **cap == Cap::Concurrent)
            .count(),
        15
    );
}

#[tokio::test]
async fn a_refused_call_leaves_no_trace_in_the_other_ledgers() {
    let world = world().await;
    let first = world.caps.count(&wanted("crm-1", "+14155550001")).await.unwrap();
    for at in 0..10 {
        let room = format!("crm-again-{at}");
        assert_eq!(
            cap(world.caps.count(&wanted(&room, "+14155550001")).await),
            Some(Cap::PerNumber)
        );
    }
    world.caps.ended(&first).await.unwrap();
    for at in 0..5 {
        let (room, number) = (format!("crm-b{at}"), format!("+1415555100{at}"));
        assert_eq!(cap(world.caps.count(&wanted(&room, &number)).await), None, "{at}");
    }
}

#[tokio::test]
async fn the_end_of_a_call_is_told_as_often_as_one_likes_and_frees_no_other_in_a_room_of_the_same_name() {
    let world = world().await;
    let first = world.caps.count(&wanted("crm-1", "+14155550001")).await.unwrap();
    world.caps.ended(&first).await.unwrap();
    let _second = world.caps.count(&wanted("crm-1", "+14155550001")).await.unwrap();
    world.caps.ended(&first).await.unwrap();
    world.caps.ended(&first).await.unwrap();
    let again = world.caps.count(&wanted("crm-2", "+14155550001")).await;
    assert_eq!(cap(again), Some(Cap::PerNumber), "the second is under way");
}

#[tokio::test]
async fn places_come_back_when_calls_end_when_rooms_are_gone_and_when_time_is_over() {
    let world = world().await;
    for at in 0..5 {
        let (room, number) = (format!("crm-{at}"), format!("+1415555000{at}"));
        world.caps.count(&wanted(&room, &number)).await.unwrap();
    }
    let more = |at: u32| {
        let caps = world.caps.clone();
        async move {
            let (room, number) = (format!("crm-more-{at}"), format!("+1415555200{at}"));
            cap(caps.count(&wanted(&room, &number)).await)
        }
    };
    assert_eq!(more(0).await, Some(Cap::Concurrent));
    world.advance(Duration::from_secs(90));
    assert_eq!(
        more(1).await,
        Some(Cap::Concurrent),
        "LiveKit does not answer: nothing is taken for ended"
    );
    *world.rooms.0.lock() = Some(vec![
        "crm-0".into(),
        "crm-1".into(),
        "crm-2".into(),
        "crm-3".into(),
    ]);
    assert_eq!(more(2).await, None, "the room of one call is gone");
    assert_eq!(more(3).await, Some(Cap::Concurrent));
    world.clock.advance(Duration::from_secs(9 * 60 + 30));
    assert_eq!(
        more(4).await,
        Some(Cap::Concurrent),
        "a clock that is ahead gives no place back early"
    );
    world.clock.advance(Duration::from_mins(2));
    assert_eq!(more(5).await, None, "all are over");
}

#[tokio::test]
async fn a_room_that_is_gone_frees_the_old_calls_in_it_and_not_a_young_one_in_a_room_of_the_same_name() {
    let world = world().await;
    let call = |at: u32, room: &'static str| {
        let caps = world.caps.clone();
        async move { caps.count(&wanted(room, &format!("+1415555{at:04}"))).await }
    };
    let first = call(0, "crm-1").await.unwrap();
    for (at, room) in [(1, "crm-1"), (2, "crm-2"), (3, "crm-2")] {
        call(at, room).await.unwrap();
    }
    world.advance(Duration::from_secs(90));
    call(4, "crm-1").await.unwrap();
    // The young one's line takes the place of the first.
    world.caps.ended(&first).await.unwrap();
    call(5, "crm-3").await.unwrap();
    *world.rooms.0.lock() = Some(vec!["crm-2".into()]);
    assert_eq!(
        cap(call(6, "crm-4").await),
        None,
        "the old one in the room that is gone"
    );
    assert_eq!(
        cap(call(7, "crm-5").await),
        Some(Cap::Concurrent),
        "the others go on"
    );
    let wanted = Wanted {
        caller: "other",
        ..wanted("other-1", "+14155550004")
    };
    let again = cap(world.caps.count(&wanted).await);
    assert_eq!(again, Some(Cap::PerNumber), "the young one has its place");
}

#[tokio::test]
async fn days_have_their_own_calls_and_minutes() {
    let world = world().await;
    let call = |at: u32, longest: u64| {
        let (caps, at) = (world.caps.clone(), at);
        async move {
            let (room, number) = (format!("crm-{at}"), format!("+1415555{at:04}"));
            let wanted = Wanted {
                longest: Duration::from_mins(longest),
                ..wanted(&room, &number)
            };
            let counted = caps.count(&wanted).await;
            if let Ok(counted) = &counted {
                caps.ended(counted).await.unwrap();
            }
            cap(counted)
        }
    };
    assert_eq!(call(0, 101).await, Some(Cap::MinutesPerDay));
    for at in 1..=8 {
        assert_eq!(call(at, 50).await, None, "what was not used comes back: {at}");
    }
    assert_eq!(call(9, 1).await, Some(Cap::CallsPerDay));
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(call(10, 1).await, None);
    // A function whose clock is still in the day before gives nobody a new day.
    for at in 11..=17 {
        assert_eq!(call(at, 1).await, None, "{at}");
    }
    world.clock.set_back(Duration::from_hours(24));
    assert_eq!(call(19, 1).await, Some(Cap::CallsPerDay));
}

#[tokio::test]
async fn the_store_holds_no_number_and_a_broken_ledger_lets_nothing_through() {
    let world = world().await;
    world.caps.count(&wanted("crm-1", "+14155550001")).await.unwrap();
    let listing = world
        .store
        .list("caps/", platform::store::Page::default())
        .await
        .unwrap();
    assert_eq!(listing.entries.len(), 3);
    for entry in &listing.entries {
        let object = world.store.get(&entry.key).await.unwrap().unwrap();
        let text = format!("{} {}", entry.key, String::from_utf8_lossy(&object.bytes));
        assert!(!text.contains("4155550001"), "{text}");
        world.store.put(&entry.key, "{".into()).await.unwrap();
    }
    let counted = world.caps.count(&wanted("crm-2", "+14155550002")).await;
    assert!(matches!(counted, Err(CapError::Unreadable(_))), "{counted:?}");
}

/// Whether a call whose room is gone gives its place back, to a function whose clock is off, when it was dialled so long ago.
async fn is_freed(ago: Duration, off_s: i64) -> bool {
    let world = world().await;
    world.clock.advance(Duration::from_hours(12));
    *world.rooms.0.lock() = Some(Vec::new());
    let number = "+14155550000";
    world.caps.count(&wanted("crm-1", number)).await.unwrap();
    // In two steps, with a write to the ledger between them that is another call's.
    let (first, second) = (ago / 2, ago.saturating_sub(ago / 2));
    world.make_older(first);
    let other = Wanted {
        caller: "other",
        trunk: "ST_2",
        per_number: 9,
        ..wanted("crm-2", number)
    };
    let other = world.caps.count(&other).await.unwrap();
    world.caps.ended(&other).await.unwrap();
    world.make_older(second);
    let off = Duration::from_secs(off_s.unsigned_abs());
    let now = world.clock.now() + ago;
    let clock = ManualClock::at(if off_s < 0 { now - off } else { now + off });
    let elsewhere = Caps::new(world.store.clone(), Arc::new(clock), world.rooms.clone());
    cap(elsewhere.count(&wanted("crm-3", number)).await).is_none()
}

#[tokio::test]
async fn how_old_a_call_is_the_store_says_and_not_the_clocks_of_two_functions() {
    for off_s in [0, 30, -30, 90, -90] {
        assert!(
            !is_freed(Duration::from_secs(20), off_s).await,
            "{off_s}: its room may not be there yet"
        );
        assert!(is_freed(Duration::from_secs(70), off_s).await, "{off_s}");
    }
}
