//! What was once written stays readable.

use events::{CallEvent, CallJob, CallRecord, DecodeError, EgressRecord, Outcome, ProfileName, Step};
use serde_json::Value;

use crate::samples::files;

fn format(name: &str) -> String {
    files("formats")
        .into_iter()
        .find(|(file, _)| file == name)
        .unwrap()
        .1
}

fn json(text: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(text.as_ref()).unwrap()
}

#[test]
fn jobs_of_every_version_decode_and_the_newest_is_written_as_it_was_read() {
    let full = format("call_job.v1.json");
    let job = CallJob::decode(&full).unwrap();
    assert_eq!(job.dedup_id(), "RM_5dNYzUpD9LnC:1");
    assert_eq!(job.group(), "RM_5dNYzUpD9LnC");
    assert_eq!(json(job.encode()), json(full));

    let least = CallJob::decode(format("call_job.v1.least.json")).unwrap();
    assert!(least.caller.is_none() && least.participant.is_none() && least.timeline.is_empty());
    assert_eq!(least.next_generation().dedup_id(), "RM_5dNYzUpD9LnC:3");
}

#[test]
fn records_and_events_of_every_version_decode() {
    let text = format("call_record.v1.json");
    let record = CallRecord::decode(&text).unwrap();
    assert_eq!(record.outcome.reason(), Some("number_not_listed"));
    assert_eq!(
        record.timeline[1].step,
        Step::Unknown("a_step_of_a_later_version".to_owned())
    );
    assert_eq!(json(record.encode()), json(text));

    let text = format("call_event.v1.json");
    assert_eq!(json(CallEvent::decode(&text).unwrap().encode()), json(text));

    let text = format("egress_record.v1.json");
    assert_eq!(json(EgressRecord::decode(&text).unwrap().encode()), json(text));
}

#[test]
fn a_newer_version_is_refused_with_the_remedy() {
    let newer = format("call_job.v1.json").replacen("\"version\": 1", "\"version\": 2", 1);
    let error = CallJob::decode(newer).unwrap_err();
    assert!(matches!(
        error,
        DecodeError::Newer {
            found: 2,
            newest: 1,
            ..
        }
    ));
    assert!(error.to_string().contains("update it"));
}

#[test]
fn the_text_of_a_decode_error_quotes_nothing_of_the_body() {
    let bad = format("call_job.v1.json").replace("+15550100", "canary");
    let error = CallJob::decode(bad).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn outcomes_of_later_versions_survive_a_round_trip() {
    let text = r#"{"kind":"abducted","reason":"by_aliens"}"#;
    let outcome: Outcome = serde_json::from_str(text).unwrap();
    assert_eq!(
        (outcome.kind(), outcome.reason()),
        ("abducted", Some("by_aliens"))
    );
    assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
    assert_eq!(
        serde_json::to_string(&Outcome::NoAgent).unwrap(),
        r#"{"kind":"no_agent"}"#
    );
}

#[test]
fn a_profile_cannot_be_named_out_of_its_folder() {
    assert!(ProfileName::new("support-en").is_ok());
    for name in ["", "../support", "a/b", "a.b"] {
        assert!(ProfileName::new(name).is_err(), "{name}");
    }
}
