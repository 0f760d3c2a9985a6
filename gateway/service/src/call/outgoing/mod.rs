//! A call that LiveKit asks for: `CreateSIPParticipant`, from the request to the room and the INVITE.

pub(crate) mod caps;
pub(super) mod dialled;
pub(super) mod failure;
pub(super) mod order;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bus::sipinternal::{CreateParticipant, Created};
use bus::{Code, Fault, Incoming};
use events::{Direction, LegRecord};
use livekit::DisconnectReason;
use sha2::{Digest as _, Sha256};
use sip::{Destination, Outgoing, PlacedCall};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::conversation::{Conversation, Parts, Way};
use super::machine::{EndReason, Machine, NoAgent, Options};
use super::media_leg::{self, Encryption, MediaLeg};
use super::transfer::Transfers;
use super::{Context, detail, millis, setup};
use crate::attributes;
use crate::methods::RemoteHeaders;
use crate::room::RoomLeg;
use crate::token::Joiner;
use caps::Place;
use dialled::{Dialled, created};
use order::Order;

/// Before whoever asked stops waiting, so that the reason is told and not guessed.
const TO_TELL: Duration = Duration::from_millis(500);

/// A phone that is in its room and not yet dialled.
struct Ready {
    order: Order,
    destinations: Vec<Destination>,
    room: RoomLeg,
    media: MediaLeg,
    transfers: Transfers,
    place: Place,
}

/// Serves one request to its end, which is the call's.
pub(crate) async fn run(context: Arc<Context>, incoming: Incoming) {
    let request: CreateParticipant = match incoming.message() {
        Ok(request) => request,
        Err(fault) => return incoming.answer::<Created>(Err(fault)),
    };
    let sip_call = request.sip_call_id.as_str();
    let span = tracing::info_span!("call", sip_call, call_id = tracing::field::Empty);
    serve(&context, request, incoming).instrument(span).await;
}

async fn serve(context: &Arc<Context>, request: CreateParticipant, incoming: Incoming) {
    let begun = Instant::now();
    tracing::info!(
        step = "asked",
        trunk = request.sip_trunk_id,
        "a phone is to be dialled"
    );
    let ready = match prepare(context, request).await {
        Ok(ready) => ready,
        Err(fault) => {
            tracing::info!(step = "refused", code = %fault.code, why = fault.message, "not dialled");
            return incoming.answer::<Created>(Err(fault));
        }
    };
    let joined_ms = millis(begun.elapsed());
    Span::current().record("call_id", ready.room.sid().await);
    tracing::info!(step = "room_joined", joined_ms, "dialling");
    // Of all that a call is made of, on the heap once.
    Box::pin(converse(context, ready, incoming, begun)).await;
}

/// Everything before the INVITE.
async fn prepare(context: &Arc<Context>, request: CreateParticipant) -> Result<Ready, Fault> {
    let config = &context.config;
    let order = Order::check(request, &context.targets, &config.calls)?;
    let place = context
        .caps
        .take(&order.request.sip_trunk_id, &order.number)
        .map_err(|full| Fault::new(Code::ResourceExhausted, full.to_string()))?;
    let destinations = order.destinations(&context.dialer).await?;
    let codecs = media_leg::codecs(&config.codecs, order.request.media.as_ref());
    if codecs.is_empty() {
        return Err(failure::own("none of the trunk's codecs is ours"));
    }
    let port = context
        .ports
        .bind(config.listen.ip())
        .map_err(|_| Fault::new(Code::Unavailable, "no free RTP port"))?;
    let encryption = Encryption::of(order.request.media.as_ref());
    let media = MediaLeg::offering(port, config.advertised_address, &codecs, encryption);
    let attributes = attributes::dialling(&order.request);
    let joiner = Joiner {
        room: &order.request.room_name,
        identity: &order.request.participant_identity,
        name: &order.request.participant_name,
        metadata: &order.request.participant_metadata,
        ..Joiner::default()
    };
    let token = setup::mint(context, joiner, &attributes)
        .ok_or_else(|| Fault::new(Code::Internal, "no token for the call"))?;
    // Before the join: whoever sees the phone in its room may want it elsewhere.
    let transfers = Transfers::serve(&context.server, &order.request.sip_call_id);
    let identity = &order.request.participant_identity;
    let room = RoomLeg::join(
        &context.livekit,
        &token,
        identity,
        media_leg::UNKNOWN_RATE_HZ,
        false,
        RemoteHeaders::default(),
    )
    .await
    .map_err(|error| {
        tracing::warn!(%error, "the room was not joined");
        failure::own("the room was not joined")
    })?;
    Ok(Ready {
        order,
        destinations,
        room,
        media,
        transfers,
        place,
    })
}

