//! A recogniser of the OpenAI kind that says what it is told to, and keeps what it heard.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// The profile's `providers:` for it.
pub(crate) const PROVIDERS: &str = "{stt: {name: openai, model: whisper-1}, llm: dialogue, tts: flite}";

#[derive(Clone)]
struct Script {
    says: Arc<Mutex<VecDeque<&'static str>>>,
    heard: Arc<Mutex<Vec<Vec<i16>>>>,
}

pub(crate) struct Recogniser {
    pub(crate) local: SocketAddr,
    script: Script,
    _server: JoinSet<()>,
}

impl Recogniser {
    /// Answers with `says`, one after the other; the last one for ever.
    pub(crate) async fn start(says: &[&'static str]) -> Self {
        let script = Script {
            says: Arc::new(Mutex::new(says.iter().copied().collect())),
            heard: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .with_state(script.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            local,
            script,
            _server: server,
        }
    }

    /// Each utterance, at 16 kHz.
    pub(crate) fn heard(&self) -> Vec<Vec<i16>> {
        self.script.heard.lock().unwrap().clone()
    }
}

async fn transcribe(State(script): State<Script>, body: Bytes) -> Json<Value> {
    let wav = body.windows(4).position(|bytes| bytes == b"RIFF").expect("a WAV");
    // Its own length says where it ends.
    let length = u32::from_le_bytes(body[wav + 4..wav + 8].try_into().unwrap());
    let wav = audio::wav::read(&body[wav..wav + 8 + length as usize]).unwrap();
    assert_eq!(wav.sample_rate_hz, 16_000);
    script.heard.lock().unwrap().push(wav.samples);
    let mut says = script.says.lock().unwrap();
    let text = if says.len() > 1 {
        says.pop_front()
    } else {
        says.front().copied()
    };
    Json(json!({ "text": text.unwrap_or_default() }))
}
