//! Replies that are begun before the turn is over.

use std::sync::{Arc, Mutex};

use providers::tools::{Tool, function};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fakes::{Answer, Hears};
use crate::world::{Call, Cast, millis};

const WORDS: &str = "a large pizza please";
const REPLY: &str = "It will be with you in one hour.";

fn cast(more: &str) -> Cast {
    let cast = Cast::default();
    Cast {
        profile: format!("{}{more}preemptive_generation: true\n", cast.profile),
        llm: vec![Answer::Says(REPLY)],
        ..cast
    }
}

fn requests(call: &Call) -> usize {
    call.requests.lock().unwrap().len()
}

/// Silence until the agent has answered; how many milliseconds after `last_voice` that began.
async fn answer(call: &mut Call, last_voice: u64) -> (String, u64) {
    let turn = call.until_agent_is_done().await;
    (turn.text, millis(turn.started_at) - last_voice)
}

#[tokio::test(start_paused = true)]
async fn the_model_thinks_while_it_is_not_known_whether_the_turn_is_over() {
    // With a second of endpointing it has all the time that it needs: then only the synthesis is left, 100 ms.
    let mut call = Call::start(cast("turns: {endpointing: {min_delay: 1s}}\n"));
    call.silence(1000).await;
    call.voice(400).await;
    let last_voice = call.now_ms();
    let (reply, delay) = answer(&mut call, last_voice).await;
    assert_eq!(reply, REPLY);
    assert!((1_100..=1_140).contains(&delay), "{delay} ms");
    let report = call.end().await;
    assert_eq!(report.usage.llm_requests, 1);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_goes_on_cancels_what_was_guessed_of_it() {
    let mut call = Call::start(Cast {
        stt: vec![Answer::Says("a large pizza"), Answer::Says(WORDS)],
        llm: vec![
            Answer::Says("Of which size will it be, please?"),
            Answer::Says(REPLY),
        ],
        ..cast("turns: {endpointing: {min_delay: 1s}}\n")
    });
    call.silence(1000).await;
    call.voice(400).await.silence(600).await;
    assert_eq!(requests(&call), 1);
    call.voice(400).await;
    let last_voice = call.now_ms();
    let (reply, _) = answer(&mut call, last_voice).await;
    assert_eq!(reply, REPLY);
    assert_eq!(call.last_request(), [WORDS]);
    let report = call.end().await;
    assert_eq!(report.usage.llm_requests, 2, "the guess has cost a request");
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn words_that_are_heard_twice_are_guessed_at_while_they_are_spoken() {
    let hears = Hears {
        interim: vec![(100, "a large"), (200, WORDS), (60, WORDS)],
        last: Answer::Says("A large pizza, please."),
    };
    let mut call = Call::start(Cast {
        hears: Some(vec![hears]),
        ..cast("")
    });
    call.silence(1000).await;
    call.voice(300).await;
    assert_eq!(requests(&call), 0);
    call.voice(300).await;
    assert_eq!(requests(&call), 1, "the caller is still speaking");
    let last_voice = call.now_ms();
    let (reply, delay) = answer(&mut call, last_voice).await;
    assert_eq!(reply, REPLY);
    // 500 ms of endpointing and 100 ms of synthesis.
    assert!(delay <= 640, "{delay} ms");
    let report = call.end().await;
    assert_eq!(report.usage.llm_requests, 1);
    assert_eq!(report.turns[0].text, "A large pizza, please.");
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn words_that_keep_changing_are_guessed_at_three_times() {
    let interim = ["one", "one", "two", "two", "three", "three", "four", "four"];
    let hears = Hears {
        interim: interim.map(|words| (100, words)).to_vec(),
        last: Answer::Says(WORDS),
    };
    let mut call = Call::start(Cast {
        hears: Some(vec![hears]),
        ..cast("")
    });
    call.silence(1000).await;
    call.voice(1_200).await;
    assert_eq!(requests(&call), 3);
    let last_voice = call.now_ms();
    assert_eq!(answer(&mut call, last_voice).await.0, REPLY);
    assert_eq!(call.last_request(), [WORDS]);
    assert_eq!(requests(&call), 4);
    call.end().await;
    call.assert_nothing_is_left();
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[tokio::test(start_paused = true)]
async fn no_tool_is_run_on_a_guess() {
    let ran: Arc<Mutex<Vec<u64>>> = Arc::default();
    let kept = ran.clone();
    let started = tokio::time::Instant::now();
    let tool: Arc<dyn Tool> = Arc::new(function("order", "Orders.", move |Nothing {}| {
        kept.lock().unwrap().push(millis(started.elapsed()));
        async { Ok("done".to_owned()) }
    }));
    let mut call = Call::start(Cast {
        llm: vec![Answer::SaysAndCalls("", &[("order", "{}")]), Answer::Says(REPLY)],
        tools: vec![tool],
        ..cast("turns: {endpointing: {min_delay: 1s}}\n")
    });
    call.silence(1000).await;
    call.voice(400).await;
    let last_voice = call.now_ms();
    let (reply, _) = answer(&mut call, last_voice).await;
    assert_eq!(reply, REPLY);
    let ran = ran.lock().unwrap().clone();
    assert!(
        matches!(ran[..], [at] if at >= last_voice + 1_000),
        "{ran:?}, {last_voice}"
    );
    call.end().await;
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_guess_that_is_never_answered_leaves_nothing_behind() {
    let mut call = Call::start(cast("turns: {endpointing: {min_delay: 1s}}\n"));
    call.silence(1000).await;
    call.voice(400).await.silence(600).await;
    assert_eq!(requests(&call), 1);
    let report = call.end().await;
    assert_eq!(report.usage.llm_requests, 1);
    call.assert_nothing_is_left();
}
