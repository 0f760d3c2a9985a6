//! Whole calls, folded from the webhooks that they caused.

use std::{collections::BTreeMap, time::Duration};

use events::{
    CallEvent, CallJob, CallRecord, CallState, ClosePolicy, EndCause, Outcome, Party, Step, TimelineEntry,
    Timestamp,
    agents::NoMatch,
    livekit::{self, Event, ParticipantKind},
};

use crate::samples::{files, recorded};

/// The recorded calls, each with its events in the order of their arrival.
fn calls(file: &str) -> BTreeMap<String, Vec<CallEvent>> {
    let mut calls: BTreeMap<String, Vec<CallEvent>> = BTreeMap::new();
    for recorded in recorded(file) {
        let webhook = livekit::parse(recorded.body.as_bytes()).unwrap();
        let Some(event) = CallEvent::new(webhook, recorded.received_at(), None) else {
            continue;
        };
        calls.entry(event.call.to_string()).or_default().push(event);
    }
    calls
}

fn job_for(state: &CallState) -> CallJob {
    let text = files("formats")
        .into_iter()
        .find(|(file, _)| file == "call_job.v1.least.json")
        .unwrap()
        .1;
    CallJob {
        call: state.call.clone(),
        room: state.room.clone(),
        ..CallJob::decode(text).unwrap()
    }
}

fn close(state: &CallState, job: Option<&CallJob>) -> CallRecord {
    state.close_unclaimed(
        job,
        None,
        &ClosePolicy::default(),
        Timestamp::from_unix_ms(1_795_300_000_000).unwrap(),
    )
}

/// The call of the sample in which the caller sent CANCEL while it rang.
fn cancelled_call() -> Vec<CallEvent> {
    calls("sip.jsonl").remove("RM_p3ya9fFpUX52").unwrap()
}

fn with_attribute(events: &[CallEvent], name: &str, value: &str) -> Vec<CallEvent> {
    let leaves = |event: &CallEvent| matches!(event.event, Event::ParticipantLeft { .. });
    let set = |event: &CallEvent| {
        let mut json: serde_json::Value = serde_json::from_slice(&event.encode()).unwrap();
        json["event"]["participant"]["attributes"][name] = value.into();
        CallEvent::decode(json.to_string()).unwrap()
    };
    events
        .iter()
        .map(|event| if leaves(event) { set(event) } else { event.clone() })
        .collect()
}

#[test]
fn every_recorded_call_folds_into_a_record_whatever_the_order_of_arrival() {
    for file in ["sip.jsonl", "egress-ingress.jsonl"] {
        for (call, mut events) in calls(file) {
            let state = CallState::fold(&events).unwrap();
            events.reverse();
            assert_eq!(CallState::fold(&events).unwrap(), state, "{call}");
            let record = close(&state, None);
            assert_eq!(CallRecord::decode(record.encode()).unwrap(), record, "{call}");
            assert!(record.ended_at >= record.started_at, "{call}");
            assert!(record.timeline.is_sorted_by_key(|entry| entry.at), "{call}");
        }
    }
}

#[test]
fn a_caller_who_gives_up_while_it_rings_is_cancelled() {
    let state = CallState::fold(&cancelled_call()).unwrap();
    let record = close(&state, Some(&job_for(&state)));
    assert_eq!(record.outcome, Outcome::Cancelled);
    assert_eq!(record.caller.unwrap().as_str(), Some("+15551234"));
    assert!(record.trunk.is_some() && record.rule.is_some() && record.sip_call.is_some());
    let steps: Vec<_> = record.timeline.iter().map(|entry| entry.step.as_str()).collect();
    assert_eq!(
        steps,
        [
            "room_started",
            "caller_joined",
            "webhook",
            "caller_left",
            "room_finished"
        ]
    );
}

#[test]
fn the_gateways_own_word_decides_before_the_time_does() {
    for (cause, outcome) in [
        ("no_agent", Outcome::NoAgent),
        ("cancelled", Outcome::Cancelled),
        ("?", Outcome::Cancelled),
    ] {
        let events = with_attribute(&cancelled_call(), "trunkline.end", cause);
        let state = CallState::fold(&events).unwrap();
        assert_eq!(close(&state, Some(&job_for(&state))).outcome, outcome, "{cause}");
    }
}

#[test]
fn what_the_phone_said_of_the_end_is_found_among_the_events() {
    let silent = cancelled_call();
    assert_eq!(events::told_end(&silent), None);
    let mut told = with_attribute(&silent, "trunkline.end", "media_timeout");
    assert_eq!(events::told_end(&told), Some(EndCause::MediaTimeout));
    told.retain(|event| !matches!(event.event, Event::ParticipantLeft { .. }));
    assert_eq!(events::told_end(&told), None);
}

