//! Which webhooks bring about what.

use std::collections::BTreeSet;

use bytes::Bytes;
use events::{CallJob, CallRecord};
use serde_json::{Value, json};

use crate::sender::{Function, Webhook, cancelled_call, recording, sample, sample_names, unrecorded};

fn any_number() -> Value {
    json!({"profile": "support", "numbers": ["+1*"]})
}

fn record(function: &Function) -> CallRecord {
    CallRecord::decode(function.world.object("record.json").unwrap()).unwrap()
}

fn jobs(function: &Function) -> Vec<CallJob> {
    function
        .world
        .messages
        .lock()
        .iter()
        .map(|(_, _, body)| CallJob::decode(body).unwrap())
        .collect()
}

#[tokio::test]
async fn every_golden_sample_is_accepted_and_a_replay_of_it_does_nothing() {
    let function = Function::new(&[any_number()]);
    for name in sample_names() {
        let outcome = function.accept(sample(&name)).await;
        let (objects, messages) = (function.world.keys(), function.world.messages.lock().clone());
        let again = function.accept(sample(&name)).await;
        assert_eq!(
            again,
            if outcome == "ignored" { "ignored" } else { "replay" },
            "{name}"
        );
        assert_eq!(function.world.keys(), objects, "{name}");
        assert_eq!(*function.world.messages.lock(), messages, "{name}");
    }
}

#[tokio::test]
async fn every_recorded_webhook_is_accepted() {
    for (file, signed_again) in [("sip.jsonl", false), ("egress-ingress.jsonl", true)] {
        let function = Function::new(&[any_number()]);
        let mut ids = BTreeSet::new();
        for webhook in recording(file, signed_again) {
            let id = serde_json::from_slice::<Value>(&webhook.body).unwrap()["id"].to_string();
            let first = ids.insert(id);
            let outcome = function.accept(webhook).await;
            // An egress can name a second URL for its events: they came twice, with one id.
            assert!(
                first != (outcome == "replay") || outcome == "ignored",
                "{file}: {outcome}"
            );
        }
        assert!(ids.len() > 400, "{file}");
    }
}

#[tokio::test]
async fn unknown_events_and_enum_values_are_acknowledged() {
    let function = Function::new(&[]);
    for body in unrecorded() {
        let (status, answer) = function
            .send(Webhook::signed(body.clone(), 1_795_196_411_000))
            .await;
        assert_eq!(status, 200, "{body}");
        let unknown_event = body.contains("room_metadata_changed");
        assert_eq!(answer["outcome"] == "ignored", unknown_event, "{body}");
    }
}

/// Whatever `agents` says of its name.
#[tokio::test]
async fn a_room_of_the_doctor_is_no_call() {
    let function = Function::new(&[json!({"profile": "support", "rooms": ["*"]})]);
    let body = sample("room_started.json").body;
    let mut started: Value = serde_json::from_slice(&body).unwrap();
    started["room"]["name"] = format!("{}1", webhook::TEST_ROOMS).into();
    let webhook = Webhook::signed(started.to_string(), 1_795_196_411_000);
    assert_eq!(function.accept(webhook).await, "ignored");
    assert!(function.world.keys().is_empty() && function.world.messages.lock().is_empty());
    assert_eq!(function.accept(sample("room_started.json")).await, "job_enqueued");
}

