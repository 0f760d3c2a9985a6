//! One call's task: of a call that a phone has placed here, of one that we place in [`outgoing`].

mod admit;
mod conversation;
mod detail;
mod entrance;
mod heard;
mod line;
pub(crate) mod machine;
mod media_leg;
pub(crate) mod outgoing;
mod pin;
mod referral;
mod setup;
mod transfer;
mod trunk;

use std::sync::Arc;
use std::time::Duration;

use events::{Direction, LegRecord, Timestamp};
use media::PortPool;
use platform::config::SipNoAgent;
use platform::livekit::LiveKit;
use platform::targets::Policy;
use sip::digest::Authenticator;
use sip::{CallControl, CallEvent, Dialer, IncomingCall, Invite, Ladder};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::GatewayConfig;
use crate::departure::Departure;
use crate::records::Records;
use crate::registrations::ByContact;
use crate::sounds::{Clip, Sounds};
use admit::{Entered, Entry};
use conversation::{Conversation, Parts, Way};
use machine::{EndReason, Machine, NoAgent};
use outgoing::caps::Caps;
use setup::Joined;

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
    pub(crate) sounds: Sounds,
    /// Where phones are sent that no agent answers, as a URI.
    pub(crate) elsewhere: Option<String>,
    /// Places for callers who enter a PIN: they hold a port and nobody has answered them.
    pub(crate) pins: Arc<Semaphore>,
    pub(crate) ports: PortPool,
    pub(crate) authenticator: Authenticator,
    /// The process's start, for the digest's clock.
    pub(crate) started: Instant,
    pub(crate) stop: CancellationToken,
    pub(crate) records: Records,
}

impl Context {
    /// What becomes of callers whom no agent answers.
    fn no_agent(&self) -> NoAgent {
        let transfers = self.elsewhere.is_some();
        let prompts = transfers || self.config.no_agent == SipNoAgent::Prompt;
        let prompt = self.sounds.no_agent.as_ref().filter(|_| prompts);
        NoAgent {
            transfers,
            prompt: prompt.map(Clip::length),
        }
    }

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
                departure.insist(&self.livekit, &self.stop).await;
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
            Entry::Joined(entered) => self.converse(*entered).await,
            Entry::Over(reason, departure) => (reason, departure),
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

    async fn converse(&mut self, entered: Entered) -> (EndReason, Option<Departure>) {
        let Entered {
            joined,
            media,
            transfers,
            answered,
        } = entered;
        let Joined {
            room,
            options,
            ok_headers,
            attributes_to_headers,
        } = joined;
        self.room_created_at = detail::placed(&mut self.leg, &room).await;
        let machine = match &answered {
            Some(answered) => Machine::answered(options, answered.acknowledged, Instant::now().into_std()),
            None => Machine::incoming(options),
        };
        let mut conversation = Conversation::new(Parts {
            leg: self.leg.clone(),
            context: &self.context,
            control: &self.control,
            events: &mut self.events,
            room,
            media,
            transfers,
            attributes_to_headers,
            way: Way::Incoming { ok_headers, answered },
        });
        let reason = conversation.run(machine).await;
        let departure;
        (self.leg, departure) = conversation.release(reason).await;
        (reason, departure)
    }
}

/// For logs: 128 bits would be written as a text.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
