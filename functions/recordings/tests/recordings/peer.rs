//! What stands for LiveKit's egress and ingress services on the bus.
//!
//! It claims requests as those do, and answers and tells what was recorded, with the ids and requests of the moment. It masks no secret,
//! unlike the real ones: nothing may rely on that.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bus::{
    Channel, Client, Options,
    ioinfo::SERVICE as IO_INFO,
    wire::{ClaimRequest, Frame, Framed as _, Request, Response},
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use platform::livekit::proto;
use prost::Message;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

const SERVER: &str = "NODE_test";
const IO_TIMEOUT: Duration = Duration::from_secs(5);

/// `rpc.StartEgressRequest`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Asked {
    #[prost(string, tag = "1")]
    pub(crate) egress_id: String,
    #[prost(string, tag = "3")]
    pub(crate) room_id: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) room: Option<proto::RoomCompositeEgressRequest>,
    #[prost(message, optional, tag = "7")]
    pub(crate) track: Option<proto::TrackEgressRequest>,
    #[prost(message, optional, tag = "13")]
    pub(crate) participant: Option<proto::ParticipantEgressRequest>,
}

impl Asked {
    fn room_name(&self) -> String {
        let room = self.room.as_ref().map(|request| request.room_name.clone());
        let track = self.track.as_ref().map(|request| request.room_name.clone());
        let participant = self.participant.as_ref().map(|request| request.room_name.clone());
        room.or(track).or(participant).unwrap()
    }

    fn request(&self) -> proto::egress_info::Request {
        use proto::egress_info::Request;
        let room = self.room.clone().map(Request::RoomComposite);
        let track = self.track.clone().map(Request::Track);
        let participant = self.participant.clone().map(Request::Participant);
        room.or(track).or(participant).unwrap()
    }

    fn stream_urls(&self) -> Vec<String> {
        let outputs = self.room.iter().flat_map(|request| &request.stream_outputs);
        outputs.flat_map(|output| output.urls.clone()).collect()
    }
}

/// `rpc.UpdateIngressStateRequest`.
#[derive(Clone, PartialEq, Message)]
struct UpdateIngressState {
    #[prost(string, tag = "1")]
    ingress_id: String,
    #[prost(message, optional, tag = "2")]
    state: Option<proto::IngressState>,
}

/// What becomes of the next egress that is asked for.
#[derive(Clone)]
pub(crate) enum Fate {
    /// These recorded states, one after the other.
    Play(Vec<Value>),
    /// As one that has no CPU left.
    Refuse,
}

#[derive(Default)]
struct Script {
    fates: VecDeque<Fate>,
    asked: Vec<Asked>,
    egresses: HashMap<String, Playing>,
}

/// An egress under way.
struct Playing {
    asked: Asked,
    states: VecDeque<Value>,
    current: Value,
}

impl Playing {
    fn info(&self, state: &Value) -> proto::EgressInfo {
        let mut info: proto::EgressInfo = serde_json::from_value(state.clone()).unwrap();
        info.egress_id.clone_from(&self.asked.egress_id);
        info.room_id.clone_from(&self.asked.room_id);
        info.room_name = self.asked.room_name();
        info.request = Some(self.asked.request());
        for (stream, url) in info.stream_results.iter_mut().zip(self.asked.stream_urls()) {
            stream.url = url;
        }
        info
    }

    /// What the answer to a stop says: the state to come, if that is the ending.
    fn stopped(&self) -> proto::EgressInfo {
        let next = self
            .states
            .front()
            .filter(|state| state["status"] == "EGRESS_ENDING");
        self.info(next.unwrap_or(&self.current))
    }
}

pub(crate) struct Peer {
    script: Arc<Mutex<Script>>,
    io: Client,
    _serving: AbortOnDropHandle<()>,
}

impl Peer {
    pub(crate) async fn start(redis_url: &str) -> Self {
        let client = redis::Client::open(redis_url).unwrap();
        let mut subscribed = client.get_async_pubsub().await.unwrap();
        for service in ["EgressInternal|*", "EgressHandler|*"] {
            subscribed.psubscribe(service).await.unwrap();
        }
        let publish = client.get_multiplexed_async_connection().await.unwrap();
        let io = Client::connect(Options {
            redis_url: redis_url.to_owned(),
            services: vec![IO_INFO.to_owned()],
            connect_timeout: IO_TIMEOUT,
            now: Arc::new(|| SystemTime::UNIX_EPOCH + SystemTime::UNIX_EPOCH.elapsed().unwrap()),
        })
        .await
        .unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let serving = serve(subscribed, publish, script.clone());
        #[expect(clippy::disallowed_methods, reason = "owned by the handle, which aborts it")]
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self {
            script,
            io,
            _serving: serving,
        }
    }

