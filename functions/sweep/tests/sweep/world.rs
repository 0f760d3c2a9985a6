//! A folder, a SQLite file, rooms, and the functions over them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use events::{
    CallId, CallJob, CallRecord, Claim, EgressId, EgressRecord, OpenEgress, Outcome, Party, ProfileHash,
    Progress, Recording, RecordingPolicy, RoomName, Session, Speaker, Timestamp, TurnLatency, TurnRecord,
    agents::{AgentRule, Agents},
    keys,
    livekit::{
        Attributes, DisconnectReason, Egress, EgressFile, EgressStatus, Event, Participant, ParticipantKind,
        Room, WebhookEvent,
    },
};
use parking_lot::Mutex;
use platform::{
    clock::{Clock as _, ManualClock},
    queue::{Queue, SqliteQueue},
    store::{FolderStore, Store},
};
use serde_json::json;
use sweep::{PATIENCE, Report, Rooms, RoomsError, State, sweep};
use webhook::{Keys, Policy, WebhookState};

use crate::fuse::{Fuse, Fused};

/// A phone number that must not be seen in a log.
pub(crate) const CALLER: &str = "+15557654321";
pub(crate) const CALLED: &str = "+15550100100";

pub(crate) fn call() -> CallId {
    CallId::new("RM_x").unwrap()
}

/// Milliseconds after the call's room was created.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_795_196_400_000 + ms).unwrap()
}

pub(crate) fn room() -> Room {
    Room {
        call: call(),
        name: RoomName::new("call-x").unwrap(),
        created_at: Some(at(0)),
        metadata: String::new().into(),
    }
}

/// A phone in the room.
pub(crate) fn phone() -> Participant {
    let attributes = BTreeMap::from([
        ("sip.phoneNumber".to_owned(), CALLER.to_owned()),
        ("sip.trunkPhoneNumber".to_owned(), CALLED.to_owned()),
        ("sip.trunkID".to_owned(), "ST_x".to_owned()),
    ]);
    Participant {
        sid: "PA_x".parse().unwrap(),
        identity: "sip_x".parse().unwrap(),
        kind: ParticipantKind::Sip,
        attributes: Attributes::from(attributes),
        joined_at: Some(at(300)),
        disconnect_reason: None,
    }
}

/// An egress of the call; its file has a size once it has been stored.
pub(crate) fn egress(status: EgressStatus, size_bytes: u64) -> Egress {
    Egress {
        id: "EG_x".parse().unwrap(),
        call: Some(call()),
        room: Some(room().name),
        status,
        error_code: 0,
        updated_at: Some(at(8_000)),
        files: vec![EgressFile {
            filename: "a.ogg".to_owned(),
            size_bytes,
            duration_ms: 5_000,
        }],
    }
}

/// The egress as those in the room see it.
pub(crate) fn recorder() -> Participant {
    Participant {
        sid: "PA_eg".parse().unwrap(),
        identity: "EG_x".parse().unwrap(),
        kind: ParticipantKind::Egress,
        ..phone()
    }
}

pub(crate) fn policy() -> Policy {
    let rule: AgentRule =
        serde_json::from_value(json!({"profile": "reception", "numbers": ["+15550100100"]})).unwrap();
    Policy {
        agents: Agents::new(vec![(rule, ProfileHash::of(b"profile"))]).unwrap(),
        ..Policy::default()
    }
}

/// The rooms, and who is in them.
pub(crate) type Listed = Vec<(Room, Vec<Participant>)>;

/// LiveKit, as the test says.
#[derive(Default)]
pub(crate) struct LiveKit {
    /// What is listed, one list after the other; the last one stays.
    pub(crate) lists: Mutex<Vec<Listed>>,
    pub(crate) egresses: Mutex<Vec<Egress>>,
    pub(crate) down: Mutex<bool>,
    /// The egress service alone.
    pub(crate) egress_down: Mutex<bool>,
    /// How long it takes to list egresses.
    pub(crate) egress_takes: Mutex<Duration>,
    pub(crate) revived: Mutex<Vec<String>>,
}

impl LiveKit {
    pub(crate) fn has(&self, rooms: Listed) {
        *self.lists.lock() = vec![rooms];
    }

    fn now(&self) -> Listed {
        self.lists.lock().first().cloned().unwrap_or_default()
    }

    fn answer<T>(&self, answer: T) -> Result<T, RoomsError> {
        if *self.down.lock() {
            return Err(format!("no connection; it was about {CALLER}").into());
        }
        Ok(answer)
    }
}

#[async_trait]
impl Rooms for LiveKit {
    async fn list(&self) -> Result<Vec<Room>, RoomsError> {
        let now = self.now();
        let mut lists = self.lists.lock();
        if lists.len() > 1 {
            lists.remove(0);
        }
        self.answer(now.into_iter().map(|(room, _)| room).collect())
    }

