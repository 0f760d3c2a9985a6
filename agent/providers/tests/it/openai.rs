//! The three OpenAI-compatible adapters.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use providers::{
    ChatRequest, Llm, LlmEvent, Message, ProviderError, SpeechRequest, Stt, Tts,
    openai::{Client, OpenAiLlm, OpenAiStt, OpenAiTts, Timeouts},
    tools::{END_CALL, ToolCall, ToolResult, ToolSpec},
};

use tokio::sync::Notify;

use crate::stub::{Ending, KEY, Replay, Stub, install_tls};

/// As OpenAI's own service streams it.
const REFERENCE: &str = r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"We open "},"finish_reason":null}]}

data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"at nine."},"finish_reason":null}]}

data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c-1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}

data: [DONE]

"#;

fn request() -> ChatRequest {
    ChatRequest {
        system: "canary-prompt".to_owned(),
        messages: vec![
            Message::Assistant("Hello.".to_owned()),
            Message::User("canary-words".to_owned()),
        ],
        tools: vec![end_call()],
        language: "en".to_owned(),
    }
}

fn end_call() -> ToolSpec {
    ToolSpec {
        name: END_CALL.to_owned(),
        description: "Ends the call.".to_owned(),
        parameters: serde_json::json!({"type": "object", "properties": {}}),
    }
}

async fn chat(replay: Replay) -> Result<(String, bool), ProviderError> {
    let stub = Stub::start(replay).await;
    chat_with(OpenAiLlm::new(stub.client(), "m")).await
}

/// The text, and whether the model hung up.
async fn chat_with(llm: OpenAiLlm) -> Result<(String, bool), ProviderError> {
    let events: Vec<LlmEvent> = llm.chat(request()).try_collect().await?;
    let mut said = (String::new(), false);
    for event in events {
        match event {
            LlmEvent::Text(text) => {
                assert!(!said.1, "the call comes last");
                said.0.push_str(&text);
            }
            LlmEvent::Call(call) if call.name == END_CALL => {
                assert!(!said.1, "the call comes once");
                said.1 = true;
            }
            // The conversation answers that there is no such tool.
            LlmEvent::Call(_) | LlmEvent::Usage { .. } => {}
        }
    }
    Ok(said)
}

#[tokio::test]
async fn the_tokens_are_told_once_at_the_end_whether_they_come_alone_or_with_every_event() {
    let so_far = "data: {\"choices\":[{\"delta\":{\"content\":\"At \"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n\
                  data: {\"choices\":[{\"delta\":{\"content\":\"nine.\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n\
                  data: [DONE]\n\n";
    for (events, cached) in [(REFERENCE, 0), (so_far, 4)] {
        let stub = Stub::start(Replay::events(events, 100)).await;
        let llm = OpenAiLlm::new(stub.client(), "m");
        let events: Vec<LlmEvent> = llm.chat(request()).try_collect().await.unwrap();
        let usage = LlmEvent::Usage {
            prompt: 9,
            cached,
            completion: 5,
        };
        assert_eq!(events.last(), Some(&usage));
        assert_eq!(events.iter().filter(|event| **event == usage).count(), 1);
    }
}

#[tokio::test]
async fn a_reply_is_streamed_however_the_network_cuts_it() {
    for piece_bytes in [1, 7, 100, 10_000] {
        let (text, ends) = chat(Replay::events(REFERENCE, piece_bytes)).await.unwrap();
        assert_eq!((text.as_str(), ends), ("We open at nine.", false));
    }
}

#[tokio::test]
async fn the_request_is_the_reference_s() {
    let stub = Stub::start(Replay::events(REFERENCE, 100)).await;
    chat_with(OpenAiLlm::new(stub.client(), "some-model"))
        .await
        .unwrap();
    let asked = stub.asked();
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.authorization, format!("Bearer {KEY}"));
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body["model"], "some-model");
    assert_eq!(body["stream"], true);
    let messages = serde_json::json!([
        {"role": "system", "content": "canary-prompt"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "canary-words"},
    ]);
    assert_eq!(body["messages"], messages);
    assert_eq!(body["tools"][0]["function"]["name"], "end_call");
}

