//! A caller whom the agent can no longer serve: a menu of keys, or somebody else.

use std::sync::{Arc, Mutex};

use pipeline::{Control, EndReason, Speaker};
use providers::tools::{Tool, ToolError, function};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fakes::Answer;
use crate::world::{Call, Cast};

const MENU: &str = "Sorry, I cannot hear you. Press one for pizza.";
const KEYPAD: &str =
    "keypad: {say: 'Sorry, I cannot hear you. Press one for pizza.', keys: {'1': a large pizza please}}\n";
const HANDOVER: &str = "Sorry, I am putting you through.";
const ON_FAILURE: &str = "max_unrecoverable_errors: 2\non_failure: {transfer: desk, say: 'Sorry, I am putting you through.'}\n\
                          transfers: {destinations: {desk: '+15550100'}}\n";
const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";
const GOODBYE: &str = "Sorry, we have technical problems. Please call again later. Goodbye.";

fn cast(more: &str) -> Cast {
    let cast = Cast::default();
    let profile = format!("{}{more}", cast.profile);
    Cast { profile, ..cast }
}

async fn ask(call: &mut Call) -> String {
    call.voice(400).await;
    call.until_agent_is_done().await.text
}

#[derive(Deserialize, JsonSchema)]
struct To {
    to: String,
}

/// A transfer that answers `outcome`, and to where it was asked for.
fn transfer(outcome: Result<&'static str, &'static str>) -> (Arc<dyn Tool>, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = asked.clone();
    let run = move |To { to }: To| {
        kept.lock().unwrap().push(to);
        async move {
            outcome
                .map(str::to_owned)
                .map_err(|error| ToolError(error.to_owned()))
        }
    };
    let tool = function("transfer_call", "Transfers the call.", run).after_speech();
    (Arc::new(tool), asked)
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_heard_is_told_what_to_type_and_a_key_counts_as_words() {
    let mut call = Call::start(Cast {
        stt: vec![Answer::Fails],
        ..cast(KEYPAD)
    });
    call.silence(1000).await;
    // Nobody was told of any key yet.
    call.controls.send(Control::Key('1')).await.unwrap();
    call.silence(1000).await;
    assert!(call.requests.lock().unwrap().is_empty());

    assert_eq!(ask(&mut call).await, MENU);
    call.controls.send(Control::Key('7')).await.unwrap();
    call.silence(1000).await;
    assert!(
        call.requests.lock().unwrap().is_empty(),
        "that key stands for nothing"
    );
    call.controls.send(Control::Key('1')).await.unwrap();
    let reply = call.until_agent_is_done().await.text;
    assert!(reply.starts_with("It will be with you"));
    assert_eq!(call.last_request(), [MENU, "a large pizza please"]);

    // It counts over the menu too, and the failures before it are forgiven.
    for _ in 0..2 {
        call.voice(400).await;
        call.until_agent_speaks().await;
        call.silence(400).await;
        call.controls.send(Control::Key('1')).await.unwrap();
        call.until_agent_speaks().await;
        call.until_agent_is_done().await;
    }
    let report = call.end().await;
    assert_eq!(report.reason, EndReason::CallerGone);
    let typed = report.turns.iter().filter(|turn| turn.speaker == Speaker::User);
    assert_eq!(typed.count(), 3);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn when_the_models_are_gone_for_good_the_caller_is_put_through_to_somebody() {
    for (stt, llm) in [
        (Answer::Says("a large pizza please"), Answer::Fails),
        (Answer::Fails, Answer::Says("Never heard.")),
    ] {
        let (tool, asked) = transfer(Ok(""));
        let mut call = Call::start(Cast {
            stt: vec![stt],
            llm: vec![llm],
            tools: vec![tool],
            ..cast(ON_FAILURE)
        });
        call.silence(1000).await;
        assert_eq!(ask(&mut call).await, FALLBACK);
        assert_eq!(ask(&mut call).await, HANDOVER);
        call.silence(500).await;
        assert_eq!(*asked.lock().unwrap(), ["desk"]);
        let report = call.end().await;
        assert_eq!(report.tools[0].name, "transfer_call");
        assert!(!report.tools[0].is_error);
        call.assert_nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn when_nobody_answers_there_either_the_agent_says_goodbye() {
    let (tool, asked) = transfer(Err("the line is busy; the caller is still here"));
    let mut call = Call::start(Cast {
        llm: vec![Answer::Fails],
        tools: vec![tool],
        ..cast(ON_FAILURE)
    });
    call.silence(1000).await;
    ask(&mut call).await;
    assert_eq!(ask(&mut call).await, HANDOVER);
    assert_eq!(call.until_agent_is_done().await.text, GOODBYE);
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::ProvidersFailed);
    assert_eq!(*asked.lock().unwrap(), ["desk"], "once");
    call.assert_nothing_is_left();
}
