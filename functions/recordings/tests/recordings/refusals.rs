//! What is not started, and what is not started twice.

use std::time::Duration;

use bus::wire::Frame;
use futures_util::StreamExt;
use prost::Message;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    host::{Host, KEY, OTHER, STREAM, file},
    peer::{Asked, Fate},
    samples,
};

#[tokio::test]
async fn a_start_that_nobody_serves_is_refused_after_its_time_and_was_asked_for_once() {
    let host = Host::start().await;
    host.room("crm-1").await;
    let client = redis::Client::open(host.stack.redis_url()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener
        .subscribe("EgressInternal|StartEgress|REQ")
        .await
        .unwrap();
    let wanted = file("crm-1", "ogg");
    let once = [("idempotency-key", "once")];
    let started = Instant::now();
    let (status, headers, body) = host
        .send("POST", "/v1/egress", KEY, Some(wanted.clone()), &once)
        .await;
    let took = started.elapsed();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 503, "{problem}");
    assert!(headers.contains_key("retry-after"));
    assert!(
        problem["remedy"]
            .as_str()
            .unwrap()
            .contains("start livekit-egress"),
        "{problem}"
    );
    // LiveKit's own tries take so long; a shorter deadline would have been a 504.
    assert!(took > Duration::from_secs(15), "{took:?}");

    // All that LiveKit asked the bus for was one and the same egress.
    let mut ids = std::collections::BTreeSet::new();
    let mut requests = 0;
    let mut messages = listener.into_on_message();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::ZERO, messages.next()).await {
        if let Ok(Some(Frame::Request(request))) = Frame::parse(message.get_payload_bytes()) {
            ids.insert(Asked::decode(request.raw_request.as_slice()).unwrap().egress_id);
            requests += 1;
        }
    }
    assert!(ids.len() == 1 && requests > 1, "{requests} requests for {ids:?}");

    // Nothing was started, so that the key is free.
    let peer = host.peer().await;
    peer.will(Fate::Play(samples::states("egressInfo", "EG_s4uE8DXpQk6U")));
    let (status, _, _) = host.send("POST", "/v1/egress", KEY, Some(wanted), &once).await;
    assert_eq!((status, peer.asked().len()), (201, 1));
    host.assert_no_secrets(&[]).await;
}

#[tokio::test]
async fn a_start_that_is_repeated_with_its_key_starts_nothing() {
    let host = Host::start().await;
    let peer = host.peer().await;
    host.room("crm-1").await;
    peer.will(Fate::Play(samples::states("egressInfo", "EG_s4uE8DXpQk6U")));
    let ask = async |key, wanted, name| {
        host.send(
            "POST",
            "/v1/egress",
            key,
            Some(wanted),
            &[("idempotency-key", name)],
        )
        .await
    };
    let wanted = || json!({"room": "crm-1", "outputs": {"streams": [STREAM]}});
    // Both at once: one starts, the other is told that it is under way or gets the same answer.
    let (first, second) = tokio::join!(ask(KEY, wanted(), "a"), ask(KEY, wanted(), "a"));
    let statuses = [first.0, second.0];
    assert!(
        statuses.contains(&201) && statuses.iter().all(|status| [201, 409].contains(status)),
        "{statuses:?}"
    );
    let (status, headers, body) = ask(KEY, wanted(), "a").await;
    assert_eq!(
        (status, headers["idempotency-replayed"].to_str().unwrap()),
        (201, "true")
    );
    let started = if first.0 == 201 { first.2 } else { second.2 };
    assert_eq!(body, started);
    assert_eq!(
        ask(KEY, file("crm-1", "ogg"), "a").await.0,
        400,
        "another request"
    );
    assert_eq!(ask(OTHER, wanted(), "a").await.0, 404, "another caller");
    assert_eq!(peer.asked().len(), 1);
    host.assert_no_secrets(&[]).await;
}

