//! Client and server against a real Redis: with the real livekit-server behind it, and with scripted peers.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too, and prints what it measured"
)]

mod serving;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bus::ioinfo::{DispatchRequest, DispatchResult, SipCall, SipUri};
use bus::wire::{Any, ClaimRequest, Frame, Framed as _, Request, Response};
use bus::{BusError, Channel, Client, Code, Options};
use dev::{LocalStack, LocalStackConfig, Program};
use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSub};
use tokio::time::{Instant, timeout};

const SERVICE: &str = "Echo";
const METHOD: &str = "Say";

async fn stack() -> LocalStack {
    LocalStack::start(LocalStackConfig::default())
        .await
        .expect("Redis and livekit-server")
}

async fn client(stack: &LocalStack) -> Client {
    Client::connect(Options {
        redis_url: stack.redis_url(),
        services: vec![bus::ioinfo::SERVICE.to_owned(), SERVICE.to_owned()],
        connect_timeout: Duration::from_secs(5),
        now: Arc::new(|| SystemTime::UNIX_EPOCH + SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")),
    })
    .await
    .expect("connected")
}

/// A server that answers by hand.
struct Scripted {
    requests: PubSub,
    publisher: MultiplexedConnection,
}

impl Scripted {
    async fn listen(stack: &LocalStack) -> Self {
        let redis = redis::Client::open(stack.redis_url()).expect("address");
        let mut requests = redis.get_async_pubsub().await.expect("subscribed");
        let request = Channel::Request {
            service: SERVICE,
            method: METHOD,
            topic: "agent-1",
        };
        let grant = Channel::ClaimGrant {
            service: SERVICE,
            method: METHOD,
            topic: "agent-1",
        };
        requests
            .subscribe(&[request.name(), grant.name()])
            .await
            .expect("subscribed");
        let publisher = redis.get_multiplexed_async_connection().await.expect("connected");
        Self { requests, publisher }
    }

    async fn next(&mut self) -> Frame {
        let message = timeout(Duration::from_secs(5), self.requests.on_message().next())
            .await
            .expect("in time");
        Frame::parse(message.expect("subscribed").get_payload_bytes())
            .expect("a frame")
            .expect("known")
    }

    async fn request(&mut self) -> Request {
        match self.next().await {
            Frame::Request(request) => request,
            other => panic!("not a request: {other:?}"),
        }
    }

    async fn publish(&mut self, channel: Channel<'_>, payload: Vec<u8>) {
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel.name()).arg(payload);
        let heard: i64 = command.query_async(&mut self.publisher).await.expect("published");
        assert_eq!(heard, 1, "nobody listens on {}", channel.name());
    }

    async fn bid(&mut self, request: &Request, server: &str) {
        let claim = ClaimRequest {
            request_id: request.request_id.clone(),
            server_id: server.into(),
            affinity: 0.0,
        };
        self.publish(
            Channel::Claim {
                service: SERVICE,
                client: &request.client_id,
            },
            claim.frame(),
        )
        .await;
    }

    async fn respond(&mut self, request: &Request, response: Response) {
        let response = Response {
            request_id: request.request_id.clone(),
            ..response
        };
        self.publish(
            Channel::Response {
                service: SERVICE,
                client: &request.client_id,
            },
            response.frame(),
        )
        .await;
    }
}

fn say(text: &str) -> SipUri {
    SipUri {
        user: text.into(),
        ..SipUri::default()
    }
}

