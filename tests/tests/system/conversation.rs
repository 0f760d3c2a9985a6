//! The conversation as the phone hears it.

use std::time::Duration;

use audio::{Codec, correlate::best_lag, level::rms_dbfs};
use caller::{Call, Ear, Moment};
use providers::{
    Stt,
    offline::{PocketSphinx, Slots, pocketsphinx::Phrase},
};
use serde_json::Value;

use crate::{
    harness::{Options, System, shared_turn, turn},
    phone::{self, PAUSE, SOON, answered, voice, vowel},
};

/// From the caller's onset to the agent's silence, on a machine that also runs the servers and the phone. It is less than an interruption
/// takes (500 ms of voice), so that it is the pause that is measured.
const SILENT_WITHIN: Duration = Duration::from_millis(300);
/// The same on a machine that was late itself.
const SILENT_WITHIN_IF_LATE: Duration = Duration::from_millis(3 * 300);
/// A machine that was later than this is busy.
pub(crate) const LATE: Duration = Duration::from_millis(20);

pub(crate) fn turns(record: &Value) -> Vec<(&str, &str, bool)> {
    let turns = record["turns"].as_array().unwrap();
    turns
        .iter()
        .map(|turn| {
            let text = |key: &str| turn[key].as_str().unwrap();
            (
                text("speaker"),
                text("text"),
                turn["interrupted"].as_bool().unwrap(),
            )
        })
        .collect()
}

/// Asks, and returns the agent's whole answer as it came over RTP.
async fn ask(call: &Call, ear: &mut Ear<'_>, question: &str) -> Vec<i16> {
    call.speak(&voice(question)).await.unwrap();
    let (from, to) = ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.received().samples[from.sample..to.sample].to_vec()
}

/// Its grammar has other sentences of the same length, so that hearing the right one means something.
pub(crate) fn recogniser(sentences: &[&str]) -> PocketSphinx {
    let others = [
        "We are open from Monday to Friday from nine in the morning until six in the evening",
        "You find us at number five Park Street opposite the train station",
        "Of course Is Monday or Wednesday better for you",
    ];
    let phrases: Vec<Phrase> = sentences
        .iter()
        .chain(&others)
        .map(|text| Phrase {
            key: "test".to_owned(),
            words: providers::dialogue::words(text),
        })
        .collect();
    PocketSphinx::load(&phrases, Slots::default()).unwrap()
}

pub(crate) fn plain(text: &str) -> String {
    providers::dialogue::words(text).join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_g722_call_a_recogniser_hears_the_agents_words_in_two_turns() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    let first = ask(&call, &mut ear, phone::QUESTION).await;
    let second = ask(&call, &mut ear, phone::OTHER_QUESTION).await;
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();

    let recogniser = recogniser(&[phone::ANSWER, phone::OTHER_ANSWER]);
    for (heard, expected) in [(first, phone::ANSWER), (second, phone::OTHER_ANSWER)] {
        let transcript = recogniser.transcribe(&heard, "en").await.unwrap();
        measured!("the recogniser heard: {}", transcript.text);
        assert_eq!(plain(&transcript.text), plain(expected));
    }
    let (_, record) = system.new_record(&before, SOON).await;
    let said: Vec<_> = turns(&record)
        .into_iter()
        .filter(|turn| turn.0 == "caller")
        .map(|turn| turn.1)
        .collect();
    assert_eq!(said, [phone::QUESTION, phone::OTHER_QUESTION]);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_serve_a_call_as_one_does() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        apart: true,
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    ask(&call, &mut ear, phone::QUESTION).await;
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    assert_eq!(turns(&record)[1], ("caller", phone::QUESTION, false));
    assert!(folder.join("recording.ogg").exists());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_pcmu_call_the_phone_hears_the_speech_that_was_synthesised() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    let call = answered(&system, Codec::Pcmu).await;
    call.ear_from_start()
        .wait_for_utterance(PAUSE, SOON * 2)
        .await
        .unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();

    let received = call.received();
    assert_eq!(received.sample_rate_hz, 8_000);
    // Sentence by sentence, as the agent synthesises them.
    for sentence in [
        "Hello, this is the Garden Clinic.",
        "This call is recorded.",
        "How can I help you?",
    ] {
        let mut spoken = Vec::new();
        audio::Resampler::new(16_000, 8_000)
            .unwrap()
            .process(&voice(sentence), &mut spoken);
        let found = best_lag(&spoken, &received.samples, received.samples.len());
        measured!(
            "{sentence:?} at {:.2} s, coefficient {:.3}",
            found.lag_samples as f64 / 8_000.0,
            found.coefficient
        );
        assert!(
            found.coefficient >= 0.8,
            "{sentence:?} was not heard as it was synthesised: {found:?}"
        );
    }
    system.stop().await;
}

