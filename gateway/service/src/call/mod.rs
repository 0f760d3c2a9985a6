//! One call's task.

pub(crate) mod machine;
mod media_leg;
mod setup;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livekit::DisconnectReason;
use media::PortPool;
use platform::livekit::LiveKit;
use sip::digest::Authenticator;
use sip::{CallControl, CallEvent, IncomingCall, Invite, Rejection, Renegotiation};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::departure::Departure;
use crate::room::{RoomChange, RoomLeg};
use crate::{GatewayConfig, attributes};
use machine::{EndReason, Input, Machine, Output, RoomLoss};
use media_leg::MediaLeg;
use setup::{Joined, Refused};

/// How long the call's own tasks may take to end.
const TASKS_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a join under way is waited for once the caller has given up.
const ABANDONED_JOIN_TIMEOUT: Duration = Duration::from_secs(4);

/// What all calls share.
pub(crate) struct Context {
    pub(crate) config: GatewayConfig,
    pub(crate) livekit: LiveKit,
    pub(crate) bus: bus::Client,
    pub(crate) ports: PortPool,
    pub(crate) authenticator: Authenticator,
    /// The process's start, for the digest's clock.
    pub(crate) started: Instant,
    pub(crate) stop: CancellationToken,
}

/// Serves one call to its end.
pub(crate) async fn run(context: Arc<Context>, call: IncomingCall) {
    let sip_call = bus::Id::SipCall.generate();
    let span = tracing::info_span!("call", sip_call, call_id = tracing::field::Empty);
    let IncomingCall {
        invite,
        control,
        events,
    } = call;
    let invited = Instant::now();
    let call = Call {
        context,
        invite,
        control,
        events,
        scl_id: sip_call,
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
    invited: Instant,
}

impl Call {
    async fn serve(mut self) {
        tracing::info!(step = "invite", "call offered");
        let (reason, departure) = match self.join().await {
            Entry::Joined(joined) => self.converse(*joined).await,
            Entry::Over(departure) => (EndReason::Refused, departure),
        };
        let lasted_ms = millis(self.invited.elapsed());
        tracing::info!(step = "ended", reason = reason.as_str(), lasted_ms, "call ended");
        if let Some(departure) = departure {
            departure.confirm(&self.context.livekit).await;
        }
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
            Ok(Err(refused)) => return refuse(&self.control, refused).await,
            Err(gone) => return abandon(&self.control, gone).await,
        };
        let mut joining = std::pin::pin!(setup::join(&context, prepared, self.invited));
        let gone = tokio::select! {
            joined = &mut joining => return match joined {
                Ok(joined) => Entry::Joined(Box::new(joined)),
                Err(refused) => refuse(&self.control, refused).await,
            },
            gone = given_up(&context, &mut self.events) => gone,
        };
        let reason = match gone {
            GaveUp::Caller => EndReason::Cancelled,
            GaveUp::Gateway => EndReason::ShutDown,
        };
        abandon(&self.control, gone).await;
        // The join must not leave a participant behind.
        if let Ok(Ok(joined)) = timeout(ABANDONED_JOIN_TIMEOUT, joining).await {
            joined.room.label(farewell(reason, false)).await;
            return Entry::Over(Some(joined.room.leave().await));
        }
        Entry::Over(None)
    }

    async fn converse(&mut self, joined: Joined) -> (EndReason, Option<Departure>) {
        let Joined {
            room,
            media,
            options,
            ok_headers,
        } = joined;
        let mut conversation = Conversation {
            context: Arc::clone(&self.context),
            control: &self.control,
            events: &mut self.events,
            room,
            media,
            ok_headers,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            active: false,
        };
        let reason = conversation.run(Machine::new(options)).await;
        let departure = conversation.release(reason).await;
        (reason, departure)
    }
}