#[tokio::test]
async fn a_phone_call_to_a_listed_number_gets_one_job() {
    let function = Function::new(&[any_number()]);
    assert_eq!(function.accept(sample("room_started.json")).await, "kept");
    assert_eq!(
        function
            .accept(sample("participant_joined.sip.ringing.json"))
            .await,
        "job_enqueued"
    );
    let messages = function.world.messages.lock().clone();
    let [(group, dedup_id, _)] = messages.as_slice() else {
        panic!("one message")
    };
    assert_eq!(
        (group.as_str(), dedup_id.as_str()),
        ("RM_5dNYzUpD9LnC", "RM_5dNYzUpD9LnC:1")
    );
    let job = &jobs(&function)[0];
    assert_eq!(job.profile.name.as_str(), "support");
    assert_eq!(job.caller.as_ref().unwrap().as_str(), Some("+15551234"));
    assert_eq!(job.called.as_ref().unwrap().as_str(), Some("+15550100"));
    assert_eq!(job.participant.as_ref().unwrap().as_str(), "sip_+15551234");
    let steps: Vec<_> = job.timeline.iter().map(|entry| entry.step.as_str()).collect();
    assert_eq!(
        steps,
        ["room_started", "caller_joined", "webhook", "job_enqueued"]
    );
    assert_eq!(
        function.world.object("job.json").unwrap(),
        Bytes::from(job.encode())
    );
    let metadata = function.world.metadata.lock().clone();
    assert_eq!(
        metadata[0].1,
        r#"{"trunkline":{"call":"RM_5dNYzUpD9LnC","profile":"support"}}"#
    );
}

#[tokio::test]
async fn a_room_that_an_entry_names_gets_its_job_before_anybody_joins_and_no_second_one() {
    let function = Function::new(&[json!({"profile": "web", "rooms": ["call_*"]})]);
    assert_eq!(function.accept(sample("room_started.json")).await, "job_enqueued");
    assert!(jobs(&function)[0].caller.is_none());
    // The queue has long forgotten the first one.
    function.world.messages.lock().clear();
    assert_eq!(
        function
            .accept(sample("participant_joined.sip.ringing.json"))
            .await,
        "job_present"
    );
    assert!(jobs(&function).is_empty());
}

#[tokio::test]
async fn agents_egresses_and_ingresses_never_get_a_job() {
    let function = Function::new(&[json!({"profile": "any"})]);
    for kind in ["agent", "egress", "ingress"] {
        assert_eq!(
            function
                .accept(sample(&format!("participant_joined.{kind}.json")))
                .await,
            "kept"
        );
    }
    assert!(jobs(&function).is_empty());
    assert_eq!(
        function.accept(sample("participant_joined.standard.json")).await,
        "job_enqueued"
    );
}

#[tokio::test]
async fn an_unlisted_number_is_recorded_with_the_reason() {
    let function = Function::new(&[json!({"profile": "other", "numbers": ["+4930*"]})]);
    let outcomes = function.accept_all(cancelled_call()).await;
    assert!(outcomes.contains(&"no_match".to_owned()) && outcomes.last().unwrap() == "closed");
    let record = record(&function);
    assert_eq!(
        (record.outcome.kind(), record.outcome.reason()),
        ("no_match", Some("number_not_listed"))
    );
    assert!(record.profile.is_none() && record.trunk.is_some());
    assert!(jobs(&function).is_empty());
}

#[tokio::test]
async fn a_call_that_was_cancelled_before_anybody_claimed_it_is_closed_so() {
    let function = Function::new(&[any_number()]);
    function.accept_all(cancelled_call()).await;
    let record = record(&function);
    assert_eq!(record.outcome.kind(), "cancelled");
    assert_eq!(record.profile.unwrap().name.as_str(), "support");
    let steps: Vec<_> = record.timeline.iter().map(|entry| entry.step.as_str()).collect();
    assert_eq!(
        steps,
        [
            "room_started",
            "caller_joined",
            "webhook",
            "job_enqueued",
            "caller_left",
            "room_finished"
        ]
    );
}

#[tokio::test]
async fn a_call_that_the_gateway_gave_up_is_closed_as_no_agent() {
    let function = Function::new(&[any_number()]);
    for webhook in cancelled_call() {
        let body = String::from_utf8(webhook.body).unwrap();
        let left = body.contains("participant_left");
        let body = if left {
            body.replacen(
                "\"sip.callID\"",
                "\"trunkline.end\":\"no_agent\", \"sip.callID\"",
                1,
            )
        } else {
            body
        };
        function.accept(Webhook::signed(body, webhook.at_ms)).await;
    }
    assert_eq!(record(&function).outcome.kind(), "no_agent");
}

