//! Outbound calls: what is dialled, what is not, and what is told of it.

use platform::store::Store as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::{
    gateway::{Answer, recorded},
    host::{Host, KEY, OTHER, SOON, wanted},
};

#[tokio::test]
async fn an_answered_call_has_its_room_its_id_and_its_place_until_it_is_hung_up() {
    let host = Host::start().await;
    let (status, started) = host.call(json!({"metadata": "m", "from": "+15550200"})).await;
    assert_eq!(
        (status, &started["outcome"]),
        (201, &json!("answered")),
        "{started}"
    );
    let (call, room) = (
        started["call"].as_str().unwrap(),
        started["room"].as_str().unwrap(),
    );
    assert!(call.starts_with("RM_") && room.starts_with("crm-"));
    let dialled = host.gateway().dialled();
    assert_eq!(
        (
            dialled[0].call_to.as_str(),
            dialled[0].number.as_str(),
            dialled[0].address.as_str()
        ),
        ("+14155552671", "+15550200", "127.0.0.1:5099")
    );
    assert!(dialled[0].waits && dialled[0].room == room && dialled[0].sip_call_id == started["sip_call_id"]);
    assert_eq!(host.rooms().await, [room]);

    let path = format!("/v1/calls/{call}");
    let (status, seen) = host.ask("GET", &path, KEY, None).await;
    assert_eq!(
        (status, &seen["outbound"][0]["outcome"]),
        (200, &json!("answered")),
        "{seen}"
    );
    let (_, page) = host.ask("GET", "/v1/calls", KEY, None).await;
    assert_eq!(page["calls"][0]["call"], call, "{page}");
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/mute")),
    ] {
        let body = (method == "POST").then(|| json!({"muted": true}));
        assert_eq!(host.ask(method, &path, OTHER, body).await.0, 404);
    }
    let (_, page) = host.ask("GET", "/v1/calls", OTHER, None).await;
    assert_eq!(page, json!({"calls": []}));
    let not_a_name = host.ask("GET", "/v1/calls/%ff", KEY, None).await;
    assert_eq!((not_a_name.0, &not_a_name.1["status"]), (404, &json!(404)));

    for (action, body, status) in [
        ("transfer", json!({"to": "+1911"}), 403),
        ("transfer", json!({"to": "+33123456789"}), 403),
        ("transfer", json!({"to": "+19005551234"}), 403),
        ("transfer", json!({"to": "112"}), 403),
        ("transfer", json!({"to": "tel:112"}), 403),
        ("transfer", json!({"to": "sip:+19005551234@pbx.example.com"}), 403),
        ("transfer", json!({"to": "sip:a@evil.example.com"}), 403),
        (
            "transfer",
            json!({"to": "+14155550001", "ringing_timeout_s": 21}),
            400,
        ),
        ("dtmf", json!({"digits": "x"}), 400),
        ("dtmf", json!({"digits": ""}), 400),
        // What answered on the bus is no participant of the room.
        ("transfer", json!({"to": "+14155550001"}), 409),
        ("dtmf", json!({"digits": "12#"}), 409),
        ("mute", json!({"muted": true}), 409),
        ("mute", json!({"muted": true, "participant_identity": "ann"}), 404),
    ] {
        let (answered, problem) = host
            .ask("POST", &format!("{path}/{action}"), KEY, Some(body))
            .await;
        assert_eq!(answered, status, "{action}: {problem}");
    }

    let (status, problem) = host.call(json!({})).await;
    assert_eq!(status, 403, "one call to a number at a time: {problem}");
    assert_eq!(host.ask("DELETE", &path, KEY, None).await.0, 204);
    assert_eq!(host.rooms().await.len(), 0);
    assert_eq!(host.ask("DELETE", &path, KEY, None).await.0, 204, "twice is once");
    assert_eq!(host.call(json!({})).await.0, 201, "its place is free");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_telephone_network_answers_is_an_outcome_and_leaves_nothing_behind() {
    let host = Host::start().await;
    for (name, outcome) in [
        ("busy", "busy"),
        ("unavail", "no_answer"),
        ("noanswer", "no_answer"),
        ("notfound", "invalid"),
        ("decline", "declined"),
        ("forbidden", "declined"),
        ("svcunavail", "trunk_failure"),
    ] {
        let recorded = recorded(name);
        host.gateway().will(Answer::Recorded(recorded.clone()));
        let (status, started) = host.call(json!({})).await;
        assert_eq!(
            (status, &started["outcome"]),
            (201, &json!(outcome)),
            "{name}: {started}"
        );
        assert_eq!(started["sip_status"], recorded["sip_status_code"], "{name}");
        assert_eq!(host.rooms().await.len(), 0, "{name}");
        let path = format!("/v1/calls/{}", started["call"].as_str().unwrap());
        let (_, seen) = host.ask("GET", &path, KEY, None).await;
        assert_eq!(seen["outbound"][0]["outcome"], outcome);
    }
    assert_eq!(host.gateway().dialled().len(), 7, "each was dialled once");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn one_idempotency_key_dials_once_however_often_and_at_once_it_is_sent() {
    let host = Host::start().await;
    let send = |body: Value, key: &'static str| {
        let host = &host;
        async move { host.send("POST", "/v1/calls", KEY, Some(body), Some(key)).await }
    };
    let at_once = futures_util::future::join_all((0..8).map(|_| send(wanted(&json!({})), "order-1"))).await;
    let statuses: Vec<u16> = at_once.iter().map(|(status, _, _)| *status).collect();
    assert!(
        statuses.contains(&201) && statuses.iter().all(|status| [201, 409].contains(status)),
        "{statuses:?}"
    );
    let (status, headers, again) = send(wanted(&json!({})), "order-1").await;
    assert_eq!(
        (status, headers["idempotency-replayed"].to_str().unwrap()),
        (201, "true")
    );
    let first = at_once.iter().find(|(status, _, _)| *status == 201).unwrap();
    assert_eq!(again, first.2);
    assert_eq!(host.gateway().dialled().len(), 1);

    let (status, _, problem) = send(wanted(&json!({"to": "+14155550001"})), "order-1").await;
    assert_eq!((status, &problem["field"]), (400, &json!("Idempotency-Key")));
    let (status, _, _) = send(wanted(&json!({"to": "+14155550001"})), "order-2").await;
    assert_eq!(status, 201);
    assert_eq!(host.gateway().dialled().len(), 2);
    for key in ["", "a b"] {
        assert_eq!(send(wanted(&json!({})), key).await.0, 400, "{key:?}");
    }
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn policy_refuses_before_a_room_is_made_or_anything_is_dialled() {
    let host = Host::start().await;
    let many: serde_json::Map<_, _> = (0..20).map(|at| (format!("X-{at}"), json!("x"))).collect();
    for (change, status, field) in [
        (json!({"to": "911"}), 403, "to"),
        (json!({"to": "112"}), 403, "to"),
        (json!({"to": "tel:112"}), 403, "to"),
        (json!({"to": "+1 900 555 1234"}), 403, "to"),
        (json!({"to": "sip:+19005551234@pbx.example.com"}), 403, "to"),
        (json!({"to": "+1911"}), 403, "to"),
        (json!({"to": "+19005551234"}), 403, "to"),
        (json!({"to": "+33123456789"}), 403, "to"),
        (json!({"to": "sip:a@evil.example.com"}), 403, "to"),
        (json!({"to": "sip:911@pbx.example.com"}), 403, "to"),
        (json!({"to": "x"}), 400, "to"),
        // LiveKit would say of it what it says of a broken trunk.
        (json!({"to": "sip:ann@pbx.example.com"}), 400, "from"),
        (json!({"trunk": "ST_other"}), 403, "trunk"),
        (json!({"room": "other-1"}), 403, "room"),
        (json!({"max_duration_s": 601}), 400, "max_duration_s"),
        (json!({"ringing_timeout_s": 1}), 400, "ringing_timeout_s"),
        (json!({"headers": {"Via": "x"}}), 400, "headers"),
        (json!({"headers": {"X-A": "a\r\nVia: b"}}), 400, "headers"),
        (json!({"headers": many}), 400, "headers"),
        (json!({"dtmf": "12x"}), 400, "dtmf"),
        (json!({"from": "+1\r\n"}), 400, "from"),
        (json!({"display_name": "Ann \"x\""}), 400, "display_name"),
        (json!({"display_name": "a\\"}), 400, "display_name"),
        (json!({"from": "+19995550000"}), 403, "from"),
        // The trunk's own, and this goes over none.
        (
            json!({"to": "sip:ann@pbx.example.com", "from": "+15550200"}),
            403,
            "from",
        ),
        (
            json!({"participant_identity": "agent-RM_1"}),
            403,
            "participant_identity",
        ),
        (
            json!({"participant_identity": "a\u{0}"}),
            400,
            "participant_identity",
        ),
        (json!({"metadata": "x".repeat(20_000)}), 400, "metadata"),
        (json!({"sip_trunk_id": "ST_1"}), 400, "sip_trunk_id"),
    ] {
        let (answered, problem) = host.call(change.clone()).await;
        assert_eq!(
            (answered, &problem["field"]),
            (status, &json!(field)),
            "{change} {problem}"
        );
    }
    assert_eq!(host.rooms().await.len(), 0);
    assert_eq!(host.gateway().dialled().len(), 0);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn caps_hold_for_calls_at_once() {
    let host = Host::start().await;
    let numbers: Vec<String> = (0..8).map(|at| format!("+1415555000{at}")).collect();
    let calls = numbers.iter().map(|number| host.call(json!({"to": number})));
    let answers = futures_util::future::join_all(calls).await;
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        3,
        "{statuses:?}"
    );
    assert_eq!(host.gateway().dialled().len(), 3);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_sip_address_on_a_listed_host_is_called_with_the_number_that_is_named() {
    let host = Host::start().await;
    let body = json!({"to": "sip:ann@pbx.example.com", "from": "Desk", "display_name": "Ann ‹1› Müller"});
    let (status, started) = host.call(body).await;
    assert_eq!(
        (status, &started["outcome"]),
        (201, &json!("answered")),
        "{started}"
    );
    let dialled = host.gateway().dialled();
    assert_eq!(
        [&dialled[0].call_to, &dialled[0].number, &dialled[0].address],
        ["ann", "Desk", "pbx.example.com"]
    );
    // One call to a number at a time, however it is written; and to a user, whose name is another one with a separator in it.
    for (user, expected) in [
        ("ANN", 403),
        ("+1-415-5552671", 201),
        ("+1.415.555.2671", 403),
        ("a.n-n", 201),
    ] {
        let body = json!({"to": format!("sip:{user}@pbx.example.com"), "from": "Desk"});
        let (status, answer) = host.call(body).await;
        assert_eq!(status, expected, "{user}: {answer}");
    }
    assert_eq!(host.gateway().dialled()[1].call_to, "+1-415-5552671");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_listed_trunk_that_livekit_does_not_know_is_told_as_such_and_leaves_nothing_behind() {
    let host = Host::start().await;
    let trunks = host.livekit.list_sip_outbound_trunks().await.unwrap();
    let trunk = &trunks[0].sip_trunk_id;
    host.livekit.delete_sip_trunk(trunk).await.unwrap();
    for _ in 0..2 {
        let body = Some(wanted(&json!({})));
        let (status, _, problem) = host.send("POST", "/v1/calls", KEY, body, Some("order-1")).await;
        assert_eq!(status, 503, "{problem}");
        assert!(
            problem["remedy"].as_str().unwrap().contains("calls.trunks"),
            "{problem}"
        );
        assert_eq!(host.rooms().await.len(), 0);
    }
    assert_eq!(host.gateway().dialled().len(), 0);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_gateway_the_answer_says_so_and_the_key_may_be_used_again() {
    let mut host = Host::without_gateway().await;
    for _ in 0..2 {
        let (status, _, problem) = host
            .send(
                "POST",
                "/v1/calls",
                KEY,
                Some(wanted(&json!({}))),
                Some("order-1"),
            )
            .await;
        assert_eq!(status, 503, "{problem}");
        assert!(
            problem["remedy"].as_str().unwrap().contains("gateway"),
            "{problem}"
        );
        assert_eq!(host.rooms().await.len(), 0);
    }
    host.gateway = Some(crate::gateway::Gateway::start(&host.stack.redis_url()).await);
    let (status, _, _) = host
        .send(
            "POST",
            "/v1/calls",
            KEY,
            Some(wanted(&json!({}))),
            Some("order-1"),
        )
        .await;
    assert_eq!(status, 201);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_phone_that_came_to_nothing_is_put_out_of_a_room_that_was_there_before() {
    let host = Host::start().await;
    let body = json!({"room": "crm-1", "participant_identity": "phone"});
    for (answer, status) in [
        (recorded("busy"), 201),
        // It may ring on: nobody knows.
        (
            json!({"error": "request timed out", "code": "deadline_exceeded"}),
            504,
        ),
        (json!({"error": "no", "code": "unavailable"}), 503),
    ] {
        let mut phone = host.join("crm-1", "phone", &[]).await;
        host.gateway().will(Answer::Recorded(answer.clone()));
        let (answered, problem) = host.call(body.clone()).await;
        assert_eq!(answered, status, "{answer}: {problem}");
        let mut rest = Vec::new();
        let sent_away = tokio::time::timeout(SOON, phone.read_to_end(&mut rest)).await;
        assert!(sent_away.is_ok(), "{answer}: the phone is still in the room");
        assert_eq!(host.rooms().await, ["crm-1"], "{answer}");
    }
    assert_eq!(host.call(body).await.0, 201, "its place is free");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_transfer_counts_as_the_call_that_it_makes() {
    let host = Host::start().await;
    let sip = [("sip.callID", "SCL_1"), ("sip.trunkID", "ST_1")];
    let _phone = host.join("crm-1", "phone", &sip).await;
    let (_, started) = host.call(json!({"room": "crm-1"})).await;
    let path = format!("/v1/calls/{}/transfer", started["call"].as_str().unwrap());
    let transfer = || {
        let body = json!({"to": "+14155550001", "participant_identity": "phone"});
        host.ask("POST", &path, KEY, Some(body))
    };
    host.gateway().will(Answer::Recorded(recorded("busy")));
    let (status, done) = transfer().await;
    assert_eq!(
        (status, &done["outcome"]),
        (200, &json!("busy")),
        "it takes no place: {done}"
    );
    let (status, done) = transfer().await;
    assert_eq!((status, &done["outcome"]), (200, &json!("answered")), "{done}");
    let (status, problem) = transfer().await;
    assert_eq!(status, 403, "one call to a number at a time: {problem}");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn pages_of_calls_show_every_call_of_the_callers_own_once_and_no_id_of_anothers() {
    let host = Host::start().await;
    let mut mine = Vec::new();
    for at in 0..12 {
        let id: events::CallId = format!("RM_{:012x}", (at * 0x1234_5678_9abc_u64) % 0xffff_ffff_ffff)
            .parse()
            .unwrap();
        let is_mine = at % 3 == 0;
        let entry = events::IndexEntry {
            created_at: events::Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
            room: events::RoomName::new(if is_mine { "crm-1" } else { "other-1" }).unwrap(),
        };
        let bytes = serde_json::to_vec(&entry).unwrap();
        host.store
            .put(&events::keys::index(&id), bytes.into())
            .await
            .unwrap();
        let prefix = events::keys::day(entry.created_at);
        for name in ["a.json", "b.json"] {
            let key = format!("{prefix}{id}/{name}");
            host.store.put(&key, "{}".into()).await.unwrap();
        }
        if is_mine {
            mine.push(id.to_string());
        }
    }
    mine.sort();
    for limit in [1, 2, 5, 12] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/calls?day=2026-01-02&limit={limit}{cursor}");
            let (status, page) = host.ask("GET", &path, KEY, None).await;
            assert_eq!(status, 200, "{page}");
            for call in page["calls"].as_array().unwrap() {
                seen.push(call["call"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else { break };
            for path in [
                format!("/v1/calls?day=2026-01-02&cursor={}", &next[..next.len() - 4]),
                format!("/v1/calls?day=2026-01-03&cursor={next}"),
                "/v1/calls?day=2026-01-02&cursor=RM_5".to_owned(),
            ] {
                let (status, problem) = host.ask("GET", &path, KEY, None).await;
                assert_eq!((status, &problem["field"]), (400, &json!("cursor")), "{problem}");
            }
            let of_another = format!("/v1/calls?day=2026-01-02&cursor={next}");
            assert_eq!(host.ask("GET", &of_another, OTHER, None).await.0, 400);
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, mine, "limit {limit}");
    }
    host.stack.stop().await.unwrap();
}