async fn converse(context: &Arc<Context>, ready: Ready, incoming: Incoming, begun: Instant) {
    let Ready {
        mut order,
        destinations,
        room,
        media,
        transfers,
        place,
    } = ready;
    let invited = Instant::now();
    let mut ringing_until = invited + order.ringing;
    let reply = if order.request.wait_until_answered {
        ringing_until = ringing_until.min(incoming.deadline() - TO_TELL);
        Some(incoming)
    } else {
        incoming.answer(Ok(created(&order, room.participant_sid())));
        None
    };
    let invite = invite(&order, destinations, media.description());
    let call_id = invite.call_id.clone();
    let mut leg = LegRecord::begun(
        &order.request.sip_call_id,
        &call_id,
        Direction::Outbound,
        detail::now(),
    );
    let attributes = &order.request.participant_attributes;
    detail::described(&mut leg, attributes, &context.config.regions);
    let room_created_at = detail::placed(&mut leg, &room).await;
    let placed = match context.dialer.dial(invite) {
        Ok(placed) => placed,
        Err(error) => {
            tracing::warn!(%error, "the call was not placed");
            let departure = room.leave(DisconnectReason::ClientInitiated).await;
            if let Some(reply) = reply {
                reply.answer::<Created>(Err(failure::own(&error.to_string())));
            }
            return departure.insist(&context.livekit, &context.stop).await;
        }
    };
    let PlacedCall {
        control,
        mut events,
        ladder,
    } = placed;
    let options = Options {
        ringing_until: ringing_until.into_std(),
        agent_gone: context.config.timeouts.agent_gone,
        max_call: order.longest,
        no_agent: NoAgent::default(),
        holds: context.sounds.hold().is_some(),
    };
    let attributes_to_headers = std::mem::take(&mut order.request.attributes_to_headers);
    let mut conversation = Conversation::new(Parts {
        leg,
        context,
        control: &control,
        events: &mut events,
        room,
        media,
        transfers,
        attributes_to_headers,
        way: Way::Outgoing(Box::new(Dialled::new(order, call_id, reply, place))),
    });
    let reason: EndReason = conversation.run(Machine::outgoing(options)).await;
    let (leg, departure) = conversation.release(reason).await;
    let lasted_ms = millis(begun.elapsed());
    tracing::info!(step = "ended", reason = reason.as_str(), lasted_ms, "call ended");
    context.see_off(&leg, room_created_at, &ladder, departure).await;
}

fn invite(order: &Order, destinations: Vec<Destination>, offer: Vec<u8>) -> Outgoing {
    let mut headers: Vec<_> = order.request.headers.clone().into_iter().collect();
    headers.sort();
    Outgoing {
        destinations,
        to: order.to.clone(),
        from: order.from.clone(),
        display_name: order.display_name.clone(),
        tag: order.request.sip_call_id.clone(),
        call_id: call_id(&order.request.sip_call_id),
        headers,
        login: order.login.clone(),
        offer,
    }
}

/// One per call, and the same whoever computes it: 160 bits in hexadecimal.
fn call_id(sip_call: &str) -> String {
    let hash = Sha256::digest(sip_call.as_bytes());
    hash.iter().take(20).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
