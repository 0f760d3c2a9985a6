//! Providers of fixed delay, served over HTTP in the OpenAI-compatible form, and when each was asked and answered.
//!
//! Every transcript holds a number of its own, and the model's answer repeats it: by it the requests of one turn are found
//! together, whoever asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream;
use platform::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// From an utterance to its transcript.
pub(super) const STT: Duration = Duration::from_millis(100);
/// From a request to the model's first token.
pub(super) const LLM: Duration = Duration::from_millis(200);
/// Between two tokens.
pub(super) const TOKEN: Duration = Duration::from_millis(20);
/// From a sentence to its first sound.
pub(super) const TTS: Duration = Duration::from_millis(100);

/// The first sentence is over, for certain, with the first word of the second.
const FIRST_SENTENCE: [&str; 4] = ["Thank", "you,", "number", "{}."];
const SECOND_SENTENCE: &str = "We are open from Monday to Friday, until six in the evening.";
/// The pace of the voice.
const CHARACTER: Duration = Duration::from_millis(55);
/// What the form calls `pcm`.
const VOICE_HZ: u32 = 24_000;
/// Of the voice: the tones of one period, at some 150 Hz.
const PERIOD: usize = 160;
/// What a request may hold: five minutes of sound.
const MAX_BODY: usize = 16 << 20;

/// When the requests of one turn came and were answered, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) stt_asked: i64,
    pub(super) stt_answered: i64,
    pub(super) llm_asked: Option<i64>,
    /// When the token was sent by which the first sentence is over.
    pub(super) llm_sentence: Option<i64>,
    pub(super) tts_asked: Option<i64>,
    pub(super) tts_first: Option<i64>,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<BTreeMap<u32, Served>>>);

impl Log {
    fn turns(&self) -> MutexGuard<'_, BTreeMap<u32, Served>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, number: Option<u32>, note: impl FnOnce(&mut Served)) {
        let mut turns = self.turns();
        if let Some(served) = number.and_then(|number| turns.get_mut(&number)) {
            note(served);
        }
    }
}

/// The running service. Dropping it ends it.
pub(super) struct Stubs {
    pub(super) address: SocketAddr,
    log: Log,
    _server: JoinSet<std::io::Result<()>>,
}

impl Stubs {
    pub(super) async fn start(listen: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let log = Log::default();
        let app = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/audio/speech", post(speech))
            .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
            .with_state(log.clone());
        let mut server = JoinSet::new();
        server.spawn(axum::serve(listener, app).into_future());
        Ok(Self {
            address,
            log,
            _server: server,
        })
    }

    /// The base URL of the form.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What was served, by the numbers of the turns.
    pub(super) fn served(&self) -> BTreeMap<u32, Served> {
        self.log.turns().clone()
    }
}

/// The number that stands last in `text`.
pub(super) fn number_in(text: &str) -> Option<u32> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    parts.rfind(|part| !part.is_empty())?.parse().ok()
}

fn now_ms() -> i64 {
    SystemClock.now_ms()
}

async fn transcribe(State(log): State<Log>, _sound: Bytes) -> Json<Value> {
    let asked = now_ms();
    sleep(STT).await;
    let mut turns = log.turns();
    // Three digits, so that the first sentence is always as long.
    let number = turns.keys().next_back().map_or(100, |last| last + 1);
    let served = Served {
        stt_asked: asked,
        stt_answered: now_ms(),
        ..Served::default()
    };
    turns.insert(number, served);
    Json(json!({ "text": format!("This is my question, number {number}.") }))
}

