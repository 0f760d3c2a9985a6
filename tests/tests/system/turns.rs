//! Whose turn it is, as the phone hears it: what does not end the agent's turn, and what is done about silence.

use std::{path::Path, time::Duration};

use audio::{Codec, correlate::best_lag};
use caller::Moment;
use serde_json::Value;

use crate::{
    conversation::turns,
    harness::{Options, System, shared_turn, turn},
    phone::{self, PAUSE, SOON, answered, voice, vowel},
    recogniser::{PROVIDERS, Recogniser},
};

/// Nothing of the agent's voice is heard for so long while it is paused, which is longer than the quiet behind a comma.
const GAP: Duration = Duration::from_millis(280);
/// How exactly the ear knows where a voice ends and begins: 100 ms.
const SLACK: usize = 1_600;
/// The rest of a paused sentence is looked for from so much later on, 300 ms: a quiet within its words may hide where exactly it paused.
const LATER: usize = 4_800;
/// And in pieces of so much, 250 ms.
const PIECE: usize = 4_000;

/// How alike `sound` is to what was heard.
fn likeness(received: &[i16], sound: &[i16]) -> f64 {
    best_lag(sound, received, received.len()).coefficient
}

/// Whether `sound` was heard as it was synthesised.
fn assert_heard(received: &[i16], sound: &[i16], what: &str) {
    let likeness = likeness(received, sound);
    measured!("{what:?}: coefficient {likeness:.3}");
    assert!(likeness >= 0.6, "{what:?} was not heard: {likeness:.3}");
}

/// The greeting that `began`, `paused` in its first sentence and `resumed` there is heard to its end as it was synthesised.
fn assert_resumed(received: &[i16], began: &Moment, paused: &Moment, resumed: &Moment) {
    let first = voice("Hello, this is the Garden Clinic.");
    let quiet = first
        .iter()
        .take_while(|sample| sample.unsigned_abs() < 500)
        .count();
    // What follows the word in which it paused is heard later by as much as it paused.
    let rest_at = quiet + (paused.sample - began.sample) + LATER;
    let due = resumed.sample + LATER;
    for (at, piece) in first[rest_at..].chunks_exact(PIECE).enumerate() {
        if piece.iter().all(|sample| sample.unsigned_abs() < 1_000) {
            continue;
        }
        let due = due + at * PIECE;
        let around = &received[due - 2 * SLACK..due + PIECE + 2 * SLACK];
        assert_heard(around, piece, &format!("piece {at} of the rest of the sentence"));
    }
    for sentence in ["This call is recorded.", "How can I help you?"] {
        assert_heard(received, &voice(sentence), sentence);
    }
}

/// What the call's report says.
fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

fn has_event(report: &Value, kind: &str, detail: Option<&str>) -> bool {
    let events = report["events"].as_array().unwrap();
    events
        .iter()
        .any(|event| event["type"] == kind && event["detail"].as_str() == detail)
}

