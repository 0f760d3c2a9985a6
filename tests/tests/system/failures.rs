//! Providers whose connections are cut in the middle of a call, one stage after the other: it goes on by those that the profile lists behind
//! them.

use audio::{Codec, Resampler};
use axum::{Json, Router, body::Bytes, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    conversation::turns,
    harness::{Options, System, shared_turn},
    phone::{
        ANSWER, GOODBYE, GREETING, OTHER_ANSWER, OTHER_QUESTION, PAUSE, QUESTION, SOON, answered, voice,
    },
    wire::{Weather, Wire},
};

const PROVIDERS: &str = "{stt: [openai, pocketsphinx], llm: [openai, dialogue], tts: [openai, flite]}";
/// What the model says as long as it can be reached.
const MODEL: &str = "I would have to look that up for you.";

/// A service of the OpenAI kind that hears one question, has one answer, and speaks with the voice of flite.
async fn service() -> (String, JoinSet<()>) {
    let router = Router::new()
        .route(
            "/v1/audio/transcriptions",
            post(async |_: Bytes| Json(json!({ "text": QUESTION }))),
        )
        .route("/v1/chat/completions", post(async |_: Bytes| Json(reply())))
        .route("/v1/audio/speech", post(speak));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut task = JoinSet::new();
    task.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, task)
}

fn reply() -> Value {
    json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": MODEL}, "finish_reason": "stop"}]})
}

async fn speak(Json(request): Json<Value>) -> Vec<u8> {
    let mut samples = Vec::new();
    Resampler::new(16_000, 24_000)
        .unwrap()
        .process(&voice(request["input"].as_str().unwrap()), &mut samples);
    samples.into_iter().flat_map(i16::to_le_bytes).collect()
}

/// The stage, the provider that failed and the one that was asked instead, each where it comes up first.
fn fallbacks(report: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for event in report["events"].as_array().unwrap() {
        let detail = event["detail"].as_str().unwrap_or_default();
        if event["type"] == "provider_fallback" && !found.contains(&detail) {
            found.push(detail);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_no_recogniser_hears_gets_along_by_keys() {
    const MENU: &str = "I can not hear you. For our opening hours press one.";
    let _turn = shared_turn().await;
    let system = System::start(Options {
        // Nobody listens there.
        providers: "{stt: openai, llm: dialogue, tts: flite}",
        profile: format!("max_retry: 0\nkeypad: {{say: {MENU}, keys: {{'1': {QUESTION}}}}}\n"),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice(OTHER_QUESTION)).await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.press("1").await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(
        turns(&record),
        [
            ("agent", GREETING, false),
            ("agent", MENU, false),
            ("caller", QUESTION, false),
            ("agent", ANSWER, false),
        ],
        "{record}"
    );
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_when_the_connections_of_its_providers_are_cut_one_after_the_other() {
    let _turn = shared_turn().await;
    let (address, _service) = service().await;
    let wire = Wire::to(&address).await;
    let system = System::start(Options {
        providers: PROVIDERS,
        openai: wire.local,
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    for (cut, question) in [
        (&[][..], QUESTION),
        (&["/v1/chat"], QUESTION),
        (&["/v1/chat", "/v1/audio/transcriptions"], OTHER_QUESTION),
    ] {
        wire.turn(Weather::Cut(cut));
        call.speak(&voice(question)).await.unwrap();
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    }
    // With the last stage the process is gone.
    drop(wire);
    call.speak(&voice(GOODBYE)).await.unwrap();
    call.wait_ended(SOON * 2).await.unwrap();

    let (folder, record) = system.new_record(&before, SOON).await;
    let said = turns(&record);
    assert_eq!(
        said[..said.len() - 1],
        [
            ("agent", GREETING, false),
            ("caller", QUESTION, false),
            ("agent", MODEL, false),
            ("caller", QUESTION, false),
            ("agent", ANSWER, false),
            ("caller", OTHER_QUESTION, false),
            ("agent", OTHER_ANSWER, false),
            ("caller", GOODBYE, false),
        ],
        "{record}"
    );
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(
        fallbacks(&report),
        [
            "llm openai dialogue",
            "stt openai pocketsphinx",
            "tts openai flite"
        ],
        "{report}"
    );
    let errors = report["events"].as_array().unwrap().iter();
    assert_eq!(
        errors.filter(|event| event["type"] == "error").count(),
        0,
        "{report}"
    );
    assert_eq!(record["outcome"]["kind"], "completed", "{record}");
    system.stop().await;
}