/// How far a call came.
enum Entry {
    Joined(Box<Joined>),
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

async fn abandon(control: &CallControl, gone: GaveUp) -> Entry {
    tracing::info!(step = "abandoned", "given up before the room was joined");
    if let GaveUp::Gateway = gone {
        // The caller may have given up as well.
        let _ = control.reject(Rejection::with_reason(503, "shutting down")).await;
    }
    Entry::Over(None)
}

async fn refuse(control: &CallControl, refused: Refused) -> Entry {
    tracing::info!(
        step = "refused",
        code = refused.rejection.code,
        why = refused.why,
        "call refused"
    );
    // The caller may have given up.
    let _ = control.reject(refused.rejection).await;
    Entry::Over(None)
}

/// What the participant says of itself before it leaves. Without a word on how the call ended, its record would have to go by the
/// time that passed.
fn farewell(reason: EndReason, was_active: bool) -> HashMap<String, String> {
    let status = was_active.then(|| (attributes::CALL_STATUS.to_owned(), attributes::HANGUP.to_owned()));
    let cause = reason
        .cause()
        .map(|cause| (attributes::END.to_owned(), cause.into()));
    status.into_iter().chain(cause).collect()
}

/// A joined call: the machine's hands.
struct Conversation<'a> {
    context: Arc<Context>,
    control: &'a CallControl,
    events: &'a mut mpsc::Receiver<CallEvent>,
    room: RoomLeg,
    media: MediaLeg,
    ok_headers: Vec<(String, String)>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    /// Whether `sip.callStatus` has been `active`.
    active: bool,
}

impl Conversation<'_> {
    async fn run(&mut self, mut machine: Machine) -> EndReason {
        loop {
            while let Some(output) = machine.poll_output() {
                if let Some(reason) = self.perform(output).await {
                    return reason;
                }
            }
            let wake_at = machine
                .poll_timeout()
                .map_or_else(Instant::now, Instant::from_std);
            let timeouts = self.context.config.timeouts;
            // All arms are cancel-safe.
            let input = tokio::select! {
                () = self.context.stop.cancelled() => Some(Input::ShutDown),
                event = self.events.recv() => self.phone(event),
                change = self.room.next_change() => self.room_changed(change).await,
                () = self.media.timed_out(timeouts.first_media, timeouts.media) => Some(Input::MediaTimeout),
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
        // The dialog may be over meanwhile: its event is then on its way to the machine.
        match output {
            Output::Answer => {
                let rtp = self.media.start(&self.tasks, &self.cancel, &self.room);
                let headers = std::mem::take(&mut self.ok_headers);
                let _ = self.control.accept(rtp, headers).await;
                tracing::info!(step = "answered", "an agent is heard");
            }
            Output::Active => {
                tracing::info!(step = "active", "the caller acknowledged");
                self.active = true;
                let status = (attributes::CALL_STATUS.to_owned(), attributes::ACTIVE.to_owned());
                self.room.label(HashMap::from([status])).await;
            }
            Output::Reject { code, text } => {
                let _ = self.control.reject(Rejection::with_reason(code, text)).await;
            }
            Output::HangUp { text } => {
                let _ = self
                    .control
                    .bye(Some(format!("SIP;cause=200;text=\"{text}\"")))
                    .await;
            }
            Output::End(reason) => return Some(reason),
        }
        None
    }

    fn phone(&mut self, event: Option<CallEvent>) -> Option<Input> {
        match event {
            Some(CallEvent::Acknowledged) => Some(Input::Acknowledged),
            Some(CallEvent::Cancelled | CallEvent::HungUp) => Some(Input::CallerLeft),
            Some(CallEvent::NotAcknowledged) => Some(Input::NotAcknowledged),
            Some(CallEvent::Ended) | None => Some(Input::DialogEnded),
            Some(CallEvent::Renegotiation(Renegotiation { offer, answer })) => {
                // The stack answers 488 by itself when this is `None`; it may also have given up waiting.
                let _ = answer.send(self.media.renegotiate(offer.as_deref()));
                None
            }
            Some(CallEvent::Info { .. }) => None,
        }
    }

    async fn room_changed(&mut self, change: RoomChange) -> Option<Input> {
        match change {
            RoomChange::Track {
                identity,
                is_phone,
                sid,
                track,
            } => {
                self.media.add_track(sid, track).await;
                Some(Input::Heard { identity, is_phone })
            }
            RoomChange::TrackGone { sid } => {
                self.media.remove_track(sid).await;
                None
            }
            RoomChange::Left { identity, deliberate } => Some(Input::Left { identity, deliberate }),
            RoomChange::Digit(digit) => {
                self.media.press(digit).await;
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
    async fn release(self, reason: EndReason) -> Option<Departure> {
        self.cancel.cancel();
        let Self {
            room,
            media,
            tasks,
            active,
            ..
        } = self;
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
        let departure = room.leave().await;
        tasks.close();
        if timeout(TASKS_STOP_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "tasks of the call did not end in time");
        }
        in_room.then_some(departure)
    }
}