#[tokio::test]
async fn a_start_whose_sender_went_away_before_the_answer_is_not_started_again() {
    let host = Host::start().await;
    host.room("crm-1").await;
    let once = [("idempotency-key", "once")];
    let wanted = file("crm-1", "ogg");
    let first = host.send("POST", "/v1/egress", KEY, Some(wanted.clone()), &once);
    // Nobody serves it for so long; it may be served yet.
    let cut = tokio::time::timeout(Duration::from_secs(1), first).await;
    assert!(cut.is_err(), "nobody can have answered: {cut:?}");
    let peer = host.peer().await;
    peer.will(Fate::Play(samples::states("egressInfo", "EG_s4uE8DXpQk6U")));
    let (status, headers, body) = host.send("POST", "/v1/egress", KEY, Some(wanted), &once).await;
    assert_eq!(status, 409, "{}", String::from_utf8_lossy(&body));
    assert!(headers.contains_key("retry-after"));
    assert!(
        peer.asked().len() <= 1,
        "LiveKit may still ask for the first: {:?}",
        peer.asked()
    );
}

#[tokio::test]
async fn an_egress_without_cpu_is_refused_with_what_to_do() {
    let host = Host::start().await;
    let peer = host.peer().await;
    host.room("crm-1").await;
    peer.will(Fate::Refuse);
    let (status, problem) = host
        .ask("POST", "/v1/egress", KEY, Some(file("crm-1", "ogg")))
        .await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("CPU"), "{problem}");
    let asked = peer.asked();
    assert!(
        asked.iter().all(|other| other.egress_id == asked[0].egress_id),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anybody_is_asked() {
    let host = Host::start().await;
    let peer = host.peer().await;
    host.room("crm-1").await;
    let file = |kind: &str, path: &str| json!({"file": {"kind": kind, "path": path}});
    for (body, status) in [
        (json!({"room": "crm-none", "outputs": file("ogg", "a")}), 404),
        (json!({"room": "other-1", "outputs": file("ogg", "a")}), 404),
        (json!({"room": "crm-1", "outputs": {}}), 400),
        (json!({"room": "crm-1"}), 400),
        (json!({"room": "crm-1", "outputs": file("ogg", "../a")}), 400),
        (json!({"room": "crm-1", "outputs": file("wav", "a")}), 400),
        (
            json!({"room": "crm-1", "participant_identity": "a", "outputs": file("ogg", "a")}),
            400,
        ),
        (
            json!({"room": "crm-1", "participant_identity": "", "outputs": file("mp4", "a")}),
            400,
        ),
        (
            json!({"room": "crm-1", "track": "a", "outputs": file("ogg", "a")}),
            400,
        ),
        (
            json!({"room": "crm-1", "track": "TR_a", "outputs": {"streams": [STREAM]}}),
            400,
        ),
        (
            json!({"room": "crm-1", "track": "TR_a", "audio_only": true, "outputs": file("ogg", "a")}),
            400,
        ),
        (
            json!({"room": "crm-1", "layout": "grid", "outputs": file("ogg", "a")}),
            400,
        ),
        (
            json!({"room": "crm-1", "audio_only": false, "layout": "../x", "outputs": file("mp4", "a")}),
            400,
        ),
        (
            json!({"room": "crm-1", "outputs": {"streams": ["rtmp://169.254.169.254/a"]}}),
            403,
        ),
        (
            json!({"room": "crm-1", "outputs": {"hls": {"path": "a", "segment_s": 11}}}),
            400,
        ),
    ] {
        let (found, problem) = host.ask("POST", "/v1/egress", KEY, Some(body.clone())).await;
        assert_eq!(found, status, "{body}: {problem}");
    }
    for path in [
        "/v1/egress/EG_none",
        "/v1/egress/x",
        "/v1/calls/RM_none/recordings",
        "/v1/calls/RM_none/recording",
    ] {
        assert_eq!(host.ask("GET", path, KEY, None).await.0, 404, "{path}");
    }
    assert!(peer.asked().is_empty());
}
