//! The recording gate, and what is recorded.

use pipeline::{ConversationEvent, Phrases};

use crate::fakes::Answer;
use crate::world::{Call, Cast, millis};

const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";

fn gate_ms(call: &mut Call) -> Option<u64> {
    call.seen().iter().find_map(|event| match event {
        ConversationEvent::RecordingGateOpened { at } => Some(millis(*at)),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn after_notice_opens_when_the_greeting_was_heard() {
    let mut call = Call::start(Cast::greeting("recording: after_notice"));
    call.voice(60).await;
    let greeting = call.until_agent_is_done().await;
    call.voice(400).await.silence(2000).await;
    assert_eq!(gate_ms(&mut call), Some(millis(greeting.ended_at)));
    call.end().await;
    let slots = call.slots.0.lock().unwrap();
    let first = slots.first().expect("something was recorded").index * 20;
    assert!(
        first >= millis(greeting.ended_at),
        "a frame from before the gate was recorded"
    );
    assert!(
        slots
            .iter()
            .zip(slots.iter().skip(1))
            .all(|(slot, next)| next.index == slot.index + 1)
    );
}

#[tokio::test(start_paused = true)]
async fn after_notice_stays_closed_when_the_notice_was_cut_off() {
    let mut call = Call::start(Cast::greeting("recording: after_notice"));
    call.silence(300).await.voice(800).await.silence(6000).await;
    assert_eq!(gate_ms(&mut call), None);
    let report = call.end().await;
    assert_eq!(report.recording_from, None);
    assert!(call.slots.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_notice_stays_closed_when_the_notice_was_not_spoken_whole() {
    for (answer, heard) in [
        (Answer::SaysAndFails(""), "Hello, this "),
        (Answer::Fails, FALLBACK),
    ] {
        // An earlier call has left the apology ready.
        let phrases = Phrases::new();
        let mut earlier = Call::start(Cast {
            phrases: phrases.clone(),
            ..Cast::default()
        });
        earlier.silence(1000).await;
        earlier.end().await;
        let mut call = Call::start(Cast {
            tts: vec![answer, Answer::Says("")],
            phrases,
            ..Cast::greeting("recording: after_notice")
        });
        let greeting = call.until_agent_is_done().await;
        assert!(
            greeting.text.starts_with(heard) && greeting.text.ends_with(FALLBACK),
            "{}",
            greeting.text
        );
        assert!(!greeting.interrupted);
        call.voice(400).await.silence(6000).await;
        assert_eq!(gate_ms(&mut call), None);
        let report = call.end().await;
        assert_eq!(report.recording_from, None);
        assert!(call.slots.0.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn after_consent_opens_for_a_plain_yes_only() {
    for (words, opens) in [("yes of course", true), ("no I would rather not", false)] {
        let cast = Cast {
            stt: vec![Answer::Says(words)],
            ..Cast::greeting("recording: after_consent")
        };
        let mut call = Call::start(cast);
        call.until_agent_is_done().await;
        call.voice(400).await.silence(3000).await;
        assert_eq!(gate_ms(&mut call).is_some(), opens, "{words}");
        call.end().await;
        assert_eq!(call.slots.0.lock().unwrap().is_empty(), !opens, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn off_records_nothing_and_always_records_from_the_start() {
    for (policy, first) in [("off", None), ("always", Some(1))] {
        let mut call = Call::start(Cast::greeting(&format!("recording: {policy}")));
        call.until_agent_is_done().await;
        call.end().await;
        assert_eq!(call.slots.0.lock().unwrap().first().map(|slot| slot.index), first);
    }
}

#[tokio::test(start_paused = true)]
async fn the_recorded_agent_is_what_the_far_end_heard_and_when() {
    let mut call = Call::start(Cast::greeting("recording: always"));
    // A false interruption, then a real one: what was cleared must not be on the recording.
    call.silence(400)
        .await
        .voice(200)
        .await
        .silence(700)
        .await
        .voice(800)
        .await
        .silence(4000)
        .await;
    call.end().await;
    let slots = call.slots.0.lock().unwrap();
    let recorded: Vec<i16> = slots.iter().flat_map(|slot| slot.agent).collect();
    let start = usize::try_from(slots[0].index).unwrap() * 320;
    let heard = &call.line()[start..start + recorded.len()];
    let wrong = heard
        .iter()
        .zip(&recorded)
        .position(|(heard, recorded)| heard != recorded);
    assert_eq!(wrong, None, "the first wrong sample of {}", recorded.len());
    assert!(recorded.iter().any(|sample| *sample != 0));
}

#[tokio::test(start_paused = true)]
async fn the_recorded_caller_stands_where_it_was_heard() {
    let mut call = Call::start(Cast::greeting("recording: always"));
    call.silence(1000).await.voice(200).await.silence(1000).await;
    call.end().await;
    let slots = call.slots.0.lock().unwrap();
    let loud: Vec<u64> = slots
        .iter()
        .filter(|slot| slot.caller[0] != 0)
        .map(|slot| slot.index)
        .collect();
    assert_eq!(loud.len(), 10);
    assert!(
        loud[0].abs_diff(50) <= 2,
        "the caller's voice stands at slot {}, not at 50",
        loud[0]
    );
}
