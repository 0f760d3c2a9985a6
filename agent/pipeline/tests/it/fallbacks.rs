//! Providers whose connections are cut in mid-call: the next one of the stage goes on, and the history with it.

use pipeline::{ConversationReport, EndReason, Remedy, Speaker, Stage};

use crate::fakes::Answer;
use crate::world::{Call, Cast, millis};

const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";
const REPLY: &str = "It will be with you in one hour.";
const OTHER: &str = "I have noted it down for you, madam.";

/// The caller says something; returns what the agent answers and after how many milliseconds.
async fn ask(call: &mut Call) -> (String, u64) {
    call.voice(400).await;
    let last_voice = call.now_ms();
    let answer = call.until_agent_is_done().await;
    (answer.text, millis(answer.started_at) - last_voice)
}

fn agent_says(report: &ConversationReport) -> Vec<&str> {
    let turns = report.turns.iter();
    let agents = turns.filter(|turn| turn.speaker == Speaker::Agent);
    agents.map(|turn| turn.text.as_str()).collect()
}

/// One stage has a second provider; the first one answers once and is gone then.
fn cut(stage: Stage, gone: Answer) -> Cast {
    let says = |words| vec![Answer::Says(words)];
    let cast = Cast {
        stt: says("a large pizza please"),
        llm: says(REPLY),
        tts: says(""),
        ..Cast::default()
    };
    match stage {
        Stage::Stt => Cast {
            stt: [cast.stt.clone(), vec![gone]].concat(),
            other_stt: says("and a cola"),
            ..cast
        },
        Stage::Llm => Cast {
            llm: [cast.llm.clone(), vec![gone]].concat(),
            other_llm: says(OTHER),
            ..cast
        },
        // Two fixed phrases are prepared first.
        Stage::Tts => Cast {
            tts: [says(""), says(""), says(""), vec![gone]].concat(),
            other_tts: says(""),
            ..cast
        },
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_provider_is_gone_the_next_one_answers_at_once_and_from_then_on() {
    for stage in [Stage::Stt, Stage::Llm, Stage::Tts] {
        for gone in [Answer::Drops, Answer::Fails] {
            let mut call = Call::start(cut(stage, gone));
            call.silence(1000).await;
            assert_eq!(ask(&mut call).await.0, REPLY);
            let (second, delay) = ask(&mut call).await;
            assert!(delay <= 1_100, "{stage:?}: {delay} ms");
            let (third, next_delay) = ask(&mut call).await;
            // Nobody asks who has just failed: 600 ms of turn, and what the three take.
            assert!(next_delay <= 900, "{stage:?}: {next_delay} ms");
            let expected = if stage == Stage::Llm { OTHER } else { REPLY };
            assert_eq!([second.as_str(), third.as_str()], [expected; 2], "{stage:?}");
            let words = if stage == Stage::Stt {
                "and a cola"
            } else {
                "a large pizza please"
            };
            assert_eq!(
                call.last_request(),
                ["a large pizza please", REPLY, words, expected, words],
                "{stage:?}: the history is kept"
            );
            let report = call.end().await;
            assert_eq!(report.recoveries, [(stage, Remedy::Fallback("other"))]);
            assert_eq!(report.failures, []);
            call.assert_nothing_is_left();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_given_its_limit_and_then_the_next_one_answers() {
    for stage in [Stage::Stt, Stage::Llm, Stage::Tts] {
        let cast = cut(stage, Answer::Hangs);
        let profile = format!("{}timeouts: {{stt: 2s, llm: 2s, tts: 2s}}\n", cast.profile);
        let mut call = Call::start(Cast { profile, ..cast });
        call.silence(1000).await;
        ask(&mut call).await;
        let (_, delay) = ask(&mut call).await;
        assert!((2_000..=3_100).contains(&delay), "{stage:?}: {delay} ms");
        let report = call.end().await;
        assert_eq!(report.recoveries, [(stage, Remedy::Fallback("other"))]);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_minute_later_the_first_one_is_tried_again() {
    let cast = Cast {
        llm: vec![Answer::Drops, Answer::Says(REPLY)],
        other_llm: vec![Answer::Says(OTHER)],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    assert_eq!(ask(&mut call).await.0, OTHER);
    call.silence(20_000).await;
    assert_eq!(ask(&mut call).await.0, OTHER);
    call.silence(12_000).await;
    assert_eq!(ask(&mut call).await.0, REPLY);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lone_provider_that_cannot_be_reached_is_asked_three_times_more() {
    for stage in [Stage::Stt, Stage::Llm, Stage::Tts] {
        // It comes back at the third retry: after 0.1 s, 2 s and 2 s.
        let gone = [vec![Answer::Drops; 3], vec![Answer::Says("")]].concat();
        let cast = match stage {
            Stage::Stt => Cast {
                stt: [&gone[..3], &[Answer::Says("a large pizza please")]].concat(),
                ..Cast::default()
            },
            Stage::Llm => Cast {
                llm: [&gone[..3], &[Answer::Says(REPLY)]].concat(),
                ..Cast::default()
            },
            Stage::Tts => Cast {
                tts: [vec![Answer::Says(""); 2], gone].concat(),
                llm: vec![Answer::Says(REPLY)],
                ..Cast::default()
            },
        };
        let mut call = Call::start(cast);
        call.silence(1000).await;
        let (reply, delay) = ask(&mut call).await;
        assert!(reply.starts_with(REPLY), "{stage:?}: {reply}");
        assert!((4_100..=5_900).contains(&delay), "{stage:?}: {delay} ms");
        let report = call.end().await;
        assert_eq!(report.recoveries, [(stage, Remedy::Retry); 3]);
        assert_eq!(report.failures, []);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_provider_that_stays_away_is_apologised_for_and_the_retries_are_the_profiles() {
    for (retries, after_ms) in [("max_retry: 0", 0), ("max_retry: 2\nretry_interval: 500ms", 600)] {
        let profile = format!("{}{retries}\n", Cast::default().profile);
        let mut call = Call::start(Cast {
            profile,
            llm: vec![Answer::Drops],
            ..Cast::default()
        });
        call.silence(1000).await;
        let (apology, delay) = ask(&mut call).await;
        assert_eq!(apology, FALLBACK);
        assert!(
            (after_ms..after_ms + 1_500).contains(&delay),
            "{retries}: {delay} ms"
        );
        let report = call.end().await;
        assert_eq!(report.failures, [Stage::Llm]);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_sentence_that_breaks_off_is_said_again_by_the_next_voice() {
    let cast = Cast {
        llm: vec![Answer::Says(REPLY)],
        tts: vec![Answer::Says(""), Answer::Says(""), Answer::SaysAndFails("")],
        other_tts: vec![Answer::Says("")],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.silence(1000).await;
    let (reply, _) = ask(&mut call).await;
    assert_eq!(
        reply,
        format!("It will be with {REPLY}"),
        "what was heard, and no more"
    );
    let report = call.end().await;
    assert_eq!(report.recoveries, [(Stage::Tts, Remedy::Repeat)]);
    assert_eq!(report.failures, []);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn with_every_model_gone_the_caller_hears_apologies_and_a_goodbye() {
    let cast = Cast {
        llm: vec![Answer::Drops],
        other_llm: vec![Answer::Fails],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.silence(1000).await;
    for _ in 0..3 {
        ask(&mut call).await;
    }
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::ProvidersFailed);
    let said = agent_says(&report);
    assert_eq!((said.len(), said[0], said[1]), (3, FALLBACK, FALLBACK));
    assert_eq!(report.failures, [Stage::Llm; 3]);
    call.assert_nothing_is_left();
}
