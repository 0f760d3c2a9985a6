//! However the webhooks of a room come (twice, out of order, a minute late), what they leave is the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::sender::{Function, Webhook, aborted, has_aborted, recording};

/// LiveKit's own time limit of a webhook's token is five minutes: one that waits longer is signed again.
const LATE_MS: i64 = 60_000;

/// Rooms of the recordings: a call that is cancelled, one whose phone comes first, one whose agent does, what was streamed into,
/// and one that only an ingress came into, whose connection was aborted.
const ROOMS: [(&str, &str); 7] = [
    ("sip.jsonl", "RM_p3ya9fFpUX52"),
    ("sip.jsonl", "RM_5dNYzUpD9LnC"),
    ("sip.jsonl", "RM_q6pmYvjcEZxQ"),
    ("egress-ingress.jsonl", "EG_s4uE8DXpQk6U"),
    ("egress-ingress.jsonl", "EG_SBCDD443eu7C"),
    ("egress-ingress.jsonl", "IN_uLn2uFdiG2VD"),
    ("egress-ingress.jsonl", "RM_tdNCBgNSEJEG"),
];

fn webhooks(file: &str, of: &str) -> Vec<Webhook> {
    let all = recording(file, true);
    let room_of = |webhook: &Webhook| {
        let json: Value = serde_json::from_slice(&webhook.body).unwrap();
        let (egress, ingress) = (&json["egressInfo"], &json["ingressInfo"]);
        let is_of = egress["egressId"] == of || ingress["ingressId"] == of;
        let room = egress["roomId"].as_str().or(ingress["state"]["roomId"].as_str());
        room.filter(|_| is_of).map(str::to_owned)
    };
    let room = all.iter().find_map(room_of).unwrap_or_else(|| of.to_owned());
    let is_of = |webhook: &Webhook| String::from_utf8_lossy(&webhook.body).contains(&room);
    all.into_iter().filter(is_of).collect()
}

fn function() -> Function {
    Function::new(&[json!({"profile": "support", "numbers": ["+*"]})])
}

/// Objects and jobs, without the moments of the receipt, and in whole seconds: LiveKit tells leaves and closes in no more. Without the
/// moment, too, which stands in for the room's creation in an event that does not tell it and comes before all that do.
async fn left_by(webhooks: Vec<Webhook>) -> (BTreeMap<String, Value>, Vec<Value>) {
    let function = function();
    function.accept_all(webhooks).await;
    let objects = function.world.objects.lock();
    let objects = objects.iter().map(|(key, bytes)| (key.clone(), timeless(bytes)));
    let messages = function.world.messages.lock();
    (
        objects.collect(),
        messages
            .iter()
            .map(|(_, _, body)| timeless(body.as_bytes()))
            .collect(),
    )
}

fn timeless(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    whole_seconds(&mut value);
    value
}

fn whole_seconds(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("received_at");
            members.remove("room_created_at");
            members.values_mut().for_each(whole_seconds);
        }
        Value::Array(elements) => {
            elements.retain(|element| element["step"] != "webhook" && element["step"] != "job_enqueued");
            elements.iter_mut().for_each(whole_seconds);
            // What happened within a second has no order of its own.
            elements.sort_by_key(|element| {
                element["at"]
                    .as_str()
                    .map(|at| (at.to_owned(), element["step"].to_string()))
            });
        }
        Value::String(text) if text.starts_with("2026-") => text.truncate("2026-11-20T19:08:32".len()),
        _ => {}
    }
}

/// The same webhook, later.
fn late(webhook: &Webhook) -> Webhook {
    let body = String::from_utf8(webhook.body.clone()).unwrap();
    Webhook::signed(body, webhook.at_ms + LATE_MS)
}

#[tokio::test]
async fn however_the_webhooks_of_a_room_come_what_they_leave_is_the_same() {
    for (file, of) in ROOMS {
        come_as_they_like(of, webhooks(file, of)).await;
    }
}

