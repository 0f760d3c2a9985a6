//! Tools: called at once and side by side, after the agent was heard, three times at most, each with its result.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;

use pipeline::{ConversationReport, EndReason, ToolUse};
use providers::tools::{Tool, ToolError, function};
use tokio::time::sleep;

use crate::fakes::Answer;
use crate::world::{Call, Cast, millis};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    number: String,
}

/// Takes so long, and counts how often it has begun.
fn find(ms: u64, begun: &Arc<AtomicU32>) -> Arc<dyn Tool> {
    let begun = begun.clone();
    Arc::new(
        function("find", "Finds an order.", move |order: Order| {
            begun.fetch_add(1, Ordering::SeqCst);
            async move {
                sleep(Duration::from_millis(ms)).await;
                match order.number.as_str() {
                    "none" => Err(ToolError("there is no such order".into())),
                    number => Ok(format!("{number} is on its way")),
                }
            }
        })
        .limit(Duration::from_secs(8)),
    )
}

/// Runs when the agent was heard, and takes 2 s.
fn transfer(answer: Result<&'static str, &'static str>, begun: &Arc<AtomicU32>) -> Arc<dyn Tool> {
    let begun = begun.clone();
    let run = move |_: serde_json::Map<String, serde_json::Value>| {
        begun.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_secs(2)).await;
            answer
                .map(str::to_owned)
                .map_err(|error| ToolError(error.to_owned()))
        }
    };
    Arc::new(function("transfer", "Transfers the call.", run).after_speech())
}

fn cast(tool: Arc<dyn Tool>, llm: &[Answer]) -> Cast {
    Cast {
        llm: llm.to_vec(),
        tools: vec![tool],
        ..Cast::default()
    }
}

