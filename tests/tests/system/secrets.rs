//! A service that says a secret aloud.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use audio::Codec;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    canaries::OPENAI_KEY,
    harness::{Options, System, shared_turn},
    phone::{self, PAUSE, SOON, answered, voice},
};

/// Refuses every request with an error that repeats the key that came with it, as such services do; counts them.
async fn refuse(listener: TcpListener, refused: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(refuse_one(stream, refused.clone()));
    }
}

async fn refuse_one(mut stream: TcpStream, refused: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains(&format!("Bearer {OPENAI_KEY}")), "another key came");
    let error = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {OPENAI_KEY}","type":"invalid_request_error","code":"invalid_api_key"}}}}"#
    );
    let length = error.len();
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{error}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    refused.fetch_add(1, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_the_key_costs_an_apology_and_the_key_stays_out_of_the_log() {
    let _turn = shared_turn().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = listener.local_addr().unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    let mut servers = JoinSet::new();
    servers.spawn(refuse(listener, refused.clone()));
    let system = System::start(Options {
        providers: "{stt: pocketsphinx, llm: openai, tts: flite}",
        openai: service,
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice(phone::QUESTION)).await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();

    let (_, record) = system.new_record(&before, SOON).await;
    let last = record["turns"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (last["speaker"].as_str(), last["text"].as_str()),
        (Some("agent"), Some(phone::FALLBACK))
    );
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    system.stop().await;
}