async fn chat(State(log): State<Log>, Json(request): Json<Value>) -> Response {
    let (begun, asked) = (Instant::now(), now_ms());
    let number = asked_number(&request);
    log.note(number, |served| {
        served.llm_asked = Some(asked);
        served.llm_sentence = None;
    });
    let shown = number.map_or_else(|| "one hundred".to_owned(), |number| number.to_string());
    let words = FIRST_SENTENCE.map(|word| word.replace("{}", &shown));
    let mut words: Vec<String> = words
        .into_iter()
        .chain(SECOND_SENTENCE.split(' ').map(str::to_owned))
        .collect();
    for word in words.iter_mut().skip(1) {
        word.insert(0, ' ');
    }
    if request.get("stream").and_then(Value::as_bool) != Some(true) {
        sleep(LLM + TOKEN * u32::try_from(words.len()).unwrap_or(0)).await;
        let message = json!({"role": "assistant", "content": words.concat()});
        return Json(json!({"object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
        .into_response();
    }
    let mut events: Vec<String> = words
        .iter()
        .map(|word| delta(&json!({ "content": word }), None))
        .collect();
    events.push(delta(&json!({}), Some("stop")) + "data: [DONE]\n\n");
    let tokens = stream::unfold((0_u32, events.into_iter()), move |(sent, mut events)| {
        let log = log.clone();
        async move {
            let event = events.next()?;
            sleep_until(begun + LLM + TOKEN * sent).await;
            if usize::try_from(sent) == Ok(FIRST_SENTENCE.len()) {
                log.note(number, |served| served.llm_sentence = Some(now_ms()));
            }
            Some((Ok::<_, std::io::Error>(Bytes::from(event)), (sent + 1, events)))
        }
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(tokens)).into_response()
}

fn delta(delta: &Value, finish: Option<&str>) -> String {
    let event = json!({"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 0, "model": "stub",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {event}\n\n")
}

/// The number in what the caller has said last.
fn asked_number(request: &Value) -> Option<u32> {
    let messages = request.get("messages")?.as_array()?;
    let role = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
    let content = messages.iter().rfind(role)?.get("content")?;
    // Text, or a list of parts.
    number_in(&content.to_string())
}

async fn speech(State(log): State<Log>, Json(request): Json<Value>) -> Response {
    let asked = now_ms();
    let text = request.get("input").and_then(Value::as_str).unwrap_or_default();
    let number = number_in(text);
    log.note(number, |served| {
        served.tts_asked = Some(asked);
    });
    let sound = voice(text);
    sleep(TTS).await;
    log.note(number, |served| served.tts_first = Some(now_ms()));
    ([(CONTENT_TYPE, "audio/pcm")], sound).into_response()
}

/// An even tone with three harmonics, as long as the text takes to be said: whoever listens hears its first and last sample.
fn voice(text: &str) -> Vec<u8> {
    let characters = u32::try_from(text.chars().count()).unwrap_or(0).max(4);
    let samples = CHARACTER.as_millis() * u128::from(characters) * u128::from(VOICE_HZ) / 1_000;
    let period: Vec<u8> = (0..PERIOD).flat_map(|at| tone(at).to_le_bytes()).collect();
    let bytes = usize::try_from(samples).unwrap_or(0) * 2;
    period.iter().copied().cycle().take(bytes).collect()
}

fn tone(at: usize) -> i16 {
    let turn = f32::from(u16::try_from(at).unwrap_or(0)) / f32::from(u16::try_from(PERIOD).unwrap_or(1))
        * std::f32::consts::TAU;
    let sum = turn.sin() + 0.6 * (3.0 * turn).sin() + 0.4 * (5.0 * turn).sin();
    #[allow(clippy::cast_possible_truncation, reason = "at most 8,000")]
    let sample = (sum * 4_000.0) as i16;
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(stubs: &Stubs, path: &str, body: &Value) -> reqwest::Response {
        platform::install_providers();
        let url = format!("{}{path}", stubs.base_url());
        let asked = reqwest::Client::new().post(url).json(body).send().await.unwrap();
        assert_eq!(asked.status(), 200);
        asked
    }

    #[tokio::test]
    async fn a_turn_is_followed_by_its_number_from_the_transcript_to_the_first_sound() {
        let stubs = Stubs::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let heard: Value = ask(&stubs, "/audio/transcriptions", &json!({}))
            .await
            .json()
            .await
            .unwrap();
        let said = heard["text"].as_str().unwrap();
        assert_eq!(number_in(said), Some(100));
        let messages = json!([{"role": "user", "content": "7"}, {"role": "assistant", "content": "8"},
            {"role": "user", "content": said}]);
        let request = json!({"stream": true, "messages": messages});
        let answer = ask(&stubs, "/chat/completions", &request)
            .await
            .text()
            .await
            .unwrap();
        let words = answer.lines().filter_map(|line| line.strip_prefix("data: {"));
        let words: String = words
            .filter_map(|event| {
                let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
                Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())
            })
            .collect();
        assert_eq!(words, format!("Thank you, number 100. {SECOND_SENTENCE}"));
        assert!(answer.ends_with("data: [DONE]\n\n"));
        let sentence = "Thank you, number 100.";
        let sound = ask(&stubs, "/audio/speech", &json!({"input": sentence})).await;
        // 22 characters of 55 ms at 24 kHz.
        assert_eq!(sound.bytes().await.unwrap().len(), 22 * 55 * 24 * 2);

        let served = stubs.served()[&100];
        let took = |from: Option<i64>, to: Option<i64>| to.unwrap() - from.unwrap();
        assert!(took(Some(served.stt_asked), Some(served.stt_answered)) >= 99);
        // The fifth token, with which the first sentence is over.
        assert!(took(served.llm_asked, served.llm_sentence) >= 279);
        assert!(took(served.tts_asked, served.tts_first) >= 99);
    }

    #[test]
    fn the_last_number_counts_and_no_text_needs_one() {
        assert_eq!(number_in("the 3rd is 104."), Some(104));
        assert_eq!(number_in("none"), None);
    }
}
