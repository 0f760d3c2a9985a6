//! What the caller's words decide, where the recogniser tells them while they are spoken, and where it does not.

use pipeline::{Control, ConversationEvent, Speaker, Stage};

use crate::fakes::{Answer, Hears, WORD_SAMPLES};
use crate::world::{Call, Cast, millis};

fn spoken_before(quiet: usize, voice: usize) -> Vec<Vec<i16>> {
    let frames = |count, level| std::iter::repeat_n(vec![level; pipeline::FRAME_SAMPLES], count);
    frames(quiet, 0).chain(frames(voice, 5000)).collect()
}

/// 20 words: 4 s.
const LONG: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
                    seventeen eighteen nineteen twenty.";
const QUESTION: &str = "a large pizza please";

pub(crate) fn hears(interim: &[(u64, &'static str)], last: &'static str) -> Hears {
    Hears {
        interim: interim.to_vec(),
        last: Answer::Says(last),
    }
}

/// A caller who asks, and says something else over the answer, of which `over` is heard.
fn cast(over: Vec<Hears>) -> Cast {
    let hears = [hears(&[], QUESTION)].into_iter().chain(over).collect();
    Cast {
        hears: Some(hears),
        llm: vec![Answer::Says(LONG), Answer::Says("As you wish, that is changed.")],
        ..Cast::default()
    }
}

/// The agent has been speaking [`LONG`] for 1 s.
async fn speaking(cast: Cast) -> Call {
    let mut call = Call::start(cast);
    call.voice(400).await;
    let began = call.until_agent_speaks().await;
    let rest = (began + 1000).saturating_sub(call.now_ms());
    call.silence(rest).await;
    call
}

async fn hears_all_of_it(mut call: Call) {
    let answer = call.until_agent_is_done().await;
    assert_eq!((answer.text.as_str(), answer.interrupted), (LONG, false));
    let sounds = call.sounds();
    assert_eq!(sounds.len(), 20 * WORD_SAMPLES);
    let is_next = |pair: &[i16]| pair[1] == pair[0] % 30_000 + 1;
    assert!(sounds.windows(2).all(is_next), "a sample is lost or doubled");
    call.silence(3000).await;
    assert_eq!(call.requests.lock().unwrap().len(), 1, "it was answered");
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_listens_hears_the_turn_with_its_prefix_padding_and_no_sample_twice() {
    let mut call = Call::start(Cast {
        hears: Some(vec![hears(&[(100, "a large")], QUESTION)]),
        ..Cast::default()
    });
    call.silence(2000).await.voice(600).await;
    let last_voice = call.now_ms();
    assert_eq!(call.until_agent_speaks().await, last_voice + 800);
    assert_eq!(*call.listened.lock().unwrap(), [16 * 1360]);
    assert!(call.utterances.lock().unwrap().is_empty(), "it was asked twice");
    assert_eq!(call.last_request(), [QUESTION]);
    let report = call.end().await;
    let delay = report.turns[0].latency.transcription_delay.map(millis);
    assert_eq!(delay, Some(360));
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_goes_on_is_heard_as_a_whole() {
    let mut call = Call::start(Cast {
        hears: Some(vec![
            hears(&[], "a large pizza"),
            hears(&[], "a large pizza with olives"),
        ]),
        ..Cast::default()
    });
    call.voice(400).await.silence(600).await.voice(400).await;
    call.until_agent_is_done().await;
    assert_eq!(*call.listened.lock().unwrap(), [16 * 660, 16 * 1660]);
    assert_eq!(call.last_request(), ["a large pizza with olives"]);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_backchannel_of_any_length_leaves_the_agent_its_turn() {
    let mut call = speaking(cast(vec![hears(&[(200, "uh-huh"), (300, "uh-huh okay")], "")])).await;
    call.voice(900).await;
    hears_all_of_it(call).await;
}

#[tokio::test(start_paused = true)]
async fn words_take_the_floor_sooner_than_voice() {
    let mut call = speaking(cast(vec![hears(&[(140, "stop")], "stop")])).await;
    let onset = call.now_ms();
    call.voice(300).await.silence(100).await;
    let interrupted = call.until_agent_is_done().await;
    assert!(interrupted.interrupted);
    assert!(
        call.last_sound_ms() <= onset + 200,
        "{} ms",
        call.last_sound_ms() - onset
    );
    call.until_agent_speaks().await;
    let report = call.end().await;
    let user: Vec<_> = report
        .turns
        .iter()
        .filter(|turn| turn.speaker == Speaker::User)
        .collect();
    assert_eq!(user[1].text, "stop");
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_breaks_off_loses_no_sound() {
    let broken = Hears {
        interim: Vec::new(),
        last: Answer::Fails,
    };
    let mut call = Call::start(Cast {
        hears: Some(vec![broken]),
        ..Cast::default()
    });
    call.silence(2000).await.voice(600).await;
    call.until_agent_is_done().await;
    assert_eq!(*call.utterances.lock().unwrap(), [16 * 1360]);
    assert_eq!(call.last_request(), [QUESTION]);
    let report = call.end().await;
    assert_eq!(report.failures, [Stage::Stt]);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_owes_its_transcript_is_given_up_after_its_timeout_and_asked_again() {
    let silent = Hears {
        interim: Vec::new(),
        last: Answer::Hangs,
    };
    let mut call = Call::start(Cast {
        profile: "prompt: x\nrecording: off\ntimeouts: {stt: 1s}".into(),
        hears: Some(vec![silent]),
        ..Cast::default()
    });
    call.voice(400).await;
    let last_voice = call.now_ms();
    // 0.26 s of silence, 1 s timeout, 0.1 s of the second attempt, 0.2 s model, 0.1 s voice.
    assert_eq!(call.until_agent_speaks().await, last_voice + 1660);
    assert_eq!(call.end().await.failures, [Stage::Stt]);
}

#[tokio::test(start_paused = true)]
async fn where_words_are_needed_a_recogniser_that_only_transcribes_is_asked_for_them() {
    let profile = "prompt: x\nrecording: off\nturns: {interruption: {min_words: 1}}";
    for (over, is_heard) in [("mhm, okay", false), ("wait a moment", true)] {
        let mut call = speaking(Cast {
            profile: profile.into(),
            stt: vec![Answer::Says(QUESTION), Answer::Says(over)],
            llm: vec![Answer::Says(LONG), Answer::Says("As you wish, that is changed.")],
            ..Cast::default()
        })
        .await;
        call.voice(800).await;
        if is_heard {
            assert!(call.until_agent_is_done().await.interrupted);
            call.until_agent_speaks().await;
            call.end().await;
        } else {
            hears_all_of_it(call).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sentence_that_is_not_over_is_waited_for() {
    for (hint, after_ms) in [("rules", 3300), ("off", 800)] {
        let mut call = Call::start(Cast {
            profile: format!("prompt: x\nrecording: off\nturns: {{endpointing: {{hint: {hint}}}}}"),
            stt: vec![Answer::Says("I would like to")],
            ..Cast::default()
        });
        call.voice(400).await;
        let last_voice = call.now_ms();
        assert_eq!(call.until_agent_speaks().await, last_voice + after_ms, "{hint}");
        call.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_silent_is_asked_and_then_bidden_goodbye() {
    let profile = "prompt: x\nrecording: off\nreprompt: Sorry, are you still there?\naway_goodbye: Sorry, goodbye then.\n\
                   turns: {user_away_timeout: 5s, reprompts: 1}";
    let mut call = Call::start(Cast {
        profile: profile.into(),
        ..Cast::default()
    });
    let asked = call.until_agent_is_done().await;
    assert_eq!(asked.text, "Sorry, are you still there?");
    assert_eq!(millis(asked.started_at), 5000, "it was synthesised before");
    let goodbye = call.until_agent_is_done().await;
    assert_eq!(goodbye.text, "Sorry, goodbye then.");
    assert_eq!(millis(goodbye.started_at - asked.ended_at), 5000);
    let report = call.report().await;
    assert_eq!(report.reason, pipeline::EndReason::CallerAway);
    assert!(report.turns.iter().all(|turn| !turn.interrupted));
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_comes_back_is_answered() {
    let profile =
        "prompt: x\nrecording: off\nreprompt: Sorry, are you still there?\nturns: {user_away_timeout: 5s}";
    let mut call = Call::start(Cast {
        profile: profile.into(),
        ..Cast::default()
    });
    call.until_agent_is_done().await;
    call.silence(1000).await.voice(400).await;
    let answer = call.until_agent_is_done().await;
    assert!(answer.text.starts_with("It will be with you"));
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_too_long_ends_with_a_goodbye() {
    let profile = "prompt: x\nrecording: off\ntime_up: Sorry, that was it.\nturns: {max_duration: 60s}";
    let mut call = Call::start(Cast {
        profile: profile.into(),
        ..Cast::default()
    });
    call.silence(50_000).await;
    let goodbye = call.until_agent_is_done().await;
    assert_eq!(goodbye.text, "Sorry, that was it.");
    assert_eq!(goodbye.started_at.as_secs(), 60);
    assert_eq!(call.report().await.reason, pipeline::EndReason::TimeUp);
}

#[tokio::test(start_paused = true)]
async fn in_the_manual_mode_the_turn_ends_when_somebody_says_so() {
    let mut call = Call::start(Cast {
        profile: "prompt: x\nrecording: off\nturns: {mode: manual}".into(),
        llm: vec![Answer::Says(LONG)],
        ..Cast::default()
    });
    call.voice(400).await.silence(5000).await;
    assert!(call.utterances.lock().unwrap().is_empty());
    call.controls.send(Control::EndTurn).await.unwrap();
    let said = call.now_ms();
    // 0.1 s recogniser, 0.2 s model, 0.1 s voice.
    assert_eq!(call.until_agent_speaks().await, said + 400);
    call.voice(1000).await;
    let is_paused = |event: &ConversationEvent| matches!(event, ConversationEvent::Paused { .. });
    assert!(!call.seen().iter().any(is_paused), "voice alone pauses");
    call.controls.send(Control::Interrupt).await.unwrap();
    assert!(call.until_agent_is_done().await.interrupted);
    call.controls.send(Control::CancelTurn).await.unwrap();
    call.silence(1000).await;
    let report = call.end().await;
    assert_eq!(report.turns.len(), 2, "{:?}", report.turns);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_conversation_began_is_answered_and_not_recorded() {
    let mut call = Call::start(Cast {
        profile: "prompt: x\nrecording: always".into(),
        pre_roll: spoken_before(30, 40),
        ..Cast::default()
    });
    // 0.5 s of silence, 0.2 s model, 0.1 s voice.
    assert_eq!(call.until_agent_speaks().await, 800);
    // 0.5 s before the voice, 0.8 s of it, 0.26 s until the silence is certain.
    assert_eq!(*call.utterances.lock().unwrap(), [16 * 1560]);
    call.end().await;
    let recorded = call.slots.0.lock().unwrap();
    assert!(
        recorded
            .iter()
            .all(|slot| slot.caller == [0; pipeline::FRAME_SAMPLES])
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_greeting_is_answered_after_it() {
    let mut call = Call::start(Cast {
        pre_roll: spoken_before(0, 40),
        ..Cast::greeting("recording: off")
    });
    assert!(!call.until_agent_is_done().await.interrupted);
    let answer = call.until_agent_is_done().await;
    assert!(answer.text.starts_with("It will be with you"));
    call.end().await;
}
