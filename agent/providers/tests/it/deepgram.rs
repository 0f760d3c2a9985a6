//! The two Deepgram adapters.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use providers::{
    ProviderError, SpeechRequest, StreamingStt, Stt, SttEvent, Tts,
    deepgram::{Client, DeepgramConfig, DeepgramStt, DeepgramTts, Patience},
};
use tokio::sync::mpsc;

use crate::{
    listener::{Listener, Mischief, WORD},
    stub::{Ending, KEY, Replay, Stub, install_tls},
};

fn client(address: std::net::SocketAddr) -> Client {
    install_tls();
    let config = DeepgramConfig {
        // A peer that is silent for that long is dead; one that lives answers on loopback at once.
        patience: Patience {
            speaking: Duration::from_secs(2),
            ending: Duration::from_secs(2),
        },
        ..DeepgramConfig::new(KEY.to_owned(), format!("http://{address}/"))
    };
    Client::new(&config).unwrap()
}

fn word(number: usize) -> Vec<i16> {
    vec![i16::try_from(number).unwrap(); WORD]
}

/// Words that are there at once, in frames of 20 ms.
fn spoken(words: std::ops::RangeInclusive<usize>) -> BoxStream<'static, Vec<i16>> {
    let samples: Vec<i16> = words.flat_map(word).collect();
    let frames: Vec<_> = samples.chunks(320).map(<[i16]>::to_vec).collect();
    stream::iter(frames).boxed()
}

fn text(words: std::ops::RangeInclusive<usize>) -> String {
    let words: Vec<_> = words.map(|number| format!("w{number}")).collect();
    words.join(" ")
}

async fn transcript(
    listener: &Listener,
    speech: BoxStream<'static, Vec<i16>>,
) -> Result<String, ProviderError> {
    let stt = DeepgramStt::new(client(listener.address), "nova-3");
    let events: Vec<_> = stt.listen(speech, "en-US").try_collect().await?;
    match events.last() {
        Some(SttEvent::Final(transcript)) => Ok(transcript.text.clone()),
        other => panic!("the last is no transcript: {other:?}"),
    }
}

#[tokio::test]
async fn words_come_while_they_are_spoken_and_each_end_of_an_utterance_is_told_once() {
    let listener = Listener::start(Vec::new()).await;
    let stt = DeepgramStt::new(client(listener.address), "nova-3");
    let (say, heard) = mpsc::channel::<Vec<i16>>(100);
    let speech = stream::unfold(
        heard,
        |mut heard| async move { Some((heard.recv().await?, heard)) },
    );
    let mut events = stt.listen(speech.boxed(), "en-US");
    say.send(word(1)).await.unwrap();
    let interim = |event: Option<Result<SttEvent, ProviderError>>| match event {
        Some(Ok(SttEvent::Interim(transcript))) => transcript.text,
        other => panic!("{other:?}"),
    };
    assert_eq!(interim(events.next().await), "w1");
    say.send(word(2)).await.unwrap();
    assert_eq!(interim(events.next().await), "w1 w2");
    for _ in 0..3 {
        say.send(word(0)).await.unwrap();
    }
    let mut event = events.next().await;
    while let Some(Ok(SttEvent::Interim(transcript))) = &event {
        assert_eq!(transcript.text, "w1 w2");
        event = events.next().await;
    }
    assert_eq!(event.unwrap().unwrap(), SttEvent::EndOfUtterance);
    say.send(word(3)).await.unwrap();
    assert_eq!(interim(events.next().await), "w1 w2 w3");
    drop(say);
    let rest: Vec<_> = events.try_collect().await.unwrap();
    assert!(
        matches!(&rest[..], [SttEvent::Final(all)] if all.text == "w1 w2 w3" && all.confidence == Some(0.9)),
        "{rest:?}"
    );
    let told = listener.told.lock().unwrap();
    assert_eq!(told.asked.len(), 1);
    let (place, key) = &told.asked[0];
    assert_eq!(
        place,
        "/v1/listen?model=nova-3&language=en-US&encoding=linear16&sample_rate=16000&channels=1&smart_format=true\
         &interim_results=true&endpointing=300&utterance_end_ms=1000"
    );
    assert_eq!(key, &format!("Token {KEY}"));
}