/// Speaks over the agent; returns when the voice began and when the agent was silent for 200 ms from.
async fn speak_over(call: &Call, ear: &mut Ear<'_>, samples: &[i16]) -> (Duration, Moment) {
    let quiet = samples
        .chunks(160)
        .take_while(|frame| rms_dbfs(frame) < -35.0)
        .count();
    let lead = Duration::from_millis(10) * quiet as u32;
    let (spoken, silence) = tokio::join!(
        call.speak(samples),
        ear.wait_for_silence(Duration::from_millis(200), SOON)
    );
    (spoken.unwrap().started + lead, silence.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_over_the_agent_is_given_the_floor_at_once() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    // Made beforehand: a busy machine takes its time for it, and the agent is not to be at a pause of its own by then.
    let words = phone::voice_of("rms", "what is your address where can i find you");
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    let spoke = ear.wait_for_speech(SOON).await.unwrap();
    let (onset, silence) = speak_over(&call, &mut ear, &words).await;
    let after = silence.at.saturating_sub(onset);
    let late = call.report().rtp.max_send_lateness;
    measured!("barge-in: silent {after:?} after the onset; this machine was up to {late:?} late");
    assert!(
        silence.at > onset,
        "the agent fell silent before the caller spoke"
    );
    let limit = if late > LATE {
        SILENT_WITHIN_IF_LATE
    } else {
        SILENT_WITHIN
    };
    assert!(
        after <= limit,
        "the agent spoke on for {after:?}; this machine was up to {late:?} late"
    );

    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    let (speaker, heard, interrupted) = turns(&record)[0];
    measured!("heard of the greeting: {heard:?}");
    assert_eq!((speaker, interrupted), ("agent", true));
    assert!(
        phone::GREETING.starts_with(heard.trim_end_matches('…')),
        "{heard:?} is not how the greeting begins"
    );
    // As much of the text as of the sound, within a word or two.
    let played = silence.at.saturating_sub(spoke.at).as_secs_f64();
    let share = played / (voice(phone::GREETING).len() as f64 / 16_000.0);
    let told = heard.trim_end_matches('…').len() as f64 / phone::GREETING.len() as f64;
    measured!("{share:.2} of the greeting was on the wire, {told:.2} of it is in the history");
    assert!(share < 0.9, "the greeting was not cut off");
    assert!(
        (told - share).abs() <= 0.15,
        "{share:.2} of the greeting was heard and {told:.2} of it is in the history"
    );
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cough_does_not_end_the_agents_utterance() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_speech(SOON).await.unwrap();
    call.speak(&vowel(Duration::from_millis(100))).await.unwrap();
    ear.wait_for_silence(PAUSE * 2, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();

    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(turns(&record), [("agent", phone::GREETING, false)]);
    let received = call.received().samples;
    for sentence in ["This call is recorded.", "How can I help you?"] {
        let found = best_lag(&voice(sentence), &received, received.len());
        measured!("{sentence:?}: coefficient {:.3}", found.coefficient);
        assert!(found.coefficient >= 0.6, "{sentence:?} was not heard: {found:?}");
    }
    system.stop().await;
}
