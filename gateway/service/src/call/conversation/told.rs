//! What the phone, the room and LiveKit say to a conversation, as the machine takes it.

use events::livekit::attribute;
use livekit::DisconnectReason;
use sip::{Answer, CallEvent, Renegotiation, TransferEvent};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{Conversation, Way};
use crate::bridge::{self, Sound};
use crate::call::detail;
use crate::call::line::keyed;
use crate::call::machine::{Input, RoomLoss};
use crate::call::referral::{self, Called, Followed, Wanted};
use crate::call::transfer::{Happened, Referral, Verdict};
use crate::methods::EndCall;
use crate::room::RoomChange;

/// Digits by INFO that may wait.
const INFO_QUEUE: usize = 32;

impl Conversation<'_> {
    pub(super) async fn phone(&mut self, event: Option<CallEvent>) -> Option<Input> {
        let parts = &mut self.parts;
        match event {
            Some(CallEvent::Acknowledged) => Some(Input::Acknowledged),
            Some(CallEvent::Cancelled) => {
                detail::answered(&mut parts.leg, 487, "Request Terminated");
                Some(Input::CallerLeft)
            }
            Some(CallEvent::HungUp) => {
                // Some hang up as soon as they have accepted a REFER.
                let went = parts.transfers.hung_up();
                Some(if went {
                    Input::WentElsewhere
                } else {
                    Input::CallerLeft
                })
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
            Some(CallEvent::Transfer(event)) => self.told(event).await,
            Some(CallEvent::Referred(referral)) => {
                self.referred(referral).await;
                None
            }
            Some(event) => self.dialled(event),
        }
    }

    /// What becomes of a call that we place, up to its answer.
    fn dialled(&mut self, event: CallEvent) -> Option<Input> {
        let parts = &mut self.parts;
        match event {
            CallEvent::Trying(host) => {
                tracing::info!(step = "invited", host = %host.address, transport = %host.transport, "the INVITE is sent");
                detail::tried(&mut parts.leg, &host);
                None
            }
            CallEvent::HostFailed(fault) => {
                tracing::warn!(
                    why = fault.as_str(),
                    "it came to nothing at this host; the next one is tried, if there is one"
                );
                detail::host_failed(&mut parts.leg, fault);
                None
            }
            CallEvent::Progress { code, sdp } => {
                if let Way::Outgoing(dialled) = &mut parts.way
                    && sdp.is_some_and(|sdp| parts.media.accept(&sdp).is_ok())
                {
                    dialled.stop_ringing();
                    parts.media.start(&self.tasks, &self.cancel, &parts.room);
                    tracing::info!(step = "early_media", "the network is heard");
                }
                (180..190).contains(&code).then_some(Input::Rings)
            }
            CallEvent::Answered(answer) => self.picked_up(answer),
            CallEvent::Refused { code, phrase } => {
                detail::answered(&mut parts.leg, code, &phrase);
                if let Way::Outgoing(dialled) = &mut parts.way {
                    dialled.refused(code, phrase);
                }
                Some(Input::NotPutThrough)
            }
            CallEvent::Unreachable => Some(Input::Unreachable),
            // The others are of any call.
            _ => None,
        }
    }

    fn picked_up(&mut self, answer: Answer) -> Option<Input> {
        let parts = &mut self.parts;
        let Way::Outgoing(dialled) = &mut parts.way else {
            return None;
        };
        match parts.media.accept(&answer.sdp) {
            Ok(()) => {
                let told = &parts.room.remote_headers;
                told.set(&answer.headers, dialled.hidden_number());
                dialled.answered(answer);
                Some(Input::PickedUp)
            }
            Err(error) => {
                tracing::warn!(%error, "the phone's answer cannot be used");
                Some(Input::NoMedia)
            }
        }
    }

    /// A digit by INFO, where that is wanted and the phone has no other way: who sends both means one.
    fn pressed(&mut self, content_type: &str, body: &[u8]) {
        let parts = &self.parts;
        if !self.connected {
            return;
        }
        let Some(digit) = keyed(parts.context, &parts.media, content_type, body) else {
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

    pub(super) async fn transfer(&mut self, happened: Happened) -> Option<Input> {
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
                let meanwhile = if rings {
                    Some(Sound::Ring)
                } else {
                    self.parts.context.sounds.hold()
                };
                if meanwhile.is_some() {
                    self.parts.media.play(meanwhile).await;
                }
                let _ = self.parts.control.refer(to, headers).await;
                None
            }
            Happened::TimedOut => {
                tracing::info!(
                    step = "transfer_failed",
                    "nothing was heard of the transfer in time"
                );
                self.parts.media.play(None).await;
                Some(Input::NotTransferred)
            }
            Happened::IsThere => Some(Input::Transferred),
        }
    }

    async fn told(&mut self, event: TransferEvent) -> Option<Input> {
        match self.parts.transfers.told(event) {
            Verdict::Waiting => None,
            Verdict::Failed => {
                tracing::info!(step = "transfer_failed", "the call goes on");
                self.parts.media.play(None).await;
                Some(Input::NotTransferred)
            }
            Verdict::Done => {
                tracing::info!(step = "transferred", "the phone is elsewhere");
                None
            }
        }
    }

    /// The phone wants somebody called in its place.
    async fn referred(&mut self, referral: sip::Referral) {
        let context = self.parts.context;
        // 405, as the stack answers by itself.
        let Some(trunk) = context.config.refer_trunk.clone() else {
            return;
        };
        let number = referral::number(&referral.to, &context.targets);
        let code = match &number {
            _ if !self.connected || self.referrals.is_busy() => 491,
            Some(_) => 202,
            None => 403,
        };
        // It may have given up.
        let _ = referral.answer.send(code);
        let Some(number) = number.filter(|_| code == 202) else {
            return tracing::info!(step = "refer_refused", code, "the phone's REFER is not followed");
        };
        tracing::info!(step = "refer", "the phone wants somebody called in its place");
        let wanted = Wanted {
            number,
            trunk,
            room: self.parts.room.name(),
            ringing: context.config.calls.ringing_timeout,
        };
        let (told, livekit) = (self.referrals.begin(), context.livekit.clone());
        let (span, cancel) = (tracing::Span::current(), self.cancel.clone());
        let calling = async move {
            if let Some(called) = cancel.run_until_cancelled(referral::call(livekit, wanted)).await {
                // The call may be over.
                let _ = told.send(called);
            }
        };
        self.tasks.spawn(calling.instrument(span));
        self.label_refer("asked").await;
    }

    pub(super) async fn followed(&mut self, followed: Followed) -> Option<Input> {
        let called = match followed {
            Followed::Called(called) => called,
            Followed::IsThere => return Some(Input::Transferred),
        };
        let (code, phrase) = called.status();
        tracing::info!(step = "referred", code, "what has come of the phone's REFER");
        let _ = self.parts.control.notify(code, phrase.to_owned(), true).await;
        let stands = called == Called::Stands;
        self.label_refer(if stands { "done" } else { "failed" }).await;
        None
    }

    async fn label_refer(&self, state: &str) {
        let label = (attribute::REFER.to_owned(), state.to_owned());
        self.parts.room.label([label].into()).await;
    }

    pub(super) async fn room_changed(&mut self, change: RoomChange) -> Option<Input> {
        let media = &self.parts.media;
        match change {
            RoomChange::Published { identity } => Some(Input::Published { identity }),
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
            RoomChange::EndCall(EndCall(headers)) => {
                tracing::info!(step = "end_call", "a participant of the room ends the call");
                self.goodbye = headers;
                Some(Input::EndCall)
            }
            RoomChange::Back => {
                self.parts.room.label_again().await;
                None
            }
            RoomChange::Lost(reason) => Some(Input::RoomLost(match reason {
                DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed => RoomLoss::Closed,
                DisconnectReason::ParticipantRemoved => RoomLoss::Removed,
                _ => RoomLoss::Disconnected,
            })),
        }
    }
}