/// 3.7 s are spoken, and every connection but the last fails at a place that is no border of words, of messages or of results.
#[tokio::test]
async fn every_word_is_there_once_however_often_the_connection_breaks() {
    for mischief in [
        vec![Mischief::Cut(1)],
        vec![Mischief::Cut(20_000)],
        vec![Mischief::Cut(33_333), Mischief::Cut(17_777)],
        vec![Mischief::Cut(100), Mischief::Cut(100), Mischief::Cut(100)],
        vec![Mischief::Close(25_000, 1011)],
        // In good order, and yet too soon.
        vec![Mischief::Close(25_000, 1000)],
        vec![Mischief::CutAtTheEnd],
        vec![Mischief::Cut(20_000), Mischief::Refuse(503)],
    ] {
        let connections = mischief.len() + 1;
        let refused = mischief
            .iter()
            .filter(|it| matches!(it, Mischief::Refuse(_)))
            .count();
        let listener = Listener::start(mischief).await;
        assert_eq!(transcript(&listener, spoken(1..=37)).await.unwrap(), text(1..=37));
        assert_eq!(listener.told.lock().unwrap().samples.len(), connections - refused);
    }
}

#[tokio::test]
async fn every_word_is_there_once_when_the_peer_falls_silent() {
    let listener = Listener::start(vec![Mischief::Silence(25_000)]).await;
    assert_eq!(transcript(&listener, spoken(1..=37)).await.unwrap(), text(1..=37));
    let told = listener.told.lock().unwrap();
    // What was settled is not said again: the first second.
    assert_eq!(told.samples[1], 27 * WORD);
}

#[tokio::test]
async fn what_is_said_while_a_connection_is_opened_anew_is_heard_too() {
    let listener = Listener::start(vec![Mischief::Cut(8 * WORD)]).await;
    let stt = DeepgramStt::new(client(listener.address), "nova-3");
    let (say, heard) = mpsc::channel::<Vec<i16>>(100);
    let speech = stream::unfold(
        heard,
        |mut heard| async move { Some((heard.recv().await?, heard)) },
    );
    let mut events = stt.listen(speech.boxed(), "en");
    for number in 1..=8 {
        say.send(word(number)).await.unwrap();
    }
    let mut said = 8;
    loop {
        match events.next().await.unwrap().unwrap() {
            // Another connection has heard all: the caller says one more.
            SttEvent::Interim(transcript) if transcript.text == text(1..=said) && said < 12 => {
                said += 1;
                say.send(word(said)).await.unwrap();
            }
            SttEvent::Interim(transcript) if transcript.text == text(1..=12) => break,
            _ => {}
        }
    }
    drop(say);
    let rest: Vec<_> = events.try_collect().await.unwrap();
    assert!(
        matches!(rest.last(), Some(SttEvent::Final(all)) if all.text == text(1..=12)),
        "{rest:?}"
    );
    assert_eq!(listener.told.lock().unwrap().asked.len(), 2);
}

#[tokio::test]
async fn a_connection_that_nobody_speaks_to_is_kept_alive() {
    let listener = Listener::start(Vec::new()).await;
    let stt = DeepgramStt::new(client(listener.address), "nova-3");
    let kept_alive = listener.told.lock().unwrap().kept_alive.clone();
    let quiet = stream::unfold(0, move |at| {
        let kept_alive = kept_alive.clone();
        async move {
            match at {
                0 => Some((word(1), 1)),
                // The second word comes when the connection was kept alive.
                1 => {
                    kept_alive.notified().await;
                    Some((word(2), 2))
                }
                _ => None,
            }
        }
    });
    let events: Vec<_> = stt.listen(quiet.boxed(), "en").try_collect().await.unwrap();
    assert!(matches!(events.last(), Some(SttEvent::Final(all)) if all.text == "w1 w2"));
    assert_eq!(listener.told.lock().unwrap().asked.len(), 1);
}

#[tokio::test]
async fn a_service_that_is_not_reached_or_that_never_stays_is_given_up() {
    let listener = Listener::start(vec![Mischief::Refuse(401)]).await;
    let error = transcript(&listener, spoken(1..=3)).await.unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        "deepgram: HTTP 401 (INVALID_AUTH): check the key (refused; check the profile's providers and their keys)"
    );
    let listener = Listener::start(vec![Mischief::Refuse(503)]).await;
    let error = transcript(&listener, spoken(1..=3)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(listener.told.lock().unwrap().asked.is_empty(), "it asks again");
    let listener = Listener::start(vec![Mischief::Cut(1); 9]).await;
    let error = transcript(&listener, spoken(1..=3)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(listener.told.lock().unwrap().asked.len(), 4);
    // A refusal in the middle is none that another connection helps against.
    let listener = Listener::start(vec![Mischief::Close(1, 1008)]).await;
    let error = transcript(&listener, spoken(1..=3)).await.unwrap_err();
    assert!(error.to_string().contains("1008 (NET-0001)"), "{error}");
    assert_eq!(listener.told.lock().unwrap().asked.len(), 1);
}

/// As the service answers, shortened.
const RECORDING: &str = r#"{"metadata":{"transaction_key":"deprecated","request_id":"r-1","duration":1.0,"channels":1},
"results":{"channels":[{"alternatives":[{"transcript":"When do you open?","confidence":0.98,"words":[{"word":"when","start":0.1,"end":0.3,"confidence":0.99,"punctuated_word":"When"}]}]}]}}"#;