/// Of an interrupted greeting, a question and its answer.
fn assert_report(report: &Value) {
    for state in ["thinking", "speaking"] {
        assert!(has_event(report, "agent_state_changed", Some(state)), "{report}");
    }
    assert!(
        has_event(report, "user_state_changed", Some("speaking")),
        "{report}"
    );
    let latency = &report["latency"];
    for name in [
        "transcription_delay",
        "end_of_turn_delay",
        "llm_ttft",
        "tts_ttfb",
        "e2e_latency",
    ] {
        assert!(
            latency[name]["count"].as_u64().is_some_and(|count| count > 0),
            "{name}: {latency}"
        );
    }
    assert_eq!(report["usage"]["llm_requests"], 1);
    assert_eq!(
        (&report["user_turns"], &report["interruptions"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        report["errors"],
        serde_json::json!({"stt": 0, "llm": 0, "tts": 0})
    );
    let last = report["events"].as_array().unwrap().last().unwrap();
    assert!(report["close_reason"].is_string(), "{report}");
    assert_eq!(report["close_reason"], last["detail"], "{report}");
    assert!(
        report["duration_ms"].as_u64().is_some_and(|ms| ms > 1_000),
        "{report}"
    );
    assert!(report["recording"]["key"].is_string(), "{report}");
    for name in [
        "tts_characters_count",
        "tts_audio_duration_ms",
        "stt_audio_duration_ms",
    ] {
        assert!(
            report["usage"][name].as_u64().is_some_and(|count| count > 0),
            "{name}: {report}"
        );
    }
}

/// Speaks into the beginning of the greeting; the agent pauses, goes on and comes to its end.
async fn speak_over_the_greeting(system: &System, length: Duration) {
    // Not into the quiet behind its first word, which would hide where it paused.
    let wait = Duration::from_millis(500);
    let mut sound = vec![0; 8_000];
    sound.extend(vowel(length));
    let before = system.calls();
    let call = answered(system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    let began = ear.wait_for_speech(SOON).await.unwrap();
    let (spoken, paused) = tokio::join!(call.speak(&sound), ear.wait_for_silence(GAP, SOON));
    let (spoken, paused) = (spoken.unwrap(), paused.unwrap());
    measured!(
        "paused {:?} after the caller began",
        paused.at.saturating_sub(spoken.started + wait)
    );
    let resumed = ear.wait_for_speech(SOON).await.unwrap();
    ear.wait_for_silence(PAUSE * 2, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;
    assert_eq!(turns(&record), [("agent", phone::GREETING, false)], "{record}");
    let report = report(&folder);
    assert!(has_event(&report, "agent_paused", None), "{report}");
    assert!(has_event(&report, "agent_false_interruption", None), "{report}");
    assert_eq!(
        report["events"].as_array().unwrap().last().unwrap()["type"],
        "close",
        "{report}"
    );
    let read = std::fs::read_to_string(folder.join("transcript.txt")).unwrap();
    let line = read.lines().nth(2).unwrap();
    assert!(
        line.starts_with("00:0") && line.ends_with(phone::GREETING),
        "{read}"
    );
    assert_resumed(&call.received().samples, &began, &paused, &resumed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_interruption_pauses_the_agent_who_then_goes_on_where_it_was() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    speak_over_the_greeting(&system, Duration::from_millis(200)).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backchannel_that_is_longer_than_an_interruption_does_not_end_the_agents_turn() {
    // Alone: its sound is told from silence by lengths.
    let _turn = turn().await;
    let recogniser = Recogniser::start(&["Okay, I see."]).await;
    let system = System::start(Options {
        providers: PROVIDERS,
        openai: recogniser.local,
        profile: "turns: {interruption: {min_words: 1}}".into(),
        ..Options::default()
    })
    .await;
    speak_over_the_greeting(&system, Duration::from_millis(900)).await;
    assert!(
        !recogniser.heard().is_empty(),
        "nobody asked what the caller had said"
    );
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_voice_with_other_words_takes_the_floor() {
    let _turn = turn().await;
    let recogniser = Recogniser::start(&[phone::QUESTION]).await;
    let system = System::start(Options {
        providers: PROVIDERS,
        openai: recogniser.local,
        profile: "turns: {interruption: {min_words: 1}}".into(),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_speech(SOON).await.unwrap();
    call.speak(&vowel(Duration::from_millis(900))).await.unwrap();
    let mut ear = call.ear();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;
    assert_report(&report(&folder));
    let turns = turns(&record);
    assert_eq!((turns[0].0, turns[0].2), ("agent", true), "{record}");
    assert_eq!(turns[1], ("caller", phone::QUESTION, false));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_says_nothing_is_asked_then_bidden_goodbye_and_hung_up_on() {
    const REPROMPT: &str = "Are you still on the line?";
    const GOODBYE: &str = "I cannot hear you. Please call again. Goodbye.";
    let _turn = shared_turn().await;
    let system = System::start(Options {
        profile: "reprompt: Are you still on the line?\nturns: {user_away_timeout: 2s, reprompts: 1}".into(),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    // The greeting, 2 s, the question, 2 s, the goodbye.
    call.wait_ended(SOON * 3).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "agent_hung_up", "{record}");
    assert_eq!(
        turns(&record),
        [
            ("agent", phone::GREETING, false),
            ("agent", REPROMPT, false),
            ("agent", GOODBYE, false),
        ]
    );
    let received = call.received().samples;
    assert_heard(&received, &voice(REPROMPT), REPROMPT);
    assert_heard(&received, &voice("Please call again."), "Please call again.");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_the_moment_the_phone_is_answered_is_heard_from_the_first_word() {
    let _turn = shared_turn().await;
    let recogniser = Recogniser::start(&[phone::QUESTION]).await;
    let system = System::start(Options {
        providers: PROVIDERS,
        openai: recogniser.local,
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let question = voice(phone::QUESTION);
    call.speak(&question).await.unwrap();
    let mut ear = call.ear();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();

    let heard = recogniser.heard();
    let first = heard.first().expect("the recogniser was asked");
    // Its first 300 ms of sound, and all of it.
    let quiet = question
        .iter()
        .take_while(|sample| sample.unsigned_abs() < 500)
        .count();
    assert_heard(first, &question[quiet..quiet + 4_800], "what time");
    assert_heard(first, &question, phone::QUESTION);
    let (_, record) = system.new_record(&before, SOON).await;
    let said = turns(&record);
    assert!(said.contains(&("caller", phone::QUESTION, false)), "{record}");
    system.stop().await;
}
