//! The services that the tests replay are true to the real ones: their vendors' own SDKs understand them.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::{
    listener::Listener,
    stub::{KEY, Replay, Stub},
};

/// What the script tells.
async fn run(script: &str, arguments: &[&str]) -> Value {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = crate_folder.join("../../.cache/sdk/bin/python");
    assert!(python.exists(), "the SDKs are missing: run scripts/setup");
    let child = Command::new(python)
        .arg(crate_folder.join("tests/it/sdk").join(script))
        .args(arguments)
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .env_remove("ALL_PROXY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = timeout(Duration::from_mins(1), child.wait_with_output())
        .await
        .expect("the SDK waits for something that does not come")
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

const TRANSCRIPT: &str = r#"data: {"type":"transcript.text.delta","delta":"When do "}

data: {"type":"transcript.text.delta","delta":"you open?"}

data: {"type":"transcript.text.done","text":"When do you open?"}

data: [DONE]

"#;

const CHAT: &str = r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"One moment."},"finish_reason":null}]}

data: {"id":"c-1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"find_order","arguments":""}}]},"finish_reason":null}]}

data: {"id":"c-1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"number\":\"A1\"}"}}]},"finish_reason":null}]}

data: {"id":"c-1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"id":"c-1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}

data: [DONE]

"#;

#[tokio::test]
async fn openai_s_sdk_completes_transcription_chat_with_tools_and_speech() {
    let stub = Stub::with(vec![
        ("/audio/transcriptions", Replay::events(TRANSCRIPT, 50)),
        ("/chat/completions", Replay::events(CHAT, 50)),
        ("/audio/speech", Replay::new(200, "audio/pcm", vec![1, 0, 2, 0])),
    ])
    .await;
    let base = format!("http://{}/v1", stub.address);
    let understood = run("openai_sdk.py", &[&base, KEY]).await;
    let expected = json!({
        "deltas": ["When do ", "you open?"],
        "transcript": "When do you open?",
        "text": "One moment.",
        "name": "find_order",
        "arguments": "{\"number\":\"A1\"}",
        "finish": "tool_calls",
        "tokens": 14,
        "sound": [1, 0, 2, 0],
    });
    assert_eq!(understood, expected);
    let paths = [
        "/v1/audio/transcriptions",
        "/v1/chat/completions",
        "/v1/audio/speech",
    ];
    assert_eq!(stub.paths(), paths);
}

#[tokio::test]
async fn deepgram_s_sdk_completes_streaming_transcription_and_speech() {
    let listener = Listener::start(Vec::new()).await;
    let replay = Replay::new(200, "audio/l16;rate=24000", vec![1, 0, 2, 0]);
    let speaker = Stub::with(vec![("/v1/speak", replay)]).await;
    let places = (
        format!("ws://{}", listener.address),
        format!("http://{}", speaker.address),
    );
    let understood = run("deepgram_sdk.py", &[&places.0, &places.1, KEY]).await;
    assert_eq!(
        understood["interim"],
        json!([
            ["w1", false, false],
            ["w1 w2", false, false],
            ["w1 w2 w3", false, false],
            ["w1 w2 w3", false, false],
            ["w1 w2 w3", false, false],
            ["w4", false, false]
        ])
    );
    assert_eq!(
        understood["final"],
        json!([["w1 w2 w3", true, false], ["w4", false, true], ["", false, false]])
    );
    let kinds = understood["kinds"].as_array().unwrap();
    assert_eq!(kinds.first().unwrap(), "ListenV1Results");
    assert_eq!(kinds.last().unwrap(), "ListenV1Metadata");
    assert_eq!(understood["sound"], json!([1, 0, 2, 0]));
    let asked = speaker.asked();
    assert_eq!(asked.authorization, format!("Token {KEY}"));
    let told = listener.told.lock().unwrap();
    assert_eq!(told.controls, ["KeepAlive", "Finalize", "CloseStream"]);
    assert_eq!(told.asked[0].1, format!("Token {KEY}"));
}
