//! How a call that a phone has placed comes to its room, or does not.

use std::sync::Arc;
use std::time::Duration;

use events::LegRecord;
use livekit::DisconnectReason;
use sip::{CallEvent, Rejection};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::entrance::{self, Barred};
use super::line::{Answered, Line, Said};
use super::machine::EndReason;
use super::media_leg::MediaLeg;
use super::setup::{self, Admission, Joined, Locked, Prepared, Refused};
use super::transfer::Transfers;
use super::{Call, Context, conversation, detail};
use crate::attributes::{self, Moments};
use crate::bridge;
use crate::departure::Departure;

/// How long a join under way is waited for once the caller has given up.
const ABANDONED_JOIN_TIMEOUT: Duration = Duration::from_secs(4);

/// How far a call came.
pub(super) enum Entry {
    Joined(Box<Entered>),
    /// It is over; somebody may have been in the room.
    Over(EndReason, Option<Departure>),
}

/// A call that has its room.
pub(super) struct Entered {
    pub(super) joined: Joined,
    pub(super) media: MediaLeg,
    pub(super) transfers: Transfers,
    /// It was answered before.
    pub(super) answered: Option<Answered>,
}

impl Call {
    /// Everything up to the room, unless the caller or the gateway gives up before.
    pub(super) async fn join(&mut self) -> Entry {
        let context = Arc::clone(&self.context);
        let prepared = {
            let preparing = setup::prepare(&context, &self.invite, &self.control, &self.scl_id);
            tokio::select! {
                prepared = preparing => Ok(prepared),
                gone = given_up(&context, &mut self.events) => Err(gone),
            }
        };
        let Prepared {
            media,
            moments,
            entry,
        } = match prepared {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(refused)) => return self.refuse(refused).await,
            Err(gone) => return Entry::Over(self.abandon(gone).await, None),
        };
        self.leg.ringing_at = Some(moments.ringing_at);
        let dispatch = match entry {
            setup::Entry::Room(dispatch) => dispatch,
            setup::Entry::Pin(locked) => return Box::pin(self.enter(media, moments, *locked)).await,
        };
        let attributes = attributes::at_join(
            &dispatch,
            &self.invite,
            &self.scl_id,
            moments,
            attributes::RINGING,
        );
        let admission = match Admission::new(
            &context,
            &self.invite,
            *dispatch,
            &attributes,
            &media,
            self.invited,
        ) {
            Ok(admission) => admission,
            Err(refused) => return self.refuse(refused).await,
        };
        admission.describe(&mut self.leg, &context.config.regions);
        // Before the join: whoever sees the call in its room may want it elsewhere.
        let transfers = Transfers::serve(&context.server, &self.scl_id);
        let mut joining = std::pin::pin!(setup::join(&context, admission));
        let gone = tokio::select! {
            joined = &mut joining => return match joined {
                Ok(joined) => Entry::Joined(Box::new(Entered {
                    joined,
                    media,
                    transfers,
                    answered: None,
                })),
                Err(refused) => self.refuse(refused).await,
            },
            gone = given_up(&context, &mut self.events) => gone,
        };
        let told = match gone {
            GaveUp::Caller => EndReason::Cancelled,
            GaveUp::Gateway => EndReason::ShutDown,
        };
        let reason = self.abandon(gone).await;
        let departure = self.undo(joining, told).await;
        Entry::Over(reason, departure)
    }

    /// Of a call that is answered first, for its PIN.
    async fn enter(&mut self, media: MediaLeg, moments: Moments, locked: Locked) -> Entry {
        let context = Arc::clone(&self.context);
        let mut line = Line::answer(&context, &self.control, &mut self.events, media).await;
        self.leg.answered_at = Some(detail::now());
        detail::answered(&mut self.leg, 200, "OK");
        tracing::info!(step = "pin_asked", "answered, for a PIN");
        let Locked { question, place } = locked;
        let asked = entrance::ask(&context, &mut line, &question).await;
        drop(place);
        let admission = asked.and_then(|dispatch| {
            let attributes =
                attributes::at_join(&dispatch, &self.invite, &self.scl_id, moments, attributes::ACTIVE);
            let admission = Admission::new(
                &context,
                &self.invite,
                dispatch,
                &attributes,
                &line.media,
                Instant::now(),
            );
            admission.map_err(|refused| Barred::refused(refused.why))
        });
        let admission = match admission {
            Ok(admission) => admission,
            Err(barred) => return Self::bar(&mut self.leg, line, barred).await,
        };
        admission.describe(&mut self.leg, &context.config.regions);
        let transfers = Transfers::serve(&context.server, &self.scl_id);
        let mut joining = std::pin::pin!(setup::join(&context, admission));
        let reason = loop {
            // Both arms are cancel-safe: the join is not dropped.
            tokio::select! {
                joined = &mut joining => return match joined {
                    Ok(joined) => {
                        let (media, answered) = line.into_parts();
                        Entry::Joined(Box::new(Entered {
                            joined,
                            media,
                            transfers,
                            answered: Some(answered),
                        }))
                    }
                    Err(refused) => Self::bar(&mut self.leg, line, Barred::refused(refused.why)).await,
                },
                said = line.next() => if let Said::Over(reason) = said {
                    break reason;
                },
            }
        };
        Self::bar(&mut self.leg, line, reason.into()).await;
        let departure = self.undo(joining, reason).await;
        Entry::Over(reason, departure)
    }

    /// Ends an answered call that has no room.
    async fn bar(leg: &mut LegRecord, line: Line<'_>, barred: Barred) -> Entry {
        let Barred { reason, why } = barred;
        tracing::info!(step = "barred", why, "the caller is not let in");
        line.hang_up(why).await;
        detail::ended(leg, reason);
        if reason == EndReason::Refused {
            leg.why = format!("{}: {why}", leg.why);
        }
        let media = line.close().await;
        detail::heard(leg, &media, bridge::UPLINK);
        Entry::Over(reason, None)
    }

    /// A join that is under way, of a call that is over, must not leave a participant behind.
    async fn undo(
        &mut self,
        joining: impl Future<Output = Result<Joined, Refused>>,
        reason: EndReason,
    ) -> Option<Departure> {
        let Ok(Ok(joined)) = timeout(ABANDONED_JOIN_TIMEOUT, joining).await else {
            return None;
        };
        self.room_created_at = detail::placed(&mut self.leg, &joined.room).await;
        joined.room.label(conversation::farewell(reason, true)).await;
        Some(joined.room.leave(DisconnectReason::ClientInitiated).await)
    }

    async fn abandon(&mut self, gone: GaveUp) -> EndReason {
        tracing::info!(step = "abandoned", "given up before the room was joined");
        match gone {
            GaveUp::Caller => {
                detail::answered(&mut self.leg, 487, "Request Terminated");
                detail::ended(&mut self.leg, EndReason::Cancelled);
                EndReason::Cancelled
            }
            GaveUp::Gateway => {
                detail::refused(&mut self.leg, 503, "shutting down");
                // The caller may have given up as well.
                let rejection = Rejection::with_reason(503, "shutting down");
                let _ = self.control.reject(rejection).await;
                EndReason::Refused
            }
        }
    }

    async fn refuse(&mut self, refused: Refused) -> Entry {
        tracing::info!(
            step = "refused",
            code = refused.rejection.code,
            why = refused.why,
            "call refused"
        );
        detail::refused(&mut self.leg, refused.rejection.code, refused.why);
        // The caller may have given up.
        let _ = self.control.reject(refused.rejection).await;
        Entry::Over(EndReason::Refused, None)
    }
}

/// Who gave a call up before it was joined.
enum GaveUp {
    Caller,
    Gateway,
}

/// Resolves when the call is to be given up. Before the answer every event of a call is its end. Cancel-safe.
async fn given_up(context: &Context, events: &mut mpsc::Receiver<CallEvent>) -> GaveUp {
    tokio::select! {
        () = context.stop.cancelled() => GaveUp::Gateway,
        _ = events.recv() => GaveUp::Caller,
    }
}
