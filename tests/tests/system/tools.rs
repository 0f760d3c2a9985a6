//! What an agent does besides speaking: it asks a service, collects what a caller types, and transfers a caller only to where it may.

use std::time::Duration;

use audio::Codec;
use axum::{Router, extract::Path, http::HeaderMap, routing::get};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::sleep};

use crate::{
    conversation::turns,
    harness::{Options, System, shared_turn},
    phone::{GOODBYE, PAUSE, SOON, answered, voice},
};

/// What the service wants to see; it must never be seen in a log.
const SECRET: &str = "canary-crm-token-93ab";
/// What it takes for an answer.
const SLOW: Duration = Duration::from_secs(3);

const DIALOGUE: &str = r#"
intents:
  - name: order
    phrases: [where is my order]
    replies: Let me see.
    action: {find_order: {number: A 1/2}}
    after: It is {result}.
  - name: emergency
    phrases: [connect me to emergency]
    replies: One moment.
    action: {transfer_call: {to: "112"}}
    after_failure: I can not connect you there.
  - name: premium
    phrases: [call the lottery for me]
    replies: One moment.
    action: {transfer_call: {to: "+19005551234"}}
    after_failure: I can not connect you there.
  - name: far
    phrases: [call my friend in france]
    replies: One moment.
    action: {transfer_call: {to: "+33123456789"}}
    after_failure: I can not connect you there.
  - name: goodbye
    phrases: [thank you goodbye]
    replies: Goodbye.
    action: end_call
fallback: Sorry?
"#;

/// A service that takes its time, and tells the test what it was asked.
async fn service() -> (String, mpsc::Receiver<(String, String)>, JoinSet<()>) {
    let (told, asked) = mpsc::channel(8);
    let order = move |Path(number): Path<String>, headers: HeaderMap| {
        let told = told.clone();
        async move {
            let key = headers
                .get("authorization")
                .map_or("", |key| key.to_str().unwrap());
            told.send((number, key.to_owned())).await.unwrap();
            sleep(SLOW).await;
            "on its way"
        }
    };
    let router = Router::new().route("/orders/{number}", get(order));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (base, asked, task)
}

fn profile(base: &str) -> String {
    format!(
        "tools:\n  - name: find_order\n    description: Finds an order.\n    \
         parameters: {{type: object, properties: {{number: {{type: string}}}}, required: [number]}}\n    \
         url: {base}/orders/{{number}}\n    headers: {{authorization: {{bearer: crm}}}}\n\
         transfers: {{numbers: true}}\n"
    )
}

/// The names of the record's tools, and whether they failed.
fn tools(record: &Value) -> Vec<(&str, bool)> {
    let tools = record["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| {
            (
                tool["name"].as_str().unwrap(),
                tool["is_error"].as_bool().unwrap(),
            )
        })
        .collect()
}

fn assert_record(record: &Value) {
    let said: Vec<_> = turns(record)
        .into_iter()
        .filter(|(speaker, ..)| *speaker == "agent")
        .map(|(_, text, _)| text)
        .skip(1)
        .collect();
    let refused = ["One moment.", "I can not connect you there."];
    assert_eq!(
        said,
        [
            &["Let me see. It is on its way."][..],
            &refused,
            &refused,
            &refused,
            &["Goodbye."]
        ]
        .concat()
    );
    assert_eq!(
        tools(record),
        [
            ("find_order", false),
            ("transfer_call", true),
            ("transfer_call", true),
            ("transfer_call", true)
        ]
    );
    assert_eq!(record["outcome"]["kind"], "completed");
}

