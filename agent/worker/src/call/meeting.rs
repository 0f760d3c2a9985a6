//! The actor of one call: it hears the room and the conversation, and decides when the call is over.

mod talk;

use std::{collections::HashMap, sync::Arc, time::Duration};

use events::{SessionEventKind, Step};
use livekit::{
    DisconnectReason,
    id::TrackSid,
    participant::ParticipantKind,
    prelude::{RemoteAudioTrack, RoomEvent},
};
use pipeline::{Control, ConversationEvent, ConversationReport};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::tools::{Keypad, Transfer};
use super::{
    Call, End,
    deafness::{Deafness, LOOK_EVERY, Remedy},
    distance,
    listen::{Heard, listen},
    observe::Observer,
    presence::{Change, Presence, is_active, is_of_gateway},
    room::AgentRoom,
    wire::{self, Voice, Wire},
};
use crate::{Agent, cause, progress::JournalError, recording::Recorder};

/// How long the agent waits in the room for a caller.
const CALLER_LIMIT: Duration = Duration::from_secs(30);
/// How long the agent waits for a phone in its room to be answered. Its gateway ends the call before: one that is dialled rings for
/// 80 s at most, one that calls in for 180 s (`sip.no_agent_timeout`), and an answer that nobody acknowledges is given up after 32 s
/// (RFC 3261 section 13.3.1.4).
const PHONE_LIMIT: Duration = Duration::from_secs(180 + 32 + 8);
/// How long an agent that has taken a call over waits to hear its caller: livekit-server takes some 20 s to notice that the process on
/// the other side has died.
const HEIR_LIMIT: Duration = Duration::from_secs(30);
/// How long a caller whose connection was lost may take to come back: the gateway's SDK, or a page's, joins again within some seconds of
/// the end of the disturbance.
const RETURN_LIMIT: Duration = Duration::from_secs(20);
/// Keys that may wait for the conversation.
const WAITING_KEYS: usize = 32;
/// Messages of the caller's that may be read at a time; more are not read.
const WAITING_MESSAGES: usize = 4;
/// News of the conversation that may wait while the store is written.
const WAITING_EVENTS: usize = 256;
/// How long a cancelled conversation may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// A call in its room.
pub(super) struct Meeting<'a> {
    call: &'a mut Call,
    agent: Arc<Agent>,
    room: AgentRoom,
    presence: Presence,
    observer: Observer,
    heard: Heard,
    /// The track that is listened to.
    listened: Option<TrackSid>,
    deafness: Deafness,
    /// Cancelled by the first sound from the caller.
    flows: CancellationToken,
    /// Ends the conversation and the listening.
    cancel: CancellationToken,
    listeners: JoinSet<()>,
    talk: JoinSet<ConversationReport>,
    news: (mpsc::Sender<ConversationEvent>, mpsc::Receiver<ConversationEvent>),
    recorder: Option<Recorder>,
    transfer: Arc<Transfer>,
    keypad: Arc<Keypad>,
    wire: Wire,
    /// What tells the room, and what reads the caller's messages.
    wiring: JoinSet<()>,
    reading: JoinSet<Option<String>>,
    /// To the conversation, once there is one.
    controls: Option<mpsc::Sender<Control>>,
    /// How far the phone is.
    delays: pipeline::Delays,
    /// Until when the caller must have come, or, after a takeover, must be heard.
    patience: Instant,
    /// Until when the caller must have come back.
    back_by: Option<Instant>,
}

impl<'a> Meeting<'a> {
    pub(super) fn new(call: &'a mut Call, agent: Arc<Agent>, room: AgentRoom) -> Self {
        let now = call.setup.now();
        let limit = if call.generation > 1 {
            HEIR_LIMIT
        } else {
            CALLER_LIMIT
        };
        let us = Voice {
            identity: room.room.local_participant().identity().to_string(),
            track: room.track.clone(),
        };
        // Nothing is said any more as soon as the call is another worker's, whatever is waited for here.
        let cancel = call.fenced.child_token();
        let mut wiring = JoinSet::new();
        let wire = Wire::start(&room.room, us, call.generation, &mut wiring);
        Self {
            call,
            agent,
            room,
            wire,
            wiring,
            reading: JoinSet::new(),
            presence: Presence::default(),
            observer: Observer::new(now),
            heard: Heard::new(),
            listened: None,
            deafness: Deafness::default(),
            flows: CancellationToken::new(),
            cancel,
            listeners: JoinSet::new(),
            talk: JoinSet::new(),
            news: mpsc::channel(WAITING_EVENTS),
            recorder: None,
            transfer: Arc::default(),
            keypad: Arc::default(),
            controls: None,
            delays: distance::delays(&HashMap::new()),
            patience: Instant::now() + limit,
            back_by: None,
        }
    }