    async fn participants(&self, room: &RoomName) -> Result<Vec<Participant>, RoomsError> {
        let of = self.now().into_iter().find(|(listed, _)| listed.name == *room);
        self.answer(of.map(|(_, participants)| participants).unwrap_or_default())
    }

    async fn egress(&self, egress: &EgressId) -> Result<Option<Egress>, RoomsError> {
        let egresses = self.egresses.lock();
        self.answer(egresses.iter().find(|known| known.id == *egress).cloned())
    }

    async fn active_egresses(&self) -> Result<Vec<Egress>, RoomsError> {
        use EgressStatus::{Active, Ending, Starting};
        let takes = *self.egress_takes.lock();
        tokio::time::sleep(takes).await;
        if *self.egress_down.lock() {
            return Err("no response from servers".into());
        }
        let egresses = self.egresses.lock().clone().into_iter();
        let goes_on = |egress: &Egress| matches!(egress.status, Starting | Active | Ending);
        self.answer(egresses.filter(goes_on).collect())
    }

    async fn revive(&self, room: &RoomName) -> Result<(), RoomsError> {
        self.revived.lock().push(room.as_str().to_owned());
        self.answer(())
    }
}

/// All that outlives a process.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) store: Arc<FolderStore>,
    pub(crate) queue: Arc<SqliteQueue>,
    pub(crate) livekit: Arc<LiveKit>,
}