async fn call(client: &Client, limit: Duration) -> Result<SipUri, BusError> {
    client
        .call(SERVICE, METHOD, "agent-1", &say("hello"), limit)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_server_answers_about_trunks_and_rules() {
    let stack = stack().await;
    let client = client(&stack).await;
    let call = SipCall {
        lk_call_id: "SCL_abcdefghijkl".into(),
        source_ip: "127.0.0.1".into(),
        from: Some(say("+15551234")),
        to: Some(say("+15550100")),
        ..SipCall::default()
    };
    let trunk = client.trunk_authentication(call.clone()).await.expect("answered");
    assert_eq!((trunk.sip_trunk_id.as_str(), trunk.username.as_str()), ("", ""));
    let request = DispatchRequest {
        call: Some(call),
        ..DispatchRequest::default()
    };
    let dispatch = client.evaluate_dispatch_rules(request).await.expect("answered");
    assert_eq!(dispatch.result(), DispatchResult::Drop);
    assert_eq!(client.calls_under_way(), 0);
    client.shutdown().await;
    stack.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bid_is_granted_and_its_server_alone_is_heard() {
    let stack = stack().await;
    let (client, mut server) = (client(&stack).await, Scripted::listen(&stack).await);
    let script = async {
        let request = server.request().await;
        assert!(request.expiry - request.sent_at == (2 + 120) * 1_000_000_000 && !request.multi);
        server.bid(&request, "SRV_first").await;
        server.bid(&request, "SRV_second").await;
        let Frame::ClaimResponse(grant) = server.next().await else {
            panic!("no grant")
        };
        assert_eq!(
            (grant.server_id.as_str(), grant.request_id),
            ("SRV_first", request.request_id.clone())
        );
        let answer = |server: &str, text: &str| Response {
            server_id: server.into(),
            raw_response: prost::Message::encode_to_vec(&say(text)),
            ..Response::default()
        };
        server.respond(&request, answer("SRV_second", "loser")).await;
        server.respond(&request, answer("SRV_first", "winner")).await;
    };
    let (answer, ()) = tokio::join!(call(&client, Duration::from_secs(2)), script);
    assert_eq!(answer.expect("answered").user, "winner");
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_its_code_and_details() {
    let stack = stack().await;
    let (client, mut server) = (client(&stack).await, Scripted::listen(&stack).await);
    let script = async {
        let request = server.request().await;
        server.bid(&request, "SRV_1").await;
        server.next().await;
        let details = vec![Any {
            type_url: "type.googleapis.com/livekit.SIPStatus".into(),
            value: vec![8, 230, 3],
        }];
        let (error, code) = ("INVITE failed".into(), "resource_exhausted".into());
        let refused = Response {
            server_id: "SRV_1".into(),
            error,
            code,
            error_details: details,
            ..Response::default()
        };
        server.respond(&request, refused).await;
    };
    let (answer, ()) = tokio::join!(call(&client, Duration::from_secs(2)), script);
    let Err(BusError::Remote {
        code,
        message,
        details,
    }) = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (code, message.as_str(), details.len()),
        (Code::ResourceExhausted, "INVITE failed", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_after_a_second_and_a_silent_server_at_the_limit() {
    let stack = stack().await;
    let client = client(&stack).await;
    let started = Instant::now();
    assert!(matches!(
        call(&client, Duration::from_secs(3)).await,
        Err(BusError::NoServer)
    ));
    assert!(
        (900..2_000).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );

    let mut server = Scripted::listen(&stack).await;
    let script = async {
        let request = server.request().await;
        server.bid(&request, "SRV_1").await;
    };
    let started = Instant::now();
    let (answer, ()) = tokio::join!(call(&client, Duration::from_millis(1_500)), script);
    assert!(matches!(answer, Err(BusError::Timeout)), "{answer:?}");
    assert!(
        (1_400..2_500).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(client.calls_under_way(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_comes_back_after_redis_did() {
    let mut stack = stack().await;
    let client = client(&stack).await;
    stack.kill(Program::Redis).await.expect("killed");
    let down = Instant::now();
    while client.is_connected() {
        assert!(
            down.elapsed() < Duration::from_secs(5),
            "the loss was not noticed"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(
        call(&client, Duration::from_secs(2)).await,
        Err(BusError::NoServer)
    ));
    stack.restart(Program::Redis).await.expect("restarted");
    let mut server = Scripted::listen(&stack).await;
    let up = Instant::now();
    while !client.is_connected() {
        assert!(
            up.elapsed() < Duration::from_secs(10),
            "the client did not come back"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let script = async {
        let request = server.request().await;
        server.bid(&request, "SRV_1").await;
        server.next().await;
        server
            .respond(
                &request,
                Response {
                    server_id: "SRV_1".into(),
                    ..Response::default()
                },
            )
            .await;
    };
    let (answer, ()) = tokio::join!(call(&client, Duration::from_secs(2)), script);
    assert_eq!(answer.expect("answered"), SipUri::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redis_is_said_at_the_start_without_its_address() {
    let options = Options {
        redis_url: "redis://:the-password@127.0.0.1:1".into(),
        services: vec![SERVICE.into()],
        connect_timeout: Duration::from_millis(300),
        now: Arc::new(|| SystemTime::UNIX_EPOCH),
    };
    let error = Client::connect(options).await.expect_err("nobody is there");
    assert!(matches!(error, BusError::Connect(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("the-password"));
}
