//! Phones that are dialled over the HTTP API, through LiveKit and the gateway, to sipp and back.

use platform::{Secret, config::LiveKitConfig, livekit::LiveKit};
use serde_json::{Value, json};

use crate::{
    harness::{Options, System, shared_turn},
    http::{KEY, ask, ask_within},
    phone::SOON,
    sipp::{self, Sipp},
};

pub(crate) const CALLEE: &str = "+14155557777";
pub(crate) const ELSEWHERE: &str = "+14155558888";

fn sections(port: u16) -> String {
    let key = json!({
        "name": "crm", "key": KEY, "rooms": ["out-*"],
        "scopes": ["calls:read", "calls:write", "rooms:read"],
    });
    let access = json!({"keys": [key]});
    let targets = json!({"numbers": ["+1415"], "sip_hosts": [format!("127.0.0.1:{port}")]});
    let calls = json!({"targets": targets, "trunks": ["ST_later"], "from": ["+15550200"]});
    format!("access: {access}\ncalls: {calls}\n")
}

/// A trunk to that port; it is known to LiveKit, and after a restart to the functions.
async fn trunk(system: &mut System, port: u16) {
    let keys = system.stack.keys();
    let api = LiveKit::new(&LiveKitConfig {
        url: system.stack.ws_url(),
        api_key: keys.api_key().to_owned(),
        api_secret: Secret::new(keys.api_secret()),
        webhook_keys: Vec::new(),
    })
    .unwrap();
    let trunk = livekit_protocol::SipOutboundTrunkInfo {
        name: "out".into(),
        address: format!("127.0.0.1:{port}"),
        numbers: vec!["+15550200".into()],
        ..livekit_protocol::SipOutboundTrunkInfo::default()
    };
    let trunk = api.create_sip_outbound_trunk(trunk).await.unwrap();
    system.kill_serve().await;
    let path = system.dir.path().join("trunkline.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("ST_later", &trunk.sip_trunk_id)).unwrap();
    system.restart_serve().await;
}

fn dial(room: &str) -> Value {
    json!({"to": CALLEE, "room": room, "wait_until_answered": true, "ringing_timeout_s": 5})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_phone_is_told_as_the_network_told_it() {
    let _turn = shared_turn().await;
    let port = sipp::free_port();
    let mut system = System::start(Options {
        sections: sections(port),
        ..Options::default()
    })
    .await;
    trunk(&mut system, port).await;
    for (name, steps, outcome, status) in [
        ("out-busy", sipp::refuses("486 Busy Here"), "busy", json!(486)),
        (
            "out-declined",
            sipp::refuses("603 Decline"),
            "declined",
            json!(603),
        ),
        (
            "out-invalid",
            sipp::refuses("404 Not Found"),
            "invalid",
            json!(404),
        ),
        (
            "out-away",
            sipp::refuses("480 Temporarily Unavailable"),
            "no_answer",
            json!(480),
        ),
        (
            "out-failure",
            sipp::refuses("503 Service Unavailable"),
            "trunk_failure",
            json!(503),
        ),
        ("out-silence", sipp::rings_in_vain(), "no_answer", Value::Null),
    ] {
        let phone = Sipp::start_at(port, &steps).await;
        let (http, answer) = ask(system.http, "POST", "/v1/calls", Some(&dial(name))).await;
        assert_eq!(http, 201, "{name}: {answer}; log: {}", system.log.display());
        assert_eq!(answer["outcome"], outcome, "{name}: {answer}");
        assert_eq!(answer["sip_status"], status, "{name}: {answer}");
        phone.went_by_the_scenario().await;
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_picked_up_is_sent_elsewhere_and_an_address_is_dialled_without_a_trunk() {
    let _turn = shared_turn().await;
    let port = sipp::free_port();
    let mut system = System::start(Options {
        sections: sections(port),
        ..Options::default()
    })
    .await;
    trunk(&mut system, port).await;
    let event = |state: &str| {
        format!("Event: refer\nSubscription-State: {state}\nContent-Type: message/sipfrag;version=2.0\n")
    };
    let mut steps = vec![
        sipp::receive_invite(),
        sipp::answer_with_sdp("200 OK", ""),
        sipp::receive("ACK"),
        sipp::receive("REFER"),
        sipp::answer_within("202 Accepted"),
        sipp::request("NOTIFY", &event("terminated;reason=noresource"), "SIP/2.0 200 OK"),
    ];
    steps.extend(sipp::is_hung_up_on());
    let phone = Sipp::start_at(port, &steps).await;
    let (http, started) = ask(system.http, "POST", "/v1/calls", Some(&dial("out-transfer"))).await;
    assert_eq!(
        (http, &started["outcome"]),
        (201, &json!("answered")),
        "{started}"
    );
    let target = format!("/v1/calls/{}/transfer", started["call"].as_str().unwrap());
    let refused = json!({"to": "+4930123456", "ringing_timeout_s": 5});
    let (http, answer) = ask(system.http, "POST", &target, Some(&refused)).await;
    assert_eq!(http, 403, "{answer}");
    let wanted = json!({"to": ELSEWHERE, "ringing_timeout_s": 5});
    let (http, answer) = ask(system.http, "POST", &target, Some(&wanted)).await;
    assert_eq!((http, &answer["outcome"]), (200, &json!("answered")), "{answer}");
    phone.went_by_the_scenario().await;

    let phone = Sipp::start_at(port, &sipp::picks_up()).await;
    let wanted = json!({
        "to": format!("sip:alice@127.0.0.1:{port}"), "from": "+15550200", "room": "out-address",
        "wait_until_answered": true, "ringing_timeout_s": 5,
    });
    let (http, started) = ask(system.http, "POST", "/v1/calls", Some(&wanted)).await;
    assert_eq!(
        (http, &started["outcome"]),
        (201, &json!("answered")),
        "{started}"
    );
    let call = format!("/v1/calls/{}", started["call"].as_str().unwrap());
    let (http, _) = ask(system.http, "DELETE", &call, None).await;
    assert_eq!(http, 204);
    phone.went_by_the_scenario().await;
    system.stop().await;
}

/// What is hung up the moment its leg is seen, be the phone in its room or not.
async fn hung_up_while_dialled(system: &System, room: &str, moment: impl AsyncFn() -> bool) -> (u16, Value) {
    let body = dial(room);
    // What is dialled may come out after 27 s, and whoever hangs up waits 10 s for it.
    let limit = SOON * 3;
    let dialled = ask_within(limit, system.http, "POST", "/v1/calls", Some(&body));
    let hang_up = async {
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let (_, page) = ask(system.http, "GET", "/v1/calls?limit=100", None).await;
            let calls = page["calls"].as_array().unwrap();
            let call = calls
                .iter()
                .find(|call| call["room"] == room && call["outbound"][0].is_object());
            if let Some(call) = call
                && moment().await
            {
                let path = format!("/v1/calls/{}", call["call"].as_str().unwrap());
                return ask_within(limit, system.http, "DELETE", &path, None).await.0;
            }
            assert!(tokio::time::Instant::now() < until, "{room} is not dialled");
        }
    };
    let (answer, status) = futures_util::future::join(dialled, hang_up).await;
    measured!("{room}: DELETE says {status}");
    assert!([202, 204].contains(&status), "{room}: {status}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_hung_up_while_it_is_dialled_stops_ringing_and_frees_its_place() {
    let _turn = shared_turn().await;
    let port = sipp::free_port();
    let mut system = System::start(Options {
        sections: sections(port),
        ..Options::default()
    })
    .await;
    trunk(&mut system, port).await;
    let was_cancelled = |(http, answer): &(u16, Value)| {
        assert_eq!(
            (*http, &answer["outcome"]),
            (201, &json!("cancelled")),
            "{answer}"
        );
    };
    // As it rings.
    let phone = Sipp::start_at(port, &sipp::rings_in_vain()).await;
    let rings = async || {
        let there = system.rooms().list_participants("out-rings").await.unwrap();
        let status = |who: &livekit_protocol::ParticipantInfo| who.attributes.get("sip.callStatus").cloned();
        there.iter().any(|who| status(who).as_deref() == Some("ringing"))
    };
    was_cancelled(&hung_up_while_dialled(&system, "out-rings", rings).await);
    phone.went_by_the_scenario().await;
    let phone = Sipp::start_at(port, &sipp::picks_up()).await;
    let (http, started) = ask(system.http, "POST", "/v1/calls", Some(&dial("out-after"))).await;
    assert_eq!(
        (http, &started["outcome"]),
        (201, &json!("answered")),
        "{started}"
    );
    // A server that does not let it be heard again says how it would.
    let call = format!("/v1/calls/{}", started["call"].as_str().unwrap());
    let mute = format!("{call}/mute");
    let (http, _) = ask(system.http, "POST", &mute, Some(&json!({"muted": true}))).await;
    assert_eq!(http, 204);
    let (http, problem) = ask(system.http, "POST", &mute, Some(&json!({"muted": false}))).await;
    assert_eq!(http, 409, "{problem}");
    let remedy = problem["remedy"].as_str().unwrap();
    assert!(remedy.contains("room.enable_remote_unmute"), "{problem}");
    let (http, _) = ask(system.http, "DELETE", &call, None).await;
    assert_eq!(http, 204);
    phone.went_by_the_scenario().await;
    // As early as it can be: before the phone is in its room, mostly. The number is good for one call at a time. Nobody
    // is at that address any more: an INVITE that has no answer yet cannot be cancelled, and would ring whoever came there.
    for at in 0..8 {
        let room = format!("out-early-{at}");
        was_cancelled(&hung_up_while_dialled(&system, &room, async || true).await);
        let there = system.rooms().list_participants(&room).await.unwrap_or_default();
        assert_eq!(there.len(), 0, "{room}: {there:?}");
    }
    system.stop().await;
}
