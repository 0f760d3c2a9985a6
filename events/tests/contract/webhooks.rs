//! What is read from webhooks, and what is not.

use std::collections::BTreeSet;

use events::{
    CallEvent, Parties, Party, Regions, Timestamp,
    livekit::{self, Event, ParticipantKind, RoomEndReason, WebhookEvent, attribute},
};
use serde_json::Value;

use crate::samples::{files, recorded, webhook, webhooks};

fn parse(body: &str) -> WebhookEvent {
    livekit::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error} in {body}"))
}

fn call_event(body: &str) -> Option<CallEvent> {
    CallEvent::new(
        parse(body),
        Timestamp::from_unix_ms(1_795_196_401_592).unwrap(),
        None,
    )
}

#[test]
fn every_recorded_webhook_is_read() {
    for (file, count) in [("sip.jsonl", 476), ("egress-ingress.jsonl", 833)] {
        let bodies = recorded(file);
        assert_eq!(bodies.len(), count, "{file}");
        for recorded in bodies {
            let event = parse(&recorded.body).event;
            assert!(!matches!(event, Event::Unknown { .. }), "{}", recorded.body);
        }
    }
}

#[test]
fn every_sample_goes_through_its_stored_form_unharmed() {
    for (name, body) in webhooks() {
        let Some(event) = call_event(&body) else {
            // An ingress that failed before it had a room.
            assert!(name.starts_with("ingress_") && !body.contains("roomId"), "{name}");
            continue;
        };
        assert_eq!(CallEvent::decode(event.encode()).unwrap(), event, "{name}");
        assert!(name.starts_with(event.event.name()), "{name}");
    }
}

/// Event, kind and reason of the participant, status of egress or ingress.
fn variety(body: &str) -> [String; 5] {
    let json: Value = serde_json::from_str(body).unwrap();
    [
        "/event",
        "/participant/kind",
        "/participant/disconnectReason",
        "/egressInfo/status",
        "/ingressInfo/state/status",
    ]
    .map(|path| {
        json.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    })
}

#[test]
fn the_samples_hold_every_variety_of_the_recordings() {
    let in_samples: BTreeSet<_> = webhooks().iter().map(|(_, body)| variety(body)).collect();
    let in_recordings: BTreeSet<_> = ["sip.jsonl", "egress-ingress.jsonl"]
        .into_iter()
        .flat_map(recorded)
        .map(|r| variety(&r.body))
        .collect();
    assert_eq!(in_samples, in_recordings);
}

#[test]
fn a_phone_call_is_read_from_the_participant_that_joined() {
    let event = call_event(&webhook("participant_joined.sip.ringing.json")).unwrap();
    assert_eq!(event.call.as_str(), "RM_5dNYzUpD9LnC");
    assert_eq!(event.room_created_at.unix_ms(), 1_795_196_401_568);
    let Event::ParticipantJoined { participant, .. } = event.event else {
        panic!("a join")
    };
    assert_eq!(participant.kind, ParticipantKind::Sip);
    assert_eq!(
        participant.attributes.get(attribute::SIP_CALL),
        Some("SCL_daaP7Vm95LDj")
    );
    let parties = Parties::of(&participant.attributes, &Regions::default());
    assert_eq!(parties.caller.as_str(), Some("+15551234"));
    assert_eq!(parties.called.as_str(), Some("+15550100"));
}

#[test]
fn what_a_dispatch_rule_hides_is_anonymous() {
    let hidden = webhooks()
        .into_iter()
        .filter_map(|(_, body)| match parse(&body).event {
            Event::ParticipantJoined { participant, .. } if participant.kind == ParticipantKind::Sip => {
                Some(participant)
            }
            _ => None,
        });
    let hidden = hidden.filter(|participant| participant.attributes.get(attribute::SIP_NUMBER).is_none());
    let parties: Vec<_> = hidden
        .map(|p| Parties::of(&p.attributes, &Regions::default()))
        .collect();
    assert!(!parties.is_empty());
    assert!(parties.iter().all(|parties| parties.caller == Party::Anonymous));
}

#[test]
fn the_final_files_of_an_egress_are_read() {
    let Event::EgressEnded { egress } = parse(&webhook("egress_ended.complete.json")).event else {
        panic!()
    };
    let file = &egress.files[0];
    assert_eq!((file.size_bytes, file.duration_ms), (77_506, 4_705));
    assert_eq!(egress.updated_at.unwrap().unix_ms(), 1_795_201_702_663);
}

#[test]
fn the_playlist_of_an_egress_counts_as_its_file() {
    let of_hls =
        recorded("egress-ingress.jsonl")
            .into_iter()
            .find_map(|recorded| match parse(&recorded.body).event {
                Event::EgressEnded { egress } if egress.id.as_str() == "EG_3FTSdZQFnRxx" => Some(egress),
                _ => None,
            });
    let files = of_hls.unwrap().files;
    let files: Vec<_> = files
        .iter()
        .map(|f| (f.filename.as_str(), f.size_bytes))
        .collect();
    assert_eq!(files, [("multi/x.mp4", 83_747), ("multi/seg.m3u8", 144_196)]);
}

#[test]
fn what_is_shown_of_a_file_masks_the_number_that_its_room_was_named_after() {
    let file = events::livekit::EgressFile {
        filename: "calls/call-_+15557654321_x.ogg".to_owned(),
        size_bytes: 1,
        duration_ms: 1,
    };
    assert!(!format!("{file:?}").contains("15557654321"));
}

