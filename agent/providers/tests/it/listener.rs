//! Deepgram's `/v1/listen` on loopback, which understands a language of its own: a tenth of a second whose samples are all `n`
//! is the word `w<n>`, and zeros are silence. It answers as the service does: with interim results, with final ones of at most a
//! second, and after the silence of `endpointing` with the end of the utterance.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::{Response as HttpResponse, StatusCode},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// A word.
pub(crate) const WORD: usize = 1_600;
const SECOND: usize = 16_000;

/// What a connection does besides listening.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    None,
    /// It answers the handshake with that status.
    Refuse(u16),
    /// After so many samples the connection is gone, without a word.
    Cut(usize),
    /// After so many samples nothing more is heard or told.
    Silence(usize),
    /// After so many samples it is closed by the server with that code.
    Close(usize, u16),
    /// It is gone as soon as it is told that nothing more comes.
    CutAtTheEnd,
}

/// What the server was told.
#[derive(Default)]
pub(crate) struct Told {
    /// Of each connection: the query and the key.
    pub(crate) asked: Vec<(String, String)>,
    /// Of each connection: samples.
    pub(crate) samples: Vec<usize>,
    /// Control messages of all connections.
    pub(crate) controls: Vec<String>,
    /// Notified of each `KeepAlive`.
    pub(crate) kept_alive: Arc<Notify>,
}

/// Runs until it is dropped.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) told: Arc<Mutex<Told>>,
    _server: JoinSet<()>,
}

impl Listener {
    /// The connections do `mischief` one after the other, and those after the last one do none.
    pub(crate) async fn start(mischief: Vec<Mischief>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Told>> = Arc::default();
        let shared = told.clone();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut mischief = mischief.into_iter();
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let does = mischief.next().unwrap_or(Mischief::None);
                connections.spawn(serve(stream, does, shared.clone()));
            }
        });
        Self {
            address,
            told,
            _server: server,
        }
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is the crate's")]
async fn serve(stream: TcpStream, does: Mischief, told: Arc<Mutex<Told>>) {
    let mut number = 0;
    let shaken = accept_hdr_async(stream, |request: &Request, response: Response| {
        if let Mischief::Refuse(status) = does {
            let body = r#"{"err_code":"INVALID_AUTH","err_msg":"canary","request_id":"r-1"}"#;
            let mut refusal = HttpResponse::new(Some(body.to_owned()));
            *refusal.status_mut() = StatusCode::from_u16(status).unwrap();
            return Err(refusal);
        }
        let query = request.uri().to_string();
        let key = request.headers().get("authorization");
        let key = key.and_then(|key| key.to_str().ok()).unwrap_or_default();
        let mut told = told.lock().unwrap();
        number = told.samples.len();
        told.asked.push((query, key.to_owned()));
        told.samples.push(0);
        Ok(response)
    })
    .await;
    let Ok(socket) = shaken else { return };
    Connection {
        socket,
        does,
        told,
        number,
        samples: Vec::new(),
        settled: 0,
        told_until: 0,
    }
    .run()
    .await;
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    does: Mischief,
    told: Arc<Mutex<Told>>,
    number: usize,
    samples: Vec<i16>,
    /// Up to where the words are final.
    settled: usize,
    /// Up to where interim results were told.
    told_until: usize,
}

impl Connection {
    async fn run(mut self) {
        while let Some(Ok(message)) = self.socket.next().await {
            match message {
                Message::Binary(bytes) => {
                    let (samples, _) = bytes.as_chunks::<2>();
                    self.samples
                        .extend(samples.iter().map(|&sample| i16::from_le_bytes(sample)));
                    self.told.lock().unwrap().samples[self.number] = self.samples.len();
                    let after = match self.does {
                        Mischief::Cut(after) | Mischief::Silence(after) | Mischief::Close(after, _) => after,
                        _ => usize::MAX,
                    };
                    if self.samples.len() >= after {
                        return self.misbehave().await;
                    }
                    self.hear().await;
                }
                Message::Text(text) => {
                    let control: Value = serde_json::from_str(&text).unwrap();
                    let control = control["type"].as_str().unwrap().to_owned();
                    self.told.lock().unwrap().controls.push(control.clone());
                    match control.as_str() {
                        _ if self.does == Mischief::CutAtTheEnd => return,
                        "Finalize" => self.results(self.samples.len(), true, false, true).await,
                        "KeepAlive" => self.told.lock().unwrap().kept_alive.notify_one(),
                        "CloseStream" => return self.end().await,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    async fn misbehave(mut self) {
        match self.does {
            Mischief::Silence(_) => std::future::pending().await,
            Mischief::Close(_, code) => {
                let frame = CloseFrame {
                    code: CloseCode::from(code),
                    reason: "NET-0001".into(),
                };
                let _ = self.socket.close(Some(frame)).await;
            }
            _ => {}
        }
    }

    async fn hear(&mut self) {
        let heard = self.samples.len();
        while heard - self.settled >= SECOND {
            self.results(self.settled + SECOND, true, false, false).await;
        }
        // 0.3 s of silence behind something.
        let silence = self
            .samples
            .iter()
            .rev()
            .take_while(|sample| **sample == 0)
            .count();
        if silence >= 3 * WORD && heard > self.settled && silence < heard - self.settled {
            self.results(heard, true, true, false).await;
        } else if heard / WORD > self.told_until / WORD {
            self.results(heard, false, false, false).await;
        }
        self.told_until = heard;
    }

    async fn results(&mut self, until: usize, is_final: bool, speech_final: bool, from_finalize: bool) {
        let piece = &self.samples[self.settled..until];
        let mut words = Vec::new();
        let mut at = 0;
        while at < piece.len() {
            let run = piece[at..]
                .iter()
                .take_while(|sample| **sample == piece[at])
                .count();
            // Of a word that was cut nobody can tell what it is.
            let word = if run % WORD == 0 { "w" } else { "?" };
            if piece[at] != 0 && (is_final || run >= WORD) {
                words.push(format!("{word}{}", piece[at]));
            }
            at += run;
        }
        let said: Vec<_> = words
            .iter()
            .map(|word| json!({"word": word, "start": 0.0, "end": 0.1, "confidence": 0.9}))
            .collect();
        let message = json!({
            "type": "Results",
            "channel_index": [0, 1],
            "start": self.settled as f64 / SECOND as f64,
            "duration": piece.len() as f64 / SECOND as f64,
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": words.join(" "), "confidence": 0.9, "words": said}]},
            "metadata": {
                "request_id": "r-1",
                "model_info": {"name": "2-general-nova", "version": "2025-07-31.0", "arch": "nova-3"},
                "model_uuid": "m-1",
            },
        });
        if is_final {
            self.settled = until;
        }
        self.tell(&message).await;
    }

    async fn end(mut self) {
        self.results(self.samples.len(), true, false, false).await;
        let message = json!({
            "type": "Metadata", "transaction_key": "deprecated", "request_id": "r-1", "sha256": "0",
            "created": "2026-01-01T00:00:00.000Z", "duration": self.samples.len() as f64 / SECOND as f64, "channels": 1,
        });
        self.tell(&message).await;
        let _ = self.socket.close(None).await;
    }

    async fn tell(&mut self, message: &Value) {
        // Whoever is gone needs no answer.
        let _ = self.socket.send(Message::text(message.to_string())).await;
    }
}