fn assert_log(system: &System) {
    let reasons: Vec<_> = system
        .log_lines()
        .iter()
        .filter(|line| line["message"] == "the model asked for a transfer that was refused")
        .map(|line| line["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        reasons,
        ["target_emergency", "target_premium", "target_not_listed"]
    );
    let log = std::fs::read_to_string(&system.log).unwrap();
    for canary in [
        SECRET,
        "9005551234",
        "33123456789",
        "A 1/2",
        "A%201%2F2",
        "on its way",
    ] {
        assert!(
            !log.contains(canary),
            "{canary} stands in {}",
            system.log.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_a_slow_service_and_refuses_to_transfer_where_it_may_not() {
    let _turn = shared_turn().await;
    let (base, mut asked, _service) = service().await;
    let system = System::start(Options {
        dialogue: Some(DIALOGUE),
        profile: profile(&base),
        sections: format!(
            "tools:\n  secrets: {{crm: {SECRET}}}\ncalls:\n  targets: {{numbers: [\"+1\", \"+49\"]}}\n"
        ),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();

    call.speak(&voice("where is my order")).await.unwrap();
    let announced = ear.wait_for_utterance(PAUSE, SOON).await.unwrap();
    let told = ear.wait_for_utterance(PAUSE, SOON).await.unwrap();
    measured!(
        "asked the service; said so {:?} after having announced it",
        told.0.at.saturating_sub(announced.1.at)
    );
    assert_eq!(
        asked.recv().await.unwrap(),
        ("A 1/2".to_owned(), format!("Bearer {SECRET}"))
    );

    for wish in [
        "connect me to emergency",
        "call the lottery for me",
        "call my friend in france",
    ] {
        call.speak(&voice(wish)).await.unwrap();
        // The announcement, and at once the apology.
        ear.wait_for_utterance(PAUSE * 3, SOON * 2).await.unwrap();
    }
    call.speak(&voice(GOODBYE)).await.unwrap();
    call.wait_ended(SOON).await.unwrap();

    let (folder, record) = system.new_record(&before, SOON).await;
    assert_record(&record);
    let report = std::fs::read(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let events = report["events"].as_array().unwrap().iter();
    let called = events.filter(|event| event["type"] == "function_tools_executed");
    let called: Vec<_> = called.map(|event| event["detail"].as_str().unwrap()).collect();
    assert_eq!(
        called,
        ["find_order", "transfer_call", "transfer_call", "transfer_call"]
    );
    assert_log(&system);
    system.stop().await;
}

/// What the caller types; it must never be seen in a log.
const DIGITS: &str = "80421973";

const KEYPAD: &str = r##"
intents:
  - name: number
    phrases: [i want to type my number]
    replies: Please type it and then the hash key.
    action: {collect_dtmf: {max_digits: 12, stop_digit: "#"}}
    after: Thank you. I see {result}.
    after_failure: I got no number.
  - name: goodbye
    phrases: [thank you goodbye]
    replies: Goodbye.
    action: end_call
fallback: Sorry?
"##;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_look_a_number_up_is_left_in_peace_and_what_they_type_is_collected() {
    const LOOKS_IT_UP: Duration = Duration::from_secs(4);
    let _turn = shared_turn().await;
    let system = System::start(Options {
        dialogue: Some(KEYPAD),
        profile: "dtmf: true\nreprompt: Are you still on the line?\nturns: {user_away_timeout: 3s}\n".into(),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice("i want to type my number")).await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON).await.unwrap();
    let asked = ear.wait_for_speech(LOOKS_IT_UP).await;
    assert!(
        asked.is_err(),
        "the caller was asked whether they are there: {asked:?}"
    );
    call.press(&format!("{DIGITS}#")).await.unwrap();
    ear.wait_for_utterance(PAUSE * 2, SOON).await.unwrap();
    call.speak(&voice(GOODBYE)).await.unwrap();
    call.wait_ended(SOON).await.unwrap();

    let (_, record) = system.new_record(&before, SOON).await;
    let told = format!("Thank you. I see the caller typed {DIGITS}.");
    let said: Vec<_> = turns(&record)
        .into_iter()
        .filter(|(speaker, ..)| *speaker == "agent")
        .map(|(_, text, _)| text)
        .skip(1)
        .collect();
    assert_eq!(
        said,
        ["Please type it and then the hash key.", told.as_str(), "Goodbye."]
    );
    assert_eq!(tools(&record), [("collect_dtmf", false)]);
    let log = std::fs::read_to_string(&system.log).unwrap();
    assert!(
        !log.contains(DIGITS),
        "the digits stand in {}",
        system.log.display()
    );
    system.stop().await;
}
