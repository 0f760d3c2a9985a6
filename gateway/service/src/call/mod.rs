//! One call's task: of a call that a phone has placed here, of one that we place in [`outgoing`].

mod conversation;
mod detail;
pub(crate) mod machine;
mod media_leg;
pub(crate) mod outgoing;
mod setup;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use events::{Direction, LegRecord, Timestamp};
use livekit::DisconnectReason;
use media::PortPool;
use platform::livekit::LiveKit;
use platform::targets::Policy;
use sip::digest::Authenticator;
use sip::{CallControl, CallEvent, Dialer, IncomingCall, Invite, Ladder, Rejection};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::GatewayConfig;
use crate::departure::Departure;
use crate::records::Records;
use crate::registrations::ByContact;
use conversation::{Conversation, Parts, Way};
use machine::{EndReason, Machine};
use outgoing::caps::Caps;
use setup::{Joined, Refused};
use transfer::Transfers;

/// How long a join under way is waited for once the caller has given up.
const ABANDONED_JOIN_TIMEOUT: Duration = Duration::from_secs(4);

/// What all calls share.
pub(crate) struct Context {
    pub(crate) config: GatewayConfig,
    pub(crate) livekit: LiveKit,
    pub(crate) bus: bus::Client,
    pub(crate) server: bus::Server,
    pub(crate) dialer: Dialer,
    /// The accounts that calls come by.
    pub(crate) registered: ByContact,
    /// Whom calls may be placed and transferred to.
    pub(crate) targets: Policy,
    pub(crate) caps: Caps,
    pub(crate) ports: PortPool,
    pub(crate) authenticator: Authenticator,
    /// The process's start, for the digest's clock.
    pub(crate) started: Instant,
    pub(crate) stop: CancellationToken,
    pub(crate) records: Records,
}

impl Context {
    /// Sees a call off that is over: what it was is kept, and whoever was in the room for it has left.
    async fn see_off(
        &self,
        leg: &LegRecord,
        room_created_at: Option<Timestamp>,
        ladder: &Ladder,
        departure: Option<Departure>,
    ) {
        let leaves = async {
            if let Some(departure) = departure {
                departure.confirm(&self.livekit).await;
            }
        };
        tokio::join!(self.records.put(leg, room_created_at, ladder), leaves);
    }
}

/// Serves one call to its end.
pub(crate) async fn run(context: Arc<Context>, call: IncomingCall) {
    let sip_call = bus::Id::SipCall.generate();
    let span = tracing::info_span!("call", sip_call, call_id = tracing::field::Empty);
    let IncomingCall {
        mut invite,
        control,
        events,
        ladder,
    } = call;
    let registration = context.registered.claim(&mut invite).map(ToOwned::to_owned);
    let invited = Instant::now();
    let mut leg = LegRecord::begun(&sip_call, &invite.call_id, Direction::Inbound, detail::now());
    leg.registration.clone_from(&registration);
    let call = Call {
        leg,
        room_created_at: None,
        ladder,
        context,
        invite,
        control,
        events,
        scl_id: sip_call,
        registration,
        invited,
    };
    call.serve().instrument(span).await;
}

struct Call {
    context: Arc<Context>,
    invite: Invite,
    control: CallControl,
    events: mpsc::Receiver<CallEvent>,
    /// `SCL_…`, by which LiveKit knows the call.
    scl_id: String,
    /// The account that it comes by.
    registration: Option<String>,
    invited: Instant,
    leg: LegRecord,
    room_created_at: Option<Timestamp>,
    ladder: Ladder,
}

impl Call {
    async fn serve(mut self) {
        tracing::info!(step = "invite", registration = self.registration, "call offered");
        let (reason, departure) = match self.join().await {
            Entry::Joined(joined, transfers) => self.converse(*joined, transfers).await,
            Entry::Over(departure) => (self.over(), departure),
        };
        let lasted_ms = millis(self.invited.elapsed());
        tracing::info!(step = "ended", reason = reason.as_str(), lasted_ms, "call ended");
        let Self {
            context,
            leg,
            room_created_at,
            ladder,
            ..
        } = &self;
        context.see_off(leg, *room_created_at, ladder, departure).await;
    }