#[tokio::test]
async fn however_the_webhooks_of_a_room_come_whose_connections_were_aborted_what_they_leave_is_the_same() {
    let (file, of) = ROOMS[6];
    assert!(has_aborted(&webhooks(file, of)), "as recorded");
    for (file, of) in &ROOMS[..3] {
        let webhooks = aborted(webhooks(file, of));
        assert!(has_aborted(&webhooks), "{of}");
        come_as_they_like(of, webhooks).await;
    }
}

/// Each twice, backwards, and each of them late.
async fn come_as_they_like(of: &str, in_order: Vec<Webhook>) {
    let expected = left_by(in_order.clone()).await;
    let is_same = async |webhooks: Vec<Webhook>, how: &str| {
        let (objects, jobs) = left_by(webhooks).await;
        let keys: Vec<_> = objects.keys().collect();
        assert_eq!(keys, expected.0.keys().collect::<Vec<_>>(), "{of}, {how}");
        for (key, object) in &objects {
            assert_eq!(object, &expected.0[key], "{of}, {how}: {key}");
        }
        assert_eq!(jobs, expected.1, "{of}, {how}");
    };
    let twice = in_order
        .iter()
        .flat_map(|webhook| [webhook.clone(), late(webhook)]);
    is_same(twice.collect(), "each twice").await;
    is_same(in_order.iter().rev().cloned().collect(), "backwards").await;
    for place in 0..in_order.len() {
        let mut webhooks = in_order.clone();
        let delayed = webhooks.remove(place);
        webhooks.push(late(&delayed));
        is_same(webhooks, &format!("number {place} a minute late")).await;
    }
}

#[tokio::test]
async fn the_record_of_a_call_that_an_agent_held_is_left_alone() {
    let function = function();
    let mut webhooks = webhooks("sip.jsonl", "RM_p3ya9fFpUX52");
    let is_left = |webhook: &Webhook| String::from_utf8_lossy(&webhook.body).contains("participant_left");
    let left = webhooks.remove(webhooks.iter().position(is_left).unwrap());
    function.accept_all(webhooks).await;
    let key = |name: &str| format!("calls/2026-11-20/RM_p3ya9fFpUX52/{name}");
    let written = {
        let mut objects = function.world.objects.lock();
        objects.insert(key("claim.json"), "{}".into());
        objects[&key("record.json")].clone()
    };
    function.accept(late(&left)).await;
    assert_eq!(function.world.objects.lock()[&key("record.json")], written);
}

/// One function closes the call while another keeps what came last, and finds no record yet that it could complete.
#[tokio::test]
async fn an_event_that_is_kept_while_the_call_is_closed_is_in_its_record() {
    let (file, room) = ROOMS[0];
    let all = webhooks(file, room);
    let is_leave =
        |webhook: &Webhook| String::from_utf8_lossy(&webhook.body).contains("\"participant_left\"");
    let (leaves, others): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_leave);
    assert!(!leaves.is_empty());
    let expected = left_by(all.clone()).await.0;
    let keys = |of: &BTreeMap<String, Value>| of.keys().cloned().collect::<BTreeSet<_>>();
    let without = keys(&left_by(others.clone()).await.0);
    let whole = function();
    whole.accept_all(all).await;

    let function = function();
    let mut of_leaves = whole.world.objects.lock().clone();
    of_leaves.retain(|key, _| !without.contains(key));
    assert!(!of_leaves.is_empty() && of_leaves.keys().all(|key| !key.ends_with("/record.json")));
    *function.world.meanwhile.lock() = of_leaves;
    function.accept_all(others).await;
    let objects = function.world.objects.lock();
    let objects: BTreeMap<_, _> = objects
        .iter()
        .map(|(key, bytes)| (key.clone(), timeless(bytes)))
        .collect();
    assert_eq!(objects, expected);
}
