use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use serde_json::json;
use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate, matchers::path};

use super::*;
use crate::Secret;

const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const LIST_ROOMS: &str = "/twirp/livekit.RoomService/ListRooms";
const CREATE_TRUNK: &str = "/twirp/livekit.SIP/CreateSIPInboundTrunk";

fn config(url: &str) -> LiveKitConfig {
    LiveKitConfig {
        url: url.replace("http://", "ws://"),
        api_key: "devkey".into(),
        api_secret: Secret::new(SECRET),
        webhook_keys: Vec::new(),
    }
}

/// Against `server`, with pauses that do not make a test slow.
fn client(server: &MockServer, deadline: Duration) -> LiveKit {
    let config = config(&server.uri());
    let mut twirp = Twirp::new(&config.url, deadline).unwrap();
    twirp.limits.first_pause = Duration::from_millis(2);
    LiveKit::with_twirp(&config, twirp).unwrap()
}

fn rooms(names: &[&str]) -> ResponseTemplate {
    let room = |name: &&str| proto::Room {
        name: (*name).into(),
        ..proto::Room::default()
    };
    let rooms = proto::ListRoomsResponse {
        rooms: names.iter().map(room).collect(),
    };
    ResponseTemplate::new(200).set_body_bytes(rooms.encode_to_vec())
}

fn twirp_error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"code": code, "msg": message}))
}

/// Answers with one response after the other; the last one stays.
struct InTurn(Vec<ResponseTemplate>, AtomicUsize);

impl InTurn {
    fn of(responses: Vec<ResponseTemplate>) -> Self {
        Self(responses, AtomicUsize::new(0))
    }
}