#[tokio::test]
async fn a_claimed_call_is_left_to_its_holder() {
    let function = Function::new(&[any_number()]);
    let mut webhooks = cancelled_call();
    let finished = webhooks.pop().unwrap();
    function.accept_all(webhooks).await;
    let claim = "calls/2026-11-20/RM_p3ya9fFpUX52/claim.json";
    function
        .world
        .objects
        .lock()
        .insert(claim.to_owned(), Bytes::from_static(b"{}"));
    assert_eq!(function.accept(finished).await, "left_to_holder");
    assert!(function.world.object("record.json").is_none());
}

#[tokio::test]
async fn a_call_is_marked_as_open_until_its_record_is_written() {
    let function = Function::new(&[any_number()]);
    let marker = "open/RM_p3ya9fFpUX52".to_owned();
    let mut webhooks = cancelled_call();
    let finished = webhooks.pop().unwrap();
    for webhook in webhooks.clone() {
        function.accept(webhook).await;
        assert!(function.world.keys().contains(&marker));
    }
    let (at_marker, at_index) = (
        function.world.object(&marker),
        function.world.object("index/RM_p3ya9fFpUX52"),
    );
    assert_eq!(at_marker, at_index);
    assert_eq!(function.accept(finished).await, "closed");
    assert!(!function.world.keys().contains(&marker));
    // An event that comes late, whose own object is gone, does not open the call again.
    function
        .world
        .objects
        .lock()
        .retain(|key, _| !key.contains("/events/"));
    function.accept(webhooks[0].clone()).await;
    assert!(!function.world.keys().contains(&marker));
}

#[tokio::test]
async fn the_first_event_that_tells_the_rooms_creation_marks_the_call_whichever_it_is() {
    for name in ["participant_left", "participant_joined"] {
        let function = Function::new(&[any_number()]);
        let only = cancelled_call()
            .into_iter()
            .find(|webhook| String::from_utf8_lossy(&webhook.body).contains(name));
        function.accept(only.unwrap()).await;
        assert!(
            function.world.keys().contains(&"open/RM_p3ya9fFpUX52".to_owned()),
            "{name}"
        );
    }
    let function = Function::new(&[any_number()]);
    function.accept(sample("track_published.microphone.json")).await;
    assert!(function.world.keys().iter().all(|key| !key.starts_with("open/")));
}

#[tokio::test]
async fn events_that_do_not_tell_the_day_are_kept_beside_their_call() {
    let function = Function::new(&[]);
    function.accept(sample("room_started.json")).await;
    let track = sample("track_published.microphone.json");
    // Two days later, as after a long call.
    let body = String::from_utf8(track.body)
        .unwrap()
        .replace("\"createdAt\":\"1795196401\"", "\"createdAt\":\"1795369201\"");
    assert_eq!(
        function.accept(Webhook::signed(body, 1_795_369_201_000)).await,
        "kept"
    );
    let events: Vec<_> = function
        .world
        .keys()
        .into_iter()
        .filter(|key| key.contains("/events/"))
        .collect();
    assert_eq!(events.len(), 2);
    assert!(
        events
            .iter()
            .all(|key| key.starts_with("calls/2026-11-20/RM_5dNYzUpD9LnC/events/")),
        "{events:?}"
    );
}

#[tokio::test]
async fn metadata_that_is_not_ours_is_added_to_or_left_alone() {
    for (metadata, set) in [
        (
            r#"{\"a\":1}"#,
            Some(r#"{"a":1,"trunkline":{"call":"RM_5dNYzUpD9LnC","profile":"web"}}"#),
        ),
        ("text", None),
    ] {
        let function = Function::new(&[json!({"profile": "web", "rooms": ["call_*"]})]);
        let Webhook { body, at_ms, .. } = sample("room_started.json");
        let body = String::from_utf8(body).unwrap();
        let body = body.replacen(
            "\"emptyTimeout\"",
            &format!("\"metadata\":\"{metadata}\", \"emptyTimeout\""),
            1,
        );
        assert_eq!(
            function.accept(Webhook::signed(body, at_ms)).await,
            "job_enqueued"
        );
        let found = function
            .world
            .metadata
            .lock()
            .first()
            .map(|(_, metadata)| metadata.clone());
        assert_eq!(found.as_deref(), set);
    }
}
