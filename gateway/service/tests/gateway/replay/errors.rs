//! What LiveKit's API says of requests that come to nothing before a phone is called.

use serde_json::{Map, Value, json};

use super::{Names, Seen, Stage, http};
use crate::fixture::{CALLEE, NUMBER};

const ROOM: &str = "replayed-errors";

pub(super) async fn play(stage: &Stage) -> Seen {
    let _agent = stage.agent(ROOM).await;
    let trunk = json!({"trunk": {
        "name": "out", "address": "127.0.0.1:9", "transport": "SIP_TRANSPORT_TCP", "numbers": [NUMBER],
    }});
    let made = stage.twirp("SIP/CreateSIPOutboundTrunk", &trunk).await;
    let trunk = made["body"]["sip_trunk_id"].clone();
    assert!(trunk.is_string(), "{made}");
    let create = json!({
        "sip_trunk_id": trunk, "sip_call_to": CALLEE, "room_name": ROOM, "participant_identity": "callee-1",
        "wait_until_answered": true,
    });
    let transfer =
        json!({"participant_identity": "nobody", "room_name": ROOM, "transfer_to": "tel:+15558888"});
    let with = |request: &Value, name: &str, value: &str| {
        let mut request = request.clone();
        request[name] = json!(value);
        request
    };
    let creating = "SIP/CreateSIPParticipant";
    let transferring = "SIP/TransferSIPParticipant";
    let mut errors = Map::new();
    for (name, method, request) in [
        (
            "create-unknown-trunk",
            creating,
            with(&create, "sip_trunk_id", "ST_nothing"),
        ),
        (
            "create-bad-number",
            creating,
            with(&create, "sip_call_to", "sip:a@b.c"),
        ),
        ("create-empty-room", creating, with(&create, "room_name", "")),
        ("create-no-trunk", creating, with(&create, "sip_trunk_id", "")),
        ("create-unreachable-tcp", creating, create.clone()),
        ("transfer-unknown-participant", transferring, transfer.clone()),
        (
            "transfer-non-sip",
            transferring,
            with(&transfer, "participant_identity", "agent-1"),
        ),
    ] {
        errors.insert(name.into(), stage.twirp(method, &request).await);
    }
    let without = |grant: &str, request: &Value| {
        let mut grants = http::all_grants(request);
        grants.as_object_mut().expect("an object").remove(grant);
        grants
    };
    for (name, method, request, grant) in [
        ("create-no-sip-grant", creating, &create, "sip"),
        ("transfer-no-admin", transferring, &transfer, "video"),
    ] {
        let grants = without(grant, request);
        let answer = http::twirp(&stage.fixture.stack, method, request, grants).await;
        errors.insert(name.into(), answer);
    }
    // Nobody is there any more.
    stage.fixture.gateway.shutdown().await;
    errors.insert("create-after-kill".into(), stage.twirp(creating, &create).await);
    let mut fields = Map::new();
    fields.insert("errors".into(), Value::Object(errors));
    Seen {
        scenario: "errors-and-kill",
        fields,
        trace: Vec::new(),
        bus: Value::Null,
        names: Names::new(),
    }
}
