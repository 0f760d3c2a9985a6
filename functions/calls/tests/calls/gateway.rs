//! What stands for a SIP gateway on LiveKit's bus: it claims requests and answers them as they were answered when they were recorded.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bus::Channel;
use bus::wire::{Any, ClaimRequest, Frame, Framed as _, Request, Response};
use futures_util::StreamExt;
use parking_lot::Mutex;
use prost::Message;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

const SERVICE: &str = "SIPInternal";
const SERVER: &str = "NODE_test";

/// `livekit.SIPStatus`.
#[derive(Clone, PartialEq, Message)]
struct SipStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    status: String,
}

/// The fields of `rpc.InternalCreateSIPParticipantRequest` that tests look at.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dialled {
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    #[prost(string, tag = "3")]
    pub(crate) number: String,
    #[prost(string, tag = "4")]
    pub(crate) call_to: String,
    #[prost(string, tag = "7")]
    pub(crate) room: String,
    #[prost(string, tag = "8")]
    pub(crate) identity: String,
    #[prost(string, tag = "13")]
    pub(crate) sip_call_id: String,
    #[prost(map = "string, string", tag = "17")]
    pub(crate) attributes: HashMap<String, String>,
    #[prost(bool, tag = "29")]
    pub(crate) waits: bool,
}

/// `rpc.InternalCreateSIPParticipantResponse`.
#[derive(Clone, PartialEq, Message)]
struct Joined {
    #[prost(string, tag = "1")]
    participant_id: String,
    #[prost(string, tag = "2")]
    participant_identity: String,
    #[prost(string, tag = "3")]
    sip_call_id: String,
}

/// What the telephone network answers.
pub(crate) enum Answer {
    /// It was answered.
    Ok,
    /// One of the recorded answers.
    Recorded(Value),
    /// What is sent, when it is sent: until then the phone is being dialled, and no other request is heard.
    Later(oneshot::Receiver<Answer>),
}

/// The recorded answer of this name.
pub(crate) fn recorded(name: &str) -> Value {
    let answers: Value = serde_json::from_str(include_str!("../samples/sip-answers.json")).unwrap();
    let answers = answers.as_array().unwrap();
    answers
        .iter()
        .find(|answer| answer["name"] == name)
        .unwrap()
        .clone()
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    dialled: Arc<Mutex<Vec<Dialled>>>,
}

pub(crate) struct Gateway {
    script: Script,
    _task: AbortOnDropHandle<()>,
}

impl Gateway {
    pub(crate) async fn start(redis_url: &str) -> Self {
        let client = redis::Client::open(redis_url).unwrap();
        let mut subscribed = client.get_async_pubsub().await.unwrap();
        subscribed.psubscribe(format!("{SERVICE}|*")).await.unwrap();
        let mut publish = client.get_multiplexed_async_connection().await.unwrap();
        let script = Script::default();
        let serving = script.clone();
        #[expect(clippy::disallowed_methods, reason = "owned by the handle, which aborts it")]
        let task = tokio::spawn(async move {
            let mut claimed: Vec<(Request, String)> = Vec::new();
            let mut messages = subscribed.into_on_message();
            while let Some(message) = messages.next().await {
                let channel = message.get_channel_name().to_owned();
                let reply = match Frame::parse(message.get_payload_bytes()) {
                    Ok(Some(Frame::Request(request))) => {
                        let claim = ClaimRequest {
                            request_id: request.request_id.clone(),
                            server_id: SERVER.into(),
                            affinity: 1.0,
                        };
                        let to = Channel::Claim {
                            service: SERVICE,
                            client: &request.client_id,
                        };
                        let reply = Some((to.name(), claim.frame()));
                        claimed.push((request, channel));
                        reply
                    }
                    Ok(Some(Frame::ClaimResponse(grant))) => {
                        let at = claimed
                            .iter()
                            .position(|(request, _)| request.request_id == grant.request_id);
                        let (request, channel) = claimed.swap_remove(at.unwrap());
                        let is_dial = channel.contains("CreateSIPParticipant");
                        let dialled = serving.heard(&request, is_dial);
                        let answer = serving.next().await;
                        let response = respond(&request, is_dial, dialled, answer);
                        let to = Channel::Response {
                            service: SERVICE,
                            client: &request.client_id,
                        };
                        Some((to.name(), response.frame()))
                    }
                    _ => None,
                };
                if let Some((to, payload)) = reply {
                    redis::cmd("PUBLISH")
                        .arg(to)
                        .arg(payload)
                        .query_async::<i64>(&mut publish)
                        .await
                        .unwrap();
                }
            }
        });
        Self {
            script,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The next request is answered so.
    pub(crate) fn will(&self, answer: Answer) {
        self.script.answers.lock().push_back(answer);
    }

    /// The next phone is being dialled until an answer is sent here.
    pub(crate) fn will_answer_later(&self) -> oneshot::Sender<Answer> {
        let (answer, later) = oneshot::channel();
        self.will(Answer::Later(later));
        answer
    }

    /// What was dialled so far.
    pub(crate) fn dialled(&self) -> Vec<Dialled> {
        self.script.dialled.lock().clone()
    }
}

impl Script {
    fn heard(&self, request: &Request, is_dial: bool) -> Dialled {
        let dialled = Dialled::decode(request.raw_request.as_slice()).unwrap_or_default();
        if is_dial {
            self.dialled.lock().push(dialled.clone());
        }
        dialled
    }

    async fn next(&self) -> Answer {
        let next = self.answers.lock().pop_front();
        match next.unwrap_or(Answer::Ok) {
            Answer::Later(answer) => answer.await.unwrap(),
            answer => answer,
        }
    }
}

fn respond(request: &Request, is_dial: bool, dialled: Dialled, answer: Answer) -> Response {
    let mut response = Response {
        request_id: request.request_id.clone(),
        server_id: SERVER.into(),
        sent_at: request.sent_at,
        ..Response::default()
    };
    match answer {
        Answer::Ok if is_dial => {
            response.raw_response = Joined {
                participant_id: "PA_phone".into(),
                participant_identity: dialled.identity,
                sip_call_id: dialled.sip_call_id,
            }
            .encode_to_vec();
        }
        Answer::Ok | Answer::Later(_) => {}
        Answer::Recorded(recorded) => {
            let text = |name: &str| recorded[name].as_str().unwrap_or_default().to_owned();
            (response.error, response.code) = (text("error"), text("code"));
            if let Some(code) = recorded["sip_status_code"].as_i64() {
                let status = SipStatus {
                    code: i32::try_from(code).unwrap(),
                    status: text("sip_status"),
                };
                response.error_details.push(Any {
                    type_url: "type.googleapis.com/livekit.SIPStatus".into(),
                    value: status.encode_to_vec(),
                });
            }
        }
    }
    response
}