#[tokio::test]
async fn an_utterance_that_is_over_is_one_request() {
    let stub = Stub::start(Replay::new(200, "application/json", RECORDING)).await;
    let stt = DeepgramStt::new(client(stub.address), "nova-3");
    let transcript = stt.transcribe(&[1, -2], "ru").await.unwrap();
    assert_eq!(
        (transcript.text.as_str(), transcript.confidence),
        ("When do you open?", Some(0.98))
    );
    let asked = stub.asked();
    assert_eq!(
        (asked.path.as_str(), &asked.body[..]),
        ("/v1/listen", &[1, 0, 254, 255][..])
    );
    assert_eq!(asked.authorization, format!("Token {KEY}"));
    assert_eq!(
        asked.query,
        "model=nova-3&language=ru&encoding=linear16&sample_rate=16000&channels=1&smart_format=true"
    );
    let stub = Stub::start(Replay::new(200, "application/json", "{}")).await;
    let stt = DeepgramStt::new(client(stub.address), "nova-3");
    let error = stt.transcribe(&[0; 1_600], "en").await.unwrap_err();
    assert!(matches!(error, ProviderError::Protocol { .. }));
}

fn speech(voice: &str) -> SpeechRequest {
    SpeechRequest {
        text: "canary-words".to_owned(),
        voice: voice.to_owned(),
        language: "en".to_owned(),
    }
}

#[tokio::test]
async fn a_sentence_is_spoken_in_the_voice_that_is_wanted_however_the_network_cuts_it() {
    for (voice, model) in [("", "aura-2-thalia-en"), ("aura-2-julius-de", "aura-2-julius-de")] {
        let mut replay = Replay::new(200, "audio/l16;rate=24000", "");
        replay.pieces = vec![vec![1], vec![0, 2], vec![0], vec![255, 255]];
        let stub = Stub::start(replay).await;
        let tts = DeepgramTts::new(client(stub.address), "aura-2-thalia-en");
        let pieces: Vec<_> = tts.synthesize(speech(voice)).try_collect().await.unwrap();
        assert_eq!(pieces.concat(), [1, 2, -1]);
        let asked = stub.asked();
        assert_eq!(asked.path, "/v1/speak");
        assert_eq!(
            asked.query,
            format!("model={model}&encoding=linear16&container=none&sample_rate=24000")
        );
        assert_eq!(&asked.body[..], br#"{"text":"canary-words"}"#);
    }
}

#[tokio::test]
async fn failures_of_speech_say_whether_to_ask_again_and_quote_nothing() {
    let failed = async |replay: Replay| {
        let stub = Stub::start(replay).await;
        let tts = DeepgramTts::new(client(stub.address), "v");
        let said: Result<Vec<_>, _> = tts.synthesize(speech("")).try_collect().await;
        let error = said.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        error
    };
    let body = r#"{"err_code":"TOO_MANY_REQUESTS","err_msg":"canary","request_id":"r-1"}"#;
    let error = failed(Replay::new(429, "application/json", body)).await;
    assert!(error.is_retryable() && error.to_string().contains("HTTP 429 (TOO_MANY_REQUESTS)"));
    let body = r#"{"category":"INVALID_JSON","message":"canary","details":"canary","request_id":"r-1"}"#;
    let error = failed(Replay::new(400, "application/json", body)).await;
    assert!(!error.is_retryable() && error.to_string().contains("HTTP 400 (INVALID_JSON)"));
    let error = failed(Replay::new(200, "text/html", "canary")).await;
    assert!(matches!(error, ProviderError::Protocol { .. }));
    let error = failed(Replay::new(200, "audio/l16", vec![1])).await;
    assert!(matches!(error, ProviderError::Protocol { .. }));
    let broken = std::sync::Arc::new(tokio::sync::Notify::new());
    broken.notify_one();
    let error = failed(Replay::new(200, "audio/l16", vec![1, 0]).ending(Ending::BreakOn(broken))).await;
    assert!(error.is_retryable(), "{error}");
}