#[tokio::test]
async fn calls_and_results_go_back_as_the_reference_has_them() {
    let stub = Stub::start(Replay::events(REFERENCE, 100)).await;
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "find".to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = |id: &str| ToolResult {
        id: id.to_owned(),
        content: "on its way".to_owned(),
        is_error: false,
    };
    let mut request = request();
    request.messages.extend([
        Message::Assistant("Let me see.".to_owned()),
        Message::Calls(vec![call("1", r#"{"number":"A1"}"#), call("2", "")]),
        Message::Result(result("1")),
        Message::Result(result("2")),
        Message::Calls(vec![call("3", "{}")]),
        Message::Result(result("3")),
    ]);
    request.tools.clear();
    let llm = OpenAiLlm::new(stub.client(), "m");
    let _: Vec<LlmEvent> = llm.chat(request).try_collect().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&stub.asked().body).unwrap();
    let made = |id: &str, arguments: &str| serde_json::json!({"id": id, "type": "function", "function": {"name": "find", "arguments": arguments}});
    assert_eq!(body.get("tools"), None);
    assert_eq!(
        body["messages"].as_array().unwrap()[3..],
        [
            serde_json::json!({
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [made("1", r#"{"number":"A1"}"#), made("2", "{}")],
            }),
            serde_json::json!({"role": "tool", "content": "on its way", "tool_call_id": "1"}),
            serde_json::json!({"role": "tool", "content": "on its way", "tool_call_id": "2"}),
            serde_json::json!({"role": "assistant", "content": null, "tool_calls": [made("3", "{}")]}),
            serde_json::json!({"role": "tool", "content": "on its way", "tool_call_id": "3"}),
        ]
    );
}

#[tokio::test]
async fn parallel_calls_come_out_whole_however_they_come_in() {
    let delta =
        |calls: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\n");
    let by_index = [
        delta(r#"{"index":0,"id":"x","function":{"name":"a","arguments":""}}"#),
        delta(r#"{"index":1,"id":"y","function":{"name":"b","arguments":"{\"k\""}}"#),
        delta(r#"{"index":0,"function":{"arguments":"{}"}}"#),
        delta(r#"{"index":1,"function":{"arguments":":1}"}}"#),
    ];
    let by_id = [
        delta(r#"{"index":0,"id":"x","function":{"name":"a","arguments":"{}"}}"#),
        delta(r#"{"index":0,"id":"y","function":{"name":"b","arguments":"{\"k\":1}"}}"#),
    ];
    let whole = [delta(
        r#"{"id":"x","function":{"name":"a","arguments":{}}},{"id":"y","function":{"name":"b","arguments":{"k":1}}}"#,
    )];
    for stream in [by_index.concat(), by_id.concat(), whole.concat()] {
        let stub = Stub::start(Replay::events(&stream, 7)).await;
        let llm = OpenAiLlm::new(stub.client(), "m");
        let events: Vec<LlmEvent> = llm.chat(request()).try_collect().await.unwrap();
        let calls: Vec<_> = events
            .iter()
            .map(|event| match event {
                LlmEvent::Call(call) => (call.id.as_str(), call.name.as_str(), call.arguments.as_str()),
                LlmEvent::Text(_) | LlmEvent::Usage { .. } => {
                    panic!("nothing was said, and no tokens were told")
                }
            })
            .collect();
        assert_eq!(calls, [("x", "a", "{}"), ("y", "b", r#"{"k":1}"#)], "{stream}");
    }
    let nameless = [
        delta(r#"{"function":{"name":"a","arguments":"{}"}}"#),
        delta(r#"{"function":{"name":"b","arguments":"{}"}}"#),
    ];
    let stub = Stub::start(Replay::events(&nameless.concat(), 100)).await;
    let llm = OpenAiLlm::new(stub.client(), "m");
    let events: Vec<LlmEvent> = llm.chat(request()).try_collect().await.unwrap();
    assert_eq!(
        format!("{events:?}"),
        "[ToolCall(a, 2 bytes), ToolCall(b, 2 bytes)]"
    );
}

/// Name, stream, text, whether the call ends.
const DEVIATIONS: [(&str, &str, &str, bool); 14] = [
    (
        "no [DONE], no blank lines, no space, CR LF",
        "data:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\r\n",
        "ab",
        false,
    ),
    (
        "comments, pings and named events",
        ": OPENROUTER PROCESSING\n\nevent: ping\ndata: ping\n\nevent: completion\nid: 1\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n: x\n\ndata: [DONE]\n\n",
        "a",
        false,
    ),
    (
        "the last event is cut off by the end",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
        "a",
        false,
    ),
    (
        "null in every place, and no delta at the end",
        "data: {\"choices\":null,\"error\":null}\n\ndata: {\"choices\":[{\"delta\":null}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":null,\"tool_calls\":null,\"function_call\":null}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n",
        "a",
        false,
    ),
    (
        "types of another world",
        "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},\"b\"],\"tool_calls\":\"none\"},\"index\":\"0\"}],\"usage\":\"free\"}\n\ndata: [DONE]\n\n",
        "ab",
        false,
    ),
    (
        "an empty finish_reason in every event",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"\"}]}\n\ndata: [DONE]\n\n",
        "ab",
        false,
    ),
    (
        "a tool call as in the reference",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Bye.\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"end_call\",\"arguments\":\"\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
        "Bye.",
        true,
    ),
    (
        "a tool call without index, repeated, before the text",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"end_call\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"end_call\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Bye.\"}}]}\n\n",
        "Bye.",
        true,
    ),
    (
        "a name in pieces",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"name\":\"end\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"name\":\"_call\"}}]}}]}\n\ndata: [DONE]\n\n",
        "",
        true,
    ),
    (
        "the older function_call",
        "data: {\"choices\":[{\"delta\":{\"function_call\":{\"name\":\"end_call\",\"arguments\":\"{}\"}}}]}\n\ndata: [DONE]\n\n",
        "",
        true,
    ),
    (
        "a function that was not offered",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"rm\"}}]}}]}\n\ndata: [DONE]\n\n",
        "a",
        false,
    ),
    (
        "thoughts within the content",
        "data: {\"choices\":[{\"delta\":{\"content\":\"<think>\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"hm</think>a\",\"reasoning_content\":\"hm\"}}]}\n\ndata: [DONE]\n\n",
        "a",
        false,
    ),
    (
        "a refusal",
        "data: {\"choices\":[{\"delta\":{\"refusal\":\"I cannot.\"}}]}\n\ndata: [DONE]\n\n",
        "I cannot.",
        false,
    ),
    (
        "a byte order mark",
        "\u{feff}data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        "a",
        false,
    ),
];

#[tokio::test]
async fn deviations_are_understood() {
    for (name, stream, text, ends) in DEVIATIONS {
        for piece_bytes in [3, 10_000] {
            let said = chat(Replay::events(stream, piece_bytes)).await;
            assert_eq!(
                said.unwrap_or_else(|error| panic!("{name}: {error}")),
                (text.to_owned(), ends),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_reply_that_is_not_streamed_is_understood() {
    let body = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Bye.","tool_calls":[{"id":"1","type":"function","function":{"name":"end_call","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let said = chat(Replay::new(200, "application/json; charset=utf-8", body))
        .await
        .unwrap();
    assert_eq!(said, ("Bye.".to_owned(), true));
}

#[tokio::test]
async fn a_server_that_never_ends_its_stream_is_not_waited_for() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let said = chat(Replay::events(stream, 100).ending(Ending::Hang))
        .await
        .unwrap();
    assert_eq!(said, ("a".to_owned(), false));
}

#[tokio::test]
async fn half_a_reply_is_a_failure_after_its_words() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let moment = Arc::new(Notify::new());
    let ending = Ending::BreakOn(Arc::clone(&moment));
    let stub = Stub::start(Replay::events(stream, 100).ending(ending)).await;
    let mut events = OpenAiLlm::new(stub.client(), "m").chat(request());
    assert_eq!(
        events.next().await.unwrap().unwrap(),
        LlmEvent::Text("a".to_owned())
    );
    moment.notify_one();
    assert!(events.next().await.unwrap().unwrap_err().is_retryable());
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn errors_within_the_stream_are_failures() {
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (error, again) in [
        (
            r#"{"error":{"message":"canary-words","type":"server_error","code":null}}"#,
            true,
        ),
        (
            r#"{"error":{"message":"canary-words","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            false,
        ),
        (r#"{"error":{"message":"canary-words","code":429}}"#, true),
        (r#"{"error":"canary-words"}"#, true),
        (
            r#"{"object":"error","message":"canary-words","type":"BadRequestError","code":400}"#,
            false,
        ),
    ] {
        let failure = chat(Replay::events(&format!("{first}data: {error}\n\n"), 50))
            .await
            .unwrap_err();
        assert_eq!(failure.is_retryable(), again, "{error}");
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn what_is_no_reply_is_a_protocol_error() {
    let endless = format!("data: {}\n\n", "x".repeat(2 << 20));
    for stream in [
        "",
        "data: [DONE]\n\n",
        "data: {broken\n\n",
        "<html>Sign in</html>",
        &endless,
    ] {
        let failure = chat(Replay::events(stream, 65_536)).await.unwrap_err();
        assert!(matches!(failure, ProviderError::Protocol { .. }), "{failure}");
    }
}

#[tokio::test]
async fn a_status_decides_whether_to_ask_again() {
    let body =
        r#"{"error":{"message":"Incorrect API key provided: sk-canary-7c1e","code":"invalid_api_key"}}"#;
    for (status, again) in [
        (401, false),
        (404, false),
        (302, false),
        (429, true),
        (500, true),
        (503, true),
    ] {
        let failure = chat(Replay::new(status, "application/json", body))
            .await
            .unwrap_err();
        assert_eq!(failure.is_retryable(), again, "{status}");
        assert!(!format!("{failure} {failure:?}").contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn waiting_has_a_limit() {
    install_tls();
    let stub = Stub::start(Replay::events(": hello\n\n", 100).ending(Ending::Hang)).await;
    let mut config = stub.config();
    config.timeouts = Timeouts {
        first_byte: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let llm = OpenAiLlm::new(Client::new(&config).unwrap(), "m");
    assert!(matches!(
        chat_with(llm).await.unwrap_err(),
        ProviderError::Timeout { .. }
    ));
}

#[tokio::test]
async fn a_service_that_is_not_there_may_come_back() {
    let stub = Stub::start(Replay::events("", 1)).await;
    let client = stub.client();
    drop(stub);
    let failure = chat_with(OpenAiLlm::new(client, "m")).await.unwrap_err();
    assert!(matches!(failure, ProviderError::Unavailable { .. }), "{failure}");
    assert!(failure.to_string().contains("cannot connect"), "{failure}");
}

#[test]
fn nothing_printed_shows_a_key_or_a_word() {
    install_tls();
    let config = providers::openai::OpenAiConfig::new(KEY.to_owned(), "https://api.openai.com/v1");
    let client = Client::new(&config).unwrap();
    let llm = OpenAiLlm::new(client.clone(), "m");
    let speech = SpeechRequest {
        text: "canary-text".to_owned(),
        voice: String::new(),
        language: String::new(),
    };
    let text = LlmEvent::Text("canary-text".to_owned());
    let printed = format!(
        "{config:?} {client:?} {llm:?} {:?} {speech:?} {text:?}",
        request()
    );
    assert!(!printed.contains("canary"), "{printed}");
}

#[tokio::test]
async fn an_utterance_is_sent_as_a_wav_file() {
    let stub = Stub::start(Replay::new(
        200,
        "application/json",
        r#"{"text":" Hello there. ","usage":{}}"#,
    ))
    .await;
    let speech: Vec<i16> = (0..16_000).collect();
    let heard = OpenAiStt::new(stub.client(), "some-model")
        .transcribe(&speech, "en-US")
        .await
        .unwrap();
    assert_eq!(heard.text, "Hello there.");
    let asked = stub.asked();
    assert_eq!(asked.path, "/v1/audio/transcriptions");
    assert!(asked.media_type.starts_with("multipart/form-data; boundary="));
    let form = String::from_utf8_lossy(&asked.body);
    for (name, value) in [
        ("model", "some-model"),
        ("language", "en"),
        ("response_format", "json"),
    ] {
        assert!(
            form.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")),
            "{name}"
        );
    }
    assert!(form.contains("name=\"file\"; filename=\"utterance.wav\"\r\nContent-Type: audio/wav\r\n"));
    let start = asked
        .body
        .windows(4)
        .position(|window| window == b"RIFF")
        .unwrap();
    let wav = audio::wav::read(&asked.body[start..start + 44 + 32_000]).unwrap();
    assert_eq!((wav.sample_rate_hz, wav.samples), (16_000, speech));
}

#[tokio::test]
async fn transcripts_of_other_servers_are_understood() {
    let heard = async |media_type, body: &str| {
        let stub = Stub::start(Replay::new(200, media_type, body)).await;
        let stt = OpenAiStt::new(stub.client(), "m");
        stt.transcribe(&vec![0; 16_000], "ru")
            .await
            .map(|transcript| transcript.text)
    };
    assert_eq!(
        heard("text/plain; charset=utf-8", "Привет\n").await.unwrap(),
        "Привет"
    );
    assert_eq!(heard("text/plain", r#"{"text":"Hello"}"#).await.unwrap(), "Hello");
    assert!(matches!(
        heard("text/html", "<html>").await,
        Err(ProviderError::Protocol { .. })
    ));
}

#[tokio::test]
async fn a_click_is_not_sent() {
    let stub = Stub::start(Replay::new(500, "text/plain", "")).await;
    let heard = OpenAiStt::new(stub.client(), "m")
        .transcribe(&[9; 800], "en")
        .await
        .unwrap();
    assert_eq!(heard.text, "");
}

async fn speak(replay: Replay) -> Result<Vec<i16>, ProviderError> {
    let stub = Stub::start(replay).await;
    let request = SpeechRequest {
        text: "Hi.".to_owned(),
        voice: String::new(),
        language: "en".to_owned(),
    };
    OpenAiTts::new(stub.client(), "m", "v")
        .synthesize(request)
        .try_concat()
        .await
}

fn sound(media_type: &'static str, bytes: &[u8], piece_bytes: usize) -> Replay {
    let pieces = bytes.chunks(piece_bytes).map(<[u8]>::to_vec).collect();
    Replay {
        status: 200,
        media_type,
        pieces,
        ending: Ending::Proper,
    }
}

#[tokio::test]
async fn speech_is_streamed_however_the_network_cuts_it() {
    let samples: Vec<i16> = (0..3_000).map(|n| n * 10).collect();
    let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut wav = Vec::new();
    audio::wav::write(&mut wav, &samples, 24_000).unwrap();
    for piece_bytes in [1, 3, 45, 4_096] {
        assert_eq!(
            speak(sound("audio/pcm", &pcm, piece_bytes)).await.unwrap(),
            samples
        );
        assert_eq!(
            speak(sound("audio/wav", &wav, piece_bytes)).await.unwrap(),
            samples
        );
    }
}

#[tokio::test]
async fn the_speech_request_is_the_reference_s() {
    let stub = Stub::start(sound("audio/pcm", &[1; 8], 8)).await;
    let tts = OpenAiTts::new(stub.client(), "some-model", "alloy");
    let request = SpeechRequest {
        text: "Hi.".to_owned(),
        voice: "nova".to_owned(),
        language: "en".to_owned(),
    };
    let _: Vec<i16> = tts.synthesize(request).try_concat().await.unwrap();
    let asked = stub.asked();
    assert_eq!(asked.path, "/v1/audio/speech");
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    let expected =
        serde_json::json!({"model": "some-model", "input": "Hi.", "voice": "nova", "response_format": "pcm"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_is_no_speech_is_a_protocol_error() {
    let mut other_rate = Vec::new();
    audio::wav::write(&mut other_rate, &[0; 100], 22_050).unwrap();
    for replay in [
        sound("application/json", b"{\"error\":{}}", 100),
        sound("audio/mpeg", b"ID3\x04.......", 100),
        sound("audio/mpeg", b"\xff\xfb......", 100),
        sound("audio/wav", &other_rate, 100),
        sound("audio/pcm", b"", 1),
        sound(
            "audio/wav",
            &[b"RIFF....WAVEfmt ".as_slice(), &[0; 8_000]].concat(),
            1_000,
        ),
    ] {
        let media_type = replay.media_type;
        let failure = speak(replay).await.unwrap_err();
        assert!(
            matches!(failure, ProviderError::Protocol { .. }),
            "{media_type}: {failure}"
        );
    }
}
