//! A call that has its room: the machine's hands.

mod told;

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use events::LegRecord;
use events::livekit::attribute;
use livekit::DisconnectReason;
use media::Digit;
use sip::{CallControl, CallEvent, Rejection};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::line::Answered;
use super::machine::{EndReason, Input, Machine, Output};
use super::media_leg::MediaLeg;
use super::outgoing::dialled::Dialled;
use super::referral::Referrals;
use super::transfer::Transfers;
use super::{Context, detail};
use crate::bridge::Sound;
use crate::departure::Departure;
use crate::room::RoomLeg;
use crate::{attributes, bridge};

/// How long the call's own tasks may take to end.
const TASKS_STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What a conversation is made of.
pub(super) struct Parts<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) control: &'a CallControl,
    pub(super) events: &'a mut mpsc::Receiver<CallEvent>,
    pub(super) room: RoomLeg,
    pub(super) media: MediaLeg,
    pub(super) transfers: Transfers,
    /// Of a BYE or REFER.
    pub(super) attributes_to_headers: HashMap<String, String>,
    pub(super) way: Way,
    pub(super) leg: LegRecord,
}

/// Who placed the call.
pub(super) enum Way {
    Incoming {
        ok_headers: Vec<(String, String)>,
        /// It was answered before it had a room.
        answered: Option<Answered>,
    },
    Outgoing(Box<Dialled>),
}

