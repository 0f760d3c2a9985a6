//! A call that has its room: the machine's hands.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use events::LegRecord;
use events::livekit::attribute;
use livekit::DisconnectReason;
use media::Digit;
use sip::{CallControl, CallEvent, Rejection, Renegotiation, TransferEvent};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::{EndReason, Input, Machine, Output, RoomLoss};
use super::media_leg::MediaLeg;
use super::outgoing::dialled::Dialled;
use super::transfer::{Happened, Referral, Transfers, Verdict};
use super::{Context, detail};
use crate::departure::Departure;
use crate::room::{RoomChange, RoomLeg};
use crate::{attributes, bridge};

/// How long the call's own tasks may take to end.
const TASKS_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Digits by INFO that may wait.
const INFO_QUEUE: usize = 32;

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
    Incoming { ok_headers: Vec<(String, String)> },
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
}

impl<'a> Conversation<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Self {
        let mut conversation = Self {
            parts,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            active: false,
            connected: false,
            pressed: None,
        };
        if let Way::Outgoing(dialled) = &mut conversation.parts.way {
            dialled.ring_into(
                &conversation.parts.room,
                &conversation.tasks,
                &conversation.cancel,
            );
        }
        conversation
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
                parts.media.start(&self.tasks, &self.cancel, &parts.room);
                self.connected = true;
                let headers = match &mut parts.way {
                    Way::Incoming { ok_headers } => std::mem::take(ok_headers),
                    Way::Outgoing(_) => Vec::new(),
                };
                let _ = parts.control.accept(parts.media.description(), headers).await;
                parts.leg.answered_at = Some(detail::now());
                detail::answered(&mut parts.leg, 200, "OK");
                tracing::info!(step = "answered", "an agent is heard");
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
                let _ = parts.control.reject(Rejection::with_reason(code, text)).await;
            }
            Output::HangUp { text } => {
                let reason = format!("SIP;cause=200;text=\"{text}\"");
                let headers = self.said_by_attributes();
                let _ = self.parts.control.bye_with(Some(reason), headers).await;
            }
            Output::End(reason) => return Some(reason),
        }
        None
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

    async fn phone(&mut self, event: Option<CallEvent>) -> Option<Input> {
        let parts = &mut self.parts;
        match event {
            Some(CallEvent::Acknowledged) => Some(Input::Acknowledged),
            Some(CallEvent::Cancelled) => {
                detail::answered(&mut parts.leg, 487, "Request Terminated");
                Some(Input::CallerLeft)
            }
            Some(CallEvent::HungUp) => {
                // Some hang up as soon as they have accepted a REFER.
                parts.transfers.hung_up();
                Some(Input::CallerLeft)
            }
            Some(CallEvent::NotAcknowledged) => Some(Input::NotAcknowledged),
            Some(CallEvent::SessionExpired) => Some(Input::SessionExpired),
            Some(CallEvent::Ended) | None => Some(Input::DialogEnded),
            Some(CallEvent::Renegotiation(Renegotiation { offer, answer })) => {
                // The stack answers 488 by itself when this is `None`; it may also have given up waiting.
                let _ = answer.send(parts.media.renegotiate(offer.as_deref()));
                None
            }
            Some(CallEvent::OfferAnswered(answer)) => {
                let was_agreed = parts.media.codec().is_some();
                match parts.media.accept(&answer) {
                    Ok(()) => {
                        // After an INVITE without SDP: only now is it known how to speak.
                        parts.media.start(&self.tasks, &self.cancel, &parts.room);
                        None
                    }
                    Err(error) if was_agreed => {
                        tracing::warn!(%error, "the session stays as it was");
                        None
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the phone's answer cannot be used");
                        Some(Input::NoMedia)
                    }
                }
            }
            Some(CallEvent::Info { content_type, body }) => {
                self.pressed(&content_type, &body);
                None
            }
            Some(CallEvent::Progress { code, sdp }) => {
                if let Way::Outgoing(dialled) = &mut parts.way
                    && sdp.is_some_and(|sdp| parts.media.accept(&sdp).is_ok())
                {
                    dialled.stop_ringing();
                    parts.media.start(&self.tasks, &self.cancel, &parts.room);
                    tracing::info!(step = "early_media", "the network is heard");
                }
                (180..190).contains(&code).then_some(Input::Rings)
            }
            Some(CallEvent::Answered(answer)) => {
                let Way::Outgoing(dialled) = &mut parts.way else {
                    return None;
                };
                match parts.media.accept(&answer.sdp) {
                    Ok(()) => {
                        dialled.answered(answer);
                        Some(Input::PickedUp)
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the phone's answer cannot be used");
                        Some(Input::NoMedia)
                    }
                }
            }
            Some(CallEvent::Refused { code, phrase }) => {
                detail::answered(&mut parts.leg, code, &phrase);
                if let Way::Outgoing(dialled) = &mut parts.way {
                    dialled.refused(code, phrase);
                }
                Some(Input::NotPutThrough)
            }
            Some(CallEvent::Unreachable) => Some(Input::Unreachable),
            Some(CallEvent::Transfer(event)) => {
                self.told(event).await;
                None
            }
        }
    }

    /// A digit by INFO, where that is wanted and the phone has no other way: who sends both means one.
    fn pressed(&mut self, content_type: &str, body: &[u8]) {
        let parts = &self.parts;
        if !parts.context.config.info_dtmf || !self.connected || parts.media.has_events() {
            return;
        }
        let Some(digit) = media::dtmf::of_info(content_type, body) else {
            return;
        };
        let pressed = self.pressed.get_or_insert_with(|| {
            let (pressed, digits) = mpsc::channel(INFO_QUEUE);
            let (keypad, cancel) = (parts.room.keypad(), self.cancel.clone());
            self.tasks.spawn(bridge::keys(digits, keypad, cancel));
            pressed
        });
        // Nobody presses so many keys faster than the room takes them.
        let _ = pressed.try_send(digit);
    }

    async fn transfer(&mut self, happened: Happened) -> Option<Input> {
        match happened {
            Happened::Asked(request) => {
                let may = self.connected.then_some(&self.parts.context.targets);
                let Referral {
                    to,
                    mut headers,
                    rings,
                } = self.parts.transfers.asked(request, may)?;
                headers.extend(self.said_by_attributes());
                tracing::info!(step = "transfer", "the phone is asked to go elsewhere");
                self.parts.media.ring(rings).await;
                let _ = self.parts.control.refer(to, headers).await;
                None
            }
            Happened::TimedOut => {
                tracing::info!(
                    step = "transfer_failed",
                    "nothing was heard of the transfer in time"
                );
                self.parts.media.ring(false).await;
                None
            }
            Happened::IsThere => Some(Input::Transferred),
        }
    }

    async fn told(&mut self, event: TransferEvent) {
        match self.parts.transfers.told(event) {
            Verdict::Waiting => {}
            Verdict::Failed => {
                tracing::info!(step = "transfer_failed", "the call goes on");
                self.parts.media.ring(false).await;
            }
            Verdict::Done => tracing::info!(step = "transferred", "the phone is elsewhere"),
        }
    }

    async fn room_changed(&mut self, change: RoomChange) -> Option<Input> {
        let media = &self.parts.media;
        match change {
            RoomChange::Track {
                identity,
                is_phone,
                sid,
                track,
            } => {
                media.add_track(sid, track).await;
                Some(Input::Heard { identity, is_phone })
            }
            RoomChange::TrackGone { sid } => {
                media.remove_track(sid).await;
                None
            }
            RoomChange::Left { identity, deliberate } => Some(Input::Left { identity, deliberate }),
            RoomChange::Digit(digit) => {
                media.press(digit).await;
                None
            }
            RoomChange::Lost(reason) => Some(Input::RoomLost(match reason {
                DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed => RoomLoss::Closed,
                DisconnectReason::ParticipantRemoved => RoomLoss::Removed,
                _ => RoomLoss::Disconnected,
            })),
        }
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
            room.label(farewell(reason, active)).await;
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
        tasks.close();
        if timeout(TASKS_STOP_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "tasks of the call did not end in time");
        }
        (leg, in_room.then_some(departure))
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
/// time that passed.
pub(super) fn farewell(reason: EndReason, was_active: bool) -> HashMap<String, String> {
    let status = was_active.then(|| (attributes::CALL_STATUS.to_owned(), attributes::HANGUP.to_owned()));
    let cause = reason
        .cause()
        .map(|cause| (attribute::END.to_owned(), cause.into()));
    status.into_iter().chain(cause).collect()
}
