//! Servers: asked by the real livekit-server, two at once, drained, and without Redis for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bus::ioinfo::SipUri;
use bus::sipinternal::{self, CREATE_PARTICIPANT, CreateParticipant, Created, SipStatus};
use bus::wire::{Frame, Framed as _, Request};
use bus::{BusError, Channel, Code, Fault, Gate, Incoming, Method, Requests, Server, ServerOptions};
use dev::{LocalStack, Program};
use futures_util::StreamExt as _;
use livekit_protocol as proto;
use platform::config::LiveKitConfig;
use platform::livekit::{LiveKit, LiveKitError};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::{METHOD, SERVICE, call, client, stack};

const SOON: Duration = Duration::from_secs(5);
const ECHO: Method<'static> = Method {
    service: SERVICE,
    method: METHOD,
    topic: "agent-1",
};
const CREATE: Method<'static> = Method {
    service: sipinternal::SERVICE,
    method: CREATE_PARTICIPANT,
    topic: "",
};

async fn server(stack: &LocalStack) -> Server {
    Server::connect(ServerOptions {
        redis_url: stack.redis_url(),
        connect_timeout: SOON,
        now: Arc::new(|| SystemTime::UNIX_EPOCH + SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")),
    })
    .await
    .expect("connected")
}

async fn serve(server: &Server, method: Method<'_>) -> Requests {
    let mut requests = server.serve(method, open());
    assert!(requests.ready(SOON).await, "not subscribed");
    requests
}

fn open() -> Gate {
    Arc::new(|| true)
}

fn livekit(stack: &LocalStack) -> LiveKit {
    LiveKit::new(&LiveKitConfig {
        url: stack.ws_url(),
        api_key: stack.keys().api_key().to_owned(),
        api_secret: platform::Secret::new(stack.keys().api_secret()),
        webhook_keys: Vec::new(),
    })
    .expect("client")
}

async fn dial(livekit: &LiveKit, to: &str) -> Result<proto::SipParticipantInfo, LiveKitError> {
    let request = proto::CreateSipParticipantRequest {
        trunk: Some(proto::SipOutboundConfig {
            hostname: "127.0.0.1:5999".into(),
            ..proto::SipOutboundConfig::default()
        }),
        sip_number: "+15550200".into(),
        sip_call_to: to.into(),
        room_name: "r".into(),
        participant_identity: to.into(),
        ..proto::CreateSipParticipantRequest::default()
    };
    livekit.create_sip_participant(&request).await
}

fn created(incoming: &Incoming) -> Created {
    let request: CreateParticipant = incoming.message().expect("readable");
    Created {
        participant_id: "PA_x".into(),
        participant_identity: request.participant_identity,
        sip_call_id: request.sip_call_id,
    }
}

/// Answers all requests, and counts them.
async fn answer_all(mut requests: Requests, count: Arc<AtomicUsize>) {
    while let Some(incoming) = requests.next().await {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = created(&incoming);
        incoming.answer(Ok(answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_answers_each_request_of_livekit_server() {
    platform::install_providers();
    let stack = stack().await;
    let livekit = livekit(&stack);
    let (one, two) = (server(&stack).await, server(&stack).await);
    let takes = Arc::new(AtomicBool::new(true));
    let gate: Gate = Arc::new({
        let takes = Arc::clone(&takes);
        move || takes.load(Ordering::SeqCst)
    });
    let mut gated = one.serve(CREATE, gate);
    assert!(gated.ready(SOON).await);
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let mut serving = JoinSet::new();
    serving.spawn(answer_all(gated, Arc::clone(&counts[0])));
    serving.spawn(answer_all(serve(&two, CREATE).await, Arc::clone(&counts[1])));
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let livekit = livekit.clone();
        calls.spawn(async move {
            let to = format!("+1555000{n:04}");
            let phone = dial(&livekit, &to).await.expect("answered");
            assert_eq!(phone.participant_identity, to);
        });
    }
    while let Some(done) = calls.join_next().await {
        done.expect("answered");
    }
    let shares = || (counts[0].load(Ordering::SeqCst), counts[1].load(Ordering::SeqCst));
    let (first, second) = shares();
    println!("20 requests: {first} and {second}");
    assert_eq!(first + second, 20, "a request was answered twice or by nobody");

    takes.store(false, Ordering::SeqCst);
    for n in 0..3 {
        dial(&livekit, &format!("+1555111{n:04}"))
            .await
            .expect("answered");
    }
    assert_eq!(
        shares(),
        (first, second + 3),
        "a server that takes nothing left it to the other"
    );
    one.shutdown().await;
    two.shutdown().await;
    stack.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sip_status_reaches_whoever_asked_livekit_server() {
    platform::install_providers();
    let stack = stack().await;
    let (livekit, server) = (livekit(&stack), server(&stack).await);
    let mut requests = serve(&server, CREATE).await;
    let script = async {
        let status = SipStatus {
            code: 486,
            status: "Busy Here".into(),
        };
        let busy = Fault {
            details: vec![status.detail()],
            ..Fault::new(
                Code::ResourceExhausted,
                "INVITE failed: sip status: 486: Busy Here",
            )
        };
        let incoming = requests.next().await.expect("a request");
        incoming.answer::<Created>(Err(busy));
        // Whoever forgets an answer does not let the other side wait.
        drop(requests.next().await.expect("a request"));
    };
    let asked = async {
        let error = dial(&livekit, "+15557777").await.expect_err("busy");
        assert!(
            matches!(error, LiveKitError::Sip { status: 486, .. }),
            "{error:?}"
        );
        let started = Instant::now();
        let error = dial(&livekit, "+15557778").await.expect_err("dropped");
        assert!(!matches!(error, LiveKitError::Sip { .. }), "{error:?}");
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    };
    tokio::join!(script, asked);
    server.shutdown().await;
    stack.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_takes_nothing_new_and_answers_what_it_has() {
    let stack = stack().await;
    let (client, server) = (client(&stack).await, server(&stack).await);
    let mut requests = serve(&server, ECHO).await;
    let script = async {
        let incoming = requests.next().await.expect("a request");
        requests.withdraw();
        assert!(requests.next().await.is_none(), "nothing is under way");
        assert!(matches!(call(&client, SOON).await, Err(BusError::NoServer)));
        incoming.answer(Ok(crate::say("late but true")));
    };
    let (answer, ()) = tokio::join!(call(&client, SOON), script);
    assert_eq!(answer.expect("answered").user, "late but true");
    assert_eq!(server.served(), 0);
    server.shutdown().await;
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_again_after_redis_came_back() {
    let mut stack = stack().await;
    let (client, server) = (client(&stack).await, server(&stack).await);
    let mut requests = serve(&server, ECHO).await;
    stack.kill(Program::Redis).await.expect("killed");
    let down = Instant::now();
    while server.is_connected() {
        assert!(down.elapsed() < SOON, "the loss was not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stack.restart(Program::Redis).await.expect("restarted");
    assert!(requests.ready(SOON * 2).await, "not subscribed again");
    let up = Instant::now();
    while !client.is_connected() {
        assert!(up.elapsed() < SOON * 2, "the client did not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let script = async {
        let incoming = requests.next().await.expect("a request");
        let asked: SipUri = incoming.message().expect("readable");
        incoming.answer(Ok(asked));
    };
    let (answer, ()) = tokio::join!(call(&client, SOON), script);
    assert_eq!(answer.expect("answered").user, "hello");
    server.shutdown().await;
    client.shutdown().await;
}

/// A client of the test's own hand: what arrives twice, too late, or is granted to another.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_date_repeated_or_granted_elsewhere_is_left_alone() {
    let stack = stack().await;
    let server = server(&stack).await;
    let mut requests = serve(&server, ECHO).await;
    let redis = redis::Client::open(stack.redis_url()).expect("address");
    let mut publisher = redis.get_multiplexed_async_connection().await.expect("connected");
    let mut claims = redis.get_async_pubsub().await.expect("connected");
    let claim = Channel::Claim {
        service: SERVICE,
        client: "CLI_hand",
    };
    claims.subscribe(claim.name()).await.expect("subscribed");
    let mut claims = claims.into_on_message();
    let (to, granting) = (
        Channel::Request {
            service: SERVICE,
            method: METHOD,
            topic: "agent-1",
        },
        Channel::ClaimGrant {
            service: SERVICE,
            method: METHOD,
            topic: "agent-1",
        },
    );
    let mut publish = async |channel: Channel<'_>, payload: Vec<u8>| {
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel.name()).arg(payload);
        let heard: i64 = command.query_async(&mut publisher).await.expect("published");
        assert_eq!(heard, 1);
    };
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos()).expect("small");
    let second = 1_000_000_000;
    let request = |id: &str, sent_at: i64| Request {
        request_id: id.into(),
        client_id: "CLI_hand".into(),
        sent_at,
        expiry: sent_at + 5 * second,
        ..Request::default()
    };
    // The last one alone is granted to the server; that it is the first to arrive shows that nothing came of the others.
    publish(to, b"\xff\xff".to_vec()).await;
    publish(to, request("REQ_late", now - 200 * second).frame()).await;
    publish(to, request("REQ_twice", now).frame()).await;
    publish(to, request("REQ_twice", now).frame()).await;
    publish(to, request("REQ_mine", now).frame()).await;
    let mut bids = Vec::new();
    for _ in 0..2 {
        let message = timeout(SOON, claims.next())
            .await
            .expect("in time")
            .expect("a claim");
        match Frame::parse(message.get_payload_bytes()) {
            Ok(Some(Frame::ClaimRequest(bid))) => bids.push(bid),
            other => panic!("not a claim: {other:?}"),
        }
    }
    let ids: Vec<_> = bids.iter().map(|bid| bid.request_id.as_str()).collect();
    assert_eq!(ids, ["REQ_twice", "REQ_mine"]);
    let grant = |id: &str, server: &str| {
        bus::wire::ClaimResponse {
            request_id: id.into(),
            server_id: server.into(),
        }
        .frame()
    };
    publish(granting, grant("REQ_twice", "SRV_other")).await;
    publish(granting, grant("REQ_unknown", &bids[0].server_id)).await;
    publish(granting, grant("REQ_mine", &bids[1].server_id)).await;
    let incoming = timeout(SOON, requests.next())
        .await
        .expect("in time")
        .expect("a request");
    assert!(incoming.deadline() <= Instant::now() + Duration::from_secs(5));
    drop(incoming);
    drop(requests);
    let gone = Instant::now();
    while server.served() > 0 {
        assert!(gone.elapsed() < SOON);
        tokio::task::yield_now().await;
    }
    server.shutdown().await;
}