pub(super) struct Conversation<'a> {
    parts: Parts<'a>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    /// Whether `sip.callStatus` has been `active`.
    active: bool,
    /// When phone and room began to hear each other.
    connected: bool,
    /// Digits that come by INFO.
    pressed: Option<mpsc::Sender<Digit>>,
    /// Headers of the BYE or refusal that the room has asked for.
    goodbye: Vec<(String, String)>,
    referrals: Referrals,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(mut parts: Parts<'a>) -> Self {
        let answered = match &mut parts.way {
            Way::Incoming { answered, .. } => answered.take(),
            Way::Outgoing(_) => None,
        };
        let (tasks, cancel, heard) = match answered {
            Some(Answered {
                tasks, cancel, heard, ..
            }) => (tasks, cancel, Some(heard)),
            None => (TaskTracker::new(), CancellationToken::new(), None),
        };
        if let Way::Outgoing(dialled) = &mut parts.way {
            dialled.ring_into(&parts.room, &tasks, &cancel);
        }
        // Who was answered before has joined as active.
        let connected = heard.is_some();
        if connected {
            parts.media.expect_sound();
        }
        if let Some(heard) = heard.flatten() {
            heard.carry_into(&parts.room, &tasks, &cancel);
        }
        Self {
            parts,
            tasks,
            cancel,
            active: connected,
            connected,
            pressed: None,
            goodbye: Vec::new(),
            referrals: Referrals::default(),
        }
    }

    pub(super) async fn run(&mut self, mut machine: Machine) -> EndReason {
        loop {
            while let Some(output) = machine.poll_output() {
                if let Some(reason) = self.perform(output).await {
                    return reason;
                }
            }
            let wake_at = machine
                .poll_timeout()
                .map_or_else(Instant::now, Instant::from_std);
            let parts = &mut self.parts;
            let timeouts = parts.context.config.timeouts;
            // All arms are cancel-safe.
            let input = tokio::select! {
                () = parts.context.stop.cancelled() => Some(Input::ShutDown),
                event = parts.events.recv() => self.phone(event).await,
                change = parts.room.next_change() => self.room_changed(change).await,
                happened = parts.transfers.next() => self.transfer(happened).await,
                followed = self.referrals.next() => self.followed(followed).await,
                () = automated(&mut parts.way) => Some(Input::Acknowledged),
                () = parts.media.timed_out(timeouts.first_media, timeouts.media), if self.connected => {
                    Some(Input::MediaTimeout)
                }
                () = sleep_until(wake_at) => {
                    machine.handle_timeout(Instant::now().into_std());
                    None
                }
            };
            if let Some(input) = input {
                machine.handle(input, Instant::now().into_std());
            }
        }
    }

    /// Carries out what the machine wants; the reason when that was the end.
    async fn perform(&mut self, output: Output) -> Option<EndReason> {
        let parts = &mut self.parts;
        // The dialog may be over meanwhile: its event is then on its way to the machine.
        match output {
            Output::Answer => {
                self.answer().await;
                tracing::info!(step = "answered", "an agent has a track");
            }
            Output::AnswerAlone => {
                self.answer().await;
                tracing::info!(step = "answered", "no agent was heard in time");
            }
            Output::Transfer => self.send_away().await,
            Output::Prompt => {
                let clip = parts.context.sounds.no_agent.clone();
                parts.media.play(clip.map(Sound::Clip)).await;
            }
            Output::Hold(holds) => {
                let music = parts.context.sounds.hold().filter(|_| holds);
                parts.media.play(music).await;
            }
            Output::Ringing => {
                parts.leg.ringing_at = Some(detail::now());
                tracing::info!(step = "ringing", "the phone rings");
                self.show(attributes::RINGING).await;
            }
            Output::Connect => self.connect().await,
            Output::Active => {
                tracing::info!(step = "active", "the call stands");
                self.active = true;
                self.show(attributes::ACTIVE).await;
            }
            Output::Reject { code, text } => {
                detail::answered(&mut parts.leg, code, "");
                let rejection = Rejection {
                    headers: std::mem::take(&mut self.goodbye),
                    ..Rejection::with_reason(code, text)
                };
                let _ = parts.control.reject(rejection).await;
            }
            Output::HangUp { text } => {
                let reason = format!("SIP;cause=200;text=\"{text}\"");
                let mut headers = self.said_by_attributes();
                headers.append(&mut self.goodbye);
                let is_said = headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case("reason"));
                let reason = (!is_said).then_some(reason);
                let _ = self.parts.control.bye_with(reason, headers).await;
            }
            Output::End(reason) => return Some(reason),
        }
        None
    }

    async fn answer(&mut self) {
        let parts = &mut self.parts;
        parts.media.start(&self.tasks, &self.cancel, &parts.room);
        self.connected = true;
        let headers = match &mut parts.way {
            Way::Incoming { ok_headers, .. } => std::mem::take(ok_headers),
            Way::Outgoing(_) => Vec::new(),
        };
        let _ = parts.control.accept(parts.media.description(), headers).await;
        parts.leg.answered_at = Some(detail::now());
        detail::answered(&mut parts.leg, 200, "OK");
    }

    /// Sends the phone to where calls without an agent go.
    async fn send_away(&mut self) {
        let Some(to) = self.parts.context.elsewhere.clone() else {
            return;
        };
        // Who is being sent somewhere already stays on that way.
        if !self.parts.transfers.begin(&to) {
            return;
        }
        tracing::info!(step = "transfer", "no agent: the phone is asked to go elsewhere");
        let meanwhile = self.parts.context.sounds.hold().unwrap_or(Sound::Ring);
        self.parts.media.play(Some(meanwhile)).await;
        let headers = self.said_by_attributes();
        let _ = self.parts.control.refer(to, headers).await;
    }

    /// The phone that we dialled was answered.
    async fn connect(&mut self) {
        let Way::Outgoing(dialled) = &mut self.parts.way else {
            return;
        };
        dialled.stop_ringing();
        self.parts.leg.answered_at = Some(detail::now());
        detail::answered(&mut self.parts.leg, 200, "OK");
        self.parts
            .media
            .start(&self.tasks, &self.cancel, &self.parts.room);
        self.parts.media.expect_sound();
        self.connected = true;
        tracing::info!(step = "answered", "the phone was picked up");
        self.parts.room.label(dialled.labels()).await;
        self.parts.room.listen();
        dialled.succeeded(self.parts.room.participant_sid());
        // Before the first digit: whoever hears it in the room is to know what it is.
        if dialled.has_digits() {
            self.show(attributes::AUTOMATION).await;
        }
        if let Way::Outgoing(dialled) = &mut self.parts.way {
            dialled.dial_on(self.parts.media.keypad(), &self.tasks, &self.cancel);
        }
    }

    async fn show(&self, status: &str) {
        let status = (attributes::CALL_STATUS.to_owned(), status.to_owned());
        self.parts.room.label(HashMap::from([status])).await;
    }

    /// Headers of a BYE or REFER, by the participant's attributes.
    fn said_by_attributes(&self) -> Vec<(String, String)> {
        let mapping = &self.parts.attributes_to_headers;
        if mapping.is_empty() {
            return Vec::new();
        }
        attributes::to_headers(mapping, &self.parts.room.attributes())
    }

    /// Frees all that the call held. The media stop first: nobody shall hear a call that is over.
    pub(super) async fn release(self, reason: EndReason) -> (LegRecord, Option<Departure>) {
        self.cancel.cancel();
        let Self {
            parts, tasks, active, ..
        } = self;
        let Parts {
            room,
            media,
            mut transfers,
            way,
            mut leg,
            ..
        } = parts;
        detail::ended(&mut leg, reason);
        detail::heard(&mut leg, &media, bridge::UPLINK);
        transfers.ended();
        let in_room = !matches!(
            reason,
            EndReason::RoomClosed | EndReason::Removed | EndReason::Disconnected
        );
        if in_room {
            let told = active || matches!(way, Way::Incoming { .. });
            room.label(farewell(reason, told)).await;
        }
        if let Some(stats) = media.stats() {
            tracing::info!(step = "media", ?stats, room = ?media.faults(), "what the call's sound saw");
        }
        drop(media);
        let why = match &way {
            Way::Incoming { .. } => DisconnectReason::ClientInitiated,
            Way::Outgoing(dialled) => dialled.disconnect_reason(reason),
        };
        let departure = room.leave(why).await;
        if let Way::Outgoing(dialled) = way {
            dialled.ended(reason);
        }
        ended(tasks).await;
        (leg, in_room.then_some(departure))
    }
}

/// Waits for the tasks of a call that is cancelled.
pub(super) async fn ended(tasks: TaskTracker) {
    tasks.close();
    if timeout(TASKS_STOP_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "tasks of the call did not end in time");
    }
}

/// Resolves once, when the digits after the answer are sent. Cancel-safe.
async fn automated(way: &mut Way) {
    match way {
        Way::Outgoing(dialled) => dialled.automated().await,
        Way::Incoming { .. } => pending().await,
    }
}

/// What the participant says of itself before it leaves. Without a word on how the call ended, its record would have to go by the
/// time that passed. A phone that was dialled and has not answered keeps its status, as with livekit-sip; `told` is of all others.
pub(super) fn farewell(reason: EndReason, told: bool) -> HashMap<String, String> {
    let status = told.then(|| (attributes::CALL_STATUS.to_owned(), attributes::HANGUP.to_owned()));
    let cause = reason
        .cause()
        .map(|cause| (attribute::END.to_owned(), cause.into()));
    status.into_iter().chain(cause).collect()
}