    /// Everything up to the room, unless the caller or the gateway gives up before.
    async fn join(&mut self) -> Entry {
        let context = Arc::clone(&self.context);
        let prepared = {
            let preparing = setup::prepare(&context, &self.invite, &self.control, &self.scl_id);
            tokio::select! {
                prepared = preparing => Ok(prepared),
                gone = given_up(&context, &mut self.events) => Err(gone),
            }
        };
        let prepared = match prepared {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(refused)) => return self.refuse(refused).await,
            Err(gone) => return self.abandon(gone).await,
        };
        prepared.describe(&mut self.leg, &context.config.regions);
        // Before the join: whoever sees the call in its room may want it elsewhere.
        let transfers = Transfers::serve(&context.server, &self.scl_id);
        let mut joining = std::pin::pin!(setup::join(&context, prepared, self.invited));
        let gone = tokio::select! {
            joined = &mut joining => return match joined {
                Ok(joined) => Entry::Joined(Box::new(joined), transfers),
                Err(refused) => self.refuse(refused).await,
            },
            gone = given_up(&context, &mut self.events) => gone,
        };
        let reason = match gone {
            GaveUp::Caller => EndReason::Cancelled,
            GaveUp::Gateway => EndReason::ShutDown,
        };
        self.abandon(gone).await;
        // The join must not leave a participant behind.
        if let Ok(Ok(joined)) = timeout(ABANDONED_JOIN_TIMEOUT, joining).await {
            self.room_created_at = detail::placed(&mut self.leg, &joined.room).await;
            joined.room.label(conversation::farewell(reason, false)).await;
            return Entry::Over(Some(joined.room.leave(DisconnectReason::ClientInitiated).await));
        }
        Entry::Over(None)
    }

    async fn converse(&mut self, joined: Joined, transfers: Transfers) -> (EndReason, Option<Departure>) {
        let Joined {
            room,
            media,
            options,
            ok_headers,
            attributes_to_headers,
        } = joined;
        self.room_created_at = detail::placed(&mut self.leg, &room).await;
        let mut conversation = Conversation::new(Parts {
            leg: self.leg.clone(),
            context: &self.context,
            control: &self.control,
            events: &mut self.events,
            room,
            media,
            transfers,
            attributes_to_headers,
            way: Way::Incoming { ok_headers },
        });
        let reason = conversation.run(Machine::incoming(options)).await;
        let departure;
        (self.leg, departure) = conversation.release(reason).await;
        (reason, departure)
    }

    /// The end of a call that had no conversation.
    fn over(&self) -> EndReason {
        match self.leg.status.as_ref().map(|status| status.code) {
            Some(487) => EndReason::Cancelled,
            _ => EndReason::Refused,
        }
    }

    async fn abandon(&mut self, gone: GaveUp) -> Entry {
        tracing::info!(step = "abandoned", "given up before the room was joined");
        match gone {
            GaveUp::Caller => {
                detail::answered(&mut self.leg, 487, "Request Terminated");
                detail::ended(&mut self.leg, EndReason::Cancelled);
            }
            GaveUp::Gateway => {
                detail::refused(&mut self.leg, 503, "shutting down");
                // The caller may have given up as well.
                let rejection = Rejection::with_reason(503, "shutting down");
                let _ = self.control.reject(rejection).await;
            }
        }
        Entry::Over(None)
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
        Entry::Over(None)
    }
}

/// How far a call came.
enum Entry {
    Joined(Box<Joined>, Transfers),
    /// It is over; somebody may have been in the room.
    Over(Option<Departure>),
}

/// For logs: 128 bits would be written as a text.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
