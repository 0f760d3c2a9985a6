//! A phone that we dial, beside its dialog: what the room hears meanwhile, what LiveKit is told, what is dialled after the answer.

use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;

use bus::Incoming;
use bus::sipinternal::Created;
use events::livekit::attribute;
use livekit::DisconnectReason;
use sip::Answer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caps::Place;
use super::failure::{self, SipFailure};
use super::order::{Order, Press};
use crate::attributes;
use crate::bridge::{self, Change};
use crate::call::machine::EndReason;
use crate::room::RoomLeg;

/// A digit takes 260 ms on the wire (13 packets); between two of them livekit-sip leaves this.
const DIGIT: Duration = Duration::from_millis(260);
const BETWEEN_DIGITS: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(500);

pub(in crate::call) struct Dialled {
    order: Order,
    /// The Call-ID header.
    call_id: String,
    /// Who waits for the answer.
    reply: Option<Incoming>,
    /// Ends the ringing that the room hears.
    ringing: CancellationToken,
    answer: Option<Answer>,
    failure: Option<SipFailure>,
    automation: Option<oneshot::Receiver<()>>,
    place: Place,
}

impl Dialled {
    pub(super) fn new(order: Order, call_id: String, reply: Option<Incoming>, place: Place) -> Self {
        Self {
            order,
            call_id,
            reply,
            place,
            ringing: CancellationToken::new(),
            answer: None,
            failure: None,
            automation: None,
        }
    }

    /// Lets the room hear it ring, if that is wanted.
    pub(in crate::call) fn ring_into(
        &mut self,
        room: &RoomLeg,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        if self.order.request.play_dialtone {
            self.ringing = cancel.child_token();
            let (source, rate) = (room.source.clone(), room.sample_rate_hz);
            tasks.spawn(bridge::ring_into(source, rate, self.ringing.clone()));
        }
    }

    pub(in crate::call) fn stop_ringing(&self) {
        self.ringing.cancel();
    }

    pub(in crate::call) fn answered(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    pub(in crate::call) fn refused(&mut self, code: u16, phrase: String) {
        self.failure = Some(SipFailure { code, phrase });
    }

    /// The number, where LiveKit hides it from the room.
    pub(in crate::call) fn hidden_number(&self) -> Option<&str> {
        let shown = self
            .order
            .request
            .participant_attributes
            .contains_key(attribute::SIP_NUMBER);
        (!shown).then_some(self.order.number.as_str())
    }

    /// What the answer adds to the participant's attributes.
    pub(in crate::call) fn labels(&self) -> HashMap<String, String> {
        let answer = self.answer.as_ref();
        answer
            .map(|answer| attributes::answered(&self.order.request, &self.call_id, answer))
            .unwrap_or_default()
    }

    /// Tells whoever waits that the phone is in the room.
    pub(in crate::call) fn succeeded(&mut self, participant_id: String) {
        if let Some(reply) = self.reply.take() {
            reply.answer(Ok(created(&self.order, participant_id)));
        }
    }

    /// Whether anything is to be dialled after the answer.
    pub(in crate::call) fn has_digits(&self) -> bool {
        !self.order.dtmf.is_empty()
    }

    /// Dials what is to be dialled after the answer.
    pub(in crate::call) fn dial_on(
        &mut self,
        keypad: mpsc::Sender<Change>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let (done, automation) = oneshot::channel();
        self.automation = Some(automation);
        let presses = std::mem::take(&mut self.order.dtmf);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            if cancel.run_until_cancelled(press(presses, keypad)).await.is_some() {
                // The call may be over.
                let _ = done.send(());
            }
        });
    }

    /// Resolves once, when what is dialled after the answer has been sent. Cancel-safe.
    pub(in crate::call) async fn automated(&mut self) {
        let Some(automation) = &mut self.automation else {
            return pending().await;
        };
        let done = automation.await;
        self.automation = None;
        if done.is_err() {
            pending::<()>().await;
        }
    }

    /// Why the phone's participant leaves the room.
    pub(in crate::call) fn disconnect_reason(&self, reason: EndReason) -> DisconnectReason {
        match (reason, &self.failure) {
            (EndReason::NotAnswered | EndReason::Unreachable, _) => DisconnectReason::UserUnavailable,
            (EndReason::NotPutThrough, Some(failure)) => failure.disconnect_reason(),
            _ => DisconnectReason::ClientInitiated,
        }
    }

    /// The call is over. Whoever still waits for the answer is told why there is none.
    pub(in crate::call) fn ended(self, reason: EndReason) {
        // Whoever hears that the line is busy may dial again at once.
        drop(self.place);
        let Some(reply) = self.reply else { return };
        let fault = match (reason, self.failure) {
            (EndReason::NotPutThrough, Some(failure)) => failure.of_invite(),
            (
                EndReason::NotAnswered | EndReason::Unreachable | EndReason::RoomClosed | EndReason::Removed,
                _,
            ) => failure::timed_out(),
            (reason, _) => failure::own(reason.as_str()),
        };
        reply.answer::<Created>(Err(fault));
    }
}

/// What LiveKit is told of a phone that is in its room.
pub(super) fn created(order: &Order, participant_id: String) -> Created {
    Created {
        participant_id,
        participant_identity: order.request.participant_identity.clone(),
        sip_call_id: order.request.sip_call_id.clone(),
    }
}

async fn press(presses: Vec<Press>, keypad: mpsc::Sender<Change>) {
    for press in presses {
        match press {
            Press::Pause => sleep(PAUSE).await,
            Press::Digit(digit) => {
                if keypad.send(Change::Press(digit)).await.is_err() {
                    return;
                }
                sleep(DIGIT + BETWEEN_DIGITS).await;
            }
        }
    }
}