    /// The next egress that is asked for is answered so.
    pub(crate) fn will(&self, fate: Fate) {
        self.script.lock().fates.push_back(fate);
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.lock().asked.clone()
    }

    /// Tells LiveKit the next state of the egress; false when there is none.
    pub(crate) async fn advance(&self, egress: &str) -> bool {
        let info = {
            let mut script = self.script.lock();
            let playing = script.egresses.get_mut(egress).unwrap();
            let Some(state) = playing.states.pop_front() else {
                return false;
            };
            playing.current = state;
            playing.info(&playing.current)
        };
        let told: Result<(), _> = self.io.call(IO_INFO, "UpdateEgress", "", &info, IO_TIMEOUT).await;
        told.unwrap();
        true
    }

    /// Tells LiveKit the state of an ingress, as it was recorded of another one.
    pub(crate) async fn ingress(&self, ingress: &str, recorded: &Value, room: &str) {
        let mut state: proto::IngressState = serde_json::from_value(recorded["state"].clone()).unwrap();
        if !state.room_id.is_empty() {
            state.room_id = room.to_owned();
        }
        let request = UpdateIngressState {
            ingress_id: ingress.to_owned(),
            state: Some(state),
        };
        let told: Result<(), _> = self
            .io
            .call(IO_INFO, "UpdateIngressState", "", &request, IO_TIMEOUT)
            .await;
        told.unwrap();
    }
}

async fn serve(
    subscribed: redis::aio::PubSub,
    mut publish: redis::aio::MultiplexedConnection,
    script: Arc<Mutex<Script>>,
) {
    let mut claimed: Vec<(Request, String)> = Vec::new();
    let mut messages = subscribed.into_on_message();
    while let Some(message) = messages.next().await {
        let channel = message.get_channel_name().to_owned();
        let (service, _) = channel.split_once('|').unwrap();
        let (to, payload) = match Frame::parse(message.get_payload_bytes()) {
            Ok(Some(Frame::Request(request))) => {
                let claim = ClaimRequest {
                    request_id: request.request_id.clone(),
                    server_id: SERVER.into(),
                    affinity: 1.0,
                };
                let client = &request.client_id;
                let to = Channel::Claim { service, client }.name();
                claimed.push((request, channel));
                (to, claim.frame())
            }
            Ok(Some(Frame::ClaimResponse(grant))) => {
                let at = claimed
                    .iter()
                    .position(|(request, _)| request.request_id == grant.request_id);
                let (request, channel) = claimed.swap_remove(at.unwrap());
                let response = script.lock().answer(&request, &channel);
                let client = &request.client_id;
                (Channel::Response { service, client }.name(), response.frame())
            }
            // Our own claims and answers.
            _ => continue,
        };
        let mut command = redis::cmd("PUBLISH");
        command.arg(to).arg(payload);
        command.query_async::<i64>(&mut publish).await.unwrap();
    }
}

impl Script {
    fn answer(&mut self, request: &Request, channel: &str) -> Response {
        let mut response = Response {
            request_id: request.request_id.clone(),
            server_id: SERVER.into(),
            sent_at: request.sent_at,
            ..Response::default()
        };
        let method = channel.split('|').nth(1).unwrap();
        if method == "StartEgress" {
            match self.start(&request.raw_request) {
                Some(info) => response.raw_response = info.encode_to_vec(),
                None => {
                    (response.code, response.error) = ("resource_exhausted".into(), "not enough CPU".into());
                }
            }
        } else {
            let of = |playing: &&Playing| channel.contains(&playing.asked.egress_id);
            let playing = self.egresses.values().find(of).unwrap();
            let info = match method {
                "StopEgress" => playing.stopped(),
                _ => playing.info(&playing.current),
            };
            response.raw_response = info.encode_to_vec();
        }
        response
    }

    fn start(&mut self, raw: &[u8]) -> Option<proto::EgressInfo> {
        let asked = Asked::decode(raw).unwrap();
        self.asked.push(asked.clone());
        // One that refuses does so however often it is asked.
        let Some(Fate::Play(states)) = self.fates.front().cloned() else {
            return None;
        };
        self.fates.pop_front();
        let mut states = VecDeque::from(states);
        let playing = Playing {
            current: states.pop_front().unwrap_or(json!({})),
            states,
            asked: asked.clone(),
        };
        let info = playing.info(&playing.current);
        self.egresses.insert(asked.egress_id, playing);
        Some(info)
    }
}