const ONE: &[(&str, &str)] = &[("find", r#"{"number": "A1"}"#)];
const TWO: &[(&str, &str)] = &[("find", r#"{"number": "A1"}"#), ("find", r#"{"number": "none"}"#)];

fn uses(report: &ConversationReport) -> Vec<(&str, Option<u64>, bool)> {
    let of = |it: &'_ ToolUse| (it.took.map(millis), it.is_error);
    report
        .tools
        .iter()
        .map(|it| (it.name.as_str(), of(it).0, of(it).1))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn tools_run_side_by_side_and_the_answer_follows_in_the_same_utterance() {
    let begun = Arc::default();
    let answers = [
        Answer::SaysAndCalls("Let me see. ", TWO),
        Answer::Says("It is on its way."),
    ];
    let mut call = Call::start(cast(find(400, &begun), &answers));
    call.voice(600).await;
    let turn = call.until_agent_is_done().await;
    assert_eq!(turn.text, "Let me see. It is on its way.");
    assert_eq!(
        call.last_request(),
        [
            "a large pizza please",
            "Let me see. ",
            "→ find, find",
            "← A1 is on its way",
            "← there is no such order"
        ]
    );
    // What was called stays in the history, before the words that it led to.
    call.voice(600).await;
    call.until_agent_is_done().await;
    assert_eq!(
        call.last_request(),
        [
            "a large pizza please",
            "→ find, find",
            "← A1 is on its way",
            "← there is no such order",
            "Let me see. It is on its way.",
            "a large pizza please"
        ]
    );
    let report = call.end().await;
    assert_eq!(
        uses(&report),
        [("find", Some(400), false), ("find", Some(400), true)]
    );
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_slow_tool_does_not_leave_the_caller_in_silence() {
    let begun = Arc::default();
    let answers = [Answer::SaysAndCalls("", ONE), Answer::Says("It is on its way.")];
    let mut call = Call::start(cast(find(7_000, &begun), &answers));
    call.voice(600).await;
    let last_voice = call.now_ms();
    assert_eq!(
        call.until_agent_speaks().await,
        last_voice + 2_200,
        "0.5 s of silence, 0.2 s model, 1.5 s of patience; the phrase was synthesised before"
    );
    assert_eq!(
        call.until_agent_is_done().await.text,
        "One moment, please. It is on its way."
    );
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_three_steps_the_model_has_to_answer() {
    let begun: Arc<AtomicU32> = Arc::default();
    let answers = [
        Answer::SaysAndCalls("", ONE),
        Answer::SaysAndCalls("", ONE),
        Answer::SaysAndCalls("", ONE),
        Answer::SaysAndCalls("I do not know.", ONE),
    ];
    let mut call = Call::start(cast(find(10, &begun), &answers));
    call.voice(600).await;
    assert_eq!(call.until_agent_is_done().await.text, "I do not know.");
    let offered: Vec<_> = call
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.tools.len())
        .collect();
    assert_eq!(offered, [2, 2, 2, 0], "find and end_call, and at last none");
    assert_eq!(begun.load(Ordering::SeqCst), 3);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_the_caller_interrupts_has_a_result_all_the_same() {
    let begun: Arc<AtomicU32> = Arc::default();
    let answers = [
        Answer::SaysAndCalls("I will look that up for you in all of our books. ", ONE),
        Answer::Says("Yes?"),
    ];
    let mut call = Call::start(cast(find(6_000, &begun), &answers));
    call.voice(600).await;
    call.until_agent_speaks().await;
    call.silence(400).await.voice(800).await;
    call.until_agent_speaks().await;
    let asked = call.last_request();
    assert_eq!(asked[1], "→ find");
    assert_eq!(
        asked[2],
        "← the caller interrupted it; whether it was done is not known"
    );
    let report = call.end().await;
    assert_eq!(uses(&report), [("find", None, true)]);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_agent_to_be_heard_begins_then_and_its_failure_is_spoken_of() {
    let begun: Arc<AtomicU32> = Arc::default();
    let answers = [
        Answer::SaysAndCalls("I will connect you now.", &[("transfer", "{}")]),
        Answer::Says("Sorry, nobody is there."),
    ];
    let mut call = Call::start(cast(transfer(Err("nobody answered"), &begun), &answers));
    call.voice(600).await;
    call.until_agent_speaks().await;
    assert_eq!(
        begun.load(Ordering::SeqCst),
        0,
        "five words are still to be heard"
    );
    let announced = call.until_agent_is_done().await;
    let spoke_up = call.until_agent_speaks().await;
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    assert_eq!(
        spoke_up,
        millis(announced.ended_at) + 2_300,
        "2 s for the transfer, 0.2 s model, 0.1 s voice"
    );
    assert_eq!(call.until_agent_is_done().await.text, "Sorry, nobody is there.");
    assert_eq!(
        call.last_request(),
        [
            "a large pizza please",
            "I will connect you now.",
            "→ transfer",
            "← nobody answered"
        ]
    );
    let report = call.end().await;
    assert_eq!(uses(&report), [("transfer", Some(2_000), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_tries_again_and_again_is_stopped() {
    let begun: Arc<AtomicU32> = Arc::default();
    let answers = [Answer::SaysAndCalls("I will try.", &[("transfer", "{}")])];
    let mut call = Call::start(cast(transfer(Err("nobody answered"), &begun), &answers));
    call.voice(600).await;
    call.silence(30_000).await;
    assert_eq!(
        begun.load(Ordering::SeqCst),
        4,
        "once for the caller, and three times of its own"
    );
    let requests = call.requests.lock().unwrap().len();
    assert_eq!(requests, 5);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_about_a_result_that_says_nothing() {
    let begun = Arc::default();
    let answers = [Answer::SaysAndCalls("I will connect you.", &[("transfer", "")])];
    let mut call = Call::start(cast(transfer(Ok(""), &begun), &answers));
    call.voice(600).await;
    call.until_agent_is_done().await;
    call.silence(5_000).await;
    assert_eq!(call.requests.lock().unwrap().len(), 1);
    let report = call.end().await;
    assert_eq!(uses(&report), [("transfer", Some(2_000), false)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_announced_and_interrupted_does_not_begin() {
    let begun: Arc<AtomicU32> = Arc::default();
    let answers = [
        Answer::SaysAndCalls("I will connect you with our people now.", &[("transfer", "{}")]),
        Answer::Says("As you like."),
    ];
    let mut call = Call::start(cast(transfer(Ok(""), &begun), &answers));
    call.voice(600).await;
    call.until_agent_speaks().await;
    call.silence(200).await.voice(800).await;
    call.until_agent_speaks().await;
    call.until_agent_is_done().await;
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    assert!(
        call.last_request()
            .contains(&"← the caller interrupted the agent, so it was not done".to_owned())
    );
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_announced_begins_at_once() {
    let begun: Arc<AtomicU32> = Arc::default();
    let answers = [
        Answer::SaysAndCalls("", &[("transfer", "{}")]),
        Answer::Says("Nobody is there."),
    ];
    let mut call = Call::start(cast(transfer(Err("nobody answered"), &begun), &answers));
    call.voice(600).await;
    assert_eq!(call.until_agent_is_done().await.text, "Nobody is there.");
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_speaks_while_it_is_under_way_is_answered_and_told() {
    let begun = Arc::default();
    let answers = [
        Answer::SaysAndCalls("Just a second.", &[("transfer", "{}")]),
        Answer::Says("I am trying."),
        Answer::Says("Nobody is there."),
    ];
    let mut call = Call::start(cast(transfer(Err("nobody answered"), &begun), &answers));
    call.voice(600).await;
    call.until_agent_is_done().await;
    call.voice(600).await;
    assert_eq!(call.until_agent_is_done().await.text, "I am trying.");
    assert_eq!(
        call.requests.lock().unwrap()[1].messages.len(),
        5,
        "words, announcement, call, that it is under way, words"
    );
    assert_eq!(call.until_agent_is_done().await.text, "Nobody is there.");
    assert_eq!(
        call.last_request(),
        [
            "a large pizza please",
            "Just a second.",
            "→ transfer",
            "← it is under way; its result will follow",
            "a large pizza please",
            "I am trying.",
            "→ transfer",
            "← nobody answered"
        ]
    );
    let report = call.end().await;
    assert_eq!(uses(&report), [("transfer", Some(2_000), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_not_there_is_answered_and_is_in_no_report() {
    let begun = Arc::default();
    let answers = [
        Answer::SaysAndCalls("", &[("create_sip_participant", r#"{"to": "112"}"#)]),
        Answer::SaysAndHangsUp("I cannot do that. Goodbye."),
    ];
    let mut call = Call::start(cast(find(10, &begun), &answers));
    call.voice(600).await;
    let turn = call.until_agent_is_done().await;
    assert_eq!(turn.text, "I cannot do that. Goodbye.");
    assert_eq!(call.last_request()[2], "← there is no such tool; there are: find");
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::AgentEnded);
    assert_eq!(uses(&report), [("unknown", Some(0), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_longer_than_a_playout_may_be_silent_is_waited_for() {
    let answers = [
        Answer::SaysAndCalls("Let me see. ", &[("dig", "{}")]),
        Answer::Says("It is on its way."),
    ];
    let run = |_: serde_json::Map<String, serde_json::Value>| async {
        sleep(Duration::from_secs(18)).await;
        Ok("found".to_owned())
    };
    let dig = function("dig", "Digs.", run).limit(Duration::from_secs(20));
    let mut call = Call::start(cast(Arc::new(dig), &answers));
    call.voice(600).await;
    let turn = call.until_agent_is_done().await;
    assert_eq!(
        (turn.text.as_str(), turn.interrupted),
        ("Let me see. It is on its way.", false)
    );
    call.end().await;
}

const AWAY: &str = "prompt: x\nrecording: off\nreprompt: Sorry, are you still there?\naway_goodbye: Sorry, goodbye then.\n\
                    turns: {user_away_timeout: 1s, reprompts: 1}";

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_transfer_is_not_asked_whether_they_are_there() {
    let answers = [
        Answer::SaysAndCalls("I will connect you.", &[("transfer", "{}")]),
        Answer::Says("Nobody is there."),
    ];
    let mut call = Call::start(Cast {
        profile: AWAY.into(),
        ..cast(transfer(Err("nobody answered"), &Arc::default()), &answers)
    });
    call.voice(600).await;
    let announced = call.until_agent_is_done().await;
    let told = call.until_agent_is_done().await;
    assert_eq!(told.text, "Nobody is there.");
    assert_eq!(told.started_at - announced.ended_at, Duration::from_millis(2_300));
    let asked = call.until_agent_is_done().await;
    assert_eq!(asked.text, "Sorry, are you still there?");
    assert_eq!(asked.started_at - told.ended_at, Duration::from_secs(1));
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn noise_at_the_moment_of_a_result_does_not_keep_it_from_the_caller() {
    let answers = [
        Answer::SaysAndCalls("I will connect you.", &[("transfer", "{}")]),
        Answer::Says("Nobody is there."),
    ];
    let mut call = Call::start(Cast {
        stt: vec![Answer::Says("connect me"), Answer::Says("")],
        ..cast(transfer(Err("nobody answered"), &Arc::default()), &answers)
    });
    call.voice(600).await;
    call.until_agent_is_done().await;
    call.silence(1_900).await.voice(200).await;
    assert_eq!(call.until_agent_is_done().await.text, "Nobody is there.");
    call.end().await;
}