impl Respond for InTurn {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let at = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        self.0[at].clone()
    }
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn a_read_is_repeated_until_it_succeeds() {
    let server = MockServer::start().await;
    let unavailable = twirp_error(503, "unavailable", "no response from servers");
    let answers = InTurn::of(vec![
        unavailable,
        ResponseTemplate::new(502).set_body_string("<html>"),
        rooms(&["a", "b"]),
    ]);
    Mock::given(path(LIST_ROOMS))
        .respond_with(answers)
        .mount(&server)
        .await;
    let found = client(&server, DEFAULT_DEADLINE).list_rooms(&[]).await.unwrap();
    assert_eq!(
        found.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(requests(&server).await, 3);
}

#[tokio::test]
async fn a_read_is_given_up_after_four_attempts() {
    let server = MockServer::start().await;
    let answer = twirp_error(503, "unavailable", "no response from servers");
    Mock::given(path(LIST_ROOMS))
        .respond_with(answer)
        .mount(&server)
        .await;
    let error = client(&server, DEFAULT_DEADLINE)
        .list_rooms(&[])
        .await
        .unwrap_err();
    assert!(
        matches!(error, LiveKitError::Unavailable { .. }) && error.is_retryable(),
        "{error}"
    );
    assert!(error.to_string().contains("same Redis"), "{error}");
    assert_eq!(requests(&server).await, 4);
}

#[tokio::test]
async fn a_create_that_may_have_been_done_is_never_repeated() {
    let server = MockServer::start().await;
    let answer = twirp_error(503, "unavailable", "lost");
    Mock::given(path(CREATE_TRUNK))
        .respond_with(answer)
        .mount(&server)
        .await;
    let trunk = proto::SipInboundTrunkInfo::default();
    let error = client(&server, DEFAULT_DEADLINE)
        .create_sip_inbound_trunk(trunk)
        .await
        .unwrap_err();
    assert!(matches!(error, LiveKitError::Unavailable { .. }), "{error}");
    assert_eq!(requests(&server).await, 1);
}

/// What a server, or a proxy before it, says of a phone that was to be dialled, and whether it may ring all the same.
#[tokio::test]
async fn a_phone_of_which_a_proxy_says_502_may_ring_and_is_not_dialled_twice() {
    let plain = |status| ResponseTemplate::new(status).set_body_string("<html>");
    for (answer, may_ring) in [
        (plain(500), true),
        (plain(502), true),
        (plain(520), true),
        (plain(200), true),
        (plain(504), true),
        (twirp_error(408, "deadline_exceeded", "no answer"), true),
        (twirp_error(500, "internal", "redis is away"), true),
        (twirp_error(500, "unknown", "redis is away"), true),
        (twirp_error(500, "dataloss", "redis is away"), true),
        (
            twirp_error(500, "internal", "sip not connected (redis required)"),
            false,
        ),
        (plain(503), false),
        (plain(429), false),
        (twirp_error(503, "unavailable", "no response from servers"), false),
        (twirp_error(404, "not_found", "no such trunk"), false),
        (twirp_error(400, "invalid_argument", "no number"), false),
    ] {
        let server = MockServer::start().await;
        Mock::given(path("/twirp/livekit.SIP/CreateSIPParticipant"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let phone = proto::CreateSipParticipantRequest::default();
        let dialled = client(&server, DEFAULT_DEADLINE)
            .create_sip_participant(&phone)
            .await;
        let error = dialled.unwrap_err();
        assert_eq!(error.leaves_outcome_open(), may_ring, "{error}");
        assert_eq!(requests(&server).await, 1, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_for_what_may_be_done_twice_and_is_then_unavailable() {
    for code in ["internal", "unknown", "dataloss"] {
        let server = MockServer::start().await;
        Mock::given(path(LIST_ROOMS))
            .respond_with(twirp_error(
                500,
                code,
                "dial tcp 127.0.0.1:6379: connection refused",
            ))
            .mount(&server)
            .await;
        let error = client(&server, DEFAULT_DEADLINE)
            .list_rooms(&[])
            .await
            .unwrap_err();
        assert!(matches!(error, LiveKitError::Unavailable { .. }), "{error}");
        assert!(error.is_retryable() && !error.leaves_outcome_open(), "{error}");
        assert_eq!(requests(&server).await, 4, "{code}");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_repeated() {
    for (status, code) in [
        (400, "invalid_argument"),
        (404, "not_found"),
        (403, "permission_denied"),
    ] {
        let server = MockServer::start().await;
        Mock::given(path(LIST_ROOMS))
            .respond_with(twirp_error(status, code, "no"))
            .mount(&server)
            .await;
        let error = client(&server, DEFAULT_DEADLINE)
            .list_rooms(&[])
            .await
            .unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        assert_eq!(requests(&server).await, 1, "{code}");
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_whatever_the_server_does() {
    let server = MockServer::start().await;
    let answer = rooms(&[]).set_delay(Duration::from_secs(30));
    Mock::given(path(LIST_ROOMS))
        .respond_with(answer)
        .mount(&server)
        .await;
    let started = tokio::time::Instant::now();
    let error = client(&server, Duration::from_millis(300))
        .list_rooms(&[])
        .await
        .unwrap_err();
    assert!(matches!(error, LiveKitError::Deadline { .. }), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "far below the answer's 30 s"
    );
    assert!(
        requests(&server).await >= 2,
        "a slow attempt leaves time for another one"
    );
}

#[tokio::test]
async fn no_connection_is_repeated_even_for_a_create_and_named_as_such() {
    // A port that was free a moment ago: nobody listens there.
    let server = MockServer::start().await;
    let config = config(&server.uri());
    drop(server);
    let mut twirp = Twirp::new("ws://127.0.0.1:1", Duration::from_secs(5)).unwrap();
    twirp.limits.first_pause = Duration::from_millis(1);
    let client = LiveKit::with_twirp(&config, twirp).unwrap();
    let error = client
        .create_sip_dispatch_rule(proto::SipDispatchRuleInfo::default())
        .await
        .unwrap_err();
    assert!(matches!(error, LiveKitError::Unreachable { .. }), "{error:?}");
    let said = error.to_string().to_lowercase();
    assert!(said.contains("livekit.url") && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn a_401_names_cause_and_remedy_and_does_not_echo_the_token() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJl";
    for (text, fault) in [
        ("invalid API key: devkey".to_owned(), AuthFault::UnknownKey),
        (
            format!("invalid token: {jwt}, error: token signature is invalid: signature is invalid"),
            AuthFault::WrongSecret,
        ),
        (
            format!("invalid token: {jwt}, error: something else"),
            AuthFault::Other,
        ),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(401).set_body_string(&text);
        Mock::given(path(LIST_ROOMS))
            .respond_with(answer)
            .mount(&server)
            .await;
        let error = client(&server, DEFAULT_DEADLINE)
            .list_rooms(&[])
            .await
            .unwrap_err();
        let LiveKitError::Unauthenticated { fault: found, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*found, fault);
        assert!(error.to_string().contains(fault.remedy()));
        assert!(!format!("{error} {error:?}").contains("eyJ"));
        assert_eq!(requests(&server).await, 1);
    }
}

#[tokio::test]
async fn a_wrong_clock_is_measured_by_the_servers_date() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(401)
        .set_body_string("invalid token: x, error: token has invalid claims: token is not valid yet")
        .insert_header("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    Mock::given(path(LIST_ROOMS))
        .respond_with(answer)
        .mount(&server)
        .await;
    let error = client(&server, DEFAULT_DEADLINE)
        .list_rooms(&[])
        .await
        .unwrap_err();
    let LiveKitError::Unauthenticated {
        fault: AuthFault::Clock {
            server_ahead_s: Some(ahead),
        },
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(ahead < -60, "{ahead}");
}

#[tokio::test]
async fn server_texts_in_errors_are_masked_and_cut() {
    let server = MockServer::start().await;
    let text = format!("no +15550100123 {}", "x".repeat(10_000));
    Mock::given(path(LIST_ROOMS))
        .respond_with(twirp_error(400, "invalid_argument", &text))
        .mount(&server)
        .await;
    let error = client(&server, DEFAULT_DEADLINE)
        .list_rooms(&[])
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("5550100") && shown.len() < 1_500, "{shown}");
}

#[tokio::test]
async fn a_delete_that_finds_nothing_is_done_and_a_read_finds_none() {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(twirp_error(404, "not_found", "room does not exist"))
        .mount(&server)
        .await;
    let client = client(&server, DEFAULT_DEADLINE);
    client.delete_room("r").await.unwrap();
    client.remove_participant("r", "i").await.unwrap();
    client.delete_sip_trunk("ST_1").await.unwrap();
    client.delete_sip_dispatch_rule("SDR_1").await.unwrap();
    assert!(client.participant("r", "i").await.unwrap().is_none());
    assert!(client.list_participants("r").await.unwrap().is_empty());
    let error = client.update_room_metadata("r", "m").await.unwrap_err();
    assert!(matches!(error, LiveKitError::NotFound { .. }));
}

#[tokio::test]
async fn an_answer_that_is_no_protobuf_or_a_redirect_is_an_error() {
    for answer in [
        ResponseTemplate::new(200).set_body_string("<html>not LiveKit</html>"),
        ResponseTemplate::new(302).insert_header("Location", "http://127.0.0.1:1/"),
    ] {
        let server = MockServer::start().await;
        Mock::given(path(LIST_ROOMS))
            .respond_with(answer)
            .mount(&server)
            .await;
        let error = client(&server, DEFAULT_DEADLINE)
            .list_rooms(&[])
            .await
            .unwrap_err();
        assert!(!error.is_retryable(), "{error}");
    }
}

/// Checks the claims of the request's token.
struct Claims(fn(&serde_json::Value) -> bool);

impl Match for Claims {
    fn matches(&self, request: &Request) -> bool {
        let header = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        header
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| self.0(&claims_of(token)))
    }
}

fn claims_of(token: &str) -> serde_json::Value {
    crate::install_providers();
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let mut checks = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    checks.set_issuer(&["devkey"]);
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &checks)
        .unwrap()
        .claims
}

#[tokio::test]
async fn each_call_carries_only_the_grant_that_it_needs_for_two_minutes() {
    let server = MockServer::start().await;
    let grant = Claims(|claims| claims["video"] == json!({"roomList": true}));
    Mock::given(path(LIST_ROOMS))
        .and(grant)
        .respond_with(rooms(&[]))
        .mount(&server)
        .await;
    let grant = Claims(|claims| claims["video"] == json!({"roomAdmin": true, "room": "r"}));
    let answer = ResponseTemplate::new(200).set_body_bytes(proto::Room::default().encode_to_vec());
    Mock::given(path("/twirp/livekit.RoomService/UpdateRoomMetadata"))
        .and(grant)
        .respond_with(answer)
        .mount(&server)
        .await;
    let grant = Claims(|claims| claims["sip"] == json!({"admin": true}));
    let answer = ResponseTemplate::new(200);
    Mock::given(path("/twirp/livekit.SIP/ListSIPInboundTrunk"))
        .and(grant)
        .respond_with(answer)
        .mount(&server)
        .await;
    let client = client(&server, DEFAULT_DEADLINE);
    client.list_rooms(&["a"]).await.unwrap();
    client.update_room_metadata("r", "m").await.unwrap();
    client.list_sip_inbound_trunks().await.unwrap();
    for request in server.received_requests().await.unwrap() {
        let token = request.headers["authorization"]
            .to_str()
            .unwrap()
            .trim_start_matches("Bearer ")
            .to_owned();
        let claims = claims_of(&token);
        let lives = claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap();
        assert!(
            lives <= 240,
            "two minutes, and two for clocks that differ: {lives}"
        );
    }
}

#[test]
fn tokens_to_join_say_who_comes_and_live_ten_minutes() {
    let client = LiveKit::new(&config("ws://127.0.0.1:7880")).unwrap();
    assert_eq!(client.url(), "ws://127.0.0.1:7880");
    let request = TokenRequest::new("room", "sip_1")
        .kind(ParticipantKind::Sip)
        .name("Phone 1")
        .metadata("m")
        .attributes([("sip.callID", "SCL_1")]);
    let token = client.participant_token(request).unwrap();
    assert_eq!(format!("{token:?}"), "[secret]");
    let claims = claims_of(token.expose());
    assert_eq!(
        (&claims["sub"], &claims["kind"], &claims["name"]),
        (&json!("sip_1"), &json!("sip"), &json!("Phone 1"))
    );
    assert_eq!(claims["attributes"], json!({"sip.callID": "SCL_1"}));
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(),
        720,
        "ten minutes, and two for clocks that differ"
    );

    let claims = claims_of(client.agent_token("room", "agent").unwrap().expose());
    assert_eq!(
        (&claims["kind"], &claims["video"]["room"]),
        (&json!("agent"), &json!("room"))
    );
    assert_eq!(claims["video"]["canUpdateOwnMetadata"], json!(true));

    for (room, identity) in [("", "i"), ("r", "")] {
        let error = client
            .participant_token(TokenRequest::new(room, identity))
            .unwrap_err();
        assert!(matches!(error, LiveKitError::Token { .. }));
    }
}

#[test]
fn urls_that_are_none_are_refused() {
    for bad in ["", "livekit.example.com", "ftp://h"] {
        assert!(
            matches!(LiveKit::new(&config(bad)), Err(LiveKitError::Setup { .. })),
            "{bad}"
        );
    }
}
