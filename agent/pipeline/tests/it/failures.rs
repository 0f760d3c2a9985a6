//! Providers that fail: something is said instead, the conversation goes on, and nothing waits for ever.

use pipeline::{ConversationEvent, EndReason, Speaker, Stage};

use crate::fakes::Answer;
use crate::world::{Call, Cast, millis};

const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";
const GOODBYE: &str = "Sorry, we have technical problems. Please call again later. Goodbye.";

fn agent_says(report: &pipeline::ConversationReport) -> Vec<&str> {
    report
        .turns
        .iter()
        .filter(|turn| turn.speaker == Speaker::Agent)
        .map(|turn| turn.text.as_str())
        .collect()
}

/// The caller says something; returns what the agent answers and after how many milliseconds.
async fn ask(call: &mut Call) -> (String, u64) {
    call.voice(400).await;
    let last_voice = call.now_ms();
    let answer = call.until_agent_is_done().await;
    (answer.text, millis(answer.started_at) - last_voice)
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_fails_or_hangs_is_apologised_for_and_the_next_turn_goes_well() {
    for (answer, after_ms) in [(Answer::Fails, 600), (Answer::Hangs, 10_260)] {
        let cast = Cast {
            stt: vec![answer, Answer::Says("a large pizza please")],
            ..Cast::default()
        };
        let mut call = Call::start(cast);
        call.silence(1000).await;
        let (apology, delay) = ask(&mut call).await;
        assert_eq!(apology, FALLBACK);
        assert!(delay <= after_ms, "{delay} ms");
        let (reply, _) = ask(&mut call).await;
        assert!(reply.starts_with("It will be with you"));
        let report = call.end().await;
        assert_eq!(report.failures, [Stage::Stt]);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_hangs_or_is_empty_is_apologised_for_and_the_turn_is_kept() {
    for (answer, after_ms) in [
        (Answer::Fails, 800),
        (Answer::Hangs, 10_600),
        (Answer::Says(""), 1000),
    ] {
        let cast = Cast {
            llm: vec![answer, Answer::Says("Now I can tell you more about it.")],
            ..Cast::default()
        };
        let mut call = Call::start(cast);
        call.silence(1000).await;
        let (apology, delay) = ask(&mut call).await;
        assert_eq!(apology, FALLBACK);
        assert!(delay <= after_ms, "{delay} ms");
        ask(&mut call).await;
        assert_eq!(
            call.last_request(),
            ["a large pizza please", FALLBACK, "a large pizza please"]
        );
        let report = call.end().await;
        assert_eq!(report.failures, [Stage::Llm]);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_breaks_off_is_heard_as_far_as_it_came() {
    let cast = Cast {
        llm: vec![Answer::SaysAndFails("It will be with you in one hour. |And then")],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    let (reply, _) = ask(&mut call).await;
    assert_eq!(reply, format!("It will be with you in one hour. {FALLBACK}"));
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_synthesis_that_is_down_is_bridged_by_a_phrase_prepared_before() {
    for (answer, after_ms) in [(Answer::Fails, 800), (Answer::Hangs, 10_800)] {
        // The two fixed phrases are prepared first.
        let cast = Cast {
            tts: vec![Answer::Says(""), Answer::Says(""), answer],
            ..Cast::default()
        };
        let mut call = Call::start(cast);
        call.silence(1000).await;
        let (apology, delay) = ask(&mut call).await;
        assert_eq!(apology, FALLBACK);
        assert!(delay <= after_ms, "{delay} ms");
        let report = call.end().await;
        assert_eq!(report.failures, [Stage::Tts]);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_cannot_be_synthesised_leaves_a_conversation() {
    let cast = Cast {
        tts: vec![Answer::Fails, Answer::Says("")],
        ..Cast::greeting("recording: off")
    };
    let mut call = Call::start(cast);
    call.silence(500).await;
    let (reply, _) = ask(&mut call).await;
    assert!(reply.starts_with("It will be with you"));
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_end_the_call_with_a_goodbye() {
    for cast in [
        Cast {
            llm: vec![Answer::Fails],
            ..Cast::default()
        },
        Cast {
            stt: vec![Answer::Fails],
            ..Cast::default()
        },
        Cast {
            tts: vec![Answer::Says(""), Answer::Says(""), Answer::Fails],
            ..Cast::default()
        },
    ] {
        let mut call = Call::start(cast);
        call.silence(1000).await;
        ask(&mut call).await;
        ask(&mut call).await;
        let (goodbye, _) = ask(&mut call).await;
        assert_eq!(goodbye, GOODBYE);
        let report = call.report().await;
        assert_eq!(report.reason, EndReason::ProvidersFailed);
        assert_eq!(agent_says(&report), [FALLBACK, FALLBACK, GOODBYE]);
        assert_eq!(report.failures.len(), 3);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_goes_well_forgives_the_failures_before_it() {
    let cast = Cast {
        llm: vec![
            Answer::Fails,
            Answer::Fails,
            Answer::Says("This one goes well, I am glad to say."),
            Answer::Fails,
            Answer::Says("And this one goes well too, you see."),
        ],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    for _ in 0..5 {
        ask(&mut call).await;
    }
    let report = call.end().await;
    assert_eq!(report.reason, EndReason::CallerGone);
    assert_eq!(report.failures.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn with_everything_down_the_call_ends_and_says_so() {
    let cast = Cast {
        stt: vec![Answer::Fails],
        llm: vec![Answer::Fails],
        tts: vec![Answer::Fails],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    for _ in 0..3 {
        call.voice(400).await.silence(2000).await;
    }
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::ProvidersFailed);
    assert!(call.sounds().is_empty());
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_with_their_stage_and_without_words() {
    let mut call = Call::start(Cast {
        llm: vec![Answer::Fails],
        ..Cast::default()
    });
    ask(&mut call).await;
    let failed: Vec<_> = call
        .seen()
        .iter()
        .filter_map(|event| match event {
            ConversationEvent::Failed { stage, reason, .. } => Some((*stage, reason.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(
        failed,
        [(
            Stage::Llm,
            "fake: scripted (refused; check the profile's providers and their keys)".to_owned()
        )]
    );
    let told = format!("{:?}", call.seen());
    assert!(!told.contains("pizza"), "words of the call stand in Debug");
    call.end().await;
}