impl World {
    /// Its clock stands at ten seconds after the room's creation.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(at(10_000).to_offset());
        let shared = Arc::new(clock.clone());
        let queue = SqliteQueue::open(folder.path().join("queue.sqlite"), shared)
            .await
            .unwrap();
        let store = FolderStore::open(folder.path().join("store")).await.unwrap();
        Self {
            folder,
            clock,
            store: Arc::new(store),
            queue: Arc::new(queue),
            livekit: Arc::default(),
        }
    }

    /// The functions of a process that dies at the fuse.
    pub(crate) fn process(&self, fuse: &Arc<Fuse>) -> State {
        State {
            webhook: WebhookState {
                keys: Keys::new([]),
                policy: policy(),
                queue: Arc::new(Fused::new(self.queue.clone(), fuse)),
                store: Arc::new(Fused::new(self.store.clone(), fuse)),
                clock: Arc::new(self.clock.clone()),
                rooms: None,
            },
            livekit: self.livekit.clone(),
            patience: PATIENCE,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.process(&Arc::default())
    }

    pub(crate) async fn sweep(&self) -> Report {
        sweep(&self.state()).await
    }

    /// Delivers a webhook, and returns its outcome.
    pub(crate) async fn webhook(&self, id: &str, event: Event) -> &'static str {
        let webhook = WebhookEvent {
            id: id.parse().unwrap(),
            created_at: at(500),
            event,
        };
        let outcome = webhook::deliver(webhook, &self.state().webhook).await.unwrap();
        Box::leak(outcome.name().to_owned().into_boxed_str())
    }

    pub(crate) async fn room_started(&self) -> &'static str {
        self.webhook("EV_1", Event::RoomStarted { room: room() }).await
    }

    pub(crate) async fn joined(&self) -> &'static str {
        let (room, participant) = (room(), phone());
        self.webhook("EV_2", Event::ParticipantJoined { room, participant })
            .await
    }

    pub(crate) async fn left(&self) -> &'static str {
        let participant = Participant {
            disconnect_reason: Some(DisconnectReason::ClientInitiated),
            ..phone()
        };
        let event = Event::ParticipantLeft {
            room: room(),
            participant,
        };
        self.webhook("EV_3", event).await
    }

    pub(crate) async fn finished(&self) -> &'static str {
        let event = Event::RoomFinished {
            room: room(),
            reason: None,
        };
        self.webhook("EV_4", event).await
    }

    pub(crate) async fn egress_started(&self) -> &'static str {
        let egress = egress(EgressStatus::Starting, 0);
        self.webhook("EV_5", Event::EgressStarted { egress }).await
    }

    /// The egress has been missed in its room since then.
    pub(crate) async fn egress_missed(&self, missed_at: Timestamp) {
        let key = keys::open_egress(&"EG_x".parse().unwrap());
        let marker = self.store.get(&key).await.unwrap().unwrap();
        let mut open = OpenEgress::decode(&marker.bytes).unwrap();
        open.missed_at = Some(missed_at);
        self.store.put(&key, open.encode().into()).await.unwrap();
    }

    pub(crate) async fn egress_ended(&self, status: EgressStatus, size_bytes: u64) -> &'static str {
        let egress = egress(status, size_bytes);
        self.webhook("EV_6", Event::EgressEnded { egress }).await
    }

    pub(crate) async fn egress_record(&self) -> Option<EgressRecord> {
        let key = keys::egress(at(0), &call(), &"EG_x".parse().unwrap());
        let object = self.store.get(&key).await.unwrap()?;
        Some(EgressRecord::decode(object.bytes).unwrap())
    }

    /// Whether the egress is marked as not done with.
    pub(crate) async fn is_egress_open(&self) -> bool {
        self.has(&keys::open_egress(&"EG_x".parse().unwrap())).await
    }

    /// A worker had the call, with `claim`, which is as old as its holder and our clock say, and left this of it.
    pub(crate) async fn was_served(&self, claim: &Claim, answered: bool) {
        self.is_served(claim, answered).await;
        let written = claim.expires_at.ms_since(at(0)) - i64::try_from(claim.lease().as_millis()).unwrap();
        let age = Timestamp::from(self.clock.now()).ms_since(at(0)) - written;
        self.make_older(
            &keys::claim(at(0), &call()),
            Duration::from_millis(u64::try_from(age).unwrap_or(0)),
        );
    }

    /// Lets time go by, for the clock and for the store.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        for key in self.objects().keys() {
            self.make_older(key, by);
        }
    }

    fn make_older(&self, key: &str, by: Duration) {
        let path = self.folder.path().join("store").join(key);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - by).unwrap();
    }

    /// A worker has just claimed the call, or renewed its claim, and has left this of it.
    pub(crate) async fn is_served(&self, claim: &Claim, answered: bool) {
        let put = async |key: String, bytes: Vec<u8>| {
            self.store.put(&key, bytes.into()).await.unwrap();
        };
        put(keys::claim(at(0), &call()), claim.encode()).await;
        let mut record = CallRecord::new(call(), room().name, Outcome::Interrupted, at(0), at(6_000));
        record.caller = Some(Party::parse(CALLER, None));
        if answered {
            record.answered_at = Some(at(1_000));
            record.turns = vec![turn()];
            record.recording = Some(Recording {
                key: keys::recording(at(0), &call()),
                duration_ms: 0,
                policy: RecordingPolicy::Always,
                gate_opened_at: at(1_000),
            });
            put(keys::recording(at(0), &call()), recording()).await;
        }
        let progress = Progress {
            generation: claim.generation,
            worker: claim.worker.clone(),
            record,
            session: Session::default(),
        };
        put(keys::agent(at(0), &call()), progress.encode()).await;
    }

    pub(crate) async fn record(&self) -> Option<CallRecord> {
        let object = self.store.get(&keys::record(at(0), &call())).await.unwrap()?;
        Some(CallRecord::decode(object.bytes).unwrap())
    }

    pub(crate) async fn has(&self, key: &str) -> bool {
        self.store.get(key).await.unwrap().is_some()
    }

    /// Whether the call is marked as not closed.
    pub(crate) async fn is_open(&self) -> bool {
        self.has(&keys::open(&call())).await
    }

    /// The jobs that have been enqueued; the call's group stays locked.
    pub(crate) async fn jobs(&self) -> Vec<CallJob> {
        let received = self
            .queue
            .receive(10, Duration::from_secs(9), Duration::ZERO)
            .await;
        let jobs = received.unwrap();
        jobs.iter()
            .map(|job| CallJob::decode(&job.body).unwrap())
            .collect()
    }

    /// Every object by its key.
    pub(crate) fn objects(&self) -> BTreeMap<String, String> {
        let root = self.folder.path().join("store");
        let mut objects = BTreeMap::new();
        collect(&root, &root, &mut objects);
        objects
    }
}

fn collect(root: &Path, folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !key.starts_with('.') {
            collect(root, &path, into);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            into.insert(key, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

pub(crate) fn claim(expires_ms: i64, given_up: bool) -> Claim {
    Claim {
        given_up,
        ..Claim::succeed(
            None,
            1,
            "worker-1",
            at(expires_ms - 9_000),
            Duration::from_secs(9),
        )
    }
}

fn turn() -> TurnRecord {
    TurnRecord {
        speaker: Speaker::Agent,
        text: "canary words".into(),
        started_at: at(1_500),
        ended_at: at(2_500),
        interrupted: false,
        latency: TurnLatency::default(),
    }
}

/// Two pages of OGG/Opus that play eight seconds.
fn recording() -> Vec<u8> {
    let page = |granule: u64, body: &[u8]| {
        let length = u8::try_from(body.len()).unwrap();
        let granule = granule.to_le_bytes();
        [b"OggS\0\0", &granule[..], &[0; 12], &[1, length], body].concat()
    };
    let head = b"OpusHead\x01\x02\0\0\x80\x3e\0\0\0\0\0";
    [page(0, head), page(8 * 48_000, b"sound")].concat()
}