fn unrecorded(name: &str) -> WebhookEvent {
    parse(
        &files("unrecorded")
            .into_iter()
            .find(|(file, _)| file == name)
            .unwrap()
            .1,
    )
}

#[test]
fn kinds_that_were_not_recorded_are_read_too() {
    for (name, text) in files("unrecorded") {
        let event = parse(&text);
        if !matches!(event.event, Event::Unknown { .. }) {
            let event = call_event(&text).unwrap_or_else(|| panic!("{name} is about a call"));
            assert_eq!(CallEvent::decode(event.encode()).unwrap(), event, "{name}");
        }
    }
    let Event::RoomFinished { reason, room } = unrecorded("room_finished.api_delete.json").event else {
        panic!()
    };
    assert_eq!(reason, Some(RoomEndReason::ApiDelete));
    assert_eq!(room.metadata.as_str(), r#"{"tier":"gold"}"#);
    let Event::AgentJobStarted { job } = unrecorded("agent_job_started.json").event else {
        panic!()
    };
    assert_eq!(job.agent_name, "support");
}

#[test]
fn an_unknown_event_is_kept_by_name_whatever_its_parts_look_like() {
    let event = unrecorded("unknown_event.json").event;
    assert_eq!(
        event,
        Event::Unknown {
            name: "room_metadata_changed".to_owned()
        }
    );
    assert!(event.room().is_none());
}

#[test]
fn unknown_enum_values_are_kept_by_name_or_number() {
    let Event::ParticipantLeft { participant, .. } = unrecorded("unknown_enum_values.json").event else {
        panic!()
    };
    assert_eq!(participant.kind.as_str(), "HOLOGRAM");
    assert_eq!(participant.disconnect_reason.unwrap().as_str(), "42");
    assert_eq!(participant.joined_at.unwrap().unix_ms(), 1_795_196_401_000);
}

#[test]
fn the_field_at_fault_is_named() {
    let cases = [
        (r"{", "body"),
        (r"7", "body"),
        (r#"{"event":7}"#, "body"),
        (r"{}", "event"),
        (r#"{"event":"x"}"#, "id"),
        (r#"{"event":"x","id":"EV_1/../2"}"#, "id"),
        (r#"{"event":"x","id":"EV_1"}"#, "createdAt"),
        (
            r#"{"event":"x","id":"EV_1","createdAt":"999999999999999"}"#,
            "createdAt",
        ),
        (r#"{"event":"room_started","id":"EV_1","createdAt":"1"}"#, "room"),
        (
            r#"{"event":"room_started","id":"EV_1","createdAt":"1","room":7}"#,
            "room",
        ),
        (
            r#"{"event":"room_started","id":"EV_1","createdAt":"1","room":{"sid":"x"}}"#,
            "room.sid",
        ),
        (
            r#"{"event":"room_started","id":"EV_1","createdAt":"1","room":{"sid":"RM_1"}}"#,
            "room.name",
        ),
        (
            r#"{"event":"egress_ended","id":"EV_1","createdAt":"1","egressInfo":{}}"#,
            "egressInfo.egressId",
        ),
    ];
    for (body, field) in cases {
        let error = livekit::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.field, field, "{body}");
    }
    assert_eq!(livekit::parse(b"{\"event\":\"\xff\"}").unwrap_err().field, "body");
}

/// All values of the members named `names`, at any depth.
fn values_of(json: &Value, names: &[&str], found: &mut BTreeSet<String>) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                if let (true, Some(text)) = (names.contains(&name.as_str()), value.as_str()) {
                    found.insert(text.to_owned());
                }
                values_of(value, names, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values_of(item, names, found)),
        _ => {}
    }
}

#[test]
fn secrets_are_never_kept_and_numbers_never_shown() {
    let bodies: Vec<_> = ["sip.jsonl", "egress-ingress.jsonl"]
        .into_iter()
        .flat_map(recorded)
        .collect();
    let (mut secrets, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for recorded in &bodies {
        let json = serde_json::from_str(&recorded.body).unwrap();
        values_of(
            &json,
            &["turnPassword", "streamKey", "url", "accessKey", "secret"],
            &mut secrets,
        );
        values_of(&json, &["sip.phoneNumber", "sip.trunkPhoneNumber"], &mut numbers);
    }
    assert!(
        secrets.len() > 100 && numbers.len() > 3,
        "the recordings hold some"
    );
    for recorded in &bodies {
        let Some(event) = call_event(&recorded.body) else {
            continue;
        };
        let stored = String::from_utf8(event.encode()).unwrap();
        let shown = format!("{event:?}");
        assert!(
            !secrets.iter().any(|secret| stored.contains(secret.as_str())),
            "{stored}"
        );
        assert!(
            !numbers.iter().any(|number| shown.contains(number.as_str())),
            "{shown}"
        );
    }
}

#[test]
fn headers_with_credentials_are_dropped() {
    let body = webhook("participant_joined.sip.ringing.json").replace(
        "\"biz\":\"x\"",
        "\"sip.h.proxy-authorization\":\"Digest canary\", \"sip.h.x-tier\":\"gold\"",
    );
    let event = call_event(&body).unwrap();
    let stored = String::from_utf8(event.encode()).unwrap();
    assert!(stored.contains("sip.h.x-tier") && !stored.contains("canary"));
}