    /// Runs until the call is over.
    pub(super) async fn run(&mut self) -> End {
        for change in self.presence.look(&self.room.room) {
            if let Some(end) = self.change(change).await {
                return end;
            }
        }
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waits = !self.talks();
            // Every arm is cancel-safe: nothing is taken from a queue, a task set or a timer by an arm that loses.
            let end = tokio::select! {
                biased;
                () = self.call.fenced.cancelled() => Some(End::Fenced),
                () = self.call.hard.cancelled() => Some(End::Stopped),
                event = self.room.events.recv() => match event {
                    Some(event) => self.changes(event).await,
                    None => Some(End::PutOut(DisconnectReason::UnknownReason)),
                },
                Some(news) = self.news.1.recv() => self.observe(news).await,
                Some(report) = self.talk.join_next() => Some(self.talked(report)),
                Some(text) = self.reading.join_next() => {
                    self.wrote(text.ok().flatten());
                    None
                }
                () = self.flows.cancelled(), if waits && self.presence.answered() => self.begin_to_talk(),
                () = sleep_until(self.patience), if waits => Some(self.out_of_patience()),
                () = sleep_until(self.back_by.unwrap_or(self.patience)), if self.back_by.is_some() => Some(End::CallerLost),
                _ = looks.tick() => {
                    self.mind_the_ears();
                    None
                }
            };
            if let Some(end) = end {
                tracing::info!(?end, heard_frames = self.heard.frames(), "the call is over");
                return end;
            }
        }
    }

    /// Ends the conversation and the recording; the room is handed back.
    pub(super) async fn close(mut self, end: &End) -> AgentRoom {
        self.cancel.cancel();
        while let Ok(Some(report)) = timeout(END_LIMIT, self.talk.join_next()).await {
            let _ = self.talked(report);
        }
        // Turns and tools are in its report.
        while let Ok(news) = self.news.1.try_recv() {
            self.observer.note(&mut self.call.journal, &news);
        }
        self.talk.shutdown().await;
        self.reading.shutdown().await;
        self.wiring.shutdown().await;
        self.listeners.shutdown().await;
        if let Some(recorder) = self.recorder.take() {
            // A store that hangs does not keep the call from whoever has it now.
            let fenced = self.call.fenced.clone();
            if let Some(ms) = fenced.run_until_cancelled(recorder.finish()).await {
                Observer::recorded(self.call.journal.record_mut(), ms);
            }
        }
        if matches!(end, End::CallerLeft { .. } | End::CallerPutOut) {
            self.call.journal.step(Step::CallerLeft, self.call.setup.now());
        }
        self.room
    }

    fn talks(&self) -> bool {
        self.heard.talks()
    }

    async fn changes(&mut self, event: RoomEvent) -> Option<End> {
        if let RoomEvent::TextStreamOpened {
            reader,
            topic,
            participant_identity,
        } = &event
            && topic == wire::CHAT
            && self.presence.identity().as_deref() == Some(participant_identity.as_str())
            && self.reading.len() < WAITING_MESSAGES
            && let Some(stream) = reader.take()
        {
            self.reading.spawn(wire::read(stream));
        }
        if matches!(event, RoomEvent::Reconnected) && !self.call.is_the_calls_room(&self.room) {
            // The server has died, and the room that was made of those who came back is another call, which has an agent of its own.
            return Some(End::CallerLost);
        }
        for change in self.presence.on(event) {
            if let Some(end) = self.change(change).await {
                return Some(end);
            }
        }
        None
    }

    async fn change(&mut self, change: Change) -> Option<End> {
        match change {
            Change::CallerJoined(participant) => {
                Observer::caller(
                    self.call.journal.record_mut(),
                    &participant,
                    &self.call.setup.regions,
                );
                self.delays = distance::delays(&participant.attributes());
                // One that rings is waited for, also by an heir; of one that was answered an heir must hear something.
                let rings =
                    participant.kind() == ParticipantKind::Sip && !is_active(&participant.attributes());
                if rings || self.call.generation == 1 && participant.kind() == ParticipantKind::Sip {
                    self.patience = Instant::now() + PHONE_LIMIT;
                }
                self.write().await
            }
            Change::Track(track) => {
                // At once, though the conversation has not begun: what the caller says meanwhile is kept for it. And an heir
                // listens first: only a caller who can be heard is spoken to.
                self.listen(track);
                None
            }
            Change::Answered => {
                // After a takeover the status may be that of a phone whose process is gone: it says nothing about now.
                if self.call.generation > 1 {
                    self.patience = Instant::now() + HEIR_LIMIT;
                } else if let Some(end) = self.begin_to_talk() {
                    return Some(end);
                }
                self.write().await
            }
            Change::CallerLeft { cause } if self.hears_nobody_as_heir() && !is_of_gateway(cause.as_ref()) => {
                Some(End::CallerLost)
            }
            Change::CallerLeft { .. } if self.transfer.took_place().await => Some(End::Transferred),
            Change::CallerLeft { cause } => Some(End::CallerLeft { cause }),
            Change::CallerPutOut => Some(End::CallerPutOut),
            Change::Digit(digit) => {
                self.keypad.press(digit);
                if let Some(controls) = &self.controls {
                    // Nobody types faster than the conversation reads.
                    let _ = controls.try_send(Control::Key(digit));
                }
                None
            }
            Change::CallerLost => {
                tracing::warn!("the caller's connection, or ours, is lost; the call waits for it");
                self.back_by = Some(Instant::now() + RETURN_LIMIT);
                // Whatever is subscribed to then is another stream.
                self.listened = None;
                None
            }
            Change::CallerBack => {
                tracing::info!("the caller is back");
                self.back_by = None;
                None
            }
            Change::Closed(DisconnectReason::DuplicateIdentity) => Some(End::Fenced),
            // An empty room closes by itself, perhaps before the heir has waited long enough.
            Change::Closed(_) if self.hears_nobody_as_heir() => Some(End::CallerLost),
            Change::Closed(reason) => Some(End::PutOut(reason)),
        }
    }

    fn wrote(&self, text: Option<String>) {
        if let (Some(text), Some(controls)) = (text, &self.controls) {
            // Nobody writes faster than the conversation reads.
            let _ = controls.try_send(Control::Text(text));
        }
    }

    /// Who is listened to, as the room knows them.
    fn caller(&self) -> Option<Voice> {
        Some(Voice {
            identity: self.presence.identity()?,
            track: self.listened.clone()?,
        })
    }

    /// Whether the call was taken over and its caller has not been heard since.
    fn hears_nobody_as_heir(&self) -> bool {
        self.call.generation > 1 && !self.talks()
    }

    fn listen(&mut self, track: RemoteAudioTrack) {
        // A track that was there at the join is told of twice. Two listeners would give the conversation every word twice.
        if self.listened.as_ref() == Some(&track.sid()) {
            return;
        }
        self.listened = Some(track.sid());
        self.listeners.abort_all();
        let (heard, flows) = (self.heard.clone(), self.flows.clone());
        self.listeners
            .spawn(listen(track, heard, flows, self.cancel.clone()));
    }

    /// Sees to it that the caller is heard.
    fn mind_the_ears(&mut self) {
        let audible = self.presence.audible();
        let expected = audible.is_some() && self.presence.answered();
        let remedy = self.deafness.look(self.heard.frames(), expected, Instant::now());
        match (remedy, audible) {
            (Some(Remedy::Unsubscribe), Some(publication)) => {
                tracing::warn!("nothing comes of the caller's sound; subscribing to it anew");
                self.listened = None;
                publication.set_subscribed(false);
            }
            (Some(Remedy::Subscribe), Some(publication)) => publication.set_subscribed(true),
            (Some(Remedy::Name), _) => {
                tracing::warn!(
                    "the call's sound goes one way only: nothing comes of the caller; see docs/troubleshooting.md, one-way audio"
                );
                self.note_one_way("lost");
            }
            (Some(Remedy::Heard), _) => self.note_one_way("back"),
            (Some(Remedy::Unsubscribe | Remedy::Subscribe) | None, _) => {}
        }
    }

    fn note_one_way(&mut self, detail: &str) {
        let now = self.call.setup.now();
        let session = self.call.journal.session_mut();
        session.note(SessionEventKind::OneWayAudio, Some(detail), now);
    }

    async fn observe(&mut self, news: ConversationEvent) -> Option<End> {
        self.wire.on(&news, self.caller());
        let policy = self.agent.profile.recording;
        let is_kept = self.observer.on(&mut self.call.journal, &news, policy);
        if is_kept { self.write().await } else { None }
    }

    /// Writes the progress; the end of the call when it is another worker's.
    async fn write(&mut self) -> Option<End> {
        let (fenced, hard) = (self.call.fenced.clone(), self.call.hard.clone());
        let written = tokio::select! {
            biased;
            // A write that is cut off may have been carried out; the next one finds that.
            () = fenced.cancelled() => return Some(End::Fenced),
            () = hard.cancelled() => return Some(End::Stopped),
            written = self.call.write_journal() => written,
        };
        match written {
            Ok(()) => None,
            Err(JournalError::Lost) => Some(End::Fenced),
            Err(JournalError::Store(error)) => {
                tracing::error!(
                    error = cause(&error),
                    "the call's progress was not written; the next step writes it"
                );
                None
            }
        }
    }

    fn out_of_patience(&self) -> End {
        if self.call.generation > 1 {
            End::CallerLost
        } else {
            End::NobodyCame
        }
    }
}