#[test]
fn what_the_gateway_did_before_the_room_is_in_the_timeline() {
    let mut events = cancelled_call();
    for event in &mut events {
        if let Event::ParticipantJoined { .. } = event.event {
            let mut json: serde_json::Value = serde_json::from_slice(&event.encode()).unwrap();
            let attributes = &mut json["event"]["participant"]["attributes"];
            attributes["trunkline.invite_at"] = "2026-11-20T17:40:01.568Z".into();
            attributes["trunkline.ringing_at"] = "yesterday".into();
            *event = CallEvent::decode(json.to_string()).unwrap();
        }
    }
    let state = CallState::fold(&events).unwrap();
    let invite = TimelineEntry::new(Step::Invite, Timestamp::from_unix_ms(1_795_196_401_568).unwrap());
    assert!(state.timeline.contains(&invite));
    assert!(!state.timeline.iter().any(|entry| entry.step == Step::Ringing));
}

#[test]
fn a_gateway_that_says_nothing_is_judged_by_the_time_it_waited() {
    let mut events = cancelled_call();
    for event in &mut events {
        if matches!(
            event.event,
            Event::ParticipantLeft { .. } | Event::RoomFinished { .. }
        ) {
            event.at = event.at.plus(Duration::from_secs(10));
            event.received_at = event.received_at.plus(Duration::from_secs(10));
        }
    }
    let state = CallState::fold(&events).unwrap();
    assert_eq!(close(&state, Some(&job_for(&state))).outcome, Outcome::NoAgent);
}

#[test]
fn a_call_without_a_job_says_why_there_was_none() {
    let state = CallState::fold(&cancelled_call()).unwrap();
    let now = Timestamp::from_unix_ms(1_795_300_000_000).unwrap();
    let record = state.close_unclaimed(None, Some(NoMatch::NumberNotListed), &ClosePolicy::default(), now);
    assert_eq!(
        record.outcome,
        Outcome::NoMatch {
            reason: "number_not_listed".to_owned()
        }
    );

    let no_participant: Vec<_> = cancelled_call()
        .into_iter()
        .filter(|event| matches!(event.event, Event::RoomStarted { .. }))
        .collect();
    let state = CallState::fold(&no_participant).unwrap();
    assert_eq!(
        close(&state, None).outcome,
        Outcome::NoMatch {
            reason: "no_caller".to_owned()
        }
    );
    // Killed between the reason and the event that told of the caller.
    let record = state.close_unclaimed(None, Some(NoMatch::NumberNotListed), &ClosePolicy::default(), now);
    assert_eq!(record.outcome.reason(), Some("number_not_listed"));
}

#[test]
fn a_lost_join_is_made_up_for_by_the_leave() {
    let events: Vec<_> = cancelled_call()
        .into_iter()
        .filter(|event| !matches!(event.event, Event::ParticipantJoined { .. }))
        .collect();
    let state = CallState::fold(&events).unwrap();
    assert_eq!(
        state.caller.as_ref().unwrap().participant.kind,
        ParticipantKind::Sip
    );
    assert!(
        state
            .timeline
            .iter()
            .any(|entry| entry.step == Step::CallerJoined)
    );
}

#[test]
fn a_lost_room_started_is_known_by_every_other_event() {
    let all = cancelled_call();
    let joined: Vec<_> = all
        .iter()
        .filter(|event| matches!(event.event, Event::ParticipantJoined { .. }))
        .cloned()
        .collect();
    let started = |events: &[CallEvent]| {
        let steps = CallState::fold(events).unwrap().timeline;
        let steps = steps.into_iter().filter(|entry| entry.step == Step::RoomStarted);
        steps.map(|entry| entry.at).collect::<Vec<_>>()
    };
    assert_eq!(started(&joined), [joined[0].room_created_at]);
    assert_eq!(started(&all), started(&joined));
}

#[test]
fn a_call_whose_join_was_lost_has_the_parties_of_its_job() {
    let only_the_room: Vec<_> = cancelled_call()
        .into_iter()
        .filter(|event| matches!(event.event, Event::RoomStarted { .. }))
        .collect();
    let state = CallState::fold(&only_the_room).unwrap();
    let job = CallJob {
        caller: Some(Party::parse("+15551234", None)),
        ..job_for(&state)
    };
    let record = close(&state, Some(&job));
    assert_eq!((record.caller, record.outcome), (job.caller, Outcome::NoAgent));
}
